//! The session whose page a request's path opens. A handler that takes one is never called for a link that opens
//! nothing: that gets the one page for all of those.

use super::{Pages, Purpose, problem};
use crate::model::SessionId;
use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
    response::Response,
};

/// From a link to the buyer's page.
pub struct ReturnLink(pub SessionId);

/// From a link to the sandbox's checkout.
pub struct CheckoutLink(pub SessionId);

impl FromRequestParts<Pages> for ReturnLink {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, pages: &Pages) -> Result<Self, Response> {
        open(Purpose::Return, parts, pages).await.map(Self)
    }
}

impl FromRequestParts<Pages> for CheckoutLink {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, pages: &Pages) -> Result<Self, Response> {
        open(Purpose::Checkout, parts, pages).await.map(Self)
    }
}

async fn open(purpose: Purpose, parts: &mut Parts, pages: &Pages) -> Result<SessionId, Response> {
    // Not even UTF-8 is as wrong as any other token.
    let token = Path::<String>::from_request_parts(parts, pages).await.ok();
    let id = token.and_then(|Path(token)| pages.links.open(purpose, &token));
    id.ok_or_else(|| problem::not_found(pages, &parts.headers))
}

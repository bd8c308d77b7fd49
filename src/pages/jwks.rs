//! `GET /.well-known/jwks.json`: the public keys of signed returns, for every merchant's own JWT library.
//!
//! Without keys it is not there: a verifier that is told of an empty set would call every token a forgery, while a
//! missing document is seen to be a mistake.

use super::{Pages, limits::JWKS_SECONDS, problem};
use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};

/// The keys. They are nobody's secret, so scripts of any site may read them.
pub async fn serve(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    let Some(keys) = pages.app.signing_keys() else { return problem::not_found(&pages, &headers) };
    let mut response = keys.to_jwks().into_response();
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let cached = format!("public, max-age={JWKS_SECONDS}");
    if let Ok(cached) = HeaderValue::try_from(cached) {
        response.headers_mut().insert(header::CACHE_CONTROL, cached);
    }
    response
}

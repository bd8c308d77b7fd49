//! The pages for what went wrong. They tell a buyer what to do, and somebody who tries links nothing at all.

use super::{
    Pages,
    assets::Assets,
    language::Locale,
    words::{Saying, Words},
};
use crate::{
    app::Error,
    store::StoreError,
    telemetry::{call, metrics::Shed},
};
use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};

#[derive(Template)]
#[template(path = "problem.html")]
struct Problem<'p> {
    words: &'p Words,
    assets: Assets<'p>,
    saying: Saying,
}

/// Every link that opens nothing, whatever the reason: a path that is none, a token that nobody made, or a session that
/// was removed.
pub async fn no_such_page(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    not_found(&pages, &headers)
}

/// The same, for a handler that found out.
pub fn not_found(pages: &Pages, headers: &HeaderMap) -> Response {
    page(StatusCode::NOT_FOUND, headers, pages.links.base(), |words| words.not_found)
}

/// A request that no page of ours makes.
pub fn refused(pages: &Pages, headers: &HeaderMap) -> Response {
    page(StatusCode::BAD_REQUEST, headers, pages.links.base(), |words| words.refused)
}

/// What a use case that failed comes to. What only the log may know is logged here, once.
pub fn failed(error: Error, pages: &Pages, headers: &HeaderMap) -> Response {
    match error {
        Error::SessionNotFound => not_found(pages, headers),
        Error::Store(StoreError::Unavailable(cause)) => {
            tracing::error!(cause, request_id = call::request_id(), "the store is unavailable");
            unavailable(pages, headers)
        }
        Error::Store(StoreError::Corrupt(cause)) => {
            tracing::error!(cause, request_id = call::request_id(), "the store holds something unreadable");
            fault(pages, headers)
        }
        Error::Store(StoreError::Overloaded) => {
            Shed::Store.count();
            unavailable(pages, headers)
        }
        Error::TooManyWaiting => unavailable(pages, headers),
        // Pages neither create nor change settings, name no outcome, act for every merchant, and count for none.
        Error::Invalid(_)
        | Error::KeyReused
        | Error::MayNotVouch
        | Error::EtagMismatch
        | Error::OtherMerchant
        | Error::RateLimited(_)
        | Error::NoSigningKeys => {
            tracing::error!(%error, request_id = call::request_id(), "a page failed for a reason that it cannot have");
            fault(pages, headers)
        }
    }
}

/// A fault that passes. The browser comes again by itself.
pub fn unavailable(pages: &Pages, headers: &HeaderMap) -> Response {
    let mut response = page(StatusCode::SERVICE_UNAVAILABLE, headers, pages.links.base(), |words| words.unavailable);
    for header in [header::RETRY_AFTER, header::REFRESH] {
        response.headers_mut().insert(header, HeaderValue::from_static("5"));
    }
    response
}

/// A fault of ours.
pub fn fault(pages: &Pages, headers: &HeaderMap) -> Response {
    page(StatusCode::INTERNAL_SERVER_ERROR, headers, pages.links.base(), |words| words.unavailable)
}

fn page(status: StatusCode, headers: &HeaderMap, base: &str, saying: impl Fn(&Words) -> Saying) -> Response {
    let words = Words::of(Locale::of(headers).language);
    let page = Problem { words, assets: Assets::below(base), saying: saying(words) };
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => status.into_response(),
    }
}

//! What holds for every answer of the page listener: its headers, its request id, its time, its line of the log, and that
//! a panic ends one request only.

use super::{Pages, limits::TIMEOUT, problem};
use crate::telemetry::{
    TRACEPARENT, TraceContext,
    call::{self, Notes},
    metrics::{PAGE_DURATION, PAGE_REQUESTS, Route, status_number},
};
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::{Next, map_response},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::FutureExt;
use sha2::{Digest, Sha256};
use std::{
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    pin::pin,
    time::Instant,
};
use tokio::time::timeout;
use tracing::Level;

/// What a page may do besides showing itself. Nothing is ever loaded from or sent to anybody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allow<'a> {
    /// Our own script, and its connection back to us.
    Script,
    /// Forms to us.
    ///
    /// Browsers apply this to the redirects that follow a form as well, so a form's answer must never lead to a shop;
    /// see [`super::checkout`].
    Forms,
    /// This one style in the page, besides the stylesheet.
    Style(&'a str),
}

/// The policy of a page (CSP level 3).
pub fn content_security_policy(allowed: &[Allow<'_>]) -> HeaderValue {
    let (mut script, mut form, mut style) = ("", "form-action 'none'", String::from("style-src 'self'"));
    for allow in allowed {
        match allow {
            Allow::Script => script = "; script-src 'self'; connect-src 'self'",
            Allow::Forms => form = "form-action 'self'",
            Allow::Style(text) => style.push_str(&format!(" 'sha256-{}'", STANDARD.encode(Sha256::digest(text)))),
        }
    }
    let policy =
        format!("default-src 'none'; {style}; img-src 'self'{script}; {form}; base-uri 'none'; frame-ancestors 'none'");
    HeaderValue::try_from(policy).expect("printable ASCII")
}

/// Headers of every answer. A handler may set another value: assets may be cached.
const HEADERS: [(HeaderName, &str); 9] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // For browsers that do not know `frame-ancestors`.
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=()"),
    // Nobody's payment belongs into a search engine, even if its link gets around.
    (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
    (header::VARY, "accept-language"),
];

/// The layer around all pages.
pub async fn guard(State(pages): State<Pages>, request: Request, next: Next) -> Response {
    let (began, route) = (Instant::now(), Route::of(request.uri().path()));
    let headers = request.headers().clone();
    let mut request_id = call::given_request_id(headers.get(call::REQUEST_ID));
    let mut notes = call::is_page_logged(level(route)).then(|| {
        let request_id = request_id.take().unwrap_or_else(call::new_request_id);
        Box::new(Notes::new(request_id, headers.get(TRACEPARENT).and_then(TraceContext::read)))
    });
    // Unwind safe: after a panic the request is dropped, and what requests share is behind locks of its own.
    let mut answer = pin!(AssertUnwindSafe(next.run(request)).catch_unwind());
    let answer = poll_fn(|cx| call::noting(&mut notes, || answer.as_mut().poll(cx)));
    let answered = timeout(TIMEOUT, answer).await;
    let noted_id = notes.as_ref().and_then(|notes| notes.request_id.to_str().ok());
    let mut response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!(request_id = noted_id, "a page panicked");
            problem::fault(&pages, &headers)
        }
        Err(_) => {
            tracing::warn!(timeout_ms = TIMEOUT.as_millis(), request_id = noted_id, "a page was not made in time");
            problem::unavailable(&pages, &headers)
        }
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert_with(|| content_security_policy(&[]));
    if let Some(request_id) = notes.as_ref().map(|notes| notes.request_id.clone()).or(request_id) {
        headers.insert(call::REQUEST_ID, request_id);
    }
    PAGE_REQUESTS.add([route as usize, status_number(response.status())], 1);
    let took = began.elapsed();
    PAGE_DURATION.took([route as usize], took);
    if let Some(notes) = notes {
        notes.end_page(level(route), route.as_str(), response.status().as_u16(), took);
    }
    response
}

/// What belongs to a page is as many lines as tell nothing.
fn level(route: Route) -> Level {
    match route {
        Route::Assets | Route::Events => Level::DEBUG,
        _ => Level::INFO,
    }
}

/// Tells browsers for a year to come to this name encrypted only (RFC 6797). For a listener that has TLS itself, and not
/// for the sandbox: browsers apply it to every port of the name, and that may be `localhost`.
pub fn strictly_encrypted(router: Router) -> Router {
    router.layer(map_response(async |mut response: Response| {
        let year = HeaderValue::from_static("max-age=31536000");
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, year);
        response
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_do_nothing_but_what_it_needs() {
        assert_eq!(
            content_security_policy(&[]),
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; \
             frame-ancestors 'none'"
        );
        // The hash is that of the empty text, as RFC 6234's readers know it.
        assert_eq!(
            content_security_policy(&[Allow::Script, Allow::Forms, Allow::Style("")]),
            "default-src 'none'; style-src 'self' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='; img-src \
             'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        );
    }
}

//! What those who run the server, and their machines, ask it: `/metrics`, `/livez` and `/readyz`, on a listener of its
//! own.
//!
//! It tells numbers and the names of parts, never anything about a session, a merchant, a caller or a URL; so it asks
//! nobody for a credential. Nothing can be changed here.

pub mod limits;
mod readiness;

pub use readiness::{Component, Readiness};

use crate::{
    store::Store,
    telemetry::{self, Scrape},
};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use std::sync::Arc;

/// What is asked about.
#[derive(Clone)]
struct Ops {
    store: Arc<dyn Store>,
    readiness: Readiness,
}

/// The service of the operations listener.
pub fn router(store: Arc<dyn Store>, readiness: Readiness) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .fallback(async || (StatusCode::NOT_FOUND, "there are /metrics, /livez and /readyz\n"))
        .with_state(Ops { store, readiness })
}

async fn metrics(State(ops): State<Ops>) -> Response {
    let scrape = Scrape { store: ops.store.figures(), ready: ops.readiness.each() };
    answer(StatusCode::OK, telemetry::CONTENT_TYPE, telemetry::expose(&scrape))
}

/// Alive is who answers: the listener is served by the same threads as the calls.
async fn livez() -> Response {
    answer(StatusCode::OK, TEXT, "alive\n".to_owned())
}

async fn readyz(State(ops): State<Ops>, headers: HeaderMap) -> Response {
    let status = if ops.readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let wants_json = headers.get_all(header::ACCEPT).iter().any(|accept| {
        accept.to_str().is_ok_and(|accept| accept.split(',').any(|range| range.trim().starts_with(JSON)))
    });
    match wants_json {
        true => answer(status, JSON, format!("{}\n", ops.readiness.to_json())),
        false => answer(status, TEXT, ops.readiness.to_text()),
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

fn answer(status: StatusCode, media_type: &'static str, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, headers, body).into_response()
}

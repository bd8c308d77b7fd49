//! What buyers see: the page that a payment returns to, and in the sandbox a checkout to pay at. Beside them, the public
//! keys that merchants verify signed returns with.
//!
//! Every page asks a use case of [`crate::app`] and shows the answer; nothing about redirects is decided here. Pages act
//! for the deployment itself (`Tenants::All`): a link's token is all the authority that its buyer needs. A page
//! says no more than its session's state supports, shows every value as text, and asks no third party for anything.
//!
//! Read [`token`] for who may see a page, [`return_page`] for the page itself, [`edge`] for what holds for all of them.

mod assets;
mod checkout;
mod edge;
mod events;
mod jwks;
mod language;
pub mod limits;
mod links;
mod money;
mod opened;
mod problem;
mod return_page;
mod shop;
mod token;
mod words;

pub use edge::strictly_encrypted;
pub use links::{InvalidPublicUrl, Links, PublicUrl};
pub use token::{InvalidPageKeys, PageKeys, Purpose};

use crate::{app::App, redirect::Mode, server::Drain};
use axum::{Router, extract::DefaultBodyLimit, middleware, routing::get};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What the pages work with.
#[derive(Clone)]
struct Pages {
    app: App,
    links: Arc<Links>,
    drain: Drain,
    /// Places for pages that wait for their outcome.
    waiting: Arc<Semaphore>,
}

/// The service of the page listener. What belongs to the sandbox is not there without it.
pub fn router(app: App, links: Arc<Links>, drain: Drain) -> Router {
    let mut router = Router::new()
        .route("/r/{token}", get(return_page::show))
        .route("/r/{token}/events", get(events::stream))
        .route("/assets/{name}", get(assets::serve))
        .route("/.well-known/jwks.json", get(jwks::serve));
    if app.mode() == Mode::Sandbox {
        router = router
            .route("/c/{token}", get(checkout::show).post(checkout::act))
            .route("/c/{token}/done", get(checkout::done))
            .route("/shop", get(shop::show))
            .route("/shop/", get(shop::show))
            .route("/shop/{*rest}", get(shop::show));
    }
    let pages = Pages { app, links, drain, waiting: Arc::new(Semaphore::new(limits::MAX_WAITING)) };
    router
        .fallback(problem::no_such_page)
        .with_state(pages.clone())
        .layer(DefaultBodyLimit::max(limits::FORM_BYTES))
        .layer(middleware::from_fn_with_state(pages, edge::guard))
}

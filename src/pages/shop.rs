//! The sandbox's shop: a return URL that answers, so that a return can be tried before there is a site to return to.
//!
//! It shows what a shop is given. Like the sandbox's checkout it is in English and does not exist elsewhere.

use super::{Pages, assets::Assets, language::Language, problem, words::Words};
use askama::Template;
use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, Uri},
    response::{Html, IntoResponse, Response},
};
use url::form_urlencoded;

#[derive(Template)]
#[template(path = "shop.html")]
struct Shop<'p> {
    words: &'p Words,
    assets: Assets<'p>,
    path: &'p str,
    params: Vec<(String, String)>,
}

/// `GET /shop`, and everything below it.
pub async fn show(State(pages): State<Pages>, uri: Uri, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let view = Shop {
        words: Words::of(Language::English),
        assets: Assets::below(pages.links.base()),
        path: uri.path(),
        params: form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect(),
    };
    match view.render() {
        Ok(html) => Html(html).into_response(),
        Err(_) => problem::fault(&pages, &headers),
    }
}

//! What pages are made of besides their HTML: one stylesheet, one script, one icon, all of them in the binary.
//!
//! Their links carry a version made of their content, so that a browser keeps them and never mixes old with new.

use super::{Pages, problem};
use axum::{
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
}

const FILES: [Asset; 3] = [
    Asset { name: "page.css", content_type: "text/css; charset=utf-8", content: include_str!("assets/page.css") },
    Asset {
        name: "waiting.js",
        content_type: "text/javascript; charset=utf-8",
        content: include_str!("assets/waiting.js"),
    },
    Asset { name: "icon.svg", content_type: "image/svg+xml", content: include_str!("assets/icon.svg") },
];

/// One version for all of them: they change together, with a release.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let hash = FILES.iter().fold(Sha256::new(), |hash, file| hash.chain_update(file.content)).finalize();
    hash[..6].iter().map(|byte| format!("{byte:02x}")).collect()
});

/// The links to the assets, for templates.
pub struct Assets<'a> {
    base: &'a str,
}

impl<'a> Assets<'a> {
    /// Links that begin with that path.
    pub const fn below(base: &'a str) -> Self {
        Self { base }
    }

    /// The link to the asset of that name.
    pub fn link(&self, name: &str) -> String {
        format!("{}/assets/{name}?v={}", self.base, *VERSION)
    }
}

/// `GET /assets/{name}`
pub async fn serve(
    State(pages): State<Pages>,
    name: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let asset = name.ok().and_then(|Path(name)| FILES.iter().find(|asset| asset.name == name));
    let Some(asset) = asset else {
        return problem::not_found(&pages, &headers);
    };
    let mut response = ([(header::CONTENT_TYPE, asset.content_type)], asset.content).into_response();
    // Another version is what a server of another release asks for: good for now, and not to be kept.
    if query.and_then(|query| Some(query.strip_prefix("v=")? == *VERSION)) == Some(true) {
        let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
        response.headers_mut().insert(header::CACHE_CONTROL, forever);
    }
    response
}

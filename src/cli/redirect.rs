//! A decision in words: where the buyer goes, how, and why.

use super::{
    outcome,
    table::{Table, visible},
    time,
};
use crate::proto::v1::{Action, Candidate, Redirect, Source, candidate::Fate};
use std::borrow::Cow;

/// The URL, or that there is none.
pub fn url(redirect: &Redirect) -> Cow<'_, str> {
    if redirect.url.is_empty() { "no URL: Waypost's own page serves".into() } else { visible(&redirect.url) }
}

/// What happens in the browser.
pub fn action(redirect: &Redirect) -> String {
    match redirect.action() {
        Action::Unspecified => format!("action number {}", redirect.action),
        Action::Redirect => "go there now (HTTP 303)".into(),
        Action::DelayedRedirect => {
            let delay = time::proto_span(redirect.delay).unwrap_or_else(|| "a while".into());
            format!("show a page that goes there by itself after {delay}, with a \"Return to site\" button")
        }
        Action::ShowPage if redirect.url.is_empty() => "show a page without a button".into(),
        Action::ShowPage => "show a page whose \"Return to site\" button goes there".into(),
    }
}

/// Where the URL comes from.
pub fn source(redirect: &Redirect) -> String {
    match redirect.source() {
        Source::Unspecified => format!("source number {}", redirect.source),
        Source::MerchantSettings => "the merchant's settings".into(),
        Source::Request => "the create request".into(),
        Source::HostedPage => "neither the merchant's settings nor the create request".into(),
    }
}

/// Every place that was looked at, in order, and what became of it.
pub fn candidates(candidates: &[Candidate]) -> String {
    let mut table = Table::default();
    table.row(["tried", "slot", "level", "fate", "URL template"]);
    for (at, candidate) in candidates.iter().enumerate() {
        let level = match candidate.source() {
            Source::MerchantSettings => "settings".to_owned(),
            Source::Request => "request".to_owned(),
            Source::Unspecified | Source::HostedPage => format!("level number {}", candidate.source),
        };
        let fate = match candidate.fate() {
            Fate::Unspecified => format!("fate number {}", candidate.fate),
            Fate::Chosen => "chosen".to_owned(),
            Fate::Empty => "empty".to_owned(),
            Fate::Refused => "refused".to_owned(),
            Fate::Outranked => "outranked".to_owned(),
        };
        let number = (at + 1).to_string();
        table.row([&number, &outcome::word(candidate.slot), &level, &fate, &candidate.template]);
        if !candidate.detail.is_empty() {
            let detail = format!("it {}", candidate.detail);
            table.row(["", "", "", "because", &detail]);
        }
    }
    table.to_string()
}

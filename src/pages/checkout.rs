//! The sandbox's checkout: stands in for the provider's, so that a whole return can be tried by hand in a browser.
//!
//! Its router has no such page outside of the sandbox. Whoever posts to it knows its token, which stands in no page of
//! anybody else, so a form needs no other proof of where it comes from. In English only: its readers are developers.

use super::{
    Pages,
    assets::Assets,
    edge::{Allow, content_security_policy},
    language::{Language, Locale},
    limits::CART_LINES,
    money,
    opened::CheckoutLink,
    problem,
    words::{Standing, Words},
};
use crate::{
    app::{ResolveQuery, Resolved},
    model::{Ending, Kind, Outcome, Session, SessionId, Tenants},
};
use askama::Template;
use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

#[derive(Template)]
#[template(path = "checkout.html")]
struct Checkout<'p> {
    words: &'p Words,
    assets: Assets<'p>,
    merchant: &'p str,
    merchant_id: &'p str,
    kind: &'static str,
    lines: Vec<Line>,
    more_lines: usize,
    amounts: Vec<String>,
    reference: String,
    standing: Standing,
    page: String,
}

/// A line of the cart, or an item of a payment.
struct Line {
    name: String,
    quantity: i64,
    /// Of all of them.
    price: String,
}

#[derive(Template)]
#[template(path = "checkout_done.html")]
struct Done<'p> {
    words: &'p Words,
    assets: Assets<'p>,
    page: &'p str,
}

/// What a button does.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Button {
    Pay,
    Decline,
    Later,
    Leave,
    Report,
}

#[derive(Debug, Deserialize)]
pub(super) struct Pressed {
    button: Button,
}

impl Button {
    /// What the provider would report.
    fn report(self, id: SessionId) -> Ending {
        let outcome = match self {
            Self::Pay | Self::Report => Outcome::Success,
            Self::Decline => Outcome::Failure,
            Self::Later => Outcome::Pending,
            Self::Leave => return Ending::bare(Outcome::Cancel),
        };
        // The same for each try, so that pressing a button twice changes nothing.
        let payment_id = format!("sandbox-{}", &id.uuid().simple().to_string()[20..]);
        let error_code = matches!(self, Self::Decline).then(|| "card_declined".into());
        Ending { payment_id: Some(payment_id.into()), error_code, ..Ending::bare(outcome) }
    }
}

/// `GET /c/{token}`
pub async fn show(State(pages): State<Pages>, CheckoutLink(id): CheckoutLink, headers: HeaderMap) -> Response {
    match pages.app.resolve_with_session(&ResolveQuery::recorded(id, Duration::ZERO), &Tenants::All).await {
        Ok(resolved) => page(&pages, &resolved, &headers),
        Err(error) => problem::failed(error, &pages, &headers),
    }
}

fn page(pages: &Pages, resolved: &Resolved, headers: &HeaderMap) -> Response {
    let Resolved { seen, merchant, .. } = resolved;
    let session = &*seen.session;
    let locale = Locale { language: Language::English, ..Locale::of(headers) };
    let body = Value::Object(session.body().to_fields());
    let (lines, more_lines) = lines(session, &body, locale);
    let view = Checkout {
        words: Words::of(Language::English),
        assets: Assets::below(pages.links.base()),
        merchant: &merchant.name,
        merchant_id: session.merchant_id.as_str(),
        kind: session.id.kind().as_str(),
        lines,
        more_lines,
        amounts: money::totals(session.id.kind(), &body, locale),
        reference: session.external_reference().map_or_else(|| session.id.to_string(), str::to_owned),
        standing: session.ending_at(seen.now).map_or(Standing::Open, |ending| Standing::Ended(ending.outcome)),
        page: pages.links.page_path(session.id),
    };
    let Ok(html) = view.render() else { return problem::fault(pages, headers) };
    ([(header::CONTENT_SECURITY_POLICY, content_security_policy(&[Allow::Forms]))], Html(html)).into_response()
}

/// The first lines, and how many more there are.
fn lines(session: &Session, body: &Value, locale: Locale) -> (Vec<Line>, usize) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = match session.id.kind() {
        Kind::Checkout => &body["shopping_cart"]["line_items"],
        Kind::Payment => &body["items"],
        Kind::Order => &Value::Null,
    };
    let all = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let line = |line: &Value| match session.id.kind() {
        Kind::Checkout => {
            let (price, quantity) =
                (line["price"].as_i64().unwrap_or_default(), line["unit_qty"].as_i64().unwrap_or(1));
            let price = money::minor_units(i128::from(price) * i128::from(quantity), locale);
            Line { name: text(&line["name"]), quantity, price }
        }
        Kind::Payment | Kind::Order => Line {
            name: text(&line["type"]),
            quantity: 1,
            price: money::in_currency(&text(&line["price"]), &text(&line["currency"]), locale),
        },
    };
    (all.iter().take(CART_LINES).map(line).collect(), all.len().saturating_sub(CART_LINES))
}

/// `POST /c/{token}`: records what the button says.
pub async fn act(
    State(pages): State<Pages>,
    CheckoutLink(id): CheckoutLink,
    headers: HeaderMap,
    form: Result<Form<Pressed>, FormRejection>,
) -> Response {
    let Ok(Form(Pressed { button })) = form else { return problem::refused(&pages, &headers) };
    match pages.app.record_outcome(id, button.report(id), &Tenants::All).await {
        Ok(_) => see_other(&format!("{}/done", pages.links.checkout_path(id).unwrap_or_default())),
        Err(error) => problem::failed(error, &pages, &headers),
    }
}

fn see_other(path: &str) -> Response {
    match HeaderValue::from_str(path) {
        Ok(path) => (StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// `GET /c/{token}/done`: sends the browser on to the buyer's page, as a provider does.
///
/// By a page and not by a redirect: Chromium applies `form-action` to every redirect that follows a form, those of the
/// shop's own site included, and a policy that allows them all would be none. A refresh begins a new navigation.
pub async fn done(State(pages): State<Pages>, CheckoutLink(id): CheckoutLink, headers: HeaderMap) -> Response {
    let page = pages.links.page_path(id);
    let view = Done { words: Words::of(Language::English), assets: Assets::below(pages.links.base()), page: &page };
    match (view.render(), HeaderValue::try_from(format!("0;url={page}"))) {
        (Ok(html), Ok(refresh)) => ([(header::REFRESH, refresh)], Html(html)).into_response(),
        _ => problem::fault(&pages, &headers),
    }
}

//! `GET /r/{token}`: does what the decision says, a redirect or a page.

use super::{
    Pages,
    assets::Assets,
    edge::{Allow, content_security_policy},
    language::Locale,
    limits::{OUTCOME_WAIT, RELOAD_SECONDS},
    money,
    opened::ReturnLink,
    problem,
    words::{Saying, Standing, Words},
};
use crate::{
    app::{Error, ResolveQuery, Resolved},
    model::{Tenants, limits::AUTO_RETURN_DELAY_MAX},
    redirect::{CheckedUrl, Delivery},
};
use askama::Template;
use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use serde_json::Value;
use std::time::Duration;

/// The page.
#[derive(Template)]
#[template(path = "return.html")]
struct ReturnPage<'p> {
    words: &'p Words,
    assets: Assets<'p>,
    saying: Saying,
    standing: Standing,
    merchant: &'p str,
    amounts: Vec<String>,
    reference: String,
    payment_id: &'p str,
    /// The target of the button.
    url: Option<&'p str>,
    countdown: Option<Countdown>,
    /// Where the page hears that its session turned, when it waits for that.
    events: Option<String>,
    reload_seconds: u64,
    /// The sandbox's checkout, in the sandbox.
    checkout: Option<String>,
}

/// Counts down without a script: the style starts an animation, a header makes the browser go.
struct Countdown {
    seconds: u64,
    style: String,
}

impl Countdown {
    fn new(delay: Duration) -> Self {
        // Whole seconds, as the header has them.
        let seconds = delay.min(AUTO_RETURN_DELAY_MAX).as_millis().div_ceil(1_000).try_into().unwrap_or(1);
        Self { seconds, style: format!(":root{{--seconds:{seconds}}}") }
    }
}

/// Shows the page, or sends the browser on.
pub async fn show(
    State(pages): State<Pages>,
    ReturnLink(id): ReturnLink,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let wait_for = |wait| ResolveQuery::recorded(id, wait);
    let mut resolved = pages.app.resolve_with_session(&wait_for(OUTCOME_WAIT), &Tenants::All).await;
    if let Err(Error::TooManyWaiting) = resolved {
        // A buyer is shown what is known now rather than an excuse.
        resolved = pages.app.resolve_with_session(&wait_for(Duration::ZERO), &Tenants::All).await;
    }
    let resolved = match resolved {
        Ok(resolved) => resolved,
        Err(error) => return problem::failed(error, &pages, &headers),
    };
    let redirect = resolved.answer.decision.redirect.as_ref();
    // Browsers may block a deep link that nobody tapped, so it always gets its button.
    let countdown = match redirect.map(|redirect| (redirect.url.is_web(), redirect.delivery)) {
        Some((true, Delivery::Now)) => return see_other(redirect.map(|redirect| &redirect.url)),
        Some((true, Delivery::After(delay))) if query.as_deref() != Some(STAY) => Some(Countdown::new(delay)),
        Some(_) | None => None,
    };
    page(&pages, &resolved, countdown, &headers)
}

/// The query of the page on which the buyer stays.
const STAY: &str = "stay";

fn see_other(url: Option<&CheckedUrl>) -> Response {
    // A checked URL is printable ASCII.
    match url.and_then(|url| HeaderValue::from_str(url.as_str()).ok()) {
        Some(url) => (StatusCode::SEE_OTHER, [(header::LOCATION, url)]).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn page(pages: &Pages, resolved: &Resolved, countdown: Option<Countdown>, headers: &HeaderMap) -> Response {
    let Resolved { answer, seen, merchant } = resolved;
    let session = &*seen.session;
    let locale = Locale::of(headers);
    let words = Words::of(locale.language);
    let ending = session.ending_at(seen.now);
    let standing = ending.as_ref().map_or(Standing::Open, |ending| Standing::Ended(ending.outcome));
    let base = pages.links.base();
    let events = standing
        .is_awaited()
        .then(|| format!("{}/events?seen={}", pages.links.page_path(session.id), seen.state().to_text()));
    let redirect = answer.decision.redirect.as_ref();
    let view = ReturnPage {
        words,
        assets: Assets::below(base),
        saying: words.about(standing),
        standing,
        merchant: &merchant.name,
        amounts: money::totals(session.id.kind(), &Value::Object(session.body().to_fields()), locale),
        reference: session.external_reference().map_or_else(|| session.id.to_string(), str::to_owned),
        payment_id: ending.as_ref().and_then(|ending| ending.payment_id.as_deref()).unwrap_or_default(),
        url: redirect.map(|redirect| redirect.url.as_str()),
        countdown,
        events,
        reload_seconds: RELOAD_SECONDS,
        checkout: pages.links.checkout_path(session.id),
    };
    let Ok(html) = view.render() else { return problem::fault(pages, headers) };
    let mut response = Html(html).into_response();
    let mut allowed = Vec::new();
    if view.events.is_some() {
        allowed.push(Allow::Script);
    }
    if let (Some(countdown), Some(url)) = (&view.countdown, view.url) {
        allowed.push(Allow::Style(&countdown.style));
        if let Ok(refresh) = HeaderValue::try_from(format!("{};url={url}", countdown.seconds)) {
            response.headers_mut().insert(header::REFRESH, refresh);
        }
    }
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, content_security_policy(&allowed));
    response
}

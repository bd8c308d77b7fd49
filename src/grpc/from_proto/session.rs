//! What is asked and told about a session.

use super::{
    create::{checkout, order, payment},
    field::{Text, duration, merchant_id, plain_text},
};
use crate::{
    app::{Draft, Explain, PreviewSource, ResolveQuery, Returned, Vouching},
    model::{Ending, MerchantId, Outcome, SessionId, Violations, limits},
    proto::v1,
};
use std::time::Duration;
use tokio::time::Instant;

/// `GetSession`, and the session of a preview.
pub fn session_id(text: &str, violations: &mut Violations) -> Option<SessionId> {
    if text.is_empty() {
        violations.add("session_id", "is missing: write the id that the create call returned");
        return None;
    }
    violations.take("session_id", text.parse())
}

/// `PreviewRedirects`: what to preview, and the field of the request that holds it.
pub fn preview(request: v1::PreviewRedirectsRequest) -> Result<(PreviewSource, &'static str), Violations> {
    use v1::preview_redirects_request::Source;
    let mut violations = Violations::default();
    let draft = |(draft, violations): (Draft, Violations)| PreviewSource::Draft(draft.into(), violations);
    match request.source {
        None => {
            violations.add("source", "is missing: write session_id, create_checkout, create_order or create_payment");
            Err(violations)
        }
        Some(Source::SessionId(id)) => {
            session_id(&id, &mut violations).map(|id| (PreviewSource::Session(id), "")).ok_or(violations)
        }
        Some(Source::CreateCheckout(request)) => Ok((draft(checkout(request)), "create_checkout.")),
        Some(Source::CreateOrder(request)) => Ok((draft(order(request)), "create_order.")),
        Some(Source::CreatePayment(request)) => Ok((draft(payment(request)), "create_payment.")),
    }
}

/// `RecordOutcome`.
pub fn record(request: v1::RecordOutcomeRequest) -> Result<(SessionId, Ending), Violations> {
    let mut violations = Violations::default();
    let session_id = session_id(&request.session_id, &mut violations);
    let outcome = outcome(request.outcome, &mut violations);
    if outcome.is_none() && violations.as_slice().iter().all(|violation| violation.field != "outcome") {
        violations.add("outcome", "is missing: write how the session ended, such as OUTCOME_SUCCESS");
    }
    let (payment_id, status, error_code) =
        details(request.payment_id, request.status, request.error_code, &mut violations);
    match (session_id, outcome) {
        (Some(session_id), Some(outcome)) if violations.is_empty() => {
            Ok((session_id, Ending { outcome, payment_id, status, error_code }))
        }
        _ => Err(violations),
    }
}

/// `ResolveRedirect`, of somebody whose word about outcomes is not taken.
pub fn resolve(request: v1::ResolveRedirectRequest, deadline: Option<Instant>) -> Result<ResolveQuery, Violations> {
    let mut violations = Violations::default();
    let session_id = session_id(&request.session_id, &mut violations);
    let outcome = outcome(request.outcome, &mut violations);
    let (payment_id, status, error_code) =
        details(request.payment_id, request.status, request.error_code, &mut violations);
    // A longer wait is no mistake: callers may pass on their whole budget.
    let wait = request.wait.and_then(|wait| duration("wait", wait, Duration::ZERO, Duration::MAX, &mut violations));
    let wait = wait.map(|wait| wait.min(limits::WAIT_MAX));
    let explain = if request.explain { Explain::Candidates } else { Explain::No };
    match session_id {
        Some(session_id) if violations.is_empty() => Ok(ResolveQuery {
            session_id,
            outcome,
            payment_id,
            status,
            error_code,
            wait: wait.unwrap_or_default(),
            deadline,
            explain,
            vouching: Vouching::Forbidden,
        }),
        _ => Err(violations),
    }
}

/// One request of `ResolveRedirects`. The fields of violations are those of the request within.
pub fn resolve_of_many(
    resolve: Option<v1::ResolveRedirectRequest>,
    deadline: Option<Instant>,
) -> Result<ResolveQuery, Violations> {
    let Some(request) = resolve else {
        let mut violations = Violations::default();
        violations.add("resolve", "is missing: write what to decide, at least its session_id");
        return Err(violations);
    };
    self::resolve(request, deadline)
}

/// `VerifyReturn`. What came back is not judged here: nothing about it is an error.
pub fn verify(request: v1::VerifyReturnRequest) -> Result<(MerchantId, Returned), Violations> {
    use v1::verify_return_request::Returned as Given;
    let mut violations = Violations::default();
    let id = merchant_id("merchant_id", request.merchant_id, &mut violations).ok_or(violations)?;
    let returned = match request.returned {
        None => Returned::Token(String::new()),
        Some(Given::Url(url)) => Returned::Url(url),
        Some(Given::Token(token)) => Returned::Token(token),
    };
    Ok((id, returned))
}

fn details(payment_id: String, status: String, error_code: String, violations: &mut Violations) -> (Text, Text, Text) {
    (
        plain_text("payment_id", payment_id, limits::PAYMENT_ID_BYTES, violations),
        plain_text("status", status, limits::STATUS_BYTES, violations),
        plain_text("error_code", error_code, limits::ERROR_CODE_BYTES, violations),
    )
}

/// `None` for an unspecified outcome, and for one that is not known, which is a violation.
fn outcome(number: i32, violations: &mut Violations) -> Option<Outcome> {
    match v1::Outcome::try_from(number) {
        Ok(v1::Outcome::Unspecified) => None,
        Ok(v1::Outcome::Success) => Some(Outcome::Success),
        Ok(v1::Outcome::Failure) => Some(Outcome::Failure),
        Ok(v1::Outcome::Cancel) => Some(Outcome::Cancel),
        Ok(v1::Outcome::Pending) => Some(Outcome::Pending),
        Ok(v1::Outcome::Expired) => Some(Outcome::Expired),
        Err(_) => {
            violations.add(
                "outcome",
                format!("is the number {number}, which is no outcome: write one such as OUTCOME_SUCCESS"),
            );
            None
        }
    }
}

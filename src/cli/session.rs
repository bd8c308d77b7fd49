//! A session in words.

use super::{
    outcome,
    table::{Table, visible},
    time,
};
use crate::proto::v1;
use std::time::Duration;

/// The id alone on the first line, for `head -1`; then what is known of it.
pub fn describe(session: Option<&v1::Session>) -> String {
    let Some(session) = session else { return "the answer has no session".into() };
    format!("{}\n\n{}", visible(&session.session_id), rows(session))
}

fn rows(session: &v1::Session) -> Table {
    let mut table = Table::default();
    table.row(["kind", &kind(session)]);
    table.row(["merchant", &session.merchant_id]);
    table.row(["outcome", &outcome::word(session.outcome)]);
    table.row_if_any("payment id", &session.payment_id);
    table.row_if_any("status", &session.status);
    table.row_if_any("error code", &session.error_code);
    table.row(["created", &time::point(session.create_time)]);
    table.row(["changed", &time::point(session.update_time)]);
    // Once it has ended otherwise, its expiry says nothing.
    match session.outcome() {
        v1::Outcome::Unspecified => table.row(["expires", &expiry(session)]),
        v1::Outcome::Expired => table.row(["expired", &expiry(session)]),
        v1::Outcome::Success | v1::Outcome::Failure | v1::Outcome::Cancel | v1::Outcome::Pending => {}
    }
    table
}

fn kind(session: &v1::Session) -> String {
    match session.kind() {
        v1::Kind::Unspecified => format!("kind number {}", session.kind),
        v1::Kind::Checkout => "checkout".into(),
        v1::Kind::Order => "order".into(),
        v1::Kind::Payment => "payment".into(),
    }
}

fn expiry(session: &v1::Session) -> String {
    let at = time::point(session.expire_time);
    // Whole seconds, like the times beside it.
    let lives = match (session.create_time, session.expire_time) {
        (Some(created), Some(expires)) => u64::try_from(expires.seconds.saturating_sub(created.seconds)).ok(),
        _ => None,
    };
    match lives {
        Some(lives) => {
            format!("{at}, {} after it was created", time::span(Duration::from_secs(lives)))
        }
        None => at,
    }
}

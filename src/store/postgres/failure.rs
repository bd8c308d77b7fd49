//! What went wrong between this server and the database, and the two questions that follow: may the statement have
//! taken effect all the same, and is another attempt worth it?

use std::{
    error::Error as _,
    io::{self, ErrorKind},
};
use tokio_postgres::error::{Severity, SqlState};

/// One failed attempt.
#[derive(Debug)]
pub(super) struct Failure {
    /// For the log.
    pub(super) text: String,
    /// Whether the statement may have taken effect.
    pub(super) effect: Effect,
    /// Whether another attempt may go better.
    pub(super) prospect: Prospect,
}

/// Whether a statement took effect that was not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It did not: it was not sent, or the database said so.
    None,
    /// Nobody knows: the connection ended between the question and the answer.
    Unknown,
}

impl Effect {
    /// Of two attempts.
    pub(super) const fn or(self, other: Self) -> Self {
        match self {
            Self::None => other,
            Self::Unknown => self,
        }
    }
}

/// Whether another attempt may go better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prospect {
    /// Another transaction came first; the connection is as good as before.
    Conflict,
    /// The cause passes by itself, on another connection: a restart, a failover.
    Passing,
    /// The database would say the same again.
    Lasting,
}

impl Failure {
    /// The attempt got no connection from the database.
    pub(super) fn to_connect(error: &tokio_postgres::Error) -> Self {
        let prospect = if may_connect_later(error) { prospect(error) } else { Prospect::Lasting };
        Self { effect: Effect::None, prospect, ..Self::of_statement(error) }
    }

    /// The attempt got no connection from the pool. The bound on waiting is most of the time that a call has.
    pub(super) fn to_borrow(text: &str) -> Self {
        Self { text: text.to_owned(), effect: Effect::None, prospect: Prospect::Lasting }
    }

    /// The statement was sent and not acknowledged.
    pub(super) fn of_statement(error: &tokio_postgres::Error) -> Self {
        // Only the word of a living backend counts: a dying one may have committed before.
        let refused = error.as_db_error().is_some_and(|error| {
            error.parsed_severity() == Some(Severity::Error) && *error.code() != UNKNOWN_TO_THE_DATABASE
        });
        Self {
            text: describe(error),
            effect: if refused { Effect::None } else { Effect::Unknown },
            prospect: prospect(error),
        }
    }

    /// The time of the attempt ran out before there was a connection.
    pub(super) fn to_connect_in_time() -> Self {
        let text = "no connection to the database in time".to_owned();
        Self { text, effect: Effect::None, prospect: Prospect::Passing }
    }

    /// The time of the attempt ran out after the statement was sent.
    pub(super) fn to_answer_in_time() -> Self {
        let text = "no answer from the database in time".to_owned();
        Self { text, effect: Effect::Unknown, prospect: Prospect::Passing }
    }
}

/// `statement_completion_unknown`, which CockroachDB says when it cannot tell either.
const UNKNOWN_TO_THE_DATABASE: SqlState = SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN;

fn prospect(error: &tokio_postgres::Error) -> Prospect {
    let Some(code) = error.code() else {
        // Without a code it did not come from a database at all: the network, or TLS.
        return Prospect::Passing;
    };
    match code.code().get(..2) {
        // Serialization failures and deadlocks.
        Some("40") if *code != UNKNOWN_TO_THE_DATABASE => Prospect::Conflict,
        // Connection, resources, operator intervention.
        Some("08" | "40" | "53" | "57") => Prospect::Passing,
        // The primary became a replica; the next connection goes to the new one.
        _ if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Prospect::Passing,
        // A statement was prepared before a migration, or on another connection behind a pooler; both end with the
        // connection.
        _ if [SqlState::FEATURE_NOT_SUPPORTED, SqlState::INVALID_SQL_STATEMENT_NAME].contains(code) => {
            Prospect::Passing
        }
        _ => Prospect::Lasting,
    }
}

/// Whether what kept a connection from being made may pass: what a database said, as its code tells, or the network did. A
/// password that is missing, or a certificate that nobody trusts, stays so.
fn may_connect_later(error: &tokio_postgres::Error) -> bool {
    let mut cause = error.source();
    let mut of_network = None;
    while let Some(error) = cause.filter(|_| of_network.is_none()) {
        of_network = error.downcast_ref::<io::Error>();
        cause = error.source();
    }
    let passes = |error: &io::Error| error.kind() != ErrorKind::InvalidData;
    error.code().is_some() || error.is_closed() || of_network.is_some_and(passes)
}

/// The error with its causes. Without the database's DETAIL, which repeats the values of rows.
pub(super) fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", error.message(), error.code().code());
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

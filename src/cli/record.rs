//! `waypost record`: how a session ended.

use super::{client::Client, failure::Failure, outcome::Outcome, session};
use crate::proto::v1::{RecordOutcomeRequest, RecordOutcomeResponse};
use clap::Args;

/// What to record.
#[derive(Debug, Args)]
pub struct Record {
    /// The id that the create call returned.
    session_id: String,

    /// How it ended.
    outcome: Outcome,

    /// The provider's id of the payment.
    #[arg(long, value_name = "ID", help_heading = "Details")]
    payment_id: Option<String>,

    /// The provider's own word for the state, such as `approved`.
    #[arg(long, value_name = "TEXT", help_heading = "Details")]
    status: Option<String>,

    /// The provider's code of what went wrong.
    #[arg(long, value_name = "CODE", help_heading = "Details")]
    error_code: Option<String>,

    #[command(flatten)]
    client: Client,
}

impl Record {
    /// Records, and says what became of it.
    pub fn run(self) -> Result<String, Failure> {
        let request = RecordOutcomeRequest {
            session_id: self.session_id,
            outcome: self.outcome.to_proto(),
            payment_id: self.payment_id.unwrap_or_default(),
            status: self.status.unwrap_or_default(),
            error_code: self.error_code.unwrap_or_default(),
        };
        let answer = self.client.connection.ask(async |client| client.record_outcome(request).await)?;
        self.client.show(&answer, describe)
    }
}

fn describe(answer: &RecordOutcomeResponse) -> String {
    let applied = if answer.applied {
        "Recorded."
    } else {
        "Nothing changed: it was recorded before, or the session had succeeded, which is final."
    };
    format!("{}\n\n{applied}", session::describe(answer.session.as_ref()))
}

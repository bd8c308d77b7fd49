//! `waypost get`: a session as it is now.

use super::{client::Client, failure::Failure, session};
use crate::proto::v1::GetSessionRequest;
use clap::Args;

/// Which session.
#[derive(Debug, Args)]
pub struct Get {
    /// The id that the create call returned.
    session_id: String,

    #[command(flatten)]
    client: Client,
}

impl Get {
    /// Asks, and says what was answered.
    pub fn run(self) -> Result<String, Failure> {
        let request = GetSessionRequest { session_id: self.session_id };
        let answer = self.client.connection.ask(async |client| client.get_session(request).await)?;
        self.client.show(&answer, |answer| session::describe(answer.session.as_ref()))
    }
}

//! `waypost explain`: why did this buyer end where they did, or where would they?

use super::{
    client::Connection,
    failure::Failure,
    outcome::Outcome,
    story::{self, Asked},
    table::visible,
};
use crate::proto::v1::{GetSessionRequest, ResolveRedirectRequest};
use clap::Args;

/// Whose buyer.
#[derive(Debug, Args)]
pub struct Explain {
    /// The id that the create call returned.
    session_id: String,

    /// What if the session had ended like this? Nothing is recorded [default: what is recorded].
    #[arg(long, help_heading = "Question")]
    outcome: Option<Outcome>,

    #[command(flatten)]
    connection: Connection,
}

impl Explain {
    /// Asks, and tells the story.
    pub fn run(self) -> Result<String, Failure> {
        let outcome = self.outcome.map(Outcome::to_proto).unwrap_or_default();
        let (session, decision) = self.connection.ask(async |client| {
            let session_id = self.session_id.clone();
            let session = client.get_session(GetSessionRequest { session_id: session_id.clone() }).await?.session;
            let question = ResolveRedirectRequest { session_id, outcome, explain: true, ..Default::default() };
            Ok((session.unwrap_or_default(), client.resolve_redirect(question).await?.redirect.unwrap_or_default()))
        })?;
        let asked = if self.outcome.is_some() { Asked::WhatIf } else { Asked::AsItStands };
        let (id, kind, merchant) = (&session.session_id, story::kind(&session), &session.merchant_id);
        let title = format!("{id}, a {kind} of merchant {merchant}").replace(", a order", ", an order");
        Ok(format!("{}\n\n{}", visible(&title), story::tell(&session, &decision, asked)))
    }
}

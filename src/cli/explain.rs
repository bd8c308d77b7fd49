//! `waypost explain`: why did this buyer end where they did, or where would they?

use super::{
    client::Connection,
    failure::Failure,
    outcome::Outcome,
    story::{self, Asked, Story, Told},
    table::visible,
};
use crate::proto::v1::{GetSessionRequest, Redirect, ResolveRedirectRequest, Session};
use clap::Args;
use serde::Serialize;

/// Whose buyer.
#[derive(Debug, Args)]
pub struct Explain {
    /// The id that the create call returned.
    session_id: String,

    /// What if the session had ended like this? Nothing is recorded [default: what is recorded].
    #[arg(long, help_heading = "Question")]
    outcome: Option<Outcome>,

    /// Prints a JSON object whose reasons and advice have codes, for programs.
    #[arg(long, help_heading = "Output")]
    json: bool,

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
        let story = Story::of(&session, &decision, asked);
        if self.json {
            let explanation = Explanation::of(&session, &decision, &story);
            return serde_json::to_string_pretty(&explanation).map_err(|error| Failure::Output(error.into()));
        }
        let (id, kind, merchant) = (&session.session_id, story::kind(&session), &session.merchant_id);
        let title = format!("{id}, a {kind} of merchant {merchant}").replace(", a order", ", an order");
        Ok(format!("{}\n\n{story}", visible(&title)))
    }
}

/// The same for programs: every key is always there, and named like those of proto JSON, as are enums.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation<'a> {
    session_id: &'a str,
    merchant_id: &'a str,
    kind: &'static str,
    /// `OUTCOME_UNSPECIFIED` while the session is open.
    recorded_outcome: &'static str,
    /// The outcome that the answer is for.
    outcome: &'static str,
    action: &'static str,
    /// Empty when there is none. Its return token is shortened, as explanations are handed on: `resolve --json` has it.
    url: String,
    source: &'static str,
    reasons: Vec<Told>,
    advice: Vec<Told>,
}

impl<'a> Explanation<'a> {
    fn of(session: &'a Session, decision: &Redirect, story: &Story) -> Self {
        Self {
            session_id: &session.session_id,
            merchant_id: &session.merchant_id,
            kind: session.kind().as_str_name(),
            recorded_outcome: session.outcome().as_str_name(),
            outcome: decision.outcome().as_str_name(),
            action: decision.action().as_str_name(),
            url: story::shortened(&decision.url),
            source: decision.source().as_str_name(),
            reasons: story.reasons(),
            advice: story.advice(),
        }
    }
}

//! `waypost resolve`: where does the buyer of this session go, and why?

use super::{
    client::Client,
    failure::Failure,
    outcome::{self, Outcome},
    redirect,
    table::Table,
    time,
};
use crate::proto::v1::{ResolveRedirectRequest, ResolveRedirectResponse};
use clap::Args;
use std::time::Duration;

/// Options of the question.
#[derive(Debug, Args)]
pub struct Resolve {
    /// The id that the create call returned.
    session_id: String,

    /// The outcome to answer for, without recording it [default: the recorded one, else cancel].
    #[arg(long, help_heading = "Question")]
    outcome: Option<Outcome>,

    /// Stands in for the recorded payment id in this answer.
    #[arg(long, value_name = "ID", help_heading = "Question")]
    payment_id: Option<String>,

    /// Stands in for the recorded status in this answer.
    #[arg(long, value_name = "TEXT", help_heading = "Question")]
    status: Option<String>,

    /// Stands in for the recorded error code in this answer.
    #[arg(long, value_name = "CODE", help_heading = "Question")]
    error_code: Option<String>,

    /// How long to wait for an outcome when none is recorded; on top of --timeout.
    #[arg(long, value_name = "TIME", value_parser = time::parse_span, help_heading = "Question")]
    wait: Option<Duration>,

    /// Lists every place that may hold the URL, and what became of it.
    #[arg(long, help_heading = "Output")]
    explain: bool,

    #[command(flatten)]
    client: Client,
}

impl Resolve {
    /// Asks, and says what was answered.
    pub fn run(self) -> Result<String, Failure> {
        let request = ResolveRedirectRequest {
            session_id: self.session_id,
            outcome: self.outcome.map(Outcome::to_proto).unwrap_or_default(),
            payment_id: self.payment_id.unwrap_or_default(),
            status: self.status.unwrap_or_default(),
            error_code: self.error_code.unwrap_or_default(),
            wait: self.wait.map(time::to_proto),
            explain: self.explain,
        };
        let answer = self.client.connection.ask(async |client| client.resolve_redirect(request).await)?;
        self.client.show(&answer, |answer| describe(answer, self.outcome))
    }
}

/// The URL alone on the first line, for `head -1`; then why.
fn describe(answer: &ResolveRedirectResponse, asked: Option<Outcome>) -> String {
    let Some(redirect) = &answer.redirect else { return "the answer has no redirect".into() };
    let mut table = Table::default();
    let asked = if asked.is_some() { ", as asked for; nothing is recorded by this" } else { "" };
    table.row(["outcome", &format!("{}{asked}", outcome::word(redirect.outcome))]);
    table.row(["action", &redirect::action(redirect)]);
    table.row(["URL from", &redirect::source(redirect)]);
    if redirect.url.is_empty() && redirect.candidates.is_empty() {
        table.row(["", "--explain shows what was tried"]);
    }
    table.row_if_any("unresolved", &redirect.unresolved_placeholders.join(" "));
    let candidates = match redirect.candidates.as_slice() {
        [] => String::new(),
        candidates => format!("\n\n{}", redirect::candidates(candidates)),
    };
    format!("{}\n\n{table}{candidates}", redirect::url(redirect))
}

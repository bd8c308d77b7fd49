//! `waypost preview`: where the buyer would go for each outcome, before one does.

use super::{
    body::{Body, BodyKind},
    client::Client,
    failure::Failure,
    notices, outcome, redirect,
    table::Table,
};
use crate::{
    model::limits,
    proto::v1::{PreviewRedirectsRequest, PreviewRedirectsResponse, preview_redirects_request::Source},
};
use clap::Args;
use std::path::PathBuf;

/// What to preview.
#[derive(Debug, Args)]
pub struct Preview {
    #[command(flatten)]
    what: What,

    /// The merchant of the body, whatever the body says.
    #[arg(long, value_name = "ID", conflicts_with = "session_id", help_heading = "Instead of a session")]
    merchant: Option<String>,

    #[command(flatten)]
    client: Client,
}

/// Exactly one of these: clap sees to it.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// The id of a session that exists.
    session_id: Option<String>,

    /// A checkout that is not created: Clover's JSON body in a file, or `-` for standard input.
    #[arg(long, value_name = "FILE", help_heading = "Instead of a session")]
    checkout: Option<PathBuf>,

    /// An order that is not created: Mercado Pago's JSON body.
    #[arg(long, value_name = "FILE", help_heading = "Instead of a session")]
    order: Option<PathBuf>,

    /// A payment that is not created: BitGPT's JSON body.
    #[arg(long, value_name = "FILE", help_heading = "Instead of a session")]
    payment: Option<PathBuf>,
}

impl Preview {
    /// Asks, and says what was answered.
    pub fn run(self) -> Result<String, Failure> {
        let request = PreviewRedirectsRequest { source: self.source()? };
        let answer = self.client.connection.ask(async |client| client.preview_redirects(request).await)?;
        self.client.show(&answer, describe)
    }

    /// Clap has made sure that there is exactly one.
    fn source(&self) -> Result<Option<Source>, Failure> {
        if let Some(session_id) = &self.what.session_id {
            return Ok(Some(Source::SessionId(session_id.clone())));
        }
        for (kind, file) in [
            (BodyKind::Checkout, &self.what.checkout),
            (BodyKind::Order, &self.what.order),
            (BodyKind::Payment, &self.what.payment),
        ] {
            let Some(file) = file else { continue };
            let mut body = Body::read(kind, file)?;
            if let Some(merchant) = &self.merchant {
                body.merchant_id_mut().clone_from(merchant);
            }
            return Ok(Some(match body {
                Body::Checkout(request) => Source::CreateCheckout(request),
                Body::Order(request) => Source::CreateOrder(request),
                Body::Payment(request) => Source::CreatePayment(request),
            }));
        }
        Ok(None)
    }
}

fn describe(answer: &PreviewRedirectsResponse) -> String {
    let mut table = Table::default();
    for redirect in &answer.redirects {
        table.row([outcome::word(redirect.outcome).as_str(), &redirect::url(redirect)]);
        table.row(["", &redirect::action(redirect)]);
        if !redirect.url.is_empty() {
            table.row(["", &format!("the URL is that of {}", redirect::source(redirect))]);
        }
        for candidate in redirect.candidates.iter().filter(|candidate| !candidate.detail.is_empty()) {
            table.row(["", &format!("refused: {} {}", candidate.template, candidate.detail)]);
        }
        if !redirect.unresolved_placeholders.is_empty() {
            table.row(["", &format!("unresolved: {}", redirect.unresolved_placeholders.join(" "))]);
        }
    }
    let length = answer.max_url_length;
    let max = limits::URL_FILLED_BYTES;
    let length = match usize::try_from(length) {
        Ok(0) => String::new(),
        Ok(length) if length > max => {
            format!("\n\nLongest possible URL: {length} bytes, and one above {max} is refused")
        }
        _ => format!("\n\nLongest possible URL: {length} of {max} bytes"),
    };
    format!("{table}{length}{}", notices::paragraph(&answer.notices))
}

//! `waypost verify`: what a return URL that came back is worth.

use super::{client::Client, failure::Failure, input, outcome, session, table::Table, time};
use crate::{
    app::Judged,
    grpc,
    model::{MerchantId, limits},
    proto::v1::{ReturnClaims, Verdict, VerifyReturnRequest, VerifyReturnResponse, verify_return_request::Returned},
    redirect::{Verified, VerifyingKeys},
};
use clap::Args;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

/// The exit codes of the verdicts, as the help text ends with them. Those below 4 are as everywhere.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  valid
  1  the server said no
  2  wrong usage
  3  no answer
  4  missing: there is no token
  5  altered: not a token of Waypost's, changed, or contradicted by the URL's other parameters
  6  unknown key
  7  other merchant
  8  expired";

/// What came back, and to whom.
#[derive(Debug, Args)]
pub struct Verify {
    /// The URL that the buyer came back with, whole or from its path on, or its `return_token` alone.
    #[arg(value_name = "URL_OR_TOKEN")]
    returned: String,

    /// The merchant that the buyer came back to.
    #[arg(long, value_name = "ID")]
    merchant: String,

    /// The public keys, as `/.well-known/jwks.json` of the page listener has them, or `-` for standard input: judges by them
    /// alone and asks no server, so that nothing is said of the session as it is now.
    #[arg(long, value_name = "FILE", help_heading = "Without a server")]
    jwks: Option<PathBuf>,

    #[command(flatten)]
    client: Client,
}

impl Verify {
    /// Asks, and says what was answered.
    pub fn run(self) -> Result<(String, ExitCode), Failure> {
        let returned = returned(self.returned.trim());
        let answer = match &self.jwks {
            Some(file) => judge(&returned, &self.merchant, file)?,
            None => {
                let request = VerifyReturnRequest { merchant_id: self.merchant, returned: Some(returned) };
                self.client.connection.ask(async |client| client.verify_return(request).await)?
            }
        };
        let code = match answer.verdict() {
            Verdict::Valid => 0,
            Verdict::Missing => 4,
            Verdict::Altered => 5,
            Verdict::UnknownKey => 6,
            Verdict::OtherMerchant => 7,
            Verdict::Expired => 8,
            // A server that is newer than this command: whatever it said, it was not that all is well.
            Verdict::Unspecified => 1,
        };
        let asked = if self.jwks.is_some() { Asked::Nobody } else { Asked::Server };
        Ok((self.client.show(&answer, |answer| describe(answer, asked))?, ExitCode::from(code)))
    }
}

/// Who was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Server,
    Nobody,
}

/// What a server with these keys and without the session would answer.
fn judge(returned: &Returned, merchant: &str, file: &Path) -> Result<VerifyReturnResponse, Failure> {
    let unusable = |problem: String| Failure::Usage(format!("--jwks {}: {problem}", input::name(file)));
    let merchant: MerchantId =
        merchant.parse().map_err(|error| Failure::Usage(format!("--merchant {merchant}: {error}")))?;
    let text = input::read(file, limits::SIGNING_KEY_FILE_BYTES).map_err(|error| unusable(error.to_string()))?;
    let keys = VerifyingKeys::from_jwks(&text).map_err(|error| unusable(error.to_string()))?;
    let now = SystemTime::now().into();
    let verified = match returned {
        Returned::Url(url) => Verified::judge_url(url, Some(&keys), &merchant, now),
        Returned::Token(token) => Verified::judge(token, Some(&keys), &merchant, now),
    };
    Ok(grpc::judged(Judged { verified, session: None, now }, None))
}

/// A token is made of the letters of base64url and dots; a URL has others.
fn returned(text: &str) -> Returned {
    let of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if text.bytes().all(of_token) { Returned::Token(text.into()) } else { Returned::Url(text.into()) }
}

/// The verdict alone on the first line, for `head -1`; then what may be believed.
fn describe(answer: &VerifyReturnResponse, asked: Asked) -> String {
    let (word, meaning) = match answer.verdict() {
        Verdict::Unspecified => return format!("verdict number {}", answer.verdict),
        Verdict::Valid => ("valid", "Waypost signed it for this merchant."),
        Verdict::Missing => ("missing", "There is no return_token in the query of the URL."),
        Verdict::Altered => {
            ("altered", "It is no token of Waypost's, was changed or contradicted, or there is more than one.")
        }
        Verdict::UnknownKey => ("unknown key", "It names a key that is not known here."),
        Verdict::OtherMerchant => ("other merchant", "Waypost signed it for another merchant."),
        Verdict::Expired => ("expired", "Waypost signed it for this merchant, and its time is over."),
    };
    let claims = answer.claims.as_ref().map(|claims| format!("\n\nIt says:\n{}", rows(claims))).unwrap_or_default();
    let session = match (&answer.claims, &answer.session) {
        (None, _) => String::new(),
        (Some(_), None) if asked == Asked::Nobody => "\n\nNo server was asked what the session is now.".into(),
        (Some(_), None) => "\n\nThe session was removed since.".into(),
        (Some(_), session) => format!("\n\nThe session now:\n{}", session::describe(session.as_ref())),
    };
    format!("{word}\n\n{meaning}{claims}{session}")
}

fn rows(claims: &ReturnClaims) -> Table {
    let mut table = Table::default();
    table.row(["session", &claims.session_id]);
    table.row(["merchant", &claims.merchant_id]);
    table.row(["outcome", &outcome::word(claims.outcome)]);
    table.row_if_any("payment id", &claims.payment_id);
    table.row_if_any("status", &claims.status);
    table.row_if_any("reference", &claims.external_reference);
    table.row(["signed by", &claims.issuer]);
    table.row(["signed", &time::point(claims.issue_time)]);
    table.row(["valid until", &time::point(claims.expire_time)]);
    table.row(["token id", &claims.token_id]);
    table
}

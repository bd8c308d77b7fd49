//! `waypost merchant apply`: the settings of merchants as a file has them. Merchants that are not in the file are not
//! touched. Everything is checked by the server before anything is written.

use super::{
    client::Connection,
    failure::Failure,
    input,
    merchants_file::{Entry, FILE_BYTES, Problem},
    table::{Table, visible},
    time,
};
use crate::{
    client::{Client, Error},
    proto::v1::{ErrorReason, GetMerchantRequest, Merchant, Precedence, UpdateMerchantRequest},
};
use clap::Args;
use prost_types::FieldMask;
use std::{fmt::Write, path::PathBuf};

/// An example for the help text.
pub const EXAMPLES: &str = "\
Examples:
  waypost merchant apply -f merchants.toml --dry-run
  waypost merchant apply -f merchants.toml

The file has an entry for each merchant, which is all of its settings: what is left out has its default.
  [[merchant]]
  merchant_id = \"6CQXXXXXXXYE1\"
  name = \"Ana Books\"
  precedence = \"request-first\"
  allowed_origins = [\"https://shop.example.com\"]
  [merchant.return_urls]
  success = \"https://shop.example.com/paid?s={CHECKOUT_SESSION_ID}\"";

/// Which file.
#[derive(Debug, Args)]
pub struct Apply {
    /// The file, in TOML; `-` for standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,

    /// Shows what would change, and changes nothing.
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    connection: Connection,
}

/// What is to become of one merchant.
struct Step {
    before: Merchant,
    after: Merchant,
    entry: Entry,
}

impl Apply {
    /// Reads, checks, and then writes what differs.
    pub fn run(self) -> Result<String, Failure> {
        let name = input::name(&self.file);
        let text = input::read(&self.file, FILE_BYTES)
            .map_err(|error| Failure::Usage(format!("cannot read {name}: {error}")))?;
        let told = |problems: Vec<Problem>| Failure::Content {
            file: name.clone(),
            problems: problems.iter().map(Problem::to_string).collect(),
        };
        let entries = Entry::read_all(&text).map_err(told)?;
        let credential = self.connection.token.credential()?;
        self.connection.run(async || {
            let client = self.connection.open(credential)?;
            let steps = plan(&client, entries).await.map_err(|stop| match stop {
                Stop::Problems(problems) => told(problems),
                Stop::Failed(error) => self.connection.failure(*error),
            })?;
            let changing = steps.iter().filter(|step| step.changes()).count();
            let all = steps.len();
            let mut report: String = steps.iter().map(Step::describe).collect();
            if self.dry_run {
                let _ = write!(report, "\nDry run: {changing} of {all} merchants would change; nothing was written.");
            } else {
                write_all(&client, &steps).await?;
                let _ = write!(report, "\n{changing} of {all} merchants changed.");
            }
            Ok(report)
        })
    }
}

/// Why nothing is applied.
enum Stop {
    Problems(Vec<Problem>),
    Failed(Box<Error>),
}

/// Lets the server check every entry. Nothing is written by it.
async fn plan(client: &Client, entries: Vec<Entry>) -> Result<Vec<Step>, Stop> {
    let (mut steps, mut problems) = (Vec::new(), Vec::new());
    for entry in entries {
        let request = GetMerchantRequest { merchant_id: entry.merchant.merchant_id.clone() };
        let before = match client.get_merchant(request).await {
            Ok(answer) => answer.merchant.unwrap_or_default(),
            // The check below says the same of a wrong id, together with what else is wrong.
            Err(error) if error.reason() == Some(ErrorReason::InvalidField) => Merchant::default(),
            Err(error) => return Err(Stop::Failed(Box::new(error))),
        };
        let request = UpdateMerchantRequest { validate_only: true, ..update(&entry, &before) };
        match client.update_merchant(request).await {
            Ok(answer) => steps.push(Step { before, after: answer.merchant.unwrap_or_default(), entry }),
            Err(error) => problems.extend(problems_of(&entry, error)?),
        }
    }
    if problems.is_empty() { Ok(steps) } else { Err(Stop::Problems(problems)) }
}

/// What the server has against an entry; an error that is not about the entry ends it all.
fn problems_of(entry: &Entry, error: Error) -> Result<Vec<Problem>, Stop> {
    let Error::Refused(refusal) = &error else { return Err(Stop::Failed(Box::new(error))) };
    match refusal.reason {
        Some(ErrorReason::InvalidField) => {
            Ok(refusal.violations.iter().map(|wrong| entry.problem(&wrong.field, &wrong.description)).collect())
        }
        Some(ErrorReason::SigningKeysMissing) => {
            Ok(vec![entry.problem("sign_returns", &format!("cannot be set: {}", refusal.message))])
        }
        Some(ErrorReason::PermissionDenied | ErrorReason::EtagMismatch) => {
            Ok(vec![entry.problem_with_all(&refusal.message)])
        }
        _ => Err(Stop::Failed(Box::new(error))),
    }
}

/// The whole settings of an entry, for the state that was read and no other.
fn update(entry: &Entry, before: &Merchant) -> UpdateMerchantRequest {
    UpdateMerchantRequest {
        merchant: Some(Merchant { etag: before.etag.clone(), ..entry.merchant.clone() }),
        update_mask: Some(FieldMask { paths: vec!["*".into()] }),
        validate_only: false,
    }
}

/// Writes what differs, in the order of the file.
async fn write_all(client: &Client, steps: &[Step]) -> Result<(), Failure> {
    let changing: Vec<_> = steps.iter().filter(|step| step.changes()).collect();
    for (done, step) in changing.iter().enumerate() {
        let Err(error) = client.update_merchant(update(&step.entry, &step.before)).await else { continue };
        let ids = |steps: &[&Step]| match steps {
            [] => "none".to_owned(),
            steps => steps.iter().map(|step| &*step.after.merchant_id).collect::<Vec<_>>().join(" "),
        };
        return Err(Failure::Failed(format!(
            "merchant {}: {}\napplied before it: {}\nnot applied: {}\nRun the command again: what was applied does no \
             harm.",
            step.after.merchant_id,
            visible(&error.to_string()),
            ids(&changing[..done]),
            ids(&changing[done..]),
        )));
    }
    Ok(())
}

impl Step {
    fn changes(&self) -> bool {
        settings(&self.before) != settings(&self.after)
    }

    /// The merchant, and what changes, a line for each field.
    fn describe(&self) -> String {
        let id = visible(&self.after.merchant_id);
        if !self.changes() {
            return format!("{id}: no change\n");
        }
        let origin = if self.before.update_time.is_none() { " (new)" } else { "" };
        let mut table = Table::default();
        for ((field, before), (_, after)) in settings(&self.before).into_iter().zip(settings(&self.after)) {
            if before != after {
                table.row([format!("  {field}"), before, "->".into(), after]);
            }
        }
        format!("{id}{origin}:\n{table}\n")
    }
}

/// Every setting, as it is shown.
fn settings(merchant: &Merchant) -> [(&'static str, String); 11] {
    let urls = merchant.return_urls.clone().unwrap_or_default();
    let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    let precedence = match merchant.precedence() {
        Precedence::RequestFirst => "request-first",
        Precedence::SettingsFirst | Precedence::Unspecified => "settings-first",
    };
    [
        ("name", or_none(merchant.name.clone())),
        ("return_urls.success", or_none(urls.success)),
        ("return_urls.failure", or_none(urls.failure)),
        ("return_urls.cancel", or_none(urls.cancel)),
        ("return_urls.pending", or_none(urls.pending)),
        ("return_urls.expired", or_none(urls.expired)),
        ("precedence", precedence.into()),
        ("auto_return_delay", or_none(time::proto_span(merchant.auto_return_delay).unwrap_or_default())),
        ("allowed_origins", or_none(merchant.allowed_origins.join(" "))),
        ("app_schemes", or_none(merchant.app_schemes.join(" "))),
        ("sign_returns", merchant.sign_returns.to_string()),
    ]
}

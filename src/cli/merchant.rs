//! `waypost merchant`: what a merchant set once for all its sessions.

use super::{
    apply::{self, Apply},
    client::Client,
    failure::Failure,
    table::{Table, visible},
    time,
};
use crate::proto::v1;
use clap::{Args, Subcommand, ValueEnum, builder::NonEmptyStringValueParser};
use prost_types::FieldMask;
use std::time::Duration;

/// What about it.
#[derive(Debug, Subcommand)]
pub enum Merchant {
    /// Shows a merchant's settings.
    #[command(after_help = "Example:\n  waypost merchant get 6CQXXXXXXXYE1")]
    Get(Box<Get>),
    /// Changes a merchant's settings: those that are named, and no others.
    #[command(after_help = "\
Examples:
  waypost merchant set 6CQXXXXXXXYE1 --name 'Ana Books' --success-url 'https://shop.example.com/paid?s={CHECKOUT_SESSION_ID}'
  waypost merchant set 6CQXXXXXXXYE1 --clear success-url --clear allowed-origin")]
    Set(Box<Set>),
    /// Makes merchants' settings what a file says. Nothing is applied when one entry is wrong; merchants that are not in
    /// the file are not touched. Safe to repeat.
    #[command(after_help = apply::EXAMPLES)]
    Apply(Box<Apply>),
}

impl Merchant {
    /// Asks, and says what was answered.
    pub fn run(self) -> Result<String, Failure> {
        match self {
            Self::Get(get) => get.run(),
            Self::Set(set) => set.run(),
            Self::Apply(apply) => apply.run(),
        }
    }
}

/// Which merchant.
#[derive(Debug, Args)]
pub struct Get {
    /// The merchant's id.
    merchant_id: String,

    #[command(flatten)]
    client: Client,
}

impl Get {
    fn run(self) -> Result<String, Failure> {
        let request = v1::GetMerchantRequest { merchant_id: self.merchant_id };
        let answer = self.client.connection.ask(async |client| client.get_merchant(request).await)?;
        self.client.show(&answer, |answer| describe(answer.merchant.as_ref()))
    }
}

/// What is to change.
#[derive(Debug, Args)]
pub struct Set {
    /// The merchant's id. The first change creates the merchant.
    merchant_id: String,

    #[command(flatten)]
    fields: Fields,

    /// Only if the settings are still those that were read with this etag.
    #[arg(long, help_heading = "Condition")]
    etag: Option<String>,

    #[command(flatten)]
    client: Client,
}

/// At least one of these. None of them takes an empty value, so that an unset variable of a script clears nothing.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
struct Fields {
    /// The name that buyers read.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,

    /// Where buyers go who paid.
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    success_url: Option<String>,

    /// Where buyers go whose payment was attempted and not completed.
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    failure_url: Option<String>,

    /// Where buyers go who left before paying.
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    cancel_url: Option<String>,

    /// Where buyers go whose payment settles later.
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pending_url: Option<String>,

    /// Where buyers go whose session ran out.
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    expired_url: Option<String>,

    /// Whose URL comes first: the merchant's settings', or that of the create request.
    #[arg(long)]
    precedence: Option<Precedence>,

    /// How long the page of a delayed redirect waits; 0s to 40s.
    #[arg(long, value_name = "TIME", value_parser = time::parse_span)]
    auto_return_delay: Option<Duration>,

    /// An origin that return URLs may have; repeat it for the whole list, which replaces the one that was.
    #[arg(long, value_name = "ORIGIN")]
    allowed_origin: Vec<String>,

    /// A scheme of the merchant's own apps; repeat it for the whole list, which replaces the one that was.
    #[arg(long, value_name = "SCHEME")]
    app_scheme: Vec<String>,

    /// Puts a signed `return_token` into return URLs; the server needs keys for it. `--clear sign-returns` ends it.
    #[arg(long)]
    sign_returns: bool,

    /// Puts a setting back to its default; may be repeated.
    #[arg(long, value_name = "SETTING")]
    clear: Vec<Setting>,
}

/// Which level's URL comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Precedence {
    SettingsFirst,
    RequestFirst,
}

/// A setting, named as the option that sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Setting {
    Name,
    SuccessUrl,
    FailureUrl,
    CancelUrl,
    PendingUrl,
    ExpiredUrl,
    Precedence,
    AutoReturnDelay,
    AllowedOrigin,
    AppScheme,
    SignReturns,
}

impl Setting {
    /// Its path into the proto's `Merchant`.
    const fn path(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::SuccessUrl => "return_urls.success",
            Self::FailureUrl => "return_urls.failure",
            Self::CancelUrl => "return_urls.cancel",
            Self::PendingUrl => "return_urls.pending",
            Self::ExpiredUrl => "return_urls.expired",
            Self::Precedence => "precedence",
            Self::AutoReturnDelay => "auto_return_delay",
            Self::AllowedOrigin => "allowed_origins",
            Self::AppScheme => "app_schemes",
            Self::SignReturns => "sign_returns",
        }
    }
}

impl Set {
    fn run(self) -> Result<String, Failure> {
        let request = v1::UpdateMerchantRequest {
            update_mask: Some(FieldMask { paths: self.fields.mask()? }),
            merchant: Some(self.fields.merchant(self.merchant_id, self.etag.unwrap_or_default())),
            validate_only: false,
        };
        let answer = self.client.connection.ask(async |client| client.update_merchant(request).await)?;
        self.client.show(&answer, |answer| describe(answer.merchant.as_ref()))
    }
}

impl Fields {
    /// The settings that are named, to be set or to be cleared.
    fn mask(&self) -> Result<Vec<String>, Failure> {
        let set: Vec<Setting> = [
            (Setting::Name, self.name.is_some()),
            (Setting::SuccessUrl, self.success_url.is_some()),
            (Setting::FailureUrl, self.failure_url.is_some()),
            (Setting::CancelUrl, self.cancel_url.is_some()),
            (Setting::PendingUrl, self.pending_url.is_some()),
            (Setting::ExpiredUrl, self.expired_url.is_some()),
            (Setting::Precedence, self.precedence.is_some()),
            (Setting::AutoReturnDelay, self.auto_return_delay.is_some()),
            (Setting::AllowedOrigin, !self.allowed_origin.is_empty()),
            (Setting::AppScheme, !self.app_scheme.is_empty()),
            (Setting::SignReturns, self.sign_returns),
        ]
        .into_iter()
        .filter_map(|(setting, given)| given.then_some(setting))
        .collect();
        if let Some(both) = self.clear.iter().find(|cleared| set.contains(cleared)) {
            let name = both.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            return Err(Failure::Usage(format!("--{name} and --clear {name} contradict each other: give one of them")));
        }
        if set.is_empty() && self.clear.is_empty() {
            return Err(Failure::Usage(
                "nothing to change: name a setting, such as --name or --success-url, or --clear one".into(),
            ));
        }
        Ok(set.iter().chain(&self.clear).map(|setting| setting.path().to_owned()).collect())
    }

    fn merchant(self, merchant_id: String, etag: String) -> v1::Merchant {
        let precedence = match self.precedence {
            None => v1::Precedence::Unspecified,
            Some(Precedence::SettingsFirst) => v1::Precedence::SettingsFirst,
            Some(Precedence::RequestFirst) => v1::Precedence::RequestFirst,
        };
        v1::Merchant {
            merchant_id,
            name: self.name.unwrap_or_default(),
            return_urls: Some(v1::ReturnUrls {
                success: self.success_url.unwrap_or_default(),
                failure: self.failure_url.unwrap_or_default(),
                cancel: self.cancel_url.unwrap_or_default(),
                pending: self.pending_url.unwrap_or_default(),
                expired: self.expired_url.unwrap_or_default(),
            }),
            precedence: precedence.into(),
            auto_return_delay: self.auto_return_delay.map(time::to_proto),
            allowed_origins: self.allowed_origin,
            app_schemes: self.app_scheme,
            sign_returns: self.sign_returns,
            etag,
            update_time: None,
        }
    }
}

/// The id alone on the first line; then every setting, the unset ones too.
fn describe(merchant: Option<&v1::Merchant>) -> String {
    let Some(merchant) = merchant else { return "the answer has no merchant".into() };
    let urls = merchant.return_urls.clone().unwrap_or_default();
    let mut table = Table::default();
    table.row(["name", or(&merchant.name, "none")]);
    table.row(["success URL", or(&urls.success, "none")]);
    table.row(["failure URL", or(&urls.failure, "none")]);
    table.row(["cancel URL", or(&urls.cancel, "none")]);
    table.row(["pending URL", or(&urls.pending, "none")]);
    table.row(["expired URL", or(&urls.expired, "none")]);
    table.row(["precedence", &precedence(merchant)]);
    let delay = time::proto_span(merchant.auto_return_delay).unwrap_or_else(|| "unknown".into());
    table.row(["auto-return delay", &delay]);
    table.row(["allowed origins", or(&merchant.allowed_origins.join(" "), "every origin")]);
    table.row(["app schemes", or(&merchant.app_schemes.join(" "), "none")]);
    let signed = if merchant.sign_returns { "signed: their URLs carry a return_token" } else { "not signed" };
    table.row(["returns", signed]);
    table.row(["etag", &merchant.etag]);
    let changed = match merchant.update_time {
        None => "never: these are the defaults".into(),
        some => time::point(some),
    };
    table.row(["changed", &changed]);
    format!("{}\n\n{table}", visible(&merchant.merchant_id))
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

fn precedence(merchant: &v1::Merchant) -> String {
    match merchant.precedence() {
        v1::Precedence::Unspecified => format!("precedence number {}", merchant.precedence),
        v1::Precedence::SettingsFirst => "these settings, then the create request".into(),
        v1::Precedence::RequestFirst => "the create request, then these settings".into(),
    }
}

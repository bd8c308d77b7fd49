//! `waypost keygen`: makes the secrets that files of a deployment hold, and prints each as its file has it.
//!
//! It asks nobody and writes no file: where a secret is kept, and who may read it there, is the operator's.

use super::failure::Failure;
use crate::{
    callers::{self, Entry, Proof, Scopes, Secret},
    model::{MerchantId, Tenants, Timestamp},
    pages::PageKeys,
    redirect,
};
use clap::{Args, Subcommand};
use std::time::SystemTime;

/// Which secret.
#[derive(Debug, Subcommand)]
pub enum Keygen {
    /// Makes a key for `--page-key-file`: 32 random bytes in base64, below a line that says what it is.
    #[command(after_help = "Example:\n  (umask 077; waypost keygen page > page.key)")]
    Page,
    /// Makes a private key for signed returns: Ed25519 in PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` does.
    #[command(after_help = "\
Example, for --signing-key-file:
  (umask 077; waypost keygen signing > signing.pem)
  openssl pkey -in signing.pem -pubout    # its public half, for when it is retired")]
    Signing,
    /// A credential of a caller: prints the secret for the caller, once, and the entry for `--credentials-file`, which
    /// holds only its SHA-256.
    #[command(after_help = "\
Examples:
  waypost keygen credential --name checkout --merchant 6CQXXXXXXXYE1 --scope create --scope read
  waypost keygen credential --name operator --all-merchants --scope admin --expires 90d")]
    Credential(Credential),
}

impl Keygen {
    /// Makes it, and gives the text of its file.
    pub fn run(&self) -> Result<String, Failure> {
        match self {
            Self::Page => page(),
            Self::Signing => signing(),
            Self::Credential(credential) => credential.run(),
        }
    }
}

fn page() -> Result<String, Failure> {
    let key = PageKeys::new_line().ok_or_else(no_randomness)?;
    Ok(format!("# A key of the links to Waypost's pages: whoever has it can open any buyer's page.\n{key}"))
}

fn signing() -> Result<String, Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| no_randomness())?;
    Ok(redirect::to_pem(&seed).trim_end().to_owned())
}

fn no_randomness() -> Failure {
    Failure::Failed("the system has no randomness for a key".into())
}

/// What the credential is for.
#[derive(Debug, Args)]
pub struct Credential {
    /// What logs call it: 1 to 64 characters out of A-Z a-z 0-9 - _ .
    #[arg(long, value_parser = callers::name)]
    name: Box<str>,

    /// A merchant that it acts for; repeat it for several.
    #[arg(long, value_name = "ID", required_unless_present = "all_merchants")]
    merchant: Vec<MerchantId>,

    /// It acts for every merchant.
    #[arg(long, conflicts_with = "merchant")]
    all_merchants: bool,

    /// What it allows: create, record, read, merchant, or admin for all of them; repeat it for several.
    #[arg(long, required = true)]
    scope: Vec<Scopes>,

    /// Until when: a time such as `2027-01-01T00:00:00Z`, or how long from now, such as `90d` [default: for ever].
    #[arg(long, value_name = "TIME", value_parser = expire_time)]
    expires: Option<Timestamp>,
}

impl Credential {
    fn run(&self) -> Result<String, Failure> {
        let randomness = || Failure::Failed("the system has no randomness for a secret".into());
        let secret = Secret::generate().ok_or_else(randomness)?;
        let entry = Entry {
            name: self.name.clone(),
            proof: Proof::Secret(secret.digest()),
            tenants: if self.all_merchants { Tenants::All } else { Tenants::only(self.merchant.clone()) },
            scopes: self.scope.iter().copied().fold(Scopes::default(), Scopes::and),
            expire_time: self.expires,
        };
        // The secret alone on the first line, as the commands that answer with an id have it.
        Ok(format!("{}\n\n# Append this to the file of --credentials-file:\n{entry}", secret.reveal()))
    }
}

/// A point in time, or a length of time from now.
fn expire_time(text: &str) -> Result<Timestamp, String> {
    let now = Timestamp::from(SystemTime::now());
    let end = match humantime::parse_duration(text) {
        // In whole seconds: an operator reads it.
        Ok(span) => Timestamp::from_micros(now.plus(span).as_micros() / 1_000_000 * 1_000_000),
        Err(_) => callers::time(text).map_err(|error| format!("{error}, or as a length of time such as 90d"))?,
    };
    match jiff::Timestamp::from_microsecond(end.as_micros()) {
        _ if end <= now => Err("is not in the future".into()),
        // The file could not name that time, and without it the credential would not end at all.
        Err(_) => Err("is after the year 9999: leave the option out for a credential that does not end".into()),
        Ok(_) => Ok(end),
    }
}

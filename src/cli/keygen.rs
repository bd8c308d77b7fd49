//! `waypost keygen`: makes the secrets that files of a deployment hold, and prints each as its file has it.
//!
//! It asks nobody and writes no file: where a secret is kept, and who may read it there, is the operator's.

use super::failure::Failure;
use crate::{pages::PageKeys, redirect};
use clap::Subcommand;

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
}

impl Keygen {
    /// Makes it, and gives the text of its file.
    pub fn run(&self) -> Result<String, Failure> {
        match self {
            Self::Page => page(),
            Self::Signing => signing(),
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

//! `waypost keygen`: new keys.

use super::failure::Failure;
use crate::redirect;
use clap::Subcommand;

/// What the key is for.
#[derive(Debug, Subcommand)]
pub enum Keygen {
    /// Prints a private key for signed returns: Ed25519 in PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` does.
    #[command(after_help = "\
Example, for --signing-key-file:
  (umask 077 && waypost keygen signing > signing.pem)
  openssl pkey -in signing.pem -pubout    # its public half, for when it is retired")]
    Signing,
}

impl Keygen {
    /// Makes the key.
    pub fn run(self) -> Result<String, Failure> {
        match self {
            Self::Signing => signing(),
        }
    }
}

fn signing() -> Result<String, Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Failure::Failed(format!("the system has no randomness for a key: {error}")))?;
    Ok(redirect::to_pem(&seed).trim_end().to_owned())
}

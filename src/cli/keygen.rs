//! `waypost keygen`: makes the secrets that files of a deployment hold, and prints each as its file has it.
//!
//! It asks nobody and writes no file: where a secret is kept, and who may read it there, is the operator's.

use super::failure::Failure;
use crate::pages::PageKeys;
use clap::Subcommand;

/// Which secret.
#[derive(Debug, Subcommand)]
pub enum Keygen {
    /// Makes a key for `--page-key-file`: 32 random bytes in base64, below a line that says what it is.
    #[command(after_help = "Example:\n  (umask 077; waypost keygen page > page.key)")]
    Page,
}

impl Keygen {
    /// Makes it, and gives the text of its file.
    pub fn run(&self) -> Result<String, Failure> {
        match self {
            Self::Page => page(),
        }
    }
}

fn page() -> Result<String, Failure> {
    let key = PageKeys::new_line()
        .ok_or_else(|| Failure::Failed("the system has no randomness for a key of the pages' links".into()))?;
    Ok(format!("# A key of the links to Waypost's pages: whoever has it can open any buyer's page.\n{key}"))
}

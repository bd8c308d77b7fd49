//! The secret that a command shows to the server. It comes from a file or the environment, never from the command line,
//! which every user of the machine can read.

use super::failure::Failure;
use crate::client::Credential;
use clap::Args;
use std::{env, fs::File, io::Read, path::PathBuf};

/// The environment variable that holds a secret.
const VARIABLE: &str = "WAYPOST_TOKEN";

/// Bytes that are read of a file: a secret and what an editor leaves around it.
const FILE_BYTES: u64 = 4_096;

/// Where the secret is.
#[derive(Debug, Clone, Default, Args)]
pub struct Token {
    /// File with the secret of your credential. Without this option, the variable WAYPOST_TOKEN may hold the secret
    /// itself. Over http:// it travels as it is: only where you trust the network.
    #[arg(long, env = "WAYPOST_TOKEN_FILE", value_name = "FILE", help_heading = "Connection")]
    token_file: Option<PathBuf>,
}

impl Token {
    /// Reads the secret; `None` when there is none.
    pub fn credential(&self) -> Result<Option<Credential>, Failure> {
        let Some((place, text)) = self.read()? else { return Ok(None) };
        text.parse().map(Some).map_err(|error| Failure::Usage(format!("{place} {error}")))
    }

    /// What is in the place that was named, and how to call that place.
    fn read(&self) -> Result<Option<(String, String)>, Failure> {
        let Some(path) = &self.token_file else {
            return Ok(env::var_os(VARIABLE).map(|text| (VARIABLE.to_owned(), text.to_string_lossy().into_owned())));
        };
        let place = format!("--token-file {}", path.display());
        let mut text = String::new();
        match File::open(path).and_then(|file| file.take(FILE_BYTES).read_to_string(&mut text)) {
            Ok(_) => Ok(Some((place, text))),
            Err(error) => Err(Failure::Usage(format!("{place}: {error}"))),
        }
    }
}

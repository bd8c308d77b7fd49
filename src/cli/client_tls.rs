//! The options about how a command encrypts what it says to a server, and whom it believes to be that server.

use super::failure::Failure;
use crate::client::{InvalidPem, Tls, UnusableTls};
use clap::Args;
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// What an `https://` server is recognised by, and what it recognises us by.
#[derive(Debug, Clone, Default, Args)]
pub struct ClientTls {
    /// The authorities that may vouch for an https:// server [default: those that browsers trust].
    #[arg(long, env = "WAYPOST_TLS_CA", value_name = "FILE", help_heading = "Connection")]
    tls_ca: Option<PathBuf>,

    /// Your certificate, for a server that asks for one.
    #[arg(
        long,
        env = "WAYPOST_CLIENT_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key",
        help_heading = "Connection"
    )]
    tls_cert: Option<PathBuf>,

    /// The key of that certificate.
    #[arg(
        long,
        env = "WAYPOST_CLIENT_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert",
        help_heading = "Connection"
    )]
    tls_key: Option<PathBuf>,
}

impl ClientTls {
    /// Whether anything was said about encryption.
    pub const fn is_given(&self) -> bool {
        self.tls_ca.is_some() || self.tls_cert.is_some()
    }

    /// Reads the files.
    pub fn read(&self) -> Result<Tls, Failure> {
        let mut tls = Tls::default();
        if let Some(path) = &self.tls_ca {
            tls = tls.trusting(&bytes(CA, path)?).map_err(|error| unusable(CA, path, &error))?;
        }
        if let Some((certificate, key)) = self.tls_cert.as_ref().zip(self.tls_key.as_ref()) {
            let presenting = tls.presenting(&bytes(CERT, certificate)?, &bytes(KEY, key)?);
            tls = presenting.map_err(|error| match error {
                InvalidPem::Key(_) => unusable(KEY, key, &error),
                InvalidPem::NoCertificate | InvalidPem::Certificate(_) => unusable(CERT, certificate, &error),
            })?;
        }
        Ok(tls)
    }

    /// What is told when the files do not go together: of all of them, only the key can be at fault then.
    pub fn unusable(&self, error: &UnusableTls) -> Failure {
        match &self.tls_key {
            Some(key) => unusable(KEY, key, error),
            None => Failure::Usage(error.to_string()),
        }
    }
}

const CA: &str = "--tls-ca";
const CERT: &str = "--tls-cert";
const KEY: &str = "--tls-key";

/// Bytes of a file that are read: more than all authorities that browsers trust take.
const FILE_BYTES: u64 = 4 * 1024 * 1024;

fn bytes(option: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES).read_to_end(&mut bytes));
    read.map_err(|error| unusable(option, path, &error))?;
    Ok(bytes)
}

fn unusable(option: &str, path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::Usage(format!("{option} {}: {error}", path.display()))
}

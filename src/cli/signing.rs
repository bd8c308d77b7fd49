//! The server's options for signed returns, and the files that they name.

use super::{config::Problem, secret_file::SecretFile, time};
use crate::{
    app::{Issuer, Signer},
    model::limits,
    pages::PublicUrl,
    redirect::{SigningKey, SigningKeys},
};
use clap::Args;
use std::{
    error::Error,
    path::{Path, PathBuf},
    time::Duration,
};

/// What returns are signed with.
#[derive(Debug, Args)]
#[command(next_help_heading = "Signed returns")]
pub struct Signing {
    /// File of Ed25519 keys in PEM, as `waypost keygen signing` and `openssl genpkey -algorithm ed25519` write them; may be
    /// repeated, and a file may hold several. The first private key signs, all of them verify; keys that only verify may
    /// be public ones. The same files for all servers of a deployment [default: none, and no return can be signed].
    #[arg(long, env = "WAYPOST_SIGNING_KEY_FILE", value_name = "FILE", value_delimiter = ',')]
    signing_key_file: Vec<PathBuf>,

    /// Who signs, the `iss` of return tokens [default: the public URL of the pages].
    #[arg(long, env = "WAYPOST_ISSUER", value_name = "TEXT")]
    issuer: Option<Issuer>,

    /// How long a return token is valid, counted from the beginning of the minute in which it was signed; 2m to 24h.
    #[arg(long, env = "WAYPOST_RETURN_TOKEN_TTL", default_value = "15m", value_name = "TIME", value_parser = lifetime)]
    return_token_ttl: Duration,
}

impl Signing {
    /// Returns that can be signed need somebody who signs them.
    pub fn contradiction(&self, public_url: Option<&PublicUrl>) -> Option<Problem> {
        if self.signing_key_file.is_empty() { None } else { self.issuer(public_url).err() }
    }

    /// The public URL stands in for an issuer that is not named.
    fn issuer(&self, public_url: Option<&PublicUrl>) -> Result<Issuer, Problem> {
        match (&self.issuer, public_url) {
            (Some(issuer), _) => Ok(issuer.clone()),
            (None, Some(url)) => url.to_string().parse().map_err(|error| {
                let text = format!("{error}, or give --issuer, which return tokens name instead");
                Problem::of("public_url", text).and("issuer").and("signing_key_file")
            }),
            (None, None) => {
                let text = "makes return tokens, which name who signed them, and without pages there is no public URL to \
                            name: give --issuer, such as https://pay.example.com";
                Err(Problem::of("signing_key_file", text).and("issuer").and("public_url").and("page_addr"))
            }
        }
    }

    /// Reads the files. `None` when there are none.
    pub fn keys(&self) -> Result<Option<SigningKeys>, Vec<Problem>> {
        if self.signing_key_file.is_empty() {
            return Ok(None);
        }
        let (mut keys, mut problems) = (Vec::new(), Vec::new());
        for path in &self.signing_key_file {
            match read(path) {
                Ok(read) => keys.extend(read),
                Err(problem) => problems.push(format!("{} {problem}", path.display())),
            }
        }
        let keys = if problems.is_empty() {
            SigningKeys::new(keys).map(Some).map_err(|error| vec![format!("files {error}")])
        } else {
            Err(problems)
        };
        keys.map_err(|problems| problems.into_iter().map(|text| Problem::of("signing_key_file", text)).collect())
    }

    /// Signs with those keys.
    pub fn signer(&self, keys: SigningKeys, public_url: Option<&PublicUrl>) -> Result<Signer, String> {
        let issuer = self.issuer(public_url).map_err(|problem| problem.text)?;
        let (kid, count) = (keys.signing().kid(), keys.count());
        tracing::info!(kid, keys = count, issuer = %issuer, "returns can be signed");
        Ok(Signer::new(keys, issuer, self.return_token_ttl))
    }
}

/// Reads the keys of a file.
fn read(path: &Path) -> Result<Vec<SigningKey>, String> {
    let file = SecretFile::read(path, limits::SIGNING_KEY_FILE_BYTES)?;
    let keys = SigningKey::read_all(&file.text).map_err(|error| error.to_string())?;
    if file.is_open_to_others && keys.iter().any(SigningKey::is_private) {
        return Err("holds a private key and is open to every user of the machine: `chmod 600` it".into());
    }
    Ok(keys)
}

fn lifetime(text: &str) -> Result<Duration, Box<dyn Error + Send + Sync>> {
    let lifetime = humantime::parse_duration(text)?;
    let (min, max) = (limits::RETURN_TOKEN_TTL_MIN, limits::RETURN_TOKEN_TTL_MAX);
    if lifetime < min || lifetime > max || lifetime.subsec_nanos() != 0 {
        return Err(format!("is not a time of whole seconds from {} to {}", time::span(min), time::span(max)).into());
    }
    Ok(lifetime)
}

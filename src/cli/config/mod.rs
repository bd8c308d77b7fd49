//! What the server runs with: flags before environment variables before the file before the defaults.
//!
//! The options are defined once, as clap's arguments of [`Serve`](super::serve::Serve). All else is derived from there: the
//! keys of the file and what they take, the schema, `waypost config`, and the tables in the documents. Nothing here knows
//! an option by its name.
//!
//! ```text
//! definition    one option, as clap has it
//! given         the command line and the environment, not looked into
//! file          the TOML file
//! effective     the places put together, and everything that is wrong
//! ```

mod definition;
mod given;
mod file;
mod effective;
mod problem;
mod print;
mod schema;
#[cfg(test)]
mod documents;
mod limits;

pub use effective::Effective;
pub use given::{Given, GivenStore};
pub use problem::{Problem, Problems};

use super::{failure::Failure, files::Files};
use clap::Subcommand;
use definition::Definition;
use std::{borrow::Cow, ffi::OsString, io};

/// What is done with a configuration.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Shows what the server would run with: a file that can be used again, in which each value says where it comes from.
    /// User and password of an address are left out.
    #[command(after_help = "Example:\n  waypost config print --config /etc/waypost/waypost.toml --log debug")]
    Print(Given),
    /// Tells everything that is wrong with the options and with the files that they name. Connects to nothing.
    #[command(after_help = "Example:\n  waypost config check --config /etc/waypost/waypost.toml")]
    Check(Given),
    /// Prints the JSON Schema of the file, for editors and pipelines.
    #[command(after_help = "Example:\n  waypost config schema > waypost.schema.json")]
    Schema,
}

impl Config {
    /// Does it, and gives the text to print.
    pub fn run(self) -> Result<String, Failure> {
        match self {
            Self::Print(given) => {
                let effective = Effective::of(given);
                if !effective.problems.is_empty() {
                    return Err(Failure::Options(effective.problems));
                }
                Ok(print::file(&effective))
            }
            Self::Check(given) => check(Effective::of(given)),
            Self::Schema => Ok(format!("{:#}", schema::of(&definition::all()))),
        }
    }
}

fn check(mut effective: Effective) -> Result<String, Failure> {
    // What the server would warn of when it starts.
    let warnings = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).without_time().with_target(false);
    warnings.with_writer(io::stderr).with_ansi(false).init();
    effective.warn();
    let is_usable = effective.problems.is_empty();
    if let Err(problems) = Files::read(&effective.serve) {
        effective.tell(problems);
    }
    match (effective.problems, is_usable) {
        (problems, _) if problems.is_empty() => Ok("no problem found".into()),
        // As the server would end.
        (problems, true) => Err(Failure::Failed(problems.to_string())),
        (problems, false) => Err(Failure::Options(problems)),
    }
}

/// The values as a problem repeats them, after a space; nothing when they may be secret.
fn shown(definition: &Definition, values: &[OsString]) -> String {
    if definition.is_secret() || values.iter().all(|value| value.is_empty()) {
        return String::new();
    }
    let values: Vec<_> = values.iter().map(|value| redacted(&value.to_string_lossy()).into_owned()).collect();
    format!(" {}", values.join(","))
}

/// The text without the user and the password of an address, wherever it has them.
fn redacted(text: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = text.split_once("://") else { return text.into() };
    // Parsers differ in which @ ends the password: what comes before any of them may be part of it.
    let rest_of_address = rest.rsplit_once('@').map_or(rest, |(_, address)| address);
    let (address, parameters) = rest_of_address.split_once('?').unwrap_or((rest_of_address, ""));
    let is_told = |parameter: &&str| {
        let name = parameter.split('=').next().unwrap_or_default();
        let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy().to_lowercase();
        !["user", "pass"].iter().any(|secret| name.contains(secret))
    };
    let told: Vec<&str> = parameters.split('&').filter(is_told).filter(|parameter| !parameter.is_empty()).collect();
    let parameters = if told.is_empty() { String::new() } else { format!("?{}", told.join("&")) };
    format!("{scheme}://{address}{parameters}").into()
}

/// Whether an address has a password in it.
fn has_password(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    let is_in_user = rest.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    let parameters = rest.split_once('?').map(|(_, parameters)| percent_encoding::percent_decode_str(parameters));
    is_in_user || parameters.is_some_and(|text| text.decode_utf8_lossy().to_lowercase().contains("pass"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_are_left_out_of_an_address_however_they_are_written() {
        for (text, shown) in [
            ("redb:waypost.redb", "redb:waypost.redb"),
            ("postgres://db.internal/waypost", "postgres://db.internal/waypost"),
            ("postgres://waypost@db.internal:5433/waypost", "postgres://db.internal:5433/waypost"),
            ("postgres://w:s3cret@a:1,b:2/waypost?sslmode=require", "postgres://a:1,b:2/waypost?sslmode=require"),
            ("postgres://w:s3/c?r#e@t@db/w", "postgres://db/w"),
            ("postgres://db/w?user=w&password=s3cret&connect_timeout=5", "postgres://db/w?connect_timeout=5"),
            ("postgres://db/w?%70assword=s3cret", "postgres://db/w"),
            ("postgress://w:s3cret@db/w", "postgress://db/w"),
            ("https://pay.example.com", "https://pay.example.com"),
        ] {
            assert_eq!(redacted(text), shown);
            assert_eq!(has_password(text), text.contains("s3"), "{text}");
        }
    }
}

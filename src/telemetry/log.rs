//! Logs: to standard error, so that standard output stays for answers.

use super::queue::{self, ToQueue};
use std::{
    env,
    io::{self, IsTerminal},
};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum CannotLog {
    /// The filter cannot be read.
    #[error("--log {0}: write a level such as info, or a list such as warn,waypost=debug")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The system gives no thread.
    #[error("cannot start a thread for the log: {0}")]
    Thread(#[from] io::Error),
    /// The collector cannot be spoken to as the variables say.
    #[error("cannot export traces as the OTEL_ variables say: {0}")]
    Traces(String),
}

pub(super) fn start(filter: &str, format: LogFormat) -> Result<(), CannotLog> {
    let mut told = EnvFilter::try_new(filter)?;
    if told.max_level_hint() <= Some(LevelFilter::INFO) {
        told = EnvFilter::try_new(format!("{UNLESS_TOLD},{filter}"))?;
    }
    // Colours are for eyes: files and collectors would keep their codes. <https://no-color.org>
    let colours = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt().with_env_filter(told).with_writer(ToQueue).with_ansi(colours);
    queue::start(format)?;
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}

/// Holds unless the filter says something else about the same module, or asks for debugging anywhere. The HTTP/2 library
/// warns of each frame that makes no sense, such as the answer to a ping that never was: a peer could fill the disk.
const UNLESS_TOLD: &str = "h2=error";

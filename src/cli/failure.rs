//! Why a client command failed: what standard error gets to read, and the exit code for scripts.

use super::{config::Problems, table::visible, time::span};
use crate::client::{Refusal, Violation};
use std::{
    fmt::{self, Display},
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};
use tonic::Code;

/// The exit codes of every command, as the help text ends with them.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the server said no, is not healthy, or cannot start
  2  wrong usage: an option, an argument or the content of a file
  3  no answer: the server was not reached, or did not answer in time";

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// What was typed, or what is in the file that was named, cannot be sent.
    Usage(String),
    /// What is wrong with a file that was named, each with its line.
    Content { file: String, problems: Vec<String> },
    /// The options that were typed, that the environment has, or that are in the file of the configuration.
    Options(Problems),
    /// The server's own error.
    Refused(Box<Refusal>),
    /// The server is not serving, or does not answer: a text that may have several lines.
    Unhealthy(String),
    /// What was asked for could not be done here.
    Failed(String),
    /// No server answered, or not in time.
    NoAnswer(String),
    /// The answer could not be printed.
    Output(io::Error),
}

impl Failure {
    /// Tells standard error, and the shell.
    pub fn report(&self) -> ExitCode {
        // There is nobody left to tell when standard error is closed.
        let _ = writeln!(io::stderr(), "waypost: {self}");
        self.exit_code()
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            // Ours and the server's timer race; which one wins shall make no difference.
            Self::Refused(refusal) if refusal.code == Code::DeadlineExceeded => ExitCode::from(3),
            Self::Refused(_) | Self::Unhealthy(_) | Self::Failed(_) | Self::Output(_) => ExitCode::from(1),
            Self::Usage(_) | Self::Content { .. } | Self::Options(_) => ExitCode::from(2),
            Self::NoAnswer(_) => ExitCode::from(3),
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(problem) | Self::NoAnswer(problem) => f.write_str(&visible(problem)),
            Self::Options(problems) => problems.fmt(f),
            Self::Unhealthy(problem) | Self::Failed(problem) => f.write_str(problem),
            Self::Content { file, problems } => {
                write!(f, "nothing was done: {} is wrong", visible(file))?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {}", visible(problem)))
            }
            Self::Refused(refusal) => write_refusal(f, refusal),
            Self::Output(error) => write!(f, "cannot write to standard output: {error}"),
        }
    }
}

fn write_refusal(f: &mut fmt::Formatter<'_>, refusal: &Refusal) -> fmt::Result {
    f.write_str(&visible(&refusal.message))?;
    for Violation { field, description } in &refusal.violations {
        // A single violation often is the message already.
        if refusal.message != format!("{field} {description}") {
            write!(f, "\n  {}: {}", visible(field), visible(description))?;
        }
    }
    match &refusal.reason_name {
        Some(reason) => write!(f, "\nreason: {}", visible(reason))?,
        // Not a server of ours, or something between it and us.
        None => write!(f, "\ncode: {:?}", refusal.code)?,
    }
    match refusal.retry_delay {
        Some(Duration::ZERO) => f.write_str("\nretry: at any time"),
        Some(delay) => write!(f, "\nretry: after {}", span(delay)),
        None => Ok(()),
    }
}

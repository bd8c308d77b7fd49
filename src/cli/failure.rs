//! Why a client command failed: what standard error gets to read, and the exit code for scripts.

use super::{config::Problems, table::visible, time::span};
use std::{
    fmt::{self, Display},
    io::{self, Write},
    process::ExitCode,
};
use tonic::{Code, Status};
use tonic_types::{FieldViolation, StatusExt};

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
    /// The options that were typed, that the environment has, or that are in the file of the configuration.
    Options(Problems),
    /// The server's own error.
    Refused(Box<Status>),
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
            Self::Refused(status) if status.code() == Code::DeadlineExceeded => ExitCode::from(3),
            Self::Refused(_) | Self::Unhealthy(_) | Self::Failed(_) | Self::Output(_) => ExitCode::from(1),
            Self::Usage(_) | Self::Options(_) => ExitCode::from(2),
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
            Self::Refused(status) => write_status(f, status),
            Self::Output(error) => write!(f, "cannot write to standard output: {error}"),
        }
    }
}

fn write_status(f: &mut fmt::Formatter<'_>, status: &Status) -> fmt::Result {
    let message = if status.message().is_empty() { status.code().description() } else { status.message() };
    f.write_str(&visible(message))?;
    let details = status.get_error_details();
    let violations =
        details.bad_request().map(|bad_request| bad_request.field_violations.as_slice()).unwrap_or_default();
    // A single violation often is the message already.
    let said = |violation: &FieldViolation| message == format!("{} {}", violation.field, violation.description);
    for violation in violations.iter().filter(|violation| !said(violation)) {
        write!(f, "\n  {}: {}", visible(&violation.field), visible(&violation.description))?;
    }
    match details.error_info() {
        Some(info) => write!(f, "\nreason: {}", visible(&info.reason))?,
        // Not a server of ours, or something between it and us.
        None => write!(f, "\ncode: {:?}", status.code())?,
    }
    if let Some(retry) = details.retry_info() {
        match retry.retry_delay {
            Some(delay) => write!(f, "\nretry: after {}", span(delay))?,
            None => f.write_str("\nretry: at any time")?,
        }
    }
    Ok(())
}

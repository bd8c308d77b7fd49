//! The options of `waypost serve` about who may call.

use super::config::Problem;
use crate::{callers::Credentials, followed::Followed, grpc::Authentication, redirect::Mode};
use clap::{Args, ValueEnum, builder::BoolishValueParser};
use std::{net::SocketAddr, path::PathBuf, sync::Arc};

/// Who may call.
#[derive(Debug, Args)]
#[command(next_help_heading = "Access")]
pub struct Access {
    /// File of the credentials that callers show, as `waypost keygen credential` makes them. Calls without one of them
    /// are refused from then on. It is read again when it changes.
    #[arg(long, env = "WAYPOST_CREDENTIALS_FILE", value_name = "FILE", conflicts_with = "allow_unauthenticated")]
    credentials_file: Option<PathBuf>,

    /// Serves on an address that other machines reach, although calls are not authenticated.
    #[arg(long, env = "WAYPOST_ALLOW_UNAUTHENTICATED", value_parser = BoolishValueParser::new())]
    allow_unauthenticated: bool,

    /// Whether tools such as grpcurl are told the methods and messages; with credentials, they need a valid one for it
    /// [default: on in the sandbox and without credentials, else off].
    #[arg(long, env = "WAYPOST_REFLECTION", value_name = "SWITCH")]
    reflection: Option<Reflection>,
}

/// Whether reflection is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reflection {
    On,
    Off,
}

impl Access {
    /// Without credentials, only this machine itself may call, unless it is said that others may.
    pub fn contradiction(&self, addr: SocketAddr) -> Option<Problem> {
        if addr.ip().is_loopback() || self.credentials_file.is_some() || self.allow_unauthenticated {
            return None;
        }
        let text = format!(
            "{addr} is reachable from other machines, and calls are not authenticated: give --credentials-file, listen on \
             a loopback address, or give --allow-unauthenticated if the network lets only trusted callers through"
        );
        Some(Problem::of("grpc_addr", text).and("credentials_file").and("allow_unauthenticated"))
    }

    /// Reads the credentials.
    pub fn authentication(&self) -> Result<Authentication, Problem> {
        let Some(path) = self.credentials_file.clone() else { return Ok(Authentication::Off) };
        let read = move |before: Option<&Credentials>| {
            let named = |problems: String| match problems.contains('\n') {
                true => format!("{}:\n  {}", path.display(), problems.replace('\n', "\n  ")),
                false => format!("{}: {problems}", path.display()),
            };
            Credentials::open(&path, before).map_err(named)
        };
        let path = self.credentials_file.clone().into_iter().collect();
        let credentials = Followed::open("--credentials-file", path, read);
        let credentials = credentials.map_err(|problem| Problem::of("credentials_file", problem))?;
        Ok(Authentication::By(Arc::new(credentials)))
    }

    /// Whether reflection is served.
    pub fn reflection(&self, mode: Mode) -> Reflection {
        self.reflection.unwrap_or(match (mode, &self.credentials_file) {
            (Mode::Sandbox, _) | (_, None) => Reflection::On,
            // One thing less that strangers to the system may try.
            (Mode::Production, Some(_)) => Reflection::Off,
        })
    }
}

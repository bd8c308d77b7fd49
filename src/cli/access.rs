//! The options of `waypost serve` about who may call.

use crate::{callers::Credentials, followed::Followed, grpc::Authentication, redirect::Mode};
use clap::{Args, ValueEnum, builder::BoolishValueParser};
use std::{net::SocketAddr, path::PathBuf, sync::Arc};

/// Who may call.
#[derive(Debug, Args)]
#[command(next_help_heading = "Access")]
pub struct Access {
    /// File of the credentials that callers show, as `waypost keygen credential` makes them. Calls without one of them
    /// are refused from then on. It is read again when it changes.
    #[arg(long, env = "WAYPOST_CREDENTIALS_FILE", value_name = "FILE")]
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
    /// Reads the credentials. Without any, only this machine itself may call.
    pub fn authentication(&self, addr: SocketAddr) -> Result<Authentication, String> {
        let Some(path) = self.credentials_file.clone() else {
            if addr.ip().is_loopback() || self.allow_unauthenticated {
                return Ok(Authentication::Off);
            }
            return Err(format!(
                "--grpc-addr {addr} is reachable from other machines, and calls are not authenticated: give \
                 --credentials-file, listen on a loopback address, or give --allow-unauthenticated if the network lets \
                 only trusted callers through"
            ));
        };
        if self.allow_unauthenticated {
            return Err("--credentials-file and --allow-unauthenticated contradict each other: give one of them".into());
        }
        let read = move |before: Option<&Credentials>| {
            let named = |problems: String| match problems.contains('\n') {
                true => format!("{}:\n  {}", path.display(), problems.replace('\n', "\n  ")),
                false => format!("{}: {problems}", path.display()),
            };
            Credentials::open(&path, before).map_err(named)
        };
        let path = self.credentials_file.clone().into_iter().collect();
        Ok(Authentication::By(Arc::new(Followed::open("--credentials-file", path, read)?)))
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

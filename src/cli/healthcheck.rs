//! `waypost healthcheck`: for container platforms, whose image has neither a shell nor another client in it.

use super::{
    client::{Connection, DEFAULT_SERVER, timeout},
    client_tls::ClientTls,
    failure::Failure,
    token::Token,
};
use crate::client::Address;
use clap::Args;
use std::time::Duration;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

/// Whose health.
#[derive(Debug, Args)]
pub struct Healthcheck {
    /// A service of the server, such as `waypost.v1.RedirectService` [default: the server as a whole].
    #[arg(long, value_name = "NAME")]
    service: Option<String>,

    /// The server: `https://HOST:PORT`, or without TLS `http://HOST:PORT` or `HOST:PORT`.
    #[arg(long, env = "WAYPOST_SERVER", default_value = DEFAULT_SERVER, value_name = "ADDRESS", help_heading = "Connection")]
    server: Address,

    /// The longest to wait for the server; shorter than that of other commands, as platforms ask often.
    #[arg(long, env = "WAYPOST_HEALTHCHECK_TIMEOUT", default_value = "2s", value_name = "TIME", value_parser = timeout, help_heading = "Connection")]
    timeout: Duration,

    #[command(flatten)]
    tls: ClientTls,
}

impl Healthcheck {
    /// Succeeds when the server says `SERVING`. Everything else is [`Failure::Unhealthy`]: to Docker, exit codes above
    /// 1 are reserved.
    pub fn run(self) -> Result<String, Failure> {
        let connection =
            Connection { server: self.server, timeout: self.timeout, token: Token::default(), tls: self.tls };
        let service = self.service.unwrap_or_default();
        // Everybody may ask for the health, so no secret is sent along.
        match connection.ask_as(None, async |client| client.check_health(&service).await) {
            Ok(ServingStatus::Serving) => Ok("serving".into()),
            Ok(status) => Err(Failure::Unhealthy(format!("the server is {}", status.as_str_name()))),
            Err(Failure::Refused(refusal)) if refusal.code == Code::NotFound => {
                Err(Failure::Unhealthy(format!("the server has no service `{service}`")))
            }
            Err(failure) => Err(Failure::Unhealthy(failure.to_string())),
        }
    }
}

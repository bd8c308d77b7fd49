//! The options of every command that asks a server, and what becomes of them: a [`client::Client`] that asks once.

use super::{client_tls::ClientTls, failure::Failure, json, token::Token};
use crate::client::{self, Address, Credential, Error, Retries};
use clap::Args;
use prost::{Message, Name};
use std::time::Duration;
use tonic::Status;

/// Which server, how long, and how its answer is shown.
#[derive(Debug, Clone, Args)]
pub struct Client {
    #[command(flatten)]
    pub connection: Connection,

    /// Prints the answer as proto JSON.
    #[arg(long, help_heading = "Output")]
    json: bool,
}

impl Client {
    /// The answer as it was asked for.
    pub fn show<M: Message + Name>(&self, answer: &M, readable: impl FnOnce(&M) -> String) -> Result<String, Failure> {
        if !self.json {
            return Ok(readable(answer));
        }
        json::write(answer).map_err(|error| Failure::Output(error.into()))
    }
}

/// Which server, and how long it may take.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// The server: `https://HOST:PORT`, or without TLS `http://HOST:PORT` or `HOST:PORT`.
    #[arg(long, env = "WAYPOST_SERVER", default_value = DEFAULT_SERVER, value_name = "ADDRESS")]
    pub server: Address,

    /// The longest to wait for an answer, connecting included; at most 1h.
    #[arg(long, env = "WAYPOST_TIMEOUT", default_value = "10s", value_name = "TIME", value_parser = timeout)]
    pub timeout: Duration,

    #[command(flatten)]
    pub token: Token,

    #[command(flatten)]
    pub tls: ClientTls,
}

/// Where `waypost serve` listens unless it is told otherwise.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:50051";

/// Nobody looks at a prompt for longer, and no deadline on the wire overflows.
const TIMEOUT_MAX: Duration = Duration::from_secs(60 * 60);

/// Reads `--timeout`.
pub fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if timeout > TIMEOUT_MAX {
        return Err("is longer than 1h".into());
    }
    Ok(timeout)
}

impl Connection {
    /// Asks a server, showing the secret if there is one.
    pub fn ask<R>(&self, question: impl AsyncFnOnce(client::Client) -> Result<R, Error>) -> Result<R, Failure> {
        self.ask_as(self.token.credential()?, question)
    }

    /// The same with that secret, or without one.
    pub fn ask_as<R>(
        &self,
        credential: Option<Credential>,
        question: impl AsyncFnOnce(client::Client) -> Result<R, Error>,
    ) -> Result<R, Failure> {
        self.run(async || question(self.open(credential)?).await.map_err(|error| self.failure(error)))
    }

    /// Runs what asks a server.
    pub fn run<R>(&self, work: impl AsyncFnOnce() -> Result<R, Failure>) -> Result<R, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::NoAnswer(format!("cannot start: {error}")))?;
        let answer = runtime.block_on(work());
        // A name that is still being looked up cannot be stopped; dropping the runtime would wait for it.
        runtime.shutdown_background();
        answer
    }

    /// A client that asks once and has the whole time for it: whoever looks at a prompt is to see what happened.
    pub fn open(&self, credential: Option<Credential>) -> Result<client::Client, Failure> {
        if !self.server.is_encrypted() && self.tls.is_given() {
            return Err(Failure::Usage(format!(
                "--tls-ca and --tls-cert are about TLS, and {} is spoken to without it: write https:// in front of the \
                 address, or leave them out",
                self.server
            )));
        }
        let mut options = client::Client::options(self.server.clone())
            .tls(self.tls.read()?)
            .deadline(self.timeout)
            .attempt(self.timeout)
            .retries(Retries::OFF);
        if let Some(credential) = credential {
            options = options.credential(credential);
        }
        options.open().map_err(|error| self.tls.unusable(&error))
    }

    /// What is told of an error, with what to try.
    pub fn failure(&self, error: Error) -> Failure {
        let hint = match (&error, self.server.is_encrypted()) {
            (Error::Refused(_), _) => "",
            (Error::Unreachable { .. }, true) => {
                "is a server with TLS running there, and is its authority that of --tls-ca?"
            }
            (Error::Unreachable { .. }, false) => "is a server running there? --server names another",
            // In TLS 1.3 a client hears only now that its certificate was refused.
            (Error::Lost { .. }, true) => {
                "is it a Waypost server, and if it asks for a certificate, is that of --tls-cert good?"
            }
            (Error::Lost { .. }, false) => "is it a Waypost server?",
            (Error::OutOfTime { .. }, _) => "--timeout waits longer",
        };
        match error {
            Error::Refused(refusal) => Failure::Refused(refusal),
            error => Failure::NoAnswer(format!("{error}; {hint}")),
        }
    }

    /// The same for a status of tonic's.
    pub fn failure_of(&self, status: &Status) -> Failure {
        self.failure(Error::from_status(status, &self.server, self.timeout))
    }

    pub fn out_of_time(&self) -> Failure {
        self.failure(Error::OutOfTime { server: self.server.clone(), within: self.timeout })
    }
}

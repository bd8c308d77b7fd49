//! The options of every command that asks a server, and the one way in which they ask: connect, call once, give up
//! when the time is over.

use super::{address::ServerAddress, client_tls::ClientTls, failure::Failure, json, token::Token};
use clap::Args;
use prost::{Message, Name};
use std::{error::Error, time::Duration};
use tokio::time::Instant;
use tonic::{
    Code, Request, Response, Status,
    transport::{Channel, Endpoint},
};

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
    pub server: ServerAddress,

    /// The longest to wait for the server, connecting included; at most 1h.
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
    /// The same with more time, for a call that is asked to wait.
    pub fn longer_by(&self, wait: Duration) -> Self {
        Self { timeout: self.timeout.saturating_add(wait), ..self.clone() }
    }

    /// Connects and makes one call, showing the secret if there is one. The server is told how much time is left.
    pub fn call<M, R>(
        &self,
        message: M,
        method: impl AsyncFnOnce(Channel, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        let mut request = Request::new(message);
        if let Some(header) = self.token.header()? {
            request.metadata_mut().insert("authorization", header);
        }
        self.send(request, method)
    }

    /// The same with a request as it is.
    pub fn send<M, R>(
        &self,
        request: Request<M>,
        method: impl AsyncFnOnce(Channel, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::NoAnswer(format!("cannot start: {error}")))?;
        let answer = runtime.block_on(async {
            let end = Instant::now() + self.timeout;
            tokio::time::timeout_at(end, self.call_until(end, request, method)).await.map_err(|_| self.out_of_time())?
        });
        // A name that is still being looked up cannot be stopped; dropping the runtime would wait for it.
        runtime.shutdown_background();
        answer
    }

    async fn call_until<M, R>(
        &self,
        end: Instant,
        mut request: Request<M>,
        method: impl AsyncFnOnce(Channel, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        let channel = self.connect().await?;
        request.set_timeout(end.saturating_duration_since(Instant::now()));
        method(channel, request).await.map(Response::into_inner).map_err(|status| self.failure(status))
    }

    /// Opens a connection.
    pub async fn connect(&self) -> Result<Channel, Failure> {
        let endpoint = Endpoint::from(self.server.uri().clone());
        // A forgotten `https://` must not send the secret in the clear.
        if !self.server.is_encrypted() && self.tls.is_given() {
            return Err(Failure::Usage(format!(
                "--tls-ca and --tls-cert are about TLS, and {} is spoken to without it: write https:// in front of the \
                 address, or leave them out",
                self.server
            )));
        }
        let connected = match self.server.is_encrypted() {
            true => endpoint.connect_with_connector(self.tls.connector()?).await,
            false => endpoint.connect().await,
        };
        connected.map_err(|error| {
            let hint = match self.server.is_encrypted() {
                true => "is a server with TLS running there, and is its authority that of --tls-ca?",
                false => "is a server running there? --server names another",
            };
            Failure::NoAnswer(format!("cannot reach {}: {}; {hint}", self.server, innermost(&error)))
        })
    }

    /// What a status is the sign of: the server's own answer, or that there was none.
    pub fn failure(&self, status: Status) -> Failure {
        match status.source() {
            // What tonic makes of the time that the request was given; no server of ours answers it.
            _ if status.code() == Code::Cancelled => self.out_of_time(),
            Some(cause) => {
                // In TLS 1.3 a client hears only now that its certificate was refused.
                let hint = match self.server.is_encrypted() {
                    true => "is it a Waypost server, and if it asks for a certificate, is that of --tls-cert good?",
                    false => "is it a Waypost server?",
                };
                Failure::NoAnswer(format!("no answer from {}: {}; {hint}", self.server, innermost(cause)))
            }
            None => Failure::Refused(status.into()),
        }
    }

    pub fn out_of_time(&self) -> Failure {
        Failure::NoAnswer(format!(
            "no answer from {} within {}; --timeout waits longer",
            self.server,
            humantime::format_duration(self.timeout)
        ))
    }
}

/// The cause at the bottom: those above it say only that there is one.
fn innermost<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(cause) = error.source() {
        error = cause;
    }
    error
}

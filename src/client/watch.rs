//! A session as it changes, over as many calls as it takes.

use super::{Client, Error, method, retries::Retries};
use crate::proto::v1::{ErrorReason, Session, WatchSessionRequest, WatchSessionResponse};
use std::time::Duration;
use tonic::{Code, Streaming};

/// What [`Client::watch_session`] gives. When the call ends before the session does, as it does when a server stops,
/// another one is made, and what was missed in between is seen.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    request: WatchSessionRequest,
    stream: Option<Streaming<WatchSessionResponse>>,
    /// What was given last, so that a call that begins anew does not give it again.
    last: Option<Session>,
    /// Calls that failed since one answered.
    failed: u32,
    ended: bool,
}

/// The longest that a server lets a watch last. A call that is silent for longer is dead.
const CALL_MAX: Duration = Duration::from_secs(30 * 60);

impl Watch {
    pub(super) const fn new(client: Client, request: WatchSessionRequest) -> Self {
        Self { client, request, stream: None, last: None, failed: 0, ended: false }
    }

    /// The session as it is now, then every change; `None` when its outcome is final. Give it up by dropping it.
    ///
    /// # Errors
    ///
    /// When no server answers in several attempts, or one says no. That is the end.
    pub async fn next(&mut self) -> Result<Option<Session>, Error> {
        while !self.ended {
            match self.step().await {
                Ok(Some(session)) if self.last.as_ref() == Some(&session) => self.failed = 0,
                Ok(Some(session)) => {
                    self.failed = 0;
                    self.last = Some(session.clone());
                    return Ok(Some(session));
                }
                Ok(None) => {
                    self.stream = None;
                    // A server ends a watch only when there is nothing left to see.
                    self.ended = true;
                }
                Err(error) => self.bear(error).await?,
            }
        }
        Ok(None)
    }

    /// The next message, of a call that is made now if there is none.
    async fn step(&mut self) -> Result<Option<Session>, Error> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(self.client.open_stream(method::WATCH_SESSION, self.request.clone(), CALL_MAX).await?),
        };
        match stream.message().await {
            Ok(message) => Ok(message.and_then(|message| message.session)),
            Err(status) => Err(self.client.error(&status, CALL_MAX)),
        }
    }

    /// Waits and lets another call be made, or gives the error up.
    async fn bear(&mut self, error: Error) -> Result<(), Error> {
        self.stream = None;
        self.failed += 1;
        // A watch reads: it is as safe to begin again as any other read, and its own time being over is no failure.
        let over = error.code() == Code::DeadlineExceeded && self.last.is_some();
        let interrupted = error.reason() == Some(ErrorReason::WatchInterrupted);
        let retries = if over || interrupted { Retries::default() } else { self.client.retries() };
        match retries.pause(method::GET_SESSION, self.failed, &error, super::random()) {
            Some(pause) => {
                tokio::time::sleep(pause).await;
                Ok(())
            }
            None => {
                self.ended = true;
                Err(error)
            }
        }
    }
}

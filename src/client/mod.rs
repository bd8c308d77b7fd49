//! A client for services written in Rust: connects, gives every call a deadline, and repeats what is safe to repeat.
//!
//! ```no_run
//! use std::time::Duration;
//! use waypost::{
//!     client::{Client, Error},
//!     proto::v1::{CreatePaymentRequest, ErrorReason, Outcome, PaymentItem, RecordOutcomeRequest, ResolveRedirectRequest},
//! };
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::options("https://waypost.internal:50051".parse()?)
//!     .credential(std::env::var("WAYPOST_TOKEN")?.parse()?)
//!     .deadline(Duration::from_secs(3))
//!     .open()?;
//!
//! let created = client
//!     .create_payment(CreatePaymentRequest {
//!         merchant_id: "6CQXXXXXXXYE1".into(),
//!         customer_email: "ana@example.com".into(),
//!         items: vec![PaymentItem { r#type: "PAYMENT_INTENT".into(), price: "50".into(), currency: "USD".into() }],
//!         redirect_url: "https://shop.example.com/paid?id={{id}}".into(),
//!         ..Default::default()
//!     })
//!     .await?;
//! let session_id = created.session.unwrap_or_default().session_id;
//!
//! client
//!     .record_outcome(RecordOutcomeRequest {
//!         session_id: session_id.clone(),
//!         outcome: Outcome::Success.into(),
//!         ..Default::default()
//!     })
//!     .await?;
//!
//! match client.resolve_redirect(ResolveRedirectRequest { session_id, ..Default::default() }).await {
//!     Ok(answer) => println!("the buyer goes to {}", answer.redirect.unwrap_or_default().url),
//!     Err(error) if error.reason() == Some(ErrorReason::SessionNotFound) => println!("there is no such session"),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What it does for every call
//!
//! - **A deadline**, which the server is told: [`Options::deadline`] for the call with all its attempts,
//!   [`Options::attempt`] for each of them. A resolve that waits for an outcome has its `wait` on top of both.
//! - **Retries**, up to four attempts with pauses that grow and are spread at random, and never earlier than a server's
//!   `RetryInfo` asks: of reads, of creates, which get an idempotency key if they have none, and of `RecordOutcome`.
//!   `UpdateMerchant` is repeated only when it was certainly not begun, as it could undo what somebody else did. What
//!   cannot go well is not repeated: wrong fields, an unknown session, a stale etag. A client most of whose calls fail
//!   stops repeating until they do better.
//! - **A connection that is alive**: asked after 20 s of silence, opened again when it broke, and replaced by another
//!   when a call on it had no answer.
//!
//! Dropping a future gives the call up. A [`Client`] is cheap to clone, and all clones share the connection.

pub mod address;
pub mod credential;
pub mod error;
mod line;
mod method;
pub mod retries;
pub mod tls;
mod watch;

pub use address::{Address, InvalidAddress};
pub use credential::{Credential, InvalidCredential};
pub use error::{Error, Refusal, Violation};
pub use retries::Retries;
pub use tls::{InvalidPem, Tls};
pub use watch::Watch;

use crate::proto::v1;
use line::Line;
use method::{Method, Repeat};
use retries::Budget;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::Stream;
use tonic::{
    IntoRequest, Request, Status, Streaming, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel,
};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus};
use tonic_prost::ProstCodec;
use uuid::Uuid;

/// How a client is to work.
#[derive(Debug, Clone)]
pub struct Options {
    server: Address,
    tls: Tls,
    credential: Option<Credential>,
    deadline: Duration,
    attempt: Duration,
    retries: Retries,
}

/// The longest for a call with all its attempts, unless the options say otherwise: buyers leave about then.
const DEADLINE: Duration = Duration::from_secs(10);

/// The longest for one attempt, unless the options say otherwise: hundreds of times what a call takes, and three of them
/// fit into the deadline.
const ATTEMPT: Duration = Duration::from_secs(3);

impl Options {
    /// Shows that secret with every call. Over `http://` it travels as it is: only where you trust the network.
    #[must_use]
    pub fn credential(self, credential: Credential) -> Self {
        Self { credential: Some(credential), ..self }
    }

    /// How an `https://` server is recognised, and the certificate it is shown.
    #[must_use]
    pub fn tls(self, tls: Tls) -> Self {
        Self { tls, ..self }
    }

    /// The longest for a call with all its attempts and the pauses between. Default: 10 s.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The longest for one attempt, connecting included. Default: 3 s.
    #[must_use]
    pub const fn attempt(mut self, attempt: Duration) -> Self {
        self.attempt = attempt;
        self
    }

    /// Whether calls that fail are repeated. Default: they are.
    #[must_use]
    pub const fn retries(mut self, retries: Retries) -> Self {
        self.retries = retries;
        self
    }

    /// The client. It connects when it is called first, so that the services of a deployment may start in any order.
    ///
    /// # Errors
    ///
    /// When what was said about TLS cannot be used.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn open(self) -> Result<Client, UnusableTls> {
        let tls = match self.server.is_encrypted() {
            true => Some(self.tls.connector()?),
            // A forgotten `https://` must not send the secret in the clear.
            false if self.tls.is_given() => return Err(UnusableTls::Plaintext(self.server)),
            false => None,
        };
        let line = Line::new(&self.server, tls);
        Ok(Client(Arc::new(Inner { options: self, line, budget: Budget::default() })))
    }
}

/// What was said about TLS cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableTls {
    /// There is something about TLS, for a server that is spoken to without.
    #[error("{0} is spoken to without TLS: write https:// in front of the address, or say nothing about TLS")]
    Plaintext(Address),
    /// A certificate or key is wrong.
    #[error(transparent)]
    Pem(#[from] InvalidPem),
}

/// A client of one server, or of many behind one name.
#[derive(Debug, Clone)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: Options,
    line: Line,
    budget: Budget,
}

impl Client {
    /// How a client of that server is to work, and then [`Options::open`].
    pub fn options(server: Address) -> Options {
        Options {
            server,
            tls: Tls::default(),
            credential: None,
            deadline: DEADLINE,
            attempt: ATTEMPT,
            retries: Retries::default(),
        }
    }

    /// Creates a checkout session. Without an `idempotency_key` it gets one, so that it can be repeated.
    ///
    /// # Errors
    ///
    /// `INVALID_FIELD`, `IDEMPOTENCY_KEY_REUSED`, and what every call may answer: see [`v1::ErrorReason`].
    pub async fn create_checkout(
        &self,
        mut request: v1::CreateCheckoutRequest,
    ) -> Result<v1::CreateCheckoutResponse, Error> {
        self.give_key(&mut request.idempotency_key);
        self.call(method::CREATE_CHECKOUT, request).await
    }

    /// Creates an order session. Without an `idempotency_key` it gets one, so that it can be repeated.
    ///
    /// # Errors
    ///
    /// `INVALID_FIELD`, `AUTO_RETURN_NEEDS_SUCCESS_URL`, `IDEMPOTENCY_KEY_REUSED`, and what every call may answer.
    pub async fn create_order(&self, mut request: v1::CreateOrderRequest) -> Result<v1::CreateOrderResponse, Error> {
        self.give_key(&mut request.idempotency_key);
        self.call(method::CREATE_ORDER, request).await
    }

    /// Creates a payment session. Without an `idempotency_key` it gets one, so that it can be repeated.
    ///
    /// # Errors
    ///
    /// `INVALID_FIELD`, `IDEMPOTENCY_KEY_REUSED`, and what every call may answer.
    pub async fn create_payment(
        &self,
        mut request: v1::CreatePaymentRequest,
    ) -> Result<v1::CreatePaymentResponse, Error> {
        self.give_key(&mut request.idempotency_key);
        self.call(method::CREATE_PAYMENT, request).await
    }

    /// A session as it is now.
    ///
    /// # Errors
    ///
    /// `INVALID_FIELD`, `SESSION_NOT_FOUND`, and what every call may answer.
    pub async fn get_session(&self, request: v1::GetSessionRequest) -> Result<v1::GetSessionResponse, Error> {
        self.call(method::GET_SESSION, request).await
    }

    /// Records how a session ended.
    ///
    /// # Errors
    ///
    /// `INVALID_FIELD`, `SESSION_NOT_FOUND`, and what every call may answer.
    pub async fn record_outcome(&self, request: v1::RecordOutcomeRequest) -> Result<v1::RecordOutcomeResponse, Error> {
        self.call(method::RECORD_OUTCOME, request).await
    }

    /// Where the buyer goes. The request's `wait` comes on top of the deadline.
    ///
    /// # Errors
    ///
    /// `INVALID_FIELD`, `SESSION_NOT_FOUND`, and what every call may answer.
    pub async fn resolve_redirect(
        &self,
        request: v1::ResolveRedirectRequest,
    ) -> Result<v1::ResolveRedirectResponse, Error> {
        let wait = request.wait.and_then(|wait| Duration::try_from(wait).ok()).unwrap_or_default();
        // A longer wait is the server's to cut.
        let wait = wait.min(crate::model::limits::WAIT_MAX);
        self.call_with_more_time(method::RESOLVE_REDIRECT, request, wait).await
    }

    /// Many resolves over one stream. Nothing is repeated: what was not answered when it ends is the caller's to ask
    /// again.
    ///
    /// # Errors
    ///
    /// When the stream does not begin. Later errors come out of the stream: [`Client::error_of_stream`] reads them.
    pub async fn resolve_redirects(
        &self,
        requests: impl Stream<Item = v1::ResolveRedirectsRequest> + Send + 'static,
    ) -> Result<Streaming<v1::ResolveRedirectsResponse>, Error> {
        let (channel, number) = self.0.line.current();
        let method = method::RESOLVE_REDIRECTS;
        let request = self.request(requests, None, 1);
        let call = async {
            let mut grpc = Grpc::new(channel);
            grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
            grpc.streaming(request, PathAndQuery::from_static(method.path), ProstCodec::default()).await
        };
        self.bounded(call, number, self.0.options.attempt).await
    }

    /// Where the buyer would go for each outcome.
    ///
    /// # Errors
    ///
    /// `INVALID_FIELD`, `SESSION_NOT_FOUND`, and what every call may answer.
    pub async fn preview_redirects(
        &self,
        request: v1::PreviewRedirectsRequest,
    ) -> Result<v1::PreviewRedirectsResponse, Error> {
        self.call(method::PREVIEW_REDIRECTS, request).await
    }

    /// A session as it changes.
    pub fn watch_session(&self, request: v1::WatchSessionRequest) -> Watch {
        Watch::new(self.clone(), request)
    }

    /// What a return URL is worth.
    ///
    /// # Errors
    ///
    /// `INVALID_FIELD`, and what every call may answer. A return that is worth nothing is a verdict, not an error.
    pub async fn verify_return(&self, request: v1::VerifyReturnRequest) -> Result<v1::VerifyReturnResponse, Error> {
        self.call(method::VERIFY_RETURN, request).await
    }

    /// A merchant's settings.
    ///
    /// # Errors
    ///
    /// `INVALID_FIELD`, and what every call may answer.
    pub async fn get_merchant(&self, request: v1::GetMerchantRequest) -> Result<v1::GetMerchantResponse, Error> {
        self.call(method::GET_MERCHANT, request).await
    }

    /// Changes a merchant's settings.
    ///
    /// # Errors
    ///
    /// `INVALID_FIELD`, `ETAG_MISMATCH`, `SIGNING_KEYS_MISSING`, and what every call may answer. After
    /// [`Error::Lost`] and [`Error::OutOfTime`] the change may have been made: read the merchant to know.
    pub async fn update_merchant(
        &self,
        request: v1::UpdateMerchantRequest,
    ) -> Result<v1::UpdateMerchantResponse, Error> {
        self.call(method::UPDATE_MERCHANT, request).await
    }

    /// Whether the server serves: as a whole when `service` is empty, else that service of it.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` for a service that the server does not have, and whatever keeps an answer from coming.
    pub async fn check_health(&self, service: &str) -> Result<ServingStatus, Error> {
        let request = HealthCheckRequest { service: service.into() };
        let answer: HealthCheckResponse = self.call(method::CHECK_HEALTH, request).await?;
        Ok(answer.status())
    }

    /// What a status out of a stream says.
    pub fn error_of_stream(&self, status: &Status) -> Error {
        self.error(status, self.0.options.deadline)
    }

    /// The connection as it is, for a load generator, which measures the server and not this client.
    pub(crate) fn channel(&self) -> Channel {
        self.0.line.current().0
    }

    pub(crate) fn error(&self, status: &Status, within: Duration) -> Error {
        Error::from_status(status, &self.0.options.server, within)
    }

    fn retries(&self) -> Retries {
        self.0.options.retries
    }

    async fn call<M, R>(&self, method: Method, message: M) -> Result<R, Error>
    where
        M: prost::Message + Clone + 'static,
        R: prost::Message + Default + 'static,
    {
        self.call_with_more_time(method, message, Duration::ZERO).await
    }

    /// Makes a call, and makes it again as long as that is worth it and there is time.
    async fn call_with_more_time<M, R>(&self, method: Method, message: M, more: Duration) -> Result<R, Error>
    where
        M: prost::Message + Clone + 'static,
        R: prost::Message + Default + 'static,
    {
        let Options { deadline, attempt, retries, .. } = &self.0.options;
        let within = deadline.saturating_add(more);
        let end = Instant::now() + within;
        for made in 1.. {
            let left = end.saturating_duration_since(Instant::now());
            let time = left.min(attempt.saturating_add(more));
            let failed = match self.attempt(method, message.clone(), made, time).await {
                Ok(answer) => {
                    self.0.budget.succeeded();
                    return Ok(answer);
                }
                Err(Error::OutOfTime { server, .. }) => Error::OutOfTime { server, within },
                Err(failed) => failed,
            };
            let Some(pause) = retries.pause(method, made, &failed, random()) else { return Err(failed) };
            if !self.0.budget.failed() || Instant::now() + pause >= end {
                return Err(failed);
            }
            tracing::debug!(method = method.path, made, code = ?failed.code(), ?pause, "a call is repeated");
            sleep(pause).await;
        }
        unreachable!("the number of attempts is bounded")
    }

    async fn attempt<M, R>(&self, method: Method, message: M, made: u32, time: Duration) -> Result<R, Error>
    where
        M: prost::Message + 'static,
        R: prost::Message + Default + 'static,
    {
        let (channel, number) = self.0.line.current();
        let request = self.request(message, Some(time), made);
        let call = async {
            let mut grpc = Grpc::new(channel);
            grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
            grpc.unary(request, PathAndQuery::from_static(method.path), ProstCodec::default()).await
        };
        self.bounded(call, number, time).await
    }

    /// Begins a call that is answered by a stream. It is to begin within the time of an attempt.
    async fn open_stream<M, R>(&self, method: Method, message: M, lasts: Duration) -> Result<Streaming<R>, Error>
    where
        M: prost::Message + 'static,
        R: prost::Message + Default + 'static,
    {
        debug_assert_eq!(method.repeat, Repeat::Stream);
        let (channel, number) = self.0.line.current();
        let request = self.request(message, Some(lasts), 1);
        let call = async {
            let mut grpc = Grpc::new(channel);
            grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
            grpc.server_streaming(request, PathAndQuery::from_static(method.path), ProstCodec::default()).await
        };
        self.bounded(call, number, self.0.options.attempt).await
    }

    /// Gives a call its time. A connection on which nothing came back within it may be dead, and is not trusted with the
    /// next call.
    async fn bounded<R>(
        &self,
        call: impl Future<Output = Result<tonic::Response<R>, Status>>,
        number: u64,
        time: Duration,
    ) -> Result<R, Error> {
        let out_of_time = || Error::OutOfTime { server: self.0.options.server.clone(), within: time };
        let answer = match timeout(time, call).await {
            Ok(answer) => answer.map(tonic::Response::into_inner).map_err(|status| self.error(&status, time)),
            Err(_) => Err(out_of_time()),
        };
        if let Err(Error::OutOfTime { .. }) = answer {
            self.0.line.give_up(number);
        }
        answer
    }

    /// A create that is repeated without a key would make two sessions. One that is never repeated needs none.
    fn give_key(&self, key: &mut String) {
        if key.is_empty() && self.retries() != Retries::OFF {
            *key = Uuid::now_v7().to_string();
        }
    }

    fn request<T>(&self, message: impl IntoRequest<T>, time: Option<Duration>, made: u32) -> Request<T> {
        let mut request = message.into_request();
        if let Some(time) = time {
            request.set_timeout(time);
        }
        let metadata = request.metadata_mut();
        if let Some(credential) = &self.0.options.credential {
            metadata.insert("authorization", credential.header());
        }
        // As gRPC's own retries tell the server.
        if made > 1 {
            metadata.insert("grpc-previous-rpc-attempts", (made - 1).into());
        }
        request
    }
}

/// Evenly spread over 0 to 1.
fn random() -> f64 {
    // Without randomness, the longest pause is the safe one.
    getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX))
}

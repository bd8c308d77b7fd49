//! A running server with a toy service, and the two kinds of client that the tests need: tonic's, and one that says
//! exactly the bytes it is told.

use http::{HeaderMap, Request, StatusCode};
use hyper::body::Bytes;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    sync::{oneshot, watch},
    time::{Instant, timeout},
};
use tonic::{Code, Response, Status, transport::Channel};
use tonic_types::StatusExt;
use waypost::{
    grpc::{self, Health, Router, edge},
    proto::v1::{
        merchant_service_server::MerchantService, redirect_service_client::RedirectServiceClient,
        redirect_service_server::RedirectService, *,
    },
    server::{self, Drain, Drained, Http2, Server},
};

/// Longer than anything takes that goes well, so that a test fails instead of hanging.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const GET_SESSION: &str = "/waypost.v1.RedirectService/GetSession";

/// Answers `GetSession` as the `session_id` says: `panic`, `wait` until released, `thread` and `deadline` tell about
/// the call; everything else is given back.
#[derive(Clone)]
pub struct Toy {
    begun: Arc<watch::Sender<usize>>,
    waiting: Arc<watch::Sender<usize>>,
    released: Arc<watch::Sender<bool>>,
}

impl Toy {
    fn new() -> Self {
        Self {
            begun: Arc::new(watch::Sender::new(0)),
            waiting: Arc::new(watch::Sender::new(0)),
            released: Arc::new(watch::Sender::new(false)),
        }
    }

    /// How many calls were begun.
    pub fn begun(&self) -> usize {
        *self.begun.borrow()
    }

    /// Ready once so many calls were begun.
    pub async fn has_begun(&self, calls: usize) {
        self.begun.subscribe().wait_for(|begun| *begun >= calls).await.unwrap();
    }

    /// Ready once so many calls wait.
    pub async fn has_waiting(&self, calls: usize) {
        let mut waiting = self.waiting.subscribe();
        timeout(PATIENCE, waiting.wait_for(|waiting| *waiting >= calls)).await.unwrap().unwrap();
    }

    /// Lets the waiting calls answer, and those that come.
    pub fn release(&self) {
        self.released.send_replace(true);
    }
}

#[tonic::async_trait]
impl RedirectService for Toy {
    async fn get_session(
        &self,
        request: tonic::Request<GetSessionRequest>,
    ) -> Result<Response<GetSessionResponse>, Status> {
        self.begun.send_modify(|begun| *begun += 1);
        let asked = request.get_ref().session_id.as_str();
        let told = match asked {
            "panic" => panic!("asked to"),
            "wait" => {
                self.waiting.send_modify(|waiting| *waiting += 1);
                self.released.subscribe().wait_for(|released| *released).await.unwrap();
                "waited".to_owned()
            }
            "thread" => thread::current().name().unwrap_or_default().to_owned(),
            "deadline" => {
                let at = grpc::deadline().expect("every call has a deadline");
                (at - Instant::now()).as_millis().to_string()
            }
            other => other.to_owned(),
        };
        let session = Session { session_id: told, ..Session::default() };
        Ok(Response::new(GetSessionResponse { session: Some(session) }))
    }

    async fn resolve_redirect(
        &self,
        _: tonic::Request<ResolveRedirectRequest>,
    ) -> Result<Response<ResolveRedirectResponse>, Status> {
        std::future::pending().await
    }

    type ResolveRedirectsStream = futures_util::stream::Pending<Result<ResolveRedirectsResponse, Status>>;

    async fn resolve_redirects(
        &self,
        _: tonic::Request<tonic::Streaming<ResolveRedirectsRequest>>,
    ) -> Result<Response<Self::ResolveRedirectsStream>, Status> {
        unreachable!("no test calls it")
    }

    type WatchSessionStream = futures_util::stream::Pending<Result<WatchSessionResponse, Status>>;

    async fn watch_session(
        &self,
        _: tonic::Request<WatchSessionRequest>,
    ) -> Result<Response<Self::WatchSessionStream>, Status> {
        unreachable!("no test calls it")
    }

    async fn create_checkout(
        &self,
        _: tonic::Request<CreateCheckoutRequest>,
    ) -> Result<Response<CreateCheckoutResponse>, Status> {
        unreachable!("no test calls it")
    }

    async fn create_order(
        &self,
        _: tonic::Request<CreateOrderRequest>,
    ) -> Result<Response<CreateOrderResponse>, Status> {
        unreachable!("no test calls it")
    }

    async fn create_payment(
        &self,
        _: tonic::Request<CreatePaymentRequest>,
    ) -> Result<Response<CreatePaymentResponse>, Status> {
        unreachable!("no test calls it")
    }

    async fn record_outcome(
        &self,
        _: tonic::Request<RecordOutcomeRequest>,
    ) -> Result<Response<RecordOutcomeResponse>, Status> {
        unreachable!("no test calls it")
    }

    async fn preview_redirects(
        &self,
        _: tonic::Request<PreviewRedirectsRequest>,
    ) -> Result<Response<PreviewRedirectsResponse>, Status> {
        unreachable!("no test calls it")
    }

    async fn verify_return(
        &self,
        _: tonic::Request<VerifyReturnRequest>,
    ) -> Result<Response<VerifyReturnResponse>, Status> {
        unreachable!("no test calls it")
    }
}

#[tonic::async_trait]
impl MerchantService for Toy {
    async fn get_merchant(
        &self,
        _: tonic::Request<GetMerchantRequest>,
    ) -> Result<Response<GetMerchantResponse>, Status> {
        unreachable!("no test calls it")
    }

    async fn update_merchant(
        &self,
        _: tonic::Request<UpdateMerchantRequest>,
    ) -> Result<Response<UpdateMerchantResponse>, Status> {
        unreachable!("no test calls it")
    }
}

/// A server on a port of its own, in a thread of its own. Dropping it cuts it off.
pub struct Running {
    pub address: SocketAddr,
    pub toy: Toy,
    pub drain: Drain,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Drained>>,
}

impl Running {
    pub fn start(limits: server::Limits, calls: grpc::Limits) -> Self {
        let toy = Toy::new();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = Server::new(limits);
        let drain = server.drain();
        let (stop, stopped) = oneshot::channel();
        let service = toy.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let health = Health::starting().await;
                health.serving().await;
                let router = Router::new(service.clone(), service, &health);
                server.listen(listener, Http2::new(edge(router, &calls, grpc::Authentication::Off)));
                let shutdown = async { stopped.await.unwrap_or(()) };
                server.run(shutdown, &health).await.unwrap()
            })
        });
        Self { address, toy, drain, stop: Some(stop), thread: Some(thread) }
    }

    /// With limits that no test reaches unless it means to.
    pub fn start_default() -> Self {
        Self::start(server::Limits::default(), grpc::Limits::default())
    }

    /// Begins the drain, and goes on.
    pub fn stop(&mut self) {
        self.stop.take().expect("stopped once").send(()).unwrap();
    }

    /// Waits until the server has returned.
    pub async fn drained(mut self) -> Drained {
        let thread = self.thread.take().unwrap();
        let joined = tokio::task::spawn_blocking(|| thread.join().unwrap());
        timeout(PATIENCE, joined).await.expect("the server returns").unwrap()
    }

    /// A tonic client with one connection.
    pub async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    pub async fn client(&self) -> RedirectServiceClient<Channel> {
        RedirectServiceClient::new(self.channel().await)
    }

    pub async fn socket(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// One connection of the `h2` crate.
    pub async fn h2(&self) -> h2::client::SendRequest<Bytes> {
        let (client, connection) = h2::client::handshake(self.socket().await).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Calls with exactly these headers and this body, on a connection of its own.
    pub async fn raw(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> (StatusCode, HeaderMap) {
        raw(self.h2().await, path, headers, body).await
    }
}

/// Calls with exactly these headers and this body, and gives the answer's head.
pub async fn raw(
    client: h2::client::SendRequest<Bytes>,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> (StatusCode, HeaderMap) {
    let mut request = Request::post(format!("http://server{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (response, mut send) = client.ready().await.unwrap().send_request(request.body(()).unwrap(), false).unwrap();
    send.send_data(body.into(), true).unwrap();
    let head = timeout(PATIENCE, response).await.expect("an answer").unwrap();
    (head.status(), head.headers().clone())
}

pub const GRPC: (&str, &str) = ("content-type", "application/grpc");

/// A message as gRPC frames it.
pub fn framed(message: &impl prost::Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap();
    [&[0][..], &length.to_be_bytes(), &message].concat()
}

pub fn ask(session_id: &str) -> GetSessionRequest {
    GetSessionRequest { session_id: session_id.to_owned() }
}

/// Asks the toy, and gives what it told.
pub async fn tell(client: &mut RedirectServiceClient<Channel>, session_id: &str) -> Result<String, Status> {
    let answer = timeout(PATIENCE, client.get_session(ask(session_id))).await.expect("an answer")?;
    Ok(answer.into_inner().session.unwrap().session_id)
}

/// The code and reason of an error, which must have come with our domain.
pub fn reason(status: &Status) -> (Code, String) {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no reason in {status:?}"));
    assert_eq!((info.domain.as_str(), info.metadata), ("waypost.v1", HashMap::new()));
    (status.code(), info.reason)
}

pub fn expected(code: Code, reason: &str) -> (Code, String) {
    (code, reason.to_owned())
}

//! A whole server on a port of its own, its clock in the test's hand, and a client that speaks JSON as grpcurl does.

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions};
use serde_json::Value;
use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::sync::{Notify, oneshot};
use tonic::{
    Code, Request, Status, Streaming,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt;
use waypost::{
    app::{App, Clock, Signer},
    grpc::{self, Health, Merchants, Redirects, Router},
    pages::Links,
    proto::FILE_DESCRIPTOR_SET,
    redirect::Mode,
    server::{Http2, Limits, Server},
    store::{MemoryStore, Store},
};

/// The time at which every test begins: 2026-01-01 00:00 UTC, in microseconds.
pub const BEGIN_MICROS: i64 = 1_767_225_600_000_000;

/// A running server. It stops when this and all its clients are dropped.
pub struct Served {
    pub addr: SocketAddr,
    clock: Arc<AtomicI64>,
    running: Arc<oneshot::Sender<()>>,
    stop: Arc<Notify>,
}

impl Served {
    /// As in production, on the memory store.
    pub fn start() -> Self {
        Self::start_in(Mode::Production)
    }

    pub fn start_in(mode: Mode) -> Self {
        Self::start_on(mode, Arc::new(MemoryStore::default()), None)
    }

    /// One of several servers on that store, perhaps with links to pages.
    pub fn start_on(mode: Mode, store: Arc<dyn Store>, links: Option<Links>) -> Self {
        Self::start_with(mode, store, links, None)
    }

    /// One of several servers on that store that signs returns.
    pub fn start_signing(store: Arc<dyn Store>, signer: Signer) -> Self {
        Self::start_with(Mode::Production, store, None, Some(signer))
    }

    fn start_with(mode: Mode, store: Arc<dyn Store>, links: Option<Links>, signer: Option<Signer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let clock = Arc::new(AtomicI64::new(BEGIN_MICROS));
        let mut app = App::new(store, mode, Clock::Manual(Arc::clone(&clock)));
        if let Some(signer) = signer {
            app = app.signing(signer);
        }
        let (running, dropped) = oneshot::channel::<()>();
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let health = Health::starting().await;
                let mut server = Server::new(Limits { grace: Duration::from_secs(5), ..Limits::default() });
                let mut redirects = Redirects::new(app.clone()).draining(server.drain());
                if let Some(links) = links {
                    redirects = redirects.linking(Arc::new(links));
                }
                let router = Router::new(redirects, Merchants::new(app), &health);
                server.listen(
                    listener,
                    Http2::new(grpc::edge(router, &grpc::Limits::default(), grpc::Authentication::Off)),
                );
                health.serving().await;
                let shutdown = async {
                    tokio::select! {
                        _ = dropped => {}
                        () = stopped.notified() => {}
                    }
                };
                server.run(shutdown, &health).await.expect("to serve");
            });
        });
        Self { addr, clock, running: Arc::new(running), stop }
    }

    /// Begins the drain.
    pub fn stop(&self) {
        self.stop.notify_one();
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).expect("a short time");
        self.clock.fetch_add(micros, Ordering::SeqCst);
    }

    /// A client with a connection of its own.
    pub fn client(&self) -> Client {
        self.client_on(Endpoint::from_shared(format!("http://{}", self.addr)).expect("an address"))
    }

    /// A client that takes no more than that many bytes of an answer before it reads them.
    pub fn client_with_window(&self, bytes: u32) -> Client {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.addr)).expect("an address");
        self.client_on(endpoint.initial_stream_window_size(bytes))
    }

    fn client_on(&self, endpoint: Endpoint) -> Client {
        let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("descriptors");
        Client { channel: endpoint.connect_lazy(), pool, _running: Arc::clone(&self.running) }
    }
}

/// Calls methods by name, with requests and answers as proto JSON.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    pool: DescriptorPool,
    _running: Arc<oneshot::Sender<()>>,
}

/// An error as a client sees it.
#[derive(Debug)]
pub struct Refused {
    pub code: Code,
    pub reason: String,
    pub message: String,
    /// The violations: field and description.
    pub fields: Vec<(String, String)>,
    pub retry_after: Option<Duration>,
}

impl Client {
    /// Calls a method that is expected to succeed.
    pub async fn ok(&self, method: &str, request: Value) -> Value {
        match self.call(method, request.clone()).await {
            Ok(answer) => answer,
            Err(refused) => panic!("{method} {request}\n{refused:#?}"),
        }
    }

    /// Calls a method that is expected to fail.
    pub async fn refused(&self, method: &str, request: Value) -> Refused {
        match self.call(method, request.clone()).await {
            Ok(answer) => panic!("{method} {request}\nwas accepted: {answer}"),
            Err(refused) => refused,
        }
    }

    pub async fn call(&self, method: &str, request: Value) -> Result<Value, Refused> {
        self.call_within(method, request, Duration::from_secs(30)).await
    }

    pub async fn call_within(&self, method: &str, request: Value, timeout: Duration) -> Result<Value, Refused> {
        let method = self.method(method);
        let request = DynamicMessage::deserialize(method.input(), request).expect("a request of this method");
        let mut request = Request::new(request.encode_to_vec());
        request.set_timeout(timeout);
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.expect("a connection");
        let answer = grpc.unary(request, path.parse().expect("a path"), BytesCodec).await.map_err(refused)?;
        Ok(json(method.output(), &answer.into_inner()))
    }

    /// Calls a method whose answer is a stream.
    pub async fn stream(&self, method: &str, request: Value) -> Result<Answers, Refused> {
        let method = self.method(method);
        let request = DynamicMessage::deserialize(method.input(), request).expect("a request of this method");
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.expect("a connection");
        let request = Request::new(request.encode_to_vec());
        let answer =
            grpc.server_streaming(request, path.parse().expect("a path"), BytesCodec).await.map_err(refused)?;
        Ok(Answers { stream: answer.into_inner(), descriptor: method.output() })
    }

    /// Calls a method that takes a stream, with messages of exactly these bytes.
    pub async fn converse(&self, method: &str, messages: Vec<Vec<u8>>) -> Answers {
        let method = self.method(method);
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.expect("a connection");
        let request = Request::new(tokio_stream::iter(messages));
        let answer = grpc.streaming(request, path.parse().expect("a path"), BytesCodec).await.expect("a stream");
        Answers { stream: answer.into_inner(), descriptor: method.output() }
    }

    pub fn method(&self, name: &str) -> MethodDescriptor {
        let mut methods = self.pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        methods.find(|method| method.name() == name).expect("a method of that name")
    }
}

/// The answers of one call.
pub struct Answers {
    stream: Streaming<Vec<u8>>,
    descriptor: MessageDescriptor,
}

impl Answers {
    /// The next answer; `None` when the stream has ended well.
    pub async fn next(&mut self) -> Option<Result<Value, Refused>> {
        match self.stream.message().await {
            Ok(None) => None,
            Ok(Some(bytes)) => Some(Ok(json(self.descriptor.clone(), &bytes))),
            Err(status) => Some(Err(refused(status))),
        }
    }
}

fn json(descriptor: MessageDescriptor, bytes: &[u8]) -> Value {
    let message = DynamicMessage::decode(descriptor, bytes).expect("an answer of this method");
    let options = SerializeOptions::new().skip_default_fields(true);
    message.serialize_with_options(serde_json::value::Serializer, &options).expect("JSON")
}

fn refused(status: Status) -> Refused {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("an error without ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "waypost.v1");
    let violations = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
    Refused {
        code: status.code(),
        reason: info.reason.clone(),
        message: status.message().to_owned(),
        fields: violations.into_iter().map(|violation| (violation.field, violation.description)).collect(),
        retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
    }
}

/// Passes encoded messages through.
#[derive(Clone, Default)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(into, &item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for BytesCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let len = bytes::Buf::remaining(from);
        Ok(Some(bytes::Buf::copy_to_bytes(from, len).to_vec()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

//! A server with a credentials file of its own, and a client that keeps an answer as it was sent.

use http::{HeaderMap, Request};
use hyper::body::Bytes;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, SerializeOptions};
use serde_json::{Value, json};
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{net::TcpStream, sync::oneshot, time::timeout};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use waypost::{
    app::{App, Clock, Signer},
    callers::{Credentials, SecretDigest},
    followed::Followed,
    grpc::{self, Authentication, Health, Merchants, Redirects, Router},
    proto::FILE_DESCRIPTOR_SET,
    redirect::{Mode, SigningKey, SigningKeys, to_pem},
    server::{Http2, Limits, Server},
    store::MemoryStore,
};

/// Longer than anything takes that goes well, so that a test fails instead of hanging.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The credential that may do everything.
pub const ADMIN: &str = "secret-of-admin";

/// An entry of a credentials file. The secret is `secret-of-` and the name.
pub fn entry(name: &str, merchants: &str, scopes: &str) -> String {
    let digest = SecretDigest::of(format!("secret-of-{name}").as_bytes()).expect("short enough");
    format!("[[credential]]\nname = {name:?}\nsha256 = \"{digest}\"\nmerchants = {merchants}\nscopes = {scopes}\n")
}

/// The entry of [`ADMIN`].
pub fn admin() -> String {
    entry("admin", "\"all\"", "[\"admin\"]")
}

/// A running server. It stops when this is dropped.
pub struct Served {
    pub addr: SocketAddr,
    credentials: Arc<Followed<Credentials>>,
    file: PathBuf,
    _dir: TempDir,
    _running: oneshot::Sender<()>,
}

/// Signs returns with a key that is no secret.
fn signer() -> Signer {
    let keys = SigningKeys::new(SigningKey::read_all(&to_pem(&[7; 32])).expect("keys")).expect("a set");
    Signer::new(keys, "https://pay.example.com".parse().expect("an issuer"), Duration::from_secs(15 * 60))
}

impl Served {
    /// With these credentials, on a store of its own.
    pub fn start(credentials: &str) -> Self {
        let dir = TempDir::new().expect("a directory");
        let file = dir.path().join("credentials.toml");
        fs::write(&file, credentials).expect("written");
        let path = file.clone();
        let read = move |before: Option<&Credentials>| Credentials::open(&path, before);
        let credentials = Arc::new(Followed::open("--credentials-file", vec![file.clone()], read).expect("readable"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let (running, dropped) = oneshot::channel::<()>();
        let authentication = Authentication::By(Arc::clone(&credentials));
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let health = Health::starting().await;
                let app = App::new(Arc::new(MemoryStore::default()), Mode::Production, Clock::System).signing(signer());
                let mut server = Server::new(Limits { grace: Duration::from_secs(5), ..Limits::default() });
                let redirects = Redirects::new(app.clone()).draining(server.drain());
                let router = Router::new(redirects, Merchants::new(app), &health);
                server.listen(listener, Http2::new(grpc::edge(router, &grpc::Limits::default(), authentication)));
                health.serving().await;
                server.run(async { dropped.await.unwrap_or(()) }, &health).await.expect("to serve");
            });
        });
        Self { addr, credentials, file, _dir: dir, _running: running }
    }

    /// Replaces the credentials file, and has it read again.
    pub fn replace_credentials(&self, credentials: &str) {
        let new = self.file.with_extension("new");
        fs::write(&new, credentials).expect("written");
        fs::rename(new, &self.file).expect("replaced");
        self.credentials.look_again();
    }

    /// A client with a connection of its own.
    pub async fn client(&self) -> Client {
        let (client, connection) =
            h2::client::handshake(TcpStream::connect(self.addr).await.expect("connected")).await.expect("HTTP/2");
        tokio::spawn(connection);
        Client { connection: client, pool: DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("descriptors") }
    }
}

/// Calls methods by name, with requests as proto JSON.
#[derive(Clone)]
pub struct Client {
    connection: h2::client::SendRequest<Bytes>,
    pool: DescriptorPool,
}

/// Everything that an answer consists of. Two that are equal cannot be told apart by whoever gets them.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub head: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: HeaderMap,
}

impl Answer {
    /// The code and the reason; `OK` has none.
    pub fn code(&self) -> (Code, String) {
        let status = self.status();
        let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
        (status.code(), reason)
    }

    pub fn status(&self) -> Status {
        let status = Status::from_header_map(&self.head).or_else(|| Status::from_header_map(&self.trailers));
        // A stream that goes on has no status yet.
        status.unwrap_or_else(|| Status::ok(""))
    }

    /// Whether it went well.
    pub fn is_ok(&self) -> bool {
        self.code().0 == Code::Ok
    }

    /// It failed with that code and reason.
    pub fn failed(&self, code: Code, reason: &str) {
        assert_eq!(self.code(), (code, reason.to_owned()), "{self:?}");
    }
}

/// The answers of a call that lasts.
pub struct Answers {
    head: HeaderMap,
    body: h2::RecvStream,
}

impl Answers {
    /// The next piece; `None` when there is no more, and then the status.
    pub async fn next(&mut self) -> Result<Bytes, Status> {
        if let Some(status) = Status::from_header_map(&self.head) {
            return Err(status);
        }
        match timeout(PATIENCE, self.body.data()).await.expect("an answer") {
            Some(data) => {
                let data = data.expect("data");
                self.body.flow_control().release_capacity(data.len()).expect("was taken");
                Ok(data)
            }
            None => {
                let trailers = self.body.trailers().await.expect("trailers").expect("trailers");
                Err(Status::from_header_map(&trailers).expect("a status"))
            }
        }
    }
}

impl Client {
    pub fn methods(&self) -> Vec<MethodDescriptor> {
        self.pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
    }

    /// Calls a method and waits for its answer; of a stream, for the first message.
    pub async fn call(&self, secret: &str, method: &str, request: Value) -> Answer {
        self.call_with(&[("authorization", &format!("Bearer {secret}"))], method, request).await
    }

    /// The same with these headers.
    pub async fn call_with(&self, headers: &[(&str, &str)], method: &str, request: Value) -> Answer {
        let descriptor = self.method(method);
        let streams = descriptor.is_server_streaming();
        let mut answers = self.begin(headers, &path(&descriptor), &encoded(&descriptor, request)).await;
        let (mut body, mut trailers) = (Vec::new(), HeaderMap::new());
        if !answers.body.is_end_stream() {
            while let Some(data) = timeout(PATIENCE, answers.body.data()).await.expect("an answer") {
                body.extend(data.expect("data"));
                if streams {
                    return Answer { head: answers.head, body, trailers };
                }
            }
            trailers = answers.body.trailers().await.expect("trailers").unwrap_or_default();
        }
        Answer { head: answers.head, body, trailers }
    }

    /// Begins a call whose answers are read one by one.
    pub async fn stream(&self, secret: &str, method: &str, request: Value) -> Answers {
        let descriptor = self.method(method);
        let bearer = format!("Bearer {secret}");
        self.begin(&[("authorization", &bearer)], &path(&descriptor), &encoded(&descriptor, request)).await
    }

    /// Begins a call with exactly these bytes, and no more.
    pub async fn begin(&self, headers: &[(&str, &str)], path: &str, message: &[u8]) -> Answers {
        let (mut requests, response) = self.open(headers, path).await;
        // A call that is refused by its head alone may be over before its body is sent.
        let _ = requests.send_data(framed(message), true);
        answers(response).await
    }

    /// Begins a call that takes many requests, with one of them: its answers, and where more go.
    pub async fn converse(&self, secret: &str, method: &str, request: Value) -> (h2::SendStream<Bytes>, Answers) {
        let descriptor = self.method(method);
        let bearer = format!("Bearer {secret}");
        let (mut requests, response) = self.open(&[("authorization", &bearer)], &path(&descriptor)).await;
        requests.send_data(framed(&encoded(&descriptor, request)), false).expect("sent");
        (requests, answers(response).await)
    }

    /// The bytes of a request of a method, for more of them on a call that takes many.
    pub fn request(&self, method: &str, request: Value) -> Bytes {
        framed(&encoded(&self.method(method), request))
    }

    async fn open(&self, headers: &[(&str, &str)], path: &str) -> (h2::SendStream<Bytes>, h2::client::ResponseFuture) {
        let mut request = Request::post(format!("http://server{path}")).header("content-type", "application/grpc");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let client = self.connection.clone().ready().await.expect("a connection");
        let request = request.body(()).expect("a request");
        let (response, requests) = { client }.send_request(request, false).expect("sent");
        (requests, response)
    }

    /// The answer to a call that is expected to go well, as JSON.
    pub async fn ok(&self, secret: &str, method: &str, request: Value) -> Value {
        let answer = self.call(secret, method, request).await;
        assert!(answer.is_ok(), "{method}: {:?}", answer.status());
        let message = DynamicMessage::decode(self.method(method).output(), &answer.body[5..]).expect("an answer");
        let options = SerializeOptions::new().skip_default_fields(true);
        message.serialize_with_options(serde_json::value::Serializer, &options).expect("JSON")
    }

    /// The id of a new session of that merchant.
    pub async fn create(&self, secret: &str, merchant: &str) -> String {
        let created = self.ok(secret, "CreatePayment", payment(merchant)).await;
        created["session"]["sessionId"].as_str().expect("an id").to_owned()
    }

    fn method(&self, name: &str) -> MethodDescriptor {
        self.methods().into_iter().find(|method| method.name() == name).expect("a method of that name")
    }
}

async fn answers(response: h2::client::ResponseFuture) -> Answers {
    let (head, body) = timeout(PATIENCE, response).await.expect("an answer").expect("an answer").into_parts();
    assert_eq!(head.status.as_u16(), 200);
    Answers { head: head.headers, body }
}

fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("short");
    [&[0][..], &length.to_be_bytes(), message].concat().into()
}

fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

fn encoded(method: &MethodDescriptor, request: Value) -> Vec<u8> {
    DynamicMessage::deserialize(method.input(), request).expect("a request of this method").encode_to_vec()
}

/// The body of a payment.
pub fn payment(merchant: &str) -> Value {
    json!({
        "merchant_id": merchant, "customer_email": "ana@example.com",
        "items": [{"type": "PAYMENT_INTENT", "price": "50", "currency": "USD"}],
        "redirect_url": "https://shop.example.com/paid?id={{id}}"
    })
}

//! A server with a page listener on ports of its own, the use cases beside it, and a client that says exactly what it is
//! told.

use serde_json::{Map, Value, json};
use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    time::timeout,
};
use waypost::{
    app::{App, Clock, Draft, Effect, MerchantChange, Signer},
    grpc::Health,
    model::{Ending, Kind, Outcome, SessionId, Tenants, Violations},
    pages::{self, Links, PageKeys, PublicUrl},
    redirect::Mode,
    server::{Drained, Limits, Server, Web},
    store::{MemoryStore, Store},
};

/// Longer than anything takes that goes well.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A running server. It drains when this is dropped.
pub struct Served {
    pub addr: SocketAddr,
    pub app: App,
    pub links: Arc<Links>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Drained>>,
}

impl Served {
    pub fn start(mode: Mode) -> Self {
        Self::start_on(mode, Arc::new(MemoryStore::default()), KEY)
    }

    /// One of several servers on that store.
    pub fn start_on(mode: Mode, store: Arc<dyn Store>, key: &str) -> Self {
        Self::start_with(mode, store, key, None)
    }

    /// One of several servers on that store that signs returns.
    pub fn start_signing(store: Arc<dyn Store>, signer: Signer) -> Self {
        Self::start_with(Mode::Production, store, KEY, Some(signer))
    }

    fn start_with(mode: Mode, store: Arc<dyn Store>, key: &str, signer: Option<Signer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let mut app = App::new(store, mode, Clock::System);
        if let Some(signer) = signer {
            app = app.signing(signer);
        }
        let keys = PageKeys::read(key).expect("a key");
        let links = Arc::new(Links::new(PublicUrl::of_listener(addr).expect("an address"), keys, mode));
        let (stop, stopped) = oneshot::channel::<()>();
        let (served_app, served_links) = (app.clone(), Arc::clone(&links));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let health = Health::starting().await;
                let mut server = Server::new(Limits { grace: Duration::from_secs(10), ..Limits::default() });
                let router = pages::router(served_app, served_links, server.drain());
                server.listen_with(listener, Web::new(router), &pages::limits::places());
                server.run(async { drop(stopped.await) }, &health).await.expect("to serve")
            })
        });
        Self { addr, app, links, stop: Some(stop), thread: Some(thread) }
    }

    /// Creates a session with that body.
    pub async fn create(&self, kind: Kind, body: Value) -> SessionId {
        let Value::Object(body) = body else { panic!("a body is an object") };
        let draft = Draft {
            merchant_id: Some("shop".parse().expect("an id")),
            kind,
            idempotency: None,
            ttl: None,
            body: with_essentials(kind, body),
        };
        self.app.create_session(draft, Violations::default(), &Tenants::All).await.expect("a session").session.id
    }

    pub async fn record(&self, id: SessionId, outcome: Outcome) {
        self.app.record_outcome(id, Ending::bare(outcome), &Tenants::All).await.expect("recorded");
    }

    /// A session that ended like this.
    pub async fn ended(&self, kind: Kind, body: Value, outcome: Outcome) -> SessionId {
        let id = self.create(kind, body).await;
        self.record(id, outcome).await;
        id
    }

    pub async fn merchant(&self, change: MerchantChange) {
        let id = Some("shop".parse().expect("an id"));
        self.app
            .update_merchant(id, change, Violations::default(), Effect::Save, &Tenants::All)
            .await
            .expect("settings");
    }

    /// The path of a session's page.
    pub fn page(&self, id: SessionId) -> String {
        self.path_of(&self.links.page_url(id))
    }

    /// The path of a session's sandbox checkout.
    pub fn checkout(&self, id: SessionId) -> String {
        self.path_of(&self.links.checkout_url(id).expect("the sandbox"))
    }

    fn path_of(&self, url: &str) -> String {
        url.strip_prefix(&format!("http://{}", self.addr)).expect("a link to this server").to_owned()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.get_in("en", path).await
    }

    pub async fn get_in(&self, language: &str, path: &str) -> Answer {
        self.say(&format!("GET {path} HTTP/1.1\r\nhost: x\r\naccept-language: {language}\r\nconnection: close\r\n\r\n"))
            .await
    }

    pub async fn post(&self, path: &str, form: &str) -> Answer {
        let head = "content-type: application/x-www-form-urlencoded\r\nconnection: close";
        self.say(&format!("POST {path} HTTP/1.1\r\nhost: x\r\n{head}\r\ncontent-length: {}\r\n\r\n{form}", form.len()))
            .await
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.expect("a connection")
    }

    /// Says that on a connection of its own and reads until it is closed.
    pub async fn say(&self, request: &str) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut bytes = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("an answer in time").expect("an answer");
        Answer::read(&bytes)
    }

    /// Begins the drain, and waits for its end.
    pub async fn drain(mut self) -> Drained {
        drop(self.stop.take());
        let thread = self.thread.take().expect("runs");
        timeout(PATIENCE, tokio::task::spawn_blocking(|| thread.join().expect("no panic")))
            .await
            .expect("drained")
            .expect("joined")
    }
}

/// What every body of a kind has to have.
fn with_essentials(kind: Kind, mut body: Map<String, Value>) -> Map<String, Value> {
    let essential = match kind {
        Kind::Checkout => json!({"customer": {}, "shopping_cart": {"line_items": [{"price": 123_450, "unit_qty": 1}]}}),
        Kind::Order => json!({"type": "online", "total_amount": "1000.00"}),
        Kind::Payment => json!({"customer_email": "a@b.c", "items": [{"price": "50", "currency": "USD"}]}),
    };
    for (name, value) in essential.as_object().expect("an object") {
        body.entry(name.as_str()).or_insert_with(|| value.clone());
    }
    body
}

/// An HTTP answer, taken apart.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {text:?}"));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let headers =
            lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        Self { status: status.expect("a status"), headers: headers.collect(), body: body.to_owned() }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// What a reader reads: the text between the tags, with spaces for them.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for part in self.body.split('<').skip(1) {
            text.push(' ');
            text.push_str(part.split_once('>').map_or("", |(_, text)| text));
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

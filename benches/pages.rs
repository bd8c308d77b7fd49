//! The buyers' pages beside an axum handler that says two letters, in one run, as ratios: `cargo bench --bench pages`.
//!
//! Both are served by the same server on the same worker, and asked in turn, block after block, by one client that has
//! one request in flight: what is measured is latency, not throughput. `WAYPOST_BENCH_REQUESTS` is the number of
//! requests of each (default 20,000).

use axum::{Router, routing::get};
use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};
use std::{
    env,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    num::NonZeroUsize,
    sync::Arc,
    thread,
    time::Instant,
};
use waypost::{
    app::{App, Clock, Draft},
    grpc::Health,
    model::{Ending, Kind, Outcome, Tenants, Violations},
    pages::{self, Links, PageKeys, PublicUrl},
    redirect::Mode,
    server::{Limits, Server, Web},
    store::MemoryStore,
};

/// Requests of one thing before the next one's turn.
const BLOCK: usize = 500;

fn main() {
    // `cargo test` runs benches too, to see that they work.
    let tests = !env::args().any(|arg| arg == "--bench");
    let asked = env::var("WAYPOST_BENCH_REQUESTS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let blocks = if tests { 1 } else { asked / BLOCK };

    let [pages, bare] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let [pages_at, bare_at] = [&pages, &bare].map(|listener| listener.local_addr().expect("its address"));
    let app = App::new(Arc::new(MemoryStore::default()), Mode::Production, Clock::System);
    let keys = PageKeys::ephemeral().expect("randomness");
    let links = Arc::new(Links::new(PublicUrl::of_listener(pages_at).expect("an address"), keys, Mode::Production));
    let [redirect, page] = sessions(&app, &links);
    let served_links = Arc::clone(&links);
    thread::spawn(move || serve(app, served_links, pages, bare));

    let mut things = [
        Thing::new("an axum handler", bare_at, "/"),
        Thing::new("a redirect (303)", pages_at, &redirect),
        Thing::new("a page with a countdown", pages_at, &page),
    ];
    for _ in 0..=blocks {
        for thing in &mut things {
            thing.ask();
        }
    }
    let bare = things[0].latency.value_at_quantile(0.5) as f64;
    for Thing { name, latency, bytes, .. } in &things {
        let micros = |quantile| latency.value_at_quantile(quantile) as f64 / 1_000.0;
        println!(
            "{name:<24} p50 {:>6.1} us  p99 {:>6.1} us  {bytes:>5} bytes  {:.2} times the handler",
            micros(0.5),
            micros(0.99),
            latency.value_at_quantile(0.5) as f64 / bare
        );
    }
}

/// The paths of a session that redirects and of one that shows a page.
fn sessions(app: &App, links: &Links) -> [String; 2] {
    let url = "https://shop.example.com/paid?order={{id}}";
    let payment =
        json!({"customer_email": "a@b.c", "items": [{"price": "50", "currency": "USD"}], "redirect_url": url});
    let order = json!({"type": "online", "total_amount": "1000.00", "external_reference": "A-17", "checkout_pro": {"back_urls": {"success": url}}});
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    [(Kind::Payment, payment), (Kind::Order, order)].map(|(kind, body)| {
        let body: Map<String, Value> = body.as_object().expect("an object").clone();
        let merchant_id = Some("shop".parse().expect("an id"));
        let draft = Draft { merchant_id, kind, idempotency: None, ttl: None, body };
        runtime.block_on(async {
            let created = app.create_session(draft, Violations::default(), &Tenants::All).await.expect("a session");
            let id = created.session.id;
            app.record_outcome(id, Ending::bare(Outcome::Success), &Tenants::All).await.expect("recorded");
            let url = links.page_url(id);
            url[url.find("/r/").expect("a page")..].to_owned()
        })
    })
}

fn serve(app: App, links: Arc<Links>, pages: TcpListener, bare: TcpListener) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let health = Health::starting().await;
        let mut server = Server::new(Limits { workers: NonZeroUsize::MIN, ..Limits::default() });
        let router = pages::router(app, links, server.drain());
        server.listen_with(pages, Web::new(router), &pages::limits::places());
        server.listen(bare, Web::new(Router::new().route("/", get(|| async { "ok" }))));
        server.run(std::future::pending(), &health).await.expect("to serve");
    });
}

/// What is asked for, on a connection of its own.
struct Thing {
    name: &'static str,
    stream: TcpStream,
    request: String,
    latency: Histogram<u64>,
    /// Of one answer, its head included.
    bytes: usize,
    warm: bool,
}

impl Thing {
    fn new(name: &'static str, addr: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(addr).expect("a connection");
        stream.set_nodelay(true).expect("without delay");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\naccept-language: pt-BR,pt;q=0.9,en;q=0.8\r\n\r\n");
        let latency = Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("bounds");
        Self { name, stream, request, latency, bytes: 0, warm: false }
    }

    /// One block. The first one is not counted.
    fn ask(&mut self) {
        for _ in 0..BLOCK {
            let began = Instant::now();
            self.stream.write_all(self.request.as_bytes()).expect("written");
            self.bytes = answer(&mut self.stream);
            if self.warm {
                self.latency.saturating_record(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
            }
        }
        self.warm = true;
    }
}

/// Reads one answer, and gives its length.
fn answer(stream: &mut TcpStream) -> usize {
    let mut bytes = [0; 16 * 1_024];
    let mut read = 0;
    loop {
        read += match stream.read(&mut bytes[read..]).expect("readable") {
            0 => panic!("closed"),
            length => length,
        };
        let Some(head) = bytes[..read].windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = str::from_utf8(&bytes[..head]).expect("ASCII");
        let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse().ok());
        let whole = head + 4 + length.unwrap_or(0);
        if read >= whole {
            return whole;
        }
    }
}

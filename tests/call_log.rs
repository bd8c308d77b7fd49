//! The log's line for each call, request ids and traces, as callers and collectors of the real binary meet them.

#[path = "support/metrics.rs"]
mod metrics;
#[path = "support/process.rs"]
#[allow(dead_code, reason = "shared with tests that do more")]
mod process;

use metrics::metrics;
use process::Process;
use redb::{ReadableTable, TableDefinition};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tonic::{Code, Request, Response, Status, metadata::MetadataMap, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use waypost::proto::v1::{
    CreatePaymentRequest, CreatePaymentResponse, GetMerchantRequest, PaymentItem, ResolveRedirectRequest,
    ResolveRedirectsRequest, WatchSessionRequest, merchant_service_client::MerchantServiceClient,
    redirect_service_client::RedirectServiceClient,
};

/// Above what anything takes here, on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(20);

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn waypost(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
    command.env_clear().env("WAYPOST_OPS_ADDR", "off").env("WAYPOST_STORE", "memory:").args(args);
    command
}

/// A server that logs into a file.
struct Server {
    process: Process,
    grpc: String,
    pages: String,
    dir: TempDir,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let dir = TempDir::new().expect("a directory");
        let log = File::create(dir.path().join("log")).expect("a log");
        let mut process = Process::start(
            waypost(&["serve", "--grpc-addr", "127.0.0.1:0", "--page-addr", "127.0.0.1:0"])
                .args(["--workers", "1", "--log-format", "json"])
                .args(args)
                .stderr(log),
        );
        let (grpc, pages) = (process.said("gRPC"), process.said("pages").trim_start_matches("http://").to_owned());
        Self { process, grpc, pages, dir }
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.grpc)).expect("a URL").connect().await.expect("connected")
    }

    async fn create(&self, headers: &[(&'static str, &str)]) -> Response<CreatePaymentResponse> {
        let mut client = RedirectServiceClient::new(self.channel().await);
        client.create_payment(with(headers, payment())).await.expect("created")
    }

    async fn resolve(&self, id: &str, headers: &[(&'static str, &str)]) -> Result<MetadataMap, Status> {
        let mut client = RedirectServiceClient::new(self.channel().await);
        let request = ResolveRedirectRequest { session_id: id.into(), ..Default::default() };
        client.resolve_redirect(with(headers, request)).await.map(|answer| answer.metadata().clone())
    }

    /// Every line that it logged, after it has ended.
    fn log(mut self) -> Vec<BTreeMap<String, Value>> {
        assert!(self.process.stop().success());
        let log = fs::read_to_string(self.dir.path().join("log")).expect("text");
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"))).collect()
    }

    /// The lines about calls.
    fn calls(self) -> Vec<BTreeMap<String, Value>> {
        self.log().into_iter().filter(|line| line["target"] == "waypost::calls").collect()
    }
}

fn payment() -> CreatePaymentRequest {
    CreatePaymentRequest {
        merchant_id: "m1".into(),
        customer_email: "ana@secret.example".into(),
        items: vec![PaymentItem { r#type: "PAYMENT_INTENT".into(), price: "50".into(), currency: "USD".into() }],
        redirect_url: "https://secret.example.com/?id={{id}}".into(),
        ..Default::default()
    }
}

fn with<T>(headers: &[(&'static str, &str)], message: T) -> Request<T> {
    let mut request = Request::new(message);
    for (name, value) in headers {
        request.metadata_mut().insert(*name, value.parse().expect("a header"));
    }
    request
}

fn request_id(metadata: &MetadataMap) -> Option<&str> {
    metadata.get("x-request-id").map(|id| id.to_str().expect("text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_has_a_line_that_says_what_it_was_about() {
    let server = Server::start(&[]);
    let created = server.create(&[("x-request-id", "req-1"), ("traceparent", TRACEPARENT)]).await;
    assert_eq!(request_id(created.metadata()), Some("req-1"));
    let id = created.into_inner().session.expect("a session").session_id;
    let resolved = server.resolve(&id, &[]).await.expect("resolved");
    let made = request_id(&resolved).expect("an id").to_owned();
    let unknown = "invoice_01986132-e354-7676-9b4a-fc8dd5c5253e";
    let failed = server.resolve(unknown, &[("x-request-id", "req-3")]).await.expect_err("not there");
    assert_eq!((failed.code(), request_id(failed.metadata())), (Code::NotFound, Some("req-3")));
    let mut merchants = MerchantServiceClient::new(server.channel().await);
    merchants.get_merchant(GetMerchantRequest { merchant_id: "m2".into() }).await.expect("the defaults");

    let calls = server.calls();
    let said = |at: usize, name: &str| calls[at].get(name).and_then(Value::as_str).map(str::to_owned);
    let named = |at: usize| {
        ["method", "code", "request_id", "trace_id", "session_id", "merchant_id"].map(|name| said(at, name))
    };
    let some = |text: &str| Some(text.to_owned());
    let method = |name: &str| some(&format!("waypost.v1.RedirectService/{name}"));
    let trace = some("4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(named(0), [method("CreatePayment"), some("OK"), some("req-1"), trace, some(&id), some("m1")]);
    assert_eq!(named(1), [method("ResolveRedirect"), some("OK"), some(&made), None, some(&id), some("m1")]);
    assert_eq!(named(2), [method("ResolveRedirect"), some("NOT_FOUND"), some("req-3"), None, some(unknown), None]);
    assert_eq!(named(3)[5], some("m2"));
    assert_eq!(calls.len(), 4);
    for call in &calls {
        assert_eq!((call["level"].as_str(), call["message"].as_str()), (Some("INFO"), Some("call")));
        assert!(call["duration_us"].as_u64().is_some_and(|micros| micros < 20_000_000), "{call:?}");
        assert!(!format!("{call:?}").contains("secret"), "{call:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_may_not_stand_in_a_log_is_replaced() {
    let server = Server::start(&[]);
    let long = "a".repeat(129);
    for given in ["two words", "{{id}}", "a\"b", long.as_str()] {
        let created = server.create(&[("x-request-id", given)]).await;
        let answered = request_id(created.metadata()).expect("an id");
        assert_ne!(answered, given);
        assert_eq!(answered.len(), 32);
    }
    let calls = server.calls();
    assert_eq!(calls.len(), 4);
    assert!(calls.iter().all(|call| call["request_id"].as_str().is_some_and(|id| id.len() == 32)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_its_line_when_it_ends_and_health_only_where_it_is_asked_for() {
    for (log, health_lines) in [("info", 0), ("info,waypost::calls=debug", 1)] {
        let server = Server::start(&["--log", log]);
        let mut health = HealthClient::new(server.channel().await);
        health.check(HealthCheckRequest::default()).await.expect("serving");
        let id = server.create(&[]).await.into_inner().session.expect("a session").session_id;
        let mut client = RedirectServiceClient::new(server.channel().await);
        let watch = client.watch_session(with(&[("x-request-id", "watch-1")], WatchSessionRequest { session_id: id }));
        let mut watch = watch.await.expect("watched");
        assert_eq!(request_id(watch.metadata()), Some("watch-1"));
        watch.get_mut().message().await.expect("a state").expect("a state");
        // The drain ends it.
        let calls = server.calls();
        let of = |name: &str| {
            calls
                .iter()
                .filter(|call| call["method"].as_str().is_some_and(|method| method.contains(name)))
                .collect::<Vec<_>>()
        };
        assert_eq!(of("Health").len(), health_lines, "{calls:?}");
        let [watched] = of("WatchSession")[..] else { panic!("{calls:?}") };
        assert_eq!((watched["code"].as_str(), watched["request_id"].as_str()), (Some("UNAVAILABLE"), Some("watch-1")));
        assert_eq!(watched["merchant_id"].as_str(), Some("m1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_lines_no_id_is_made_and_a_given_one_is_still_answered() {
    let server = Server::start(&["--log", "warn"]);
    assert_eq!(request_id(server.create(&[]).await.metadata()), None);
    let given = server.create(&[("x-request-id", "req-1")]).await;
    assert_eq!(request_id(given.metadata()), Some("req-1"));
    assert_eq!(server.calls().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_names_the_credential_and_never_its_secret() {
    let dir = TempDir::new().expect("a directory");
    let made = waypost(&["keygen", "credential", "--name", "shop", "--merchant", "m1"])
        .args(["--scope", "create", "--scope", "read"])
        .output();
    let made = made.expect("run");
    let text = String::from_utf8(made.stdout).expect("text");
    let secret =
        text.split_whitespace().find(|word| word.starts_with("wp_")).map(|secret| secret.trim_matches('"').to_owned());
    let entry: String =
        text.lines().skip_while(|line| !line.starts_with("[[")).map(|line| format!("{line}\n")).collect();
    assert!(made.status.success() && secret.is_some(), "{text}");
    let secret = secret.expect("a secret");
    let path = dir.path().join("credentials.toml");
    fs::write(&path, entry).expect("written");
    let server = Server::start(&["--credentials-file", path.to_str().expect("UTF-8")]);
    server.create(&[("authorization", &format!("Bearer {secret}"))]).await;
    let refused = server.resolve("nonsense", &[("authorization", "Bearer wp_wrong"), ("x-request-id", "req-2")]).await;
    assert_eq!(refused.expect_err("refused").code(), Code::Unauthenticated);
    let calls = server.calls();
    assert_eq!(calls[0]["caller"].as_str(), Some("shop"));
    assert_eq!((calls[1]["code"].as_str(), calls[1].get("caller")), (Some("UNAUTHENTICATED"), None));
    assert!(!format!("{calls:?}").contains(&secret) && !format!("{calls:?}").contains("wp_wrong"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_lines_by_route_without_their_links() {
    let server = Server::start(&[]);
    get(&server.pages, "/r/secret-token?secret-query", "");
    let log = server.log();
    let pages: Vec<_> = log.iter().filter(|line| line["message"] == "page").collect();
    let [page] = pages[..] else { panic!("{log:?}") };
    assert_eq!((page["route"].as_str(), page["status"].as_u64()), (Some("return"), Some(404)));
    assert!(!format!("{log:?}").contains("secret"));
}

/// The head of what the page listener answers.
fn get(pages: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(pages).expect("connected");
    let head = format!("GET {path} HTTP/1.1\r\nHost: pay.example.com\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer.split("\r\n\r\n").next().unwrap_or_default().to_owned()
}

fn answered_id(head: &str) -> Option<&str> {
    head.lines().find_map(|line| line.strip_prefix("x-request-id: "))
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_take_or_make_request_ids_as_calls_do_and_say_whose_page_it_was() {
    let server = Server::start(&[]);
    let session = server.create(&[]).await.into_inner().session.expect("a session");
    let page = session.page_url.split_once(&server.pages).expect("a link to this server").1;
    let headers = format!("X-Request-Id: req-7\r\nTraceparent: {TRACEPARENT}\r\n");
    assert_eq!(answered_id(&get(&server.pages, page, &headers)), Some("req-7"));
    // What may not stand in a log is not answered either, and no page is refused for it.
    let refused = get(&server.pages, "/nothing", "X-Request-Id: two words\r\n");
    let made = answered_id(&refused).expect("an id").to_owned();
    assert!(refused.starts_with("HTTP/1.1 404") && made.len() == 32 && made != "two words", "{refused}");

    let log = server.log();
    let pages: Vec<_> = log.iter().filter(|line| line["target"] == "waypost::pages").collect();
    let said = |at: usize| {
        ["route", "request_id", "trace_id", "session_id", "merchant_id"]
            .map(|name| pages[at].get(name).and_then(Value::as_str))
    };
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    assert_eq!(said(0), ["return", "req-7", trace, &session.session_id, "m1"].map(Some));
    assert_eq!(said(1), [Some("other"), Some(&made), None, None, None]);
    assert_eq!(pages.len(), 2);
    assert!(!format!("{log:?}").contains(page) && !format!("{log:?}").contains("secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_without_a_line_answer_an_id_that_was_given_and_make_none() {
    let server = Server::start(&["--log", "warn"]);
    assert_eq!(answered_id(&get(&server.pages, "/nothing", "X-Request-Id: req-1\r\n")), Some("req-1"));
    assert_eq!(answered_id(&get(&server.pages, "/nothing", "")), None);
    assert!(server.log().iter().all(|line| line["message"] != "page"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_takes_holds_up_no_call_and_says_what_it_lost() {
    let mut process = Process::start(
        waypost(&["serve", "--grpc-addr", "127.0.0.1:0", "--page-addr", "off", "--workers", "1"])
            .args(["--ops-addr", "127.0.0.1:0"])
            .stderr(Stdio::piped()),
    );
    let (grpc, ops) = (process.said("gRPC"), process.said("ops"));
    let dropped = || metrics(&ops).get("waypost_log_lines_dropped_total").copied();
    // More than the pipe and the queue hold together: half a kilobyte each.
    let channel = Channel::from_shared(format!("http://{grpc}")).expect("a URL").connect().await.expect("connected");
    let began = Instant::now();
    while dropped() == Some(0.0) {
        for _ in 0..500 {
            let mut client = RedirectServiceClient::new(channel.clone());
            let unknown = "invoice_01986132-e354-7676-9b4a-fc8dd5c5253e";
            let request = ResolveRedirectRequest { session_id: unknown.into(), ..Default::default() };
            let request = with(&[("x-request-id", &"a".repeat(128))], request);
            let answer =
                tokio::time::timeout(PATIENCE, client.resolve_redirect(request)).await.expect("no call is held up");
            assert_eq!(answer.expect_err("not there").code(), Code::NotFound);
        }
        assert!(began.elapsed() < 6 * PATIENCE, "nothing was dropped");
    }
    // Somebody reads again.
    let mut lines = BufReader::new(process.child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("log lines were dropped")), "it never said that it lost lines");
}

#[test]
fn a_log_that_cannot_be_written_is_counted() {
    let full = File::options().write(true).open("/dev/full").expect("a device");
    let serve = ["serve", "--grpc-addr", "127.0.0.1:0", "--page-addr", "off", "--ops-addr", "127.0.0.1:0"];
    let mut process = Process::start(waypost(&serve).args(["--workers", "1", "--log", "debug"]).stderr(full));
    let ops = process.said("ops");
    let began = Instant::now();
    while metrics(&ops)["waypost_log_lines_dropped_total"] == 0.0 {
        assert!(began.elapsed() < PATIENCE, "nothing was counted");
    }
    assert!(process.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cause_of_a_failed_call_has_its_request_id() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("waypost.redb");
    let store = format!("redb:{}", file.display());
    let server = Server::start(&["--store", &store]);
    let id = server.create(&[]).await.into_inner().session.expect("a session").session_id;
    drop(server);
    spoil(&file);
    let server = Server::start(&["--store", &store]);
    server.resolve(&id, &[("x-request-id", "of-the-call")]).await.expect_err("it cannot be read");
    let resolve = ResolveRedirectRequest { session_id: id, ..Default::default() };
    let asked = tokio_stream::once(ResolveRedirectsRequest { resolve: Some(resolve), ..Default::default() });
    let mut client = RedirectServiceClient::new(server.channel().await);
    let answers = client.resolve_redirects(with(&[("x-request-id", "of-the-stream")], asked)).await;
    let mut answers = answers.expect("a stream").into_inner();
    while answers.message().await.expect("an answer").is_some() {}
    drop(client);
    let lines = server.log();
    for id in ["of-the-call", "of-the-stream"] {
        let line = |text: &str| {
            lines.iter().find(|line| line.get("request_id") == Some(&id.into()) && line["message"] == text)
        };
        assert!(line("the store holds something unreadable").is_some(), "{id}: {lines:?}");
        // A stream may be about many.
        let call = line("call").unwrap_or_else(|| panic!("{id}: {lines:?}"));
        assert_eq!(call.contains_key("session_id"), id == "of-the-call", "{call:?}");
    }
}

/// Makes the one session in a file unreadable.
fn spoil(file: &Path) {
    const SESSIONS: TableDefinition<'_, &[u8; 17], (u64, i64, &[u8])> = TableDefinition::new("sessions");
    let database = redb::Database::create(file).expect("opened");
    let transaction = database.begin_write().expect("begun");
    {
        let mut sessions = transaction.open_table(SESSIONS).expect("there");
        let id = *sessions.first().expect("read").expect("one").0.value();
        sessions.insert(&id, (1, i64::MAX, &b"{}"[..])).expect("written");
    }
    transaction.commit().expect("committed");
}

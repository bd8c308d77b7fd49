//! The operations listener of the real binary: what is counted is what happened, and ready is who can serve.

#[path = "support/metrics.rs"]
mod metrics;
#[path = "support/process.rs"]
#[allow(dead_code, reason = "shared with tests that do more")]
mod process;

use metrics::metrics;
use process::Process;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const PAYMENT: &str = r#"{"customer_email":"ana@example.com","items":[{"type":"PAYMENT_INTENT","price":"50","currency":"USD"}],"redirect_url":"https://shop.example.com/paid?id={{id}}&x={{nothing}}"}"#;

const RESOLVE: &str = r#"method="waypost.v1.RedirectService/ResolveRedirect""#;

/// Above what anything takes here, on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that ends with the test.
struct Server {
    process: Process,
    grpc: String,
    pages: String,
    ops: String,
}

fn waypost(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
    command.env_clear().args(args);
    command
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let mut command = waypost(&["serve", "--grpc-addr", "127.0.0.1:0", "--page-addr", "127.0.0.1:0"]);
        command.args(["--ops-addr", "127.0.0.1:0", "--workers", "2"]).args(args);
        let mut process = Process::start(command.stderr(Stdio::null()));
        let [grpc, pages, ops] = ["gRPC", "pages", "ops"].map(|listener| process.said(listener));
        let ops = ops.strip_prefix("http://").and_then(|url| url.strip_suffix("/metrics")).expect("a URL").to_owned();
        let pages = pages.strip_prefix("http://").expect("a URL").to_owned();
        Self { process, grpc, pages, ops }
    }

    fn run(&self, args: &[&str], stdin: &str) -> Output {
        let mut command = waypost(args);
        command.env("WAYPOST_SERVER", &self.grpc).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("started");
        child.stdin.take().expect("piped").write_all(stdin.as_bytes()).expect("written");
        child.wait_with_output().expect("ended")
    }

    /// The id of a new payment.
    fn create(&self) -> String {
        let output = self.run(&["create", "payment", "-", "--merchant", "demo"], PAYMENT);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text").lines().next().expect("an id").to_owned()
    }

    fn ask(&self, path: &str) -> (u16, String) {
        get(&self.ops, path, "*/*")
    }

    fn metrics(&self) -> BTreeMap<String, f64> {
        metrics(&format!("http://{}/metrics", self.ops))
    }

    /// Waits until it says that.
    fn until(&self, path: &str, status: u16) -> String {
        let began = Instant::now();
        loop {
            let (said, body) = self.ask(path);
            if said == status {
                return body;
            }
            assert!(began.elapsed() < PATIENCE, "{path} went on saying {said}: {body}");
            thread::yield_now();
        }
    }
}

/// Status and body of a request over HTTP/1.1.
fn get(addr: &str, path: &str, accept: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let head = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_owned())
}

fn number(metrics: &BTreeMap<String, f64>, series: &str) -> f64 {
    metrics.get(series).copied().unwrap_or(0.0)
}

#[test]
fn calls_and_decisions_are_counted_by_what_became_of_them() {
    let server = Server::start(&["--store", "memory:"]);
    let id = server.create();
    for outcome in ["success", "success", "failure"] {
        assert!(server.run(&["resolve", &id, "--outcome", outcome], "").status.success());
    }
    let unknown = "invoice_01986132-e354-7676-9b4a-fc8dd5c5253e";
    assert!(!server.run(&["resolve", unknown], "").status.success());
    assert!(!server.run(&["resolve", "nonsense"], "").status.success());

    let metrics = server.metrics();
    let number = |series: &str| number(&metrics, series);
    assert_eq!(number(&format!(r#"waypost_calls_total{{{RESOLVE},code="OK"}}"#)), 3.0);
    assert_eq!(number(&format!(r#"waypost_calls_total{{{RESOLVE},code="NOT_FOUND"}}"#)), 1.0);
    assert_eq!(number(&format!(r#"waypost_calls_total{{{RESOLVE},code="INVALID_ARGUMENT"}}"#)), 1.0);
    assert_eq!(number(&format!("waypost_call_duration_seconds_count{{{RESOLVE}}}")), 5.0);
    assert_eq!(number(&format!(r#"waypost_call_duration_seconds_bucket{{{RESOLVE},le="+Inf"}}"#)), 5.0);
    assert!(number(&format!("waypost_call_duration_seconds_sum{{{RESOLVE}}}")) > 0.0);
    assert_eq!(number(r#"waypost_decisions_total{kind="payment",outcome="success",source="request"}"#), 2.0);
    assert_eq!(number(r#"waypost_decisions_total{kind="payment",outcome="failure",source="request"}"#), 1.0);
    assert_eq!(number(r#"waypost_unresolved_placeholders_total{kind="payment"}"#), 3.0);
    assert_eq!(number(r#"waypost_store_operation_duration_seconds_count{operation="create"}"#), 1.0);
    assert_eq!(number("waypost_store_sessions"), 1.0);
    let bytes = number("waypost_store_bytes_per_session");
    assert!(bytes >= 300.0, "a session takes {bytes} bytes");
    assert!(number("process_resident_memory_bytes") > 1e6);
    assert!(number("process_start_time_seconds") > 1.6e9);
    assert_eq!(number(r#"waypost_ready{component="store"}"#), 1.0);
}

#[test]
fn a_url_that_fails_the_final_check_is_counted_by_its_reason() {
    let server = Server::start(&["--store", "memory:"]);
    let id = server.create();
    let set = ["merchant", "set", "demo", "--allowed-origin", "https://other.example.com"];
    assert!(server.run(&set, "").status.success());
    assert!(server.run(&["resolve", &id, "--outcome", "success"], "").status.success());
    let metrics = server.metrics();
    assert_eq!(number(&metrics, r#"waypost_refused_urls_total{reason="origin_not_allowed"}"#), 1.0);
    let hosted = r#"waypost_decisions_total{kind="payment",outcome="success",source="hosted_page"}"#;
    assert_eq!(number(&metrics, hosted), 1.0);
}

#[test]
fn streams_pages_and_connections_are_counted_while_they_last_and_afterwards() {
    let server = Server::start(&["--store", "memory:"]);
    let id = server.create();
    let (status, _) = get(&server.pages, "/r/nonsense", "*/*");
    assert_eq!(status, 404);
    assert!(
        server
            .run(&["bench", "stream", "--duration", "1s", "--sessions", "10", "--merchant", "demo"], "")
            .status
            .success()
    );
    let metrics = server.metrics();
    let number = |series: &str| number(&metrics, series);
    assert_eq!(number(r#"waypost_page_requests_total{route="return",status="404"}"#), 1.0);
    assert_eq!(number(r#"waypost_page_duration_seconds_count{route="return"}"#), 1.0);
    assert!(number(r#"waypost_streamed_resolves_total{code="OK"}"#) > 100.0);
    let streams = r#"method="waypost.v1.RedirectService/ResolveRedirects""#;
    assert!(number(&format!(r#"waypost_calls_total{{{streams},code="OK"}}"#)) >= 1.0, "{metrics:?}");
    assert_eq!(number(&format!("waypost_streams_open{{{streams}}}")), 0.0);
    assert!(number(r#"waypost_connections_accepted_total{listener="grpc"}"#) >= 2.0);
    assert_eq!(number(r#"waypost_connections_accepted_total{listener="pages"}"#), 1.0);
    // The one by which it was asked.
    assert_eq!(number(r#"waypost_connections_open{listener="ops"}"#), 1.0);
    drop(id);
}

#[test]
fn what_waits_counts_as_given_up_when_its_caller_goes() {
    let server = Server::start(&["--store", "memory:"]);
    let id = server.create();
    let resolving = ["resolve", &id, "--wait", "30s"];
    let mut waiting =
        waypost(&resolving).env("WAYPOST_SERVER", &server.grpc).stdout(Stdio::null()).spawn().expect("run");
    let began = Instant::now();
    let open = r#"waypost_connections_open{listener="grpc"}"#;
    let loads = r#"waypost_store_operation_duration_seconds_count{operation="session"}"#;
    while number(&server.metrics(), open) < 1.0 || number(&server.metrics(), loads) < 1.0 {
        assert!(began.elapsed() < PATIENCE, "the call never came");
    }
    waiting.kill().expect("killed");
    waiting.wait().expect("ended");
    let given_up = format!(r#"waypost_calls_total{{{RESOLVE},code="CANCELLED"}}"#);
    while number(&server.metrics(), &given_up) < 1.0 {
        assert!(began.elapsed() < PATIENCE, "the call went on without its caller");
    }
}

#[test]
fn a_stream_counts_as_given_up_when_its_caller_goes() {
    let server = Server::start(&["--store", "memory:"]);
    let load = ["bench", "stream", "--duration", "1m", "--sessions", "10", "--merchant", "demo", "--connections", "1"];
    let mut busy = waypost(&load).env("WAYPOST_SERVER", &server.grpc).stdout(Stdio::null()).spawn().expect("run");
    let began = Instant::now();
    let streams = r#"method="waypost.v1.RedirectService/ResolveRedirects""#;
    let open = format!("waypost_streams_open{{{streams}}}");
    while number(&server.metrics(), &open) < 1.0 {
        assert!(began.elapsed() < PATIENCE, "the stream never came");
    }
    busy.kill().expect("killed");
    busy.wait().expect("ended");
    while number(&server.metrics(), &open) > 0.0 {
        assert!(began.elapsed() < PATIENCE, "the stream went on without its caller");
    }
    let ended = |code| number(&server.metrics(), &format!(r#"waypost_calls_total{{{streams},code="{code}"}}"#));
    assert_eq!(["CANCELLED", "OK", "UNKNOWN", "INTERNAL"].map(ended), [1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn the_embedded_store_tells_of_its_transactions_and_its_cache() {
    let dir = TempDir::new().expect("a directory");
    let store = format!("redb:{}", dir.path().join("waypost.redb").display());
    let server = Server::start(&["--store", &store]);
    let id = server.create();
    assert!(server.run(&["get", &id], "").status.success());
    let metrics = server.metrics();
    let number = |series: &str| number(&metrics, series);
    assert_eq!(number("waypost_store_sessions"), 1.0);
    assert!(metrics.contains_key("waypost_store_queued_writes"));
    assert!(!metrics.contains_key("waypost_store_session_memory_bytes"), "it keeps sessions in a file");
    assert_eq!(number("waypost_store_commit_duration_seconds_count"), 1.0);
    assert_eq!(number("waypost_store_commit_writes_sum"), 1.0);
    assert_eq!(number(r#"waypost_store_cache_reads_total{result="hit"}"#), 1.0);
}

#[test]
fn a_server_that_serves_is_alive_and_ready_and_says_of_what() {
    let server = Server::start(&["--store", "memory:"]);
    assert_eq!(server.ask("/livez"), (200, "alive\n".to_owned()));
    let ready = "ready\nok   listeners: listening\nok   store: answers\nok   drain: not draining\n";
    assert_eq!(server.ask("/readyz"), (200, ready.to_owned()));
    let (status, json) = get(&server.ops, "/readyz", "application/json");
    assert_eq!(status, 200);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["ready"], true);
    assert_eq!(json["components"]["store"], serde_json::json!({"ready": true, "reason": "answers"}));
    assert_eq!(server.ask("/").0, 404);
    assert!(server.run(&["healthcheck"], "").status.success());
}

#[test]
fn a_server_that_drains_is_alive_and_not_ready_and_the_health_says_the_same() {
    let server = Server::start(&["--store", "memory:", "--lame-duck", "60s"]);
    server.process.signal(libc::SIGTERM);
    let body = server.until("/readyz", 503);
    assert!(body.starts_with("not ready\n") && body.contains("FAIL drain: draining"), "{body}");
    assert_eq!(server.ask("/livez").0, 200);
    assert_eq!(number(&server.metrics(), r#"waypost_ready{component="drain"}"#), 0.0);
    assert!(!server.run(&["healthcheck"], "").status.success());
}

#[test]
fn without_an_address_there_is_no_listener_and_one_that_is_taken_is_named() {
    let server = Server::start(&["--store", "memory:"]);
    let serve = ["serve", "--grpc-addr", "127.0.0.1:0", "--page-addr", "off", "--store", "memory:", "--ops-addr"];
    let output = waypost(&serve).arg(&server.ops).output().expect("run");
    let error = String::from_utf8(output.stderr).expect("text");
    assert!(!output.status.success());
    assert!(error.contains(&format!("cannot listen on --ops-addr {}", server.ops)), "{error}");
    let mut off = waypost(&serve).arg("off").stdout(Stdio::piped()).spawn().expect("started");
    let stdout = BufReader::new(off.stdout.take().expect("piped"));
    let announced: Vec<_> = stdout.lines().map_while(Result::ok).take_while(|line| !line.contains("store")).collect();
    assert!(announced.iter().all(|line| !line.contains("ops")), "{announced:?}");
    off.kill().expect("killed");
    off.wait().expect("ended");
}

#[test]
fn nothing_that_callers_choose_is_a_label() {
    let server = Server::start(&["--store", "memory:"]);
    let id = server.create();
    let recording = ["record", &id, "success", "--payment-id", "secret-payment", "--status", "secret-status"];
    assert!(server.run(&recording, "").status.success());
    get(&server.pages, "/secret-path?secret-query", "*/*");
    get(&server.ops, "/secret-path", "*/*");
    let (_, body) = server.ask("/metrics");
    for never in ["secret", &id, "demo", "shop.example.com", "ana@"] {
        assert!(!body.contains(never), "{never} is in the metrics");
    }
}

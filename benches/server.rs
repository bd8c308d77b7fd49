//! The whole server in one run, as ratios: `cargo bench --bench server`.
//!
//! These are measured in turn, round after round: `ResolveRedirect` of `waypost serve` with `--log warn`, the same
//! with a line of the log for each call, the same over streams (`ResolveRedirects`) with as many and with more in
//! flight and over a single stream with as many in flight as all of these together, `Health/Check` of the same
//! process, `ResolveRedirect` and `Health/Check` one call at a time, `ResolveRedirect` of the same service on
//! tonic's own server with its defaults, and streams to a Waypost with two workers.
//!
//! Each is measured shortly and often, so that what is compared was measured within about a second.
//!
//! In some rounds also `ResolveRedirect` at a steady rate, half of what was measured in that round, for a second. It is
//! looked at in windows of a hundredth of a second, so short that nothing else takes a core in most of them: then the
//! median over the windows is the server's own, and the whole second has what the machine did to it as well.
//!
//! The servers have one core and the load another; the load speaks HTTP/2 by itself, so that it costs less than
//! what it measures. Two workers have both cores and share one of them with the load: what counts there is what a
//! request costs them, beside what it costs two servers that have a worker on each of these cores and share nothing.
//! It is a stream's, as the load can make enough of these.
//!
//! `WAYPOST_BENCH_SECONDS` is the length of a measurement (default 0.1), `WAYPOST_BENCH_ROUNDS` their number
//! (default 63).

mod support {
    #[allow(dead_code, reason = "shared with benchmarks that need other parts of it")]
    pub mod h2_client;
    pub mod process;
}

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use prost::Message;
use std::{
    env,
    net::TcpListener,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use support::{
    h2_client::{Messages, begin, call, connect, frame},
    process::{LOAD_CORE, Server, pin},
};
use tokio::task::JoinSet;
use tonic::transport::server::TcpIncoming;
use waypost::{
    app::{App, Clock},
    grpc::{Merchants, Redirects},
    proto::v1::{
        CreatePaymentRequest, CreatePaymentResponse, PaymentItem, RecordOutcomeRequest, ResolveRedirectRequest,
        ResolveRedirectsRequest, merchant_service_server::MerchantServiceServer,
        redirect_service_server::RedirectServiceServer,
    },
    redirect::Mode,
    store::MemoryStore,
};

const ROLE: &str = "WAYPOST_BENCH_ROLE";
const CONNECTIONS: usize = 4;
const IN_FLIGHT: usize = 16;
const SESSIONS: usize = 10_000;
/// Rounds for each second at a steady rate.
const STEADY_EVERY: usize = 7;
/// In a second at a steady rate.
const WINDOWS: usize = 100;

fn main() {
    if env::var(ROLE).is_ok() {
        serve_with_stock_tonic();
        return;
    }
    // `cargo test` runs benches too, to see that they work: then once, and shortly.
    let number = |name: &str, default| env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let tests = !env::args().any(|arg| arg == "--bench");
    let (seconds, rounds) = if tests {
        (0.05, 1)
    } else {
        (number("WAYPOST_BENCH_SECONDS", 0.1), number("WAYPOST_BENCH_ROUNDS", 63.0) as usize)
    };
    let sessions = if tests { 100 } else { SESSIONS };

    let (waypost, talkative, doubled) =
        (Server::waypost("warn"), Server::waypost("info"), Server::waypost_on_two_cores("warn"));
    let beside_the_load = Server::waypost_beside_the_load("warn");
    let stock = Server::start(Command::new(env::current_exe().expect("this program")).env(ROLE, "stock"));
    pin(0, &[LOAD_CORE]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let resolving = resolves(&waypost, sessions).await;
        let one_by_one = resolving.clone();
        let (streamed, doubled_streamed) = (in_streams(&resolving), in_streams(&resolves(&doubled, sessions).await));
        let other_streamed = in_streams(&resolves(&beside_the_load, sessions).await);
        let other = Target { in_flight: 256, ..Target::new("the other", &beside_the_load, other_streamed).await }.on(2);
        let apart = Target::new("the same on two servers", &waypost, streamed.clone()).await.on(2);
        let apart = Target { in_flight: 256, beside: Some(Box::new(other)), ..apart };
        let mut targets = [
            Target::new("waypost ResolveRedirect", &waypost, resolving).await,
            Target::new("the same, a log line a call", &talkative, resolves(&talkative, sessions).await).await,
            Target::new("waypost ResolveRedirects", &waypost, streamed.clone()).await,
            Target { in_flight: 256, ..Target::new("the same, 256 in flight", &waypost, streamed.clone()).await },
            Target::new("over a single stream", &waypost, streamed.clone()).await.over_one(CONNECTIONS * IN_FLIGHT),
            Target::new("the same, 256 in flight", &waypost, streamed).await.over_one(256),
            Target::new("waypost Health/Check", &waypost, vec![(HEALTH, frame(&[]))]).await,
            Target::new("stock tonic ResolveRedirect", &stock, resolves(&stock, sessions).await).await,
            Target { in_flight: 256, ..Target::new("the same on two workers", &doubled, doubled_streamed).await },
            apart,
            Target::new("ResolveRedirect, one at a time", &waypost, one_by_one).await.over_one(1),
            Target::new("Health/Check, one at a time", &waypost, vec![(HEALTH, frame(&[]))]).await.over_one(1),
        ];
        let mut steady = Vec::new();
        for round in 0..=rounds {
            for target in &mut targets {
                let measured = target.measure(Duration::from_secs_f64(seconds)).await;
                // The first round warms up.
                if round > 0 || rounds == 1 {
                    target.rounds.push(measured);
                }
            }
            if round % STEADY_EVERY != 0 {
                continue;
            }
            let half = targets[0].rounds.last().map_or(1_000.0, |measured| measured.calls_per_second / 2.0);
            steady.push(targets[0].measure_at(half, Duration::from_secs(u64::from(!tests))).await);
        }
        report(&targets);
        report_steady(&steady);
    });
}

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const RESOLVE: &str = "/waypost.v1.RedirectService/ResolveRedirect";
const STREAM: &str = "/waypost.v1.RedirectService/ResolveRedirects";
const CREATE: &str = "/waypost.v1.RedirectService/CreatePayment";
const RECORD: &str = "/waypost.v1.RedirectService/RecordOutcome";

/// The service as a team would start it: tonic's server, tokio's default runtime.
fn serve_with_stock_tonic() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    println!("gRPC {}", listener.local_addr().expect("its address"));
    listener.set_nonblocking(true).expect("a socket");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let app = App::new(Arc::new(MemoryStore::default()), Mode::Sandbox, Clock::System);
        let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
        tonic::transport::Server::builder()
            .add_service(RedirectServiceServer::new(Redirects::new(app.clone())))
            .add_service(MerchantServiceServer::new(Merchants::new(app)))
            // As tonic's own listener does it by default.
            .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
            .await
            .expect("to serve");
    });
}

/// A kind of call to a server, and what was measured of it.
struct Target<'s> {
    name: &'static str,
    server: &'s Server,
    connections: Vec<SendRequest<Bytes>>,
    requests: Arc<[(&'static str, Bytes)]>,
    /// On each connection.
    in_flight: usize,
    /// Measured at the same time, and counted as one with it.
    beside: Option<Box<Self>>,
    rounds: Vec<Measured>,
}

struct Measured {
    calls_per_second: f64,
    server_micros_per_call: f64,
    p50_micros: u64,
    p99_micros: u64,
}

impl Measured {
    /// Two servers together.
    fn beside(&self, other: &Self) -> Self {
        let calls_per_second = self.calls_per_second + other.calls_per_second;
        let cost = |measured: &Self| measured.server_micros_per_call * measured.calls_per_second / calls_per_second;
        Self {
            calls_per_second,
            server_micros_per_call: cost(self) + cost(other),
            p50_micros: self.p50_micros.max(other.p50_micros),
            p99_micros: self.p99_micros.max(other.p99_micros),
        }
    }
}

impl<'s> Target<'s> {
    async fn new(name: &'static str, server: &'s Server, requests: Vec<(&'static str, Bytes)>) -> Self {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(connect(server.addr).await);
        }
        Self {
            name,
            server,
            connections,
            requests: requests.into(),
            in_flight: IN_FLIGHT,
            beside: None,
            rounds: Vec::new(),
        }
    }

    /// Over one connection, with so many in flight.
    fn over_one(self, in_flight: usize) -> Self {
        Self { in_flight, ..self.on(1) }
    }

    /// Over so many connections.
    fn on(mut self, connections: usize) -> Self {
        self.connections.truncate(connections);
        self
    }

    async fn measure(&self, length: Duration) -> Measured {
        let Some(other) = &self.beside else { return self.measure_alone(length).await };
        let (one, other) = tokio::join!(self.measure_alone(length), other.measure_alone(length));
        one.beside(&other)
    }

    async fn measure_alone(&self, length: Duration) -> Measured {
        let mut tasks = JoinSet::new();
        let (began, cpu) = (Instant::now(), self.server.cpu());
        if self.requests[0].0 == STREAM {
            for connection in &self.connections {
                tasks.spawn(converse(connection.clone(), Arc::clone(&self.requests), self.in_flight, began + length));
            }
            return self.measured(tasks, began, cpu).await;
        }
        let callers = self.connections.len() * self.in_flight;
        for (number, connection) in (0..callers).zip(self.connections.iter().cycle()) {
            let (mut connection, requests) = (connection.clone(), Arc::clone(&self.requests));
            tasks.spawn(async move {
                let mut latencies = Vec::new();
                // Each task walks through the sessions from a place of its own, with a stride that meets them all.
                let mut at = number * 7_919;
                while began.elapsed() < length {
                    let (path, message) = &requests[at % requests.len()];
                    at += 6_151;
                    let sent = Instant::now();
                    call(&mut connection, path, message.clone()).await;
                    latencies.push(sent.elapsed());
                }
                latencies
            });
        }
        self.measured(tasks, began, cpu).await
    }

    /// Calls at a steady rate, whatever is answered; each latency counts from the moment at which its call was due, in
    /// the order of these.
    async fn measure_at(&self, rate: f64, length: Duration) -> Vec<Duration> {
        let mut tasks = JoinSet::new();
        let began = Instant::now();
        let calls = (rate * length.as_secs_f64()) as u32;
        for (number, connection) in (0..calls).zip(self.connections.iter().cycle()) {
            let due = began + Duration::from_secs_f64(f64::from(number) / rate);
            // A timer is exact to a millisecond only.
            while Instant::now() < due {
                tokio::task::yield_now().await;
            }
            let (mut connection, requests) = (connection.clone(), Arc::clone(&self.requests));
            tasks.spawn(async move {
                let (path, message) = &requests[number as usize * 6_151 % requests.len()];
                call(&mut connection, path, message.clone()).await;
                (number, due.elapsed())
            });
        }
        let mut latencies = tasks.join_all().await;
        latencies.sort_unstable();
        latencies.into_iter().map(|(_, latency)| latency).collect()
    }

    /// Waits for the tasks, which have the latencies of their calls.
    async fn measured(&self, mut tasks: JoinSet<Vec<Duration>>, began: Instant, cpu: f64) -> Measured {
        let mut latencies = hdrhistogram::Histogram::<u64>::new(3).expect("a histogram");
        while let Some(done) = tasks.join_next().await {
            for latency in done.expect("a task") {
                latencies.record(latency.as_micros() as u64).expect("a latency");
            }
        }
        let (calls, elapsed) = (latencies.len() as f64, began.elapsed().as_secs_f64());
        Measured {
            calls_per_second: calls / elapsed,
            server_micros_per_call: (self.server.cpu() - cpu) * 1e6 / calls,
            p50_micros: latencies.value_at_quantile(0.5),
            p99_micros: latencies.value_at_quantile(0.99),
        }
    }

    fn median(&self, of: impl Fn(&Measured) -> f64) -> f64 {
        let mut values: Vec<f64> = self.rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }
}

/// `ResolveRedirectsResponse` for a load that must keep up with one core of answers: the redirect stays in its bytes.
#[derive(PartialEq, Message)]
struct Answer {
    #[prost(uint64, tag = "1")]
    correlation_id: u64,
    #[prost(bytes = "bytes", tag = "2")]
    redirect: Bytes,
}

/// A call of `ResolveRedirects` with so many requests in progress until `end`: each answer's time, from the moment
/// in which its request was given to HTTP/2 to that in which the answer was read.
async fn converse(
    mut connection: SendRequest<Bytes>,
    requests: Arc<[(&'static str, Bytes)]>,
    in_flight: usize,
    end: Instant,
) -> Vec<Duration> {
    let (mut ask, answers) = begin(&mut connection, STREAM).await;
    let mut answers = Messages::new(answers);
    // By the request's number: when it was sent.
    let mut sent = vec![end; requests.len()];
    let (mut at, mut latencies) = (0, Vec::new());
    let mut batch = BytesMut::new();
    let mut free = in_flight.min(requests.len());
    loop {
        let now = Instant::now();
        if now >= end {
            break;
        }
        for _ in 0..free {
            batch.put_slice(&requests[at].1);
            sent[at] = now;
            // A stride that meets them all.
            at = (at + 6_151) % requests.len();
        }
        ask.send_data(batch.split().freeze(), false).expect("a stream that goes on");
        free = 0;
        answers.more().await.expect("a stream that goes on");
        let now = Instant::now();
        while let Some(answer) = answers.next() {
            let answer = Answer::decode(answer).expect("an answer");
            assert!(!answer.redirect.is_empty(), "a redirect");
            latencies.push(now - sent[answer.correlation_id as usize]);
            free += 1;
        }
    }
    ask.send_data(Bytes::new(), true).expect("a stream that goes on");
    while answers.more().await.is_some() {}
    latencies
}

/// The requests of a stream that ask what these calls ask.
fn in_streams(calls: &[(&'static str, Bytes)]) -> Vec<(&'static str, Bytes)> {
    calls.iter().enumerate().map(|(at, (_, unary))| (STREAM, in_stream(at, unary))).collect()
}

/// The request of a stream that asks what a framed unary one asks.
fn in_stream(number: usize, unary: &Bytes) -> Bytes {
    let resolve = Some(ResolveRedirectRequest::decode(&unary[5..]).expect("a request"));
    frame(&ResolveRedirectsRequest { correlation_id: number as u64, resolve }.encode_to_vec())
}

fn report(targets: &[Target<'_>; 12]) {
    println!(
        "{CONNECTIONS} connections, {IN_FLIGHT} calls (of a stream: requests) in flight on each, one server core; medians of {} rounds",
        targets[0].rounds.len()
    );
    println!("{:<30} {:>12} {:>16} {:>10} {:>10}", "", "calls/s", "server us/call", "p50 us", "p99 us");
    for target in targets {
        println!(
            "{:<30} {:>12.0} {:>16.2} {:>10.0} {:>10.0}",
            target.name,
            target.median(|measured| measured.calls_per_second),
            target.median(|measured| measured.server_micros_per_call),
            target.median(|measured| measured.p50_micros as f64),
            target.median(|measured| measured.p99_micros as f64),
        );
    }
    let [
        resolve,
        logged,
        stream,
        wide,
        single,
        single_wide,
        health,
        stock,
        doubled,
        apart,
        resolve_alone,
        health_alone,
    ] = targets;
    let rate = |measured: &Measured| measured.calls_per_second;
    let streams = [(stream, resolve), (wide, resolve), (single, resolve), (single_wide, resolve)];
    for (one, other) in [(resolve, health), (logged, resolve), (resolve, stock)].into_iter().chain(streams) {
        println!("{} is {} times {}", one.name, ratio(one, other, rate), other.name);
    }
    let p50 = |measured: &Measured| measured.p50_micros as f64;
    println!(
        "{} takes {} times as long as {}",
        resolve_alone.name,
        ratio(resolve_alone, health_alone, p50),
        health_alone.name
    );
    let cost = |measured: &Measured| measured.server_micros_per_call;
    println!(
        "{} costs the server {} times as much as a request {}",
        resolve.name,
        ratio(resolve, single, cost),
        single.name
    );
    println!("a request of a stream costs two workers {} times what it costs one", ratio(doubled, wide, cost));
    println!("and {} times what it costs two servers on these cores", ratio(doubled, apart, cost));
}

/// How far the slowest of a hundred calls is from the middle one, at half of what the server can do.
fn report_steady(rounds: &[Vec<Duration>]) {
    // p50 and p99 in microseconds, and how they compare.
    let percentiles = |latencies: &[Duration]| {
        let mut sorted: Vec<f64> = latencies.iter().map(|latency| latency.as_secs_f64() * 1e6).collect();
        sorted.sort_by(f64::total_cmp);
        let [p50, p99] = [50, 99].map(|percent| sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]);
        [p50, p99, p99 / p50]
    };
    let windows = |round: &Vec<Duration>| round.chunks(round.len() / WINDOWS).map(percentiles).collect::<Vec<_>>();
    let print = |of: &str, measured: Vec<[f64; 3]>| {
        let [p50, p99, ratio] = [0, 1, 2].map(|which| {
            let mut values: Vec<f64> = measured.iter().map(|measured| measured[which]).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        });
        println!(
            "at half of capacity, median of {} {of}: p50 {p50:.0} us, p99 {p99:.0} us, {ratio:.2} times as much",
            measured.len()
        );
    };
    let rounds: Vec<_> = rounds.iter().filter(|round| round.len() >= WINDOWS).collect();
    if !rounds.is_empty() {
        print("windows of 10 ms", rounds.iter().flat_map(|round| windows(round)).collect());
        print("whole seconds", rounds.iter().map(|round| percentiles(round)).collect());
    }
}

/// The median of the ratios within each round, least and most: what else the machine did then, it did to both.
fn ratio(one: &Target<'_>, other: &Target<'_>, of: impl Fn(&Measured) -> f64) -> String {
    let mut ratios: Vec<f64> = one.rounds.iter().zip(&other.rounds).map(|(a, b)| of(a) / of(b)).collect();
    ratios.sort_by(f64::total_cmp);
    format!("{:.2} ({:.2} to {:.2})", ratios[ratios.len() / 2], ratios[0], ratios[ratios.len() - 1])
}

/// BitGPT's example with a fifth placeholder, created and paid so many times: the calls that resolve them.
async fn resolves(server: &Server, sessions: usize) -> Vec<(&'static str, Bytes)> {
    let metadata = [("example", "custom-value-1"), ("another example", "custom-value-2")];
    let text = |text: &str| prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(text.into())) };
    let create = CreatePaymentRequest {
        merchant_id: "6CQXXXXXXXYE1".into(),
        customer_email: "ana@example.com".into(),
        items: vec![PaymentItem { r#type: "PAYMENT_INTENT".into(), price: "50".into(), currency: "USD".into() }],
        metadata: Some(prost_types::Struct { fields: metadata.map(|(key, value)| (key.to_owned(), text(value))).into() }),
        redirect_url: "https://example.com/redirect?id={{id}}&metadata-value-spaced={{metadata[another example]}}&metadata-value-normal={{metadata.example}}&item={{items[0].type}}&payment={{payment_id}}".into(),
        ..CreatePaymentRequest::default()
    };
    let create = frame(&create.encode_to_vec());
    let mut connection = connect(server.addr).await;
    let mut requests = Vec::with_capacity(sessions);
    for _ in 0..sessions {
        let created =
            CreatePaymentResponse::decode(call(&mut connection, CREATE, create.clone()).await).expect("an answer");
        let session_id = created.session.expect("a session").session_id;
        let record = RecordOutcomeRequest {
            session_id: session_id.clone(),
            outcome: 1,
            payment_id: "123456789".into(),
            ..RecordOutcomeRequest::default()
        };
        call(&mut connection, RECORD, frame(&record.encode_to_vec())).await;
        let resolve = ResolveRedirectRequest { session_id, ..ResolveRedirectRequest::default() };
        requests.push((RESOLVE, frame(&resolve.encode_to_vec())));
    }
    requests
}

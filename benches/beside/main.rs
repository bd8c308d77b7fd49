//! Waypost beside what a team would write instead, in one run, as ratios: `scripts/compare`, or, for those that it
//! has prepared before, `cargo bench --bench beside`.
//!
//! `ResolveRedirect` of the same session over each service in turn, round after round: `waypost serve` with
//! sessions in memory, as `scripts/static` builds it for production and as cargo builds it; tonic with a regular
//! expression and `query_pairs_mut` ([`naive`]); and Python's grpcio, Node's grpc-js and grpc-go, each as its users
//! write it (`python/`, `node/`, `go/`). Before anything is measured, all have to give the same answer. Each server
//! has one core, the same for all, and the load another; ratios are taken within a round. `WAYPOST_BENCH_SECONDS`
//! is the length of a measurement (default 0.5), `WAYPOST_BENCH_ROUNDS` their number (default 9),
//! `WAYPOST_BENCH_CHART` a file for the chart.

mod chart;
mod naive;
#[path = "../support"]
mod support {
    #[allow(dead_code, reason = "shared with benchmarks that need more of it")]
    pub mod h2_client;
    #[allow(dead_code, reason = "shared with benchmarks that need more of it")]
    pub mod process;
}

use bytes::Bytes;
use chart::Bar;
use h2::client::SendRequest;
use prost::Message;
use std::{
    env,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use support::{
    h2_client::{call, connect, frame},
    process::{LOAD_CORE, SERVER_CORE, Server, pin},
};
use tokio::task::JoinSet;
use waypost::proto::v1::{
    CreatePaymentRequest, CreatePaymentResponse, Outcome, PaymentItem, RecordOutcomeRequest, Redirect,
    ResolveRedirectRequest, ResolveRedirectResponse,
};

const ROLE: &str = "WAYPOST_BENCH_ROLE";
const CONNECTIONS: usize = 4;
const IN_FLIGHT: usize = 16;
const SESSIONS: usize = 10_000;

const RESOLVE: &str = "/waypost.v1.RedirectService/ResolveRedirect";
const CREATE: &str = "/waypost.v1.RedirectService/CreatePayment";
const RECORD: &str = "/waypost.v1.RedirectService/RecordOutcome";

/// BitGPT's example with a fifth placeholder, and with a state that the merchant wants back; an answer takes 300 bytes.
const RETURN_URL: &str = "https://example.com/redirect?id={{id}}&metadata-value-spaced={{metadata[another example]}}&metadata-value-normal={{metadata.example}}&item={{items[0].type}}&payment={{payment_id}}&state=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a089f86d081884c7d659a2feaa0c5";

fn main() {
    if env::var(ROLE).is_ok() {
        naive::serve();
        return;
    }
    // `cargo test` may run benches too, to see that they work: then once, and shortly.
    let number = |name: &str, default| env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seconds, rounds, sessions) = if env::args().any(|arg| arg == "--bench") {
        (number("WAYPOST_BENCH_SECONDS", 0.5), number("WAYPOST_BENCH_ROUNDS", 9.0) as usize, SESSIONS)
    } else {
        (0.05, 1, 100)
    };
    let services = Service::start_all();
    pin(0, &[LOAD_CORE]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let targets = runtime.block_on(async {
        let mut targets = Vec::new();
        for service in services {
            targets.push(Target::new(service, sessions).await);
        }
        let (ours, others) = targets.split_first().expect("Waypost is there");
        for other in others {
            assert_eq!(ours.answer, other.answer, "{} gives another answer", other.service.name);
        }
        for round in 0..=rounds {
            for target in &mut targets {
                let measured = target.measure(Duration::from_secs_f64(seconds)).await;
                // The first round warms up: engines compile, caches fill.
                if round > 0 {
                    target.rounds.push(measured);
                }
            }
        }
        targets
    });
    report(&targets);
    if let Ok(path) = env::var("WAYPOST_BENCH_CHART") {
        std::fs::write(&path, chart(&targets)).expect("the chart is written");
    }
}

/// A server to be measured.
struct Service {
    name: &'static str,
    server: Server,
}

impl Service {
    /// All that are there; Waypost comes first.
    fn start_all() -> Vec<Self> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (beside, prepared) = (repository.join("benches/beside"), repository.join("target/beside"));
        let python = repository.join("target/client-tools/bin/python");
        let (cargos, productions) = (Path::new(env!("CARGO_BIN_EXE_waypost")), prepared.join("waypost"));
        let mut services = Vec::new();
        let mut start_waypost = |name, program| services.push(Self::start(name, on_the_core(program).args(WAYPOST)));
        if productions.exists() {
            start_waypost("Waypost", &productions);
            start_waypost("Waypost, built by cargo", cargos);
        } else {
            println!("SKIPPED: Waypost as it is built for production, which `scripts/compare` prepares");
            start_waypost("Waypost", cargos);
        }
        let mut naive = on_the_core(&env::current_exe().expect("this program"));
        services.push(Self::start("tonic, naive resolve", naive.env(ROLE, "naive")));
        let mut others: [(_, _, Command); 3] = [
            ("Go grpc-go", prepared.join("go/server"), on_the_core(&prepared.join("go/server"))),
            ("Node grpc-js", beside.join("node/node_modules"), on_the_core(Path::new("node"))),
            ("Python grpcio", prepared.join("python/waypost"), on_the_core(&python)),
        ];
        others[1].2.arg(beside.join("node/server.mjs")).arg(repository.join("proto"));
        others[2].2.arg(beside.join("python/server.py")).env("PYTHONPATH", prepared.join("python"));
        for (name, needed, mut command) in others {
            if needed.exists() {
                services.push(Self::start(name, &mut command));
            } else {
                println!("SKIPPED: {name}, which `scripts/compare` prepares");
            }
        }
        services
    }

    fn start(name: &'static str, command: &mut Command) -> Self {
        Self { name, server: Server::start(command) }
    }
}

// The others write no log.
const WAYPOST: [&str; 12] = [
    "serve",
    "--store",
    "memory:",
    "--workers=1",
    "--grpc-addr",
    "127.0.0.1:0",
    "--page-addr",
    "off",
    "--ops-addr",
    "off",
    "--log",
    "warn",
];

/// A program on the servers' core from its first instruction on, so that runtimes which count cores count one.
fn on_the_core(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &SERVER_CORE.to_string()]).arg(program);
    command
}

/// What is measured of a service.
struct Target {
    service: Service,
    connections: Vec<SendRequest<Bytes>>,
    requests: Arc<[Bytes]>,
    /// To the first request, without the session's id.
    answer: Redirect,
    rounds: Vec<Measured>,
}

struct Measured {
    calls_per_second: f64,
    server_micros_per_call: f64,
    p99_micros: f64,
}

impl Target {
    /// With sessions that were created and paid.
    async fn new(service: Service, sessions: usize) -> Self {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(connect(service.server.addr).await);
        }
        let mut requests = Vec::with_capacity(sessions);
        let mut first = String::new();
        for _ in 0..sessions {
            let session_id = paid_session(&mut connections[0]).await;
            let resolve = ResolveRedirectRequest { session_id, ..ResolveRedirectRequest::default() };
            requests.push(frame(&resolve.encode_to_vec()));
            if first.is_empty() {
                first = resolve.session_id;
            }
        }
        let bytes = call(&mut connections[0], RESOLVE, requests[0].clone()).await;
        assert!((290..310).contains(&bytes.len()), "{}: an answer of {} bytes", service.name, bytes.len());
        let answer = ResolveRedirectResponse::decode(bytes).expect("an answer").redirect.expect("a redirect");
        assert!(answer.url.contains(&first), "{}: the session's id is missing", service.name);
        let answer = Redirect { url: answer.url.replace(&first, "SESSION"), ..answer };
        Self { service, connections, requests: requests.into(), answer, rounds: Vec::new() }
    }

    async fn measure(&self, length: Duration) -> Measured {
        let mut tasks = JoinSet::new();
        let (began, cpu) = (Instant::now(), self.service.server.cpu());
        for (number, connection) in (0..CONNECTIONS * IN_FLIGHT).zip(self.connections.iter().cycle()) {
            let (mut connection, requests) = (connection.clone(), Arc::clone(&self.requests));
            tasks.spawn(async move {
                let mut latencies = Vec::new();
                // Each task walks through the sessions from a place of its own, with a stride that meets them all.
                let mut at = number * 7_919;
                while began.elapsed() < length {
                    let message = requests[at % requests.len()].clone();
                    at += 6_151;
                    let sent = Instant::now();
                    call(&mut connection, RESOLVE, message).await;
                    latencies.push(sent.elapsed());
                }
                latencies
            });
        }
        let mut latencies: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
        let (calls, elapsed) = (latencies.len() as f64, began.elapsed().as_secs_f64());
        latencies.sort_unstable();
        Measured {
            calls_per_second: calls / elapsed,
            server_micros_per_call: (self.service.server.cpu() - cpu) * 1e6 / calls,
            p99_micros: latencies[latencies.len() * 99 / 100].as_secs_f64() * 1e6,
        }
    }

    fn median(&self, of: impl Fn(&Measured) -> f64) -> f64 {
        spread(self.rounds.iter().map(of))[0]
    }

    /// How many times as many calls as another, within a round: median, least and most.
    fn times(&self, other: &Self) -> [f64; 3] {
        let rounds = self.rounds.iter().zip(&other.rounds);
        spread(rounds.map(|(own, other)| own.calls_per_second / other.calls_per_second))
    }
}

/// Median, least and most.
fn spread(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    [values[values.len() / 2], values[0], values[values.len() - 1]]
}

async fn paid_session(connection: &mut SendRequest<Bytes>) -> String {
    let metadata = [("example", "custom-value-1"), ("another example", "custom-value-2")];
    let text = |text: &str| prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(text.into())) };
    let create = CreatePaymentRequest {
        merchant_id: "6CQXXXXXXXYE1".into(),
        customer_email: "ana@example.com".into(),
        items: vec![PaymentItem { r#type: "PAYMENT_INTENT".into(), price: "50".into(), currency: "USD".into() }],
        metadata: Some(prost_types::Struct {
            fields: metadata.map(|(key, value)| (key.to_owned(), text(value))).into(),
        }),
        redirect_url: RETURN_URL.into(),
        ..CreatePaymentRequest::default()
    };
    let created = call(connection, CREATE, frame(&create.encode_to_vec())).await;
    let session = CreatePaymentResponse::decode(created).expect("an answer").session.expect("a session");
    let record = RecordOutcomeRequest {
        session_id: session.session_id.clone(),
        outcome: Outcome::Success.into(),
        payment_id: "123456789".into(),
        ..RecordOutcomeRequest::default()
    };
    call(connection, RECORD, frame(&record.encode_to_vec())).await;
    session.session_id
}

fn report(targets: &[Target]) {
    println!(
        "ResolveRedirect, {CONNECTIONS} connections with {IN_FLIGHT} calls in flight on each, one server core; medians \
         of {} rounds",
        targets[0].rounds.len()
    );
    println!("{:<24} {:>12} {:>16} {:>10}", "", "calls/s", "server us/call", "p99 us");
    for target in targets {
        println!(
            "{:<24} {:>12.0} {:>16.2} {:>10.0}",
            target.service.name,
            target.median(|measured| measured.calls_per_second),
            target.median(|measured| measured.server_micros_per_call),
            target.median(|measured| measured.p99_micros),
        );
    }
    for other in &targets[1..] {
        let [median, least, most] = targets[0].times(other);
        println!("Waypost is {median:.2} times {} ({least:.2} to {most:.2})", other.service.name);
    }
}

/// All beside the slowest.
fn chart(targets: &[Target]) -> String {
    let rate = |target: &Target| target.median(|measured| measured.calls_per_second);
    let mut sorted: Vec<&Target> = targets.iter().collect();
    sorted.sort_by(|one, other| rate(one).total_cmp(&rate(other)));
    let bars: Vec<Bar<'_>> = sorted
        .iter()
        .map(|target| Bar {
            name: target.service.name,
            times: target.times(sorted[0]),
            ours: target.service.name == targets[0].service.name,
        })
        .collect();
    let title = format!("ResolveRedirect: calls per second on one core, as times {}", sorted[0].service.name);
    let note = format!(
        "the same session and answer; {CONNECTIONS} connections, {IN_FLIGHT} calls in flight on each; medians of {} \
         rounds, least to most",
        targets[0].rounds.len()
    );
    chart::draw(&title, &note, &bars)
}

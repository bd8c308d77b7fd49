//! The well-behaved caller, and what an attack on the server does to it.

use crate::{
    cores::{let_caller_go_first, share_other_core},
    server::Server,
};
use hdrhistogram::Histogram;
use std::{
    env,
    future::Future,
    panic::resume_unwind,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tonic::transport::Channel;
use waypost::proto::v1::{
    CreatePaymentRequest, Outcome, PaymentItem, RecordOutcomeRequest, ResolveRedirectRequest,
    redirect_service_client::RedirectServiceClient,
};

/// Longer than anything takes that goes well, so that a test fails instead of hanging.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The same for an attack that is as hard as it gets.
const PATIENCE_IN_FULL: Duration = Duration::from_secs(600);

/// What the machine's other work does to a latency at any time; below it, a ratio means nothing.
const FLOOR: Duration = Duration::from_millis(60);

/// The ratio of a latency under attack to that in quiet.
const MAX_RATIO: f64 = 3.0;

/// What an attack may cost in memory, whatever its size, unless it is told otherwise.
const MAX_MORE_MIB: f64 = 200.0;

/// What an attack may cost in lines of the log, which is somebody's disk.
const MAX_LOGGED_KIB: u64 = 64;

/// The least time that is measured before, during and after an attack.
const AT_LEAST: Duration = Duration::from_millis(1_500);

/// The longest latency that is told from a longer one.
const LONGEST_US: u64 = 120_000_000;

/// Time that the server has to come to itself before the last measurement.
const RECOVERY: Duration = Duration::from_millis(500);

/// Whether the attacks are as hard as they get.
pub fn full() -> bool {
    env::var("WAYPOST_TEST_HOSTILE").is_ok_and(|how| how == "full")
}

/// The phases of the measurement.
const PHASES: [&str; 3] = ["in quiet", "attacked", "after"];

/// A phase in which nothing is recorded.
const NONE: usize = PHASES.len();

/// A caller in a closed loop, in a thread of its own: what the attack costs its own process does not show.
struct Bystander {
    phase: Arc<AtomicUsize>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<[Histogram<u64>; 3]>>,
}

/// Measures one at a time: two attacks at once would measure each other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs an attack beside the well-behaved caller, and asserts that the caller had all its answers in time and that the
/// server's memory stayed bounded. Gives what the attack gave.
pub fn endures<T: Send>(name: &str, server: &Server, attack: impl Future<Output = T> + Send) -> T {
    endures_within(MAX_MORE_MIB, name, server, attack)
}

/// The same with another bound of memory.
pub fn endures_within<T: Send>(
    max_more_mib: f64,
    name: &str,
    server: &Server,
    attack: impl Future<Output = T> + Send,
) -> T {
    let _alone = alone();
    // In a thread of its own: one that lets others go first starts none that does not.
    let attacked = thread::scope(|scope| scope.spawn(|| attacked(max_more_mib, name, server, attack)).join());
    attacked.unwrap_or_else(|panic| resume_unwind(panic))
}

fn attacked<T>(max_more_mib: f64, name: &str, server: &Server, attack: impl Future<Output = T>) -> T {
    if full() {
        share_other_core();
    }
    let bystander = Bystander::beside(server);
    if full() {
        let_caller_go_first();
    }
    bystander.enter(0);
    thread::sleep(AT_LEAST);
    let before = server.memory_mib();
    bystander.enter(1);
    let (began, patience) = (Instant::now(), if full() { PATIENCE_IN_FULL } else { PATIENCE });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (attacked, most) = runtime.block_on(async {
        let mut most = before;
        let mut attack = std::pin::pin!(attack);
        let mut look = tokio::time::interval(Duration::from_millis(20));
        let attacked = loop {
            tokio::select! {
                biased;
                _ = look.tick() => most = most.max(server.memory_mib()),
                attacked = &mut attack => break attacked,
                () = tokio::time::sleep_until((began + patience).into()) => panic!("{name}: the attack never ended"),
            }
        };
        (attacked, most.max(server.memory_mib()))
    });
    thread::sleep(AT_LEAST.saturating_sub(began.elapsed()));
    let lasted = began.elapsed();
    bystander.enter(NONE);
    thread::sleep(RECOVERY);
    bystander.enter(2);
    thread::sleep(AT_LEAST);
    let latencies = bystander.stop();
    for (phase, latencies) in PHASES.iter().zip(&latencies) {
        assert!(!latencies.is_empty(), "{name}: no call was answered {phase}");
    }
    let [quiet, during, after] = latencies.each_ref().map(|phase| Duration::from_micros(phase.value_at_quantile(0.99)));
    let ratio = |latency: Duration| latency.as_secs_f64() / quiet.as_secs_f64();
    println!(
        "hostile: {name}: p99 {quiet:?} in quiet, {during:?} attacked ({:.1} x) for {lasted:.1?}, {after:?} after \
         ({:.1} x); memory {before:.0} MiB and {:.0} MiB more; {} KiB logged",
        ratio(during),
        ratio(after),
        most - before,
        server.log_kib()
    );
    for (phase, latency) in [(PHASES[1], during), (PHASES[2], after)] {
        // As `WAYPOST_TEST_BINARY` names a release build, which these tests need not be themselves.
        let strict = full() && (!cfg!(debug_assertions) || env::var_os("WAYPOST_TEST_BINARY").is_some());
        assert!(
            ratio(latency) <= MAX_RATIO || (!strict && latency <= FLOOR),
            "{name}: p99 {quiet:?} in quiet, and {latency:?} {phase}"
        );
    }
    assert!(most - before <= max_more_mib, "{name}: {:.0} MiB more", most - before);
    assert!(server.log_kib() <= MAX_LOGGED_KIB, "{name}: {} KiB were logged", server.log_kib());
    attacked
}

impl Bystander {
    fn beside(server: &Server) -> Self {
        let phase = Arc::new(AtomicUsize::new(NONE));
        let end = Arc::new(AtomicBool::new(false));
        let (url, seen, ended) = (format!("http://{}", server.addr), Arc::clone(&phase), Arc::clone(&end));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let channel = Channel::from_shared(url).expect("a URL").connect().await.expect("connected");
                let mut client = RedirectServiceClient::new(channel);
                let session_id = paid_session(&mut client, 0).await;
                let mut latencies = [(); 3].map(|()| Histogram::new_with_max(LONGEST_US, 3).expect("bounds"));
                while !ended.load(Ordering::Relaxed) {
                    let query = ResolveRedirectRequest { session_id: session_id.clone(), ..Default::default() };
                    let (phase, asked) = (seen.load(Ordering::Relaxed), Instant::now());
                    let answer = client.resolve_redirect(query).await;
                    let redirect = answer.expect("every good call is answered").into_inner().redirect;
                    assert!(redirect.expect("a redirect").url.starts_with("https://shop.example/"));
                    if let Some(latencies) = latencies.get_mut(phase) {
                        latencies.saturating_record(asked.elapsed().as_micros() as u64);
                    }
                    // A buyer every millisecond: the machine's other half is left to the attack.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                latencies
            })
        });
        Self { phase, end, thread: Some(thread) }
    }

    fn enter(&self, phase: usize) {
        self.phase.store(phase, Ordering::Relaxed);
    }

    fn stop(mut self) -> [Histogram<u64>; 3] {
        self.end.store(true, Ordering::Relaxed);
        self.thread.take().expect("joined once").join().expect("every good call is answered")
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
    }
}

/// A session that was paid, with that much metadata.
pub async fn paid_session(client: &mut RedirectServiceClient<Channel>, metadata_bytes: usize) -> String {
    let text = prost_types::Value { kind: Some(prost_types::value::Kind::StringValue("x".repeat(metadata_bytes))) };
    let create = CreatePaymentRequest {
        merchant_id: "m1".to_owned(),
        customer_email: "buyer@shop.example".to_owned(),
        items: vec![PaymentItem { r#type: "T".to_owned(), price: "50".to_owned(), currency: "USD".to_owned() }],
        redirect_url: "https://shop.example/paid?id={{id}}".to_owned(),
        metadata: Some(prost_types::Struct { fields: [("note".to_owned(), text)].into() }),
        ..Default::default()
    };
    let session = client.create_payment(create).await.expect("created").into_inner().session.expect("a session");
    let outcome = RecordOutcomeRequest {
        session_id: session.session_id.clone(),
        outcome: Outcome::Success.into(),
        ..Default::default()
    };
    client.record_outcome(outcome).await.expect("recorded");
    session.session_id
}

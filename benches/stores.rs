//! The stores in one run, as ratios: `cargo bench --bench stores`.
//!
//! - Durable creates per second with 1, 16 and 256 writers, beside the bare fdatasync rate of the same disk, and on
//!   PostgreSQL beside `pgbench` with the same row and as many connections.
//! - `ResolveRedirect` of sessions that succeeded and were seen before, and on PostgreSQL also of such as are still open:
//!   through [`App`], and over gRPC from a load that speaks HTTP/2 by itself.
//! - The same by the number of sessions in memory, drawn at random, and how many bytes each takes.
//!
//! What is compared is measured in turn, round after round, and ratios are taken within a round: what else the machine
//! does then, it does to both. `WAYPOST_BENCH_SECONDS` is the length of a measurement (default 1),
//! `WAYPOST_BENCH_ROUNDS` their number (default 5), `WAYPOST_BENCH_SESSIONS` the most sessions (default 1,000,000). Files
//! are made in the directory for temporary files (`TMPDIR`).

#[path = "../tests/support"]
mod cluster {
    pub mod fixture;
    pub mod postgres;
}
mod support {
    #[allow(dead_code, reason = "shared with a benchmark that needs more of it")]
    pub mod h2_client;
}

use cluster::postgres::{Cluster, Fsync, TestDatabase, USER};
use prost::Message;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    env,
    fs::File,
    hash::{BuildHasher, RandomState},
    net::{SocketAddr, TcpListener},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};
use support::h2_client::{call, connect, frame};
use tokio::{
    runtime::{Builder, Handle},
    task::JoinSet,
};
use uuid::Uuid;
use waypost::{
    app::{App, Clock, Explain, ResolveQuery, Vouching},
    grpc::{self, Health, Merchants, Redirects, Router},
    model::{
        Ending, Fingerprint, Idempotency, IdempotencyKey, Kind, MerchantId, Outcome, Session, SessionId, Tenants,
        Timestamp,
    },
    proto::v1::ResolveRedirectRequest,
    redirect::Mode,
    server::{Http2, Limits, Server, prefer_small_pages},
    store::{Created, MemoryStore, PostgresStore, RedbStore, Store, record, redb::Options},
};

/// As the server's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RESOLVE: &str = "/waypost.v1.RedirectService/ResolveRedirect";
/// Sessions in each store whose resolving is compared with memory: fewer than redb's cache holds.
const SEEN: usize = 10_000;
/// Creates under way together while a store is filled.
const FILL_TOGETHER: usize = 256;
const CONNECTIONS: usize = 4;
const IN_FLIGHT: usize = 16;
/// Threads of the writers.
const WORKERS: usize = 2;

struct Bench {
    length: Duration,
    rounds: usize,
    writers: &'static [usize],
    /// Numbers of sessions in memory.
    sizes: Vec<usize>,
    seen: usize,
    workers: [Handle; WORKERS],
}

fn main() {
    // `cargo test` may run benches too, to see that they work: then once, and shortly.
    let number = |name: &str, default| env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let bench = if env::args().any(|arg| arg == "--bench") {
        let most = number("WAYPOST_BENCH_SESSIONS", 1e6) as usize;
        Bench {
            length: Duration::from_secs_f64(number("WAYPOST_BENCH_SECONDS", 1.0)),
            rounds: number("WAYPOST_BENCH_ROUNDS", 5.0) as usize,
            writers: &[1, 16, 256],
            sizes: vec![1_000, 100_000, most],
            seen: SEEN,
            workers: workers(),
        }
    } else {
        Bench {
            length: Duration::from_millis(20),
            rounds: 1,
            writers: &[16],
            sizes: vec![100, 1_000],
            seen: 100,
            workers: workers(),
        }
    };
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let cluster = Cluster::start(Fsync::On, "");
        // As the server does it, and the database does not.
        prefer_small_pages();
        // First, while nothing else is in memory.
        bench.sizes().await;
        bench.creates(cluster.as_ref()).await;
        bench.resolves(cluster.as_ref()).await;
    });
}

impl Bench {
    async fn creates(&self, cluster: Option<&Cluster>) {
        println!("\nCreates per second; medians of {} rounds (least to most)", self.rounds);
        let directory = tempfile::tempdir().expect("a directory");
        for &writers in self.writers {
            let mut raw = Series::new("fdatasync of 4 KiB, bare");
            let mut alone = Series::new("redb, 1 writer: a commit for each");
            let mut redb = Series::new(format!("redb, {writers} writers"));
            let mut memory = Series::new(format!("memory, {writers} writers"));
            let mut postgres = Series::new(format!("postgres, {writers} writers and connections"));
            let mut pgbench = Series::new(format!("pgbench, {writers} connections"));
            let file = directory.path().join(format!("{writers}.redb"));
            let stores: [Arc<dyn Store>; 2] = [
                Arc::new(RedbStore::open(&file, Options::default()).expect("opened")),
                Arc::new(MemoryStore::default()),
            ];
            let database = match cluster {
                Some(cluster) => Some(Database::new(cluster, writers).await),
                None => None,
            };
            for _ in 0..self.rounds {
                raw.add(fdatasyncs_per_second(directory.path(), self.length));
                alone.add(self.creates_per_second(&stores[0], 1).await);
                redb.add(self.creates_per_second(&stores[0], writers).await);
                memory.add(self.creates_per_second(&stores[1], writers).await);
                if let Some(database) = &database {
                    postgres.add(self.creates_per_second(&database.store, writers).await);
                    pgbench.add(database.pgbench(writers, self.length));
                }
            }
            for series in [&raw, &alone, &redb, &memory, &postgres, &pgbench] {
                series.print();
            }
            redb.print_ratio(&raw);
            redb.print_ratio(&alone);
            redb.print_ratio(&memory);
            postgres.print_ratio(&pgbench);
        }
    }

    async fn creates_per_second(&self, store: &Arc<dyn Store>, writers: usize) -> f64 {
        let (began, length) = (Instant::now(), self.length);
        let mut tasks = JoinSet::new();
        for writer in 0..writers {
            let store = Arc::clone(store);
            let creating = async move {
                let mut creates = 0_u64;
                while began.elapsed() < length {
                    assert_eq!(store.create(new_session()).await.expect("created"), Created::New);
                    creates += 1;
                }
                creates
            };
            tasks.spawn_on(creating, &self.workers[writer % WORKERS]);
        }
        let creates: u64 = tasks.join_all().await.into_iter().sum();
        creates as f64 / began.elapsed().as_secs_f64()
    }

    async fn resolves(&self, cluster: Option<&Cluster>) {
        println!(
            "\nResolveRedirect of {} sessions that succeeded, seen before; medians of {} rounds (least to most)",
            self.seen, self.rounds
        );
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("seen.redb");
        let mut subjects = vec![
            Subject::new("memory", Arc::new(MemoryStore::default()), self.seen).await,
            Subject::new("redb", Arc::new(RedbStore::open(&file, Options::default()).expect("opened")), self.seen)
                .await,
        ];
        let bytes = file.metadata().expect("a file").len() / self.seen as u64;
        println!("  {:<44}{bytes:>10}", "redb: bytes of file for each session");
        for subject in &subjects {
            subject.pay_all().await;
        }
        if let Some(cluster) = cluster {
            let database = Database::new(cluster, 16).await;
            subjects.push(Subject::new("postgres", Arc::clone(&database.store), self.seen).await);
            subjects[2].pay_all().await;
            let size = "SELECT pg_total_relation_size('waypost_sessions')";
            let bytes = database.database.number(size).await / self.seen as i64;
            println!("  {:<44}{bytes:>10}", "postgres: bytes of tables for each session");
            subjects.push(Subject::new("postgres, still open", database.store, self.seen).await);
        }
        self.compare(&mut subjects).await;
    }

    async fn sizes(&self) {
        println!(
            "\nResolveRedirect by the number of sessions in memory; medians of {} rounds (least to most)",
            self.rounds
        );
        // First, while no memory was used before.
        let before = resident_bytes();
        let store = MemoryStore::default();
        for _ in 0..self.sizes[1] {
            store.create(typical_checkout()).await.expect("created");
        }
        let bytes = (resident_bytes() - before) / self.sizes[1] as f64;
        let json = typical_checkout().body().to_text().len();
        println!("  {:<44}{bytes:>10.0}", format!("resident bytes for a checkout of {json} as JSON"));
        // Not given back: what is measured next must not find room that was used before.
        std::mem::forget(store);
        let mut subjects = Vec::new();
        for &sessions in &self.sizes {
            let before = resident_bytes();
            let store = Arc::new(MemoryStore::default());
            let subject = Subject::new(&format!("{sessions} sessions"), store, sessions).await;
            // The benchmark's own list of ids is no part of the store.
            let bytes = (resident_bytes() - before) / sessions as f64 - size_of::<SessionId>() as f64;
            println!("  {:<44}{bytes:>10.0}", format!("{sessions} sessions: resident bytes for each"));
            subjects.push(subject);
        }
        self.compare(&mut subjects).await;
    }

    /// Measures all in turn, and sets each beside the first.
    async fn compare(&self, subjects: &mut [Subject]) {
        for subject in &*subjects {
            subject.see_all().await;
        }
        for _ in 0..self.rounds {
            for subject in &mut *subjects {
                let (inside, over_grpc) =
                    (subject.resolves_inside(self.length).await, subject.resolves_over_grpc(self.length).await);
                subject.inside.add(inside);
                subject.over_grpc.add(over_grpc);
            }
        }
        let series: [fn(&Subject) -> &Series; 2] = [|subject| &subject.inside, |subject| &subject.over_grpc];
        for of in series {
            subjects.iter().for_each(|subject| of(subject).print());
            subjects[1..].iter().for_each(|subject| of(subject).print_ratio(of(&subjects[0])));
        }
    }
}

/// What was measured of one thing, round after round.
struct Series {
    name: String,
    rounds: Vec<f64>,
}

impl Series {
    fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), rounds: Vec::new() }
    }

    fn add(&mut self, measured: f64) {
        self.rounds.push(measured);
    }

    fn print(&self) {
        if let Some((median, least, most)) = spread(self.rounds.clone()) {
            println!("  {:<44}{median:>10.0}  ({least:.0} to {most:.0})", self.name);
        }
    }

    fn print_ratio(&self, other: &Self) {
        let ratios = self.rounds.iter().zip(&other.rounds).map(|(own, other)| own / other).collect();
        if let Some((median, least, most)) = spread(ratios) {
            println!("    {} / {}: {median:.3} ({least:.3} to {most:.3})", self.name, other.name);
        }
    }
}

/// Median, least and most; `None` of nothing.
fn spread(mut values: Vec<f64>) -> Option<(f64, f64, f64)> {
    values.sort_by(f64::total_cmp);
    Some((*values.get(values.len() / 2)?, *values.first()?, *values.last()?))
}

/// A database with its schema on a cluster.
struct Database<'c> {
    cluster: &'c Cluster,
    database: TestDatabase,
    store: Arc<dyn Store>,
}

impl<'c> Database<'c> {
    async fn new(cluster: &'c Cluster, pool_size: usize) -> Self {
        let database = cluster.create_database().await;
        PostgresStore::migrate(&database.url()).await.expect("migrated");
        let url = format!("{}&pool_size={pool_size}", database.url());
        let store = Arc::new(PostgresStore::connect(&url).await.expect("connected"));
        Self { cluster, database, store }
    }

    /// Inserts of single rows as large as ours into the same table, by the database's own benchmark.
    fn pgbench(&self, connections: usize, length: Duration) -> f64 {
        let record = "61".repeat(record::write_session(&new_session()).len());
        let script = format!(
            "\\set id random(1, 9000000000000000000)
             INSERT INTO waypost_sessions (session_id, merchant_id, kind, idempotency_key, over_at, version, record)
             VALUES (decode(md5(:id::text), 'hex'), 'bench', 'payment', decode(md5(:id::text), 'hex'), :id, 1,
                     decode('{record}', 'hex')) ON CONFLICT DO NOTHING;\n"
        );
        let script = self.cluster.write_file("insert.sql", &script);
        let mut pgbench = self.cluster.command("pgbench");
        pgbench
            .arg("-h")
            .arg(self.cluster.directory())
            .args(["-p", "5432", "-U", USER, "-n", "-M", "prepared", "-j", "2"]);
        // Its time runs while it connects, too.
        let seconds = length.as_secs().max(1) + connections as u64 / 64;
        pgbench.args(["-c", &connections.to_string(), "-T", &seconds.to_string()]);
        let output = pgbench.arg("-f").arg(script).arg(&self.database.name).output().expect("it is installed");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let tps = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        tps.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Overwrites 4 KiB after 4 KiB of a file that has its size already: the least that a disk can be asked to make durable.
fn fdatasyncs_per_second(directory: &Path, length: Duration) -> f64 {
    const PAGE: usize = 4_096;
    const PAGES: u64 = 1_024;
    let path = directory.join("raw");
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).expect("a file");
    file.write_all_at(&vec![1; PAGE * PAGES as usize], 0).expect("written");
    file.sync_all().expect("synced");
    let (began, mut syncs) = (Instant::now(), 0_u64);
    while began.elapsed() < length {
        file.write_all_at(&[syncs as u8; PAGE], syncs % PAGES * PAGE as u64).expect("written");
        file.sync_data().expect("synced");
        syncs += 1;
    }
    syncs as f64 / began.elapsed().as_secs_f64()
}

/// BitGPT's example, with an idempotency key of its own.
fn new_session() -> Session {
    let body = json!({
        "customer_email": "ana@example.com",
        "items": [{"type": "PAYMENT_INTENT", "price": "50", "currency": "USD"}],
        "metadata": {"example": "custom-value-1", "another example": "custom-value-2"},
        "redirect_url": "https://example.com/redirect?id={{id}}&metadata-value-spaced={{metadata[another example]}}&metadata-value-normal={{metadata.example}}&item={{items[0].type}}&payment={{payment_id}}",
    });
    let id = SessionId::new(Kind::Payment, Uuid::now_v7());
    let merchant_id: MerchantId = "6CQXXXXXXXYE1".parse().expect("a merchant id");
    let now = Timestamp::from(SystemTime::now());
    let expires = now.plus(Duration::from_secs(86_400));
    let key = IdempotencyKey::try_from(Box::from(id.to_string())).expect("a key");
    let sent = Idempotency { key, fingerprint: Fingerprint([1; 32]) };
    let body = body.as_object().expect("an object");
    Session::open(id, merchant_id, body, Some(&sent), now, expires).expect("a session").with_notices(&[])
}

/// A checkout as shops make it, with a key.
fn typical_checkout() -> Session {
    let id = SessionId::new(Kind::Checkout, Uuid::now_v7());
    let order = id.uuid().as_fields().3[4];
    let body = json!({
        "customer": {
            "first_name": "Ana", "last_name": "Lima", "email": format!("ana.lima.{}@example.com", id.uuid().as_simple()),
            "phone_number": "+55 11 91234-5678",
        },
        "metadata": {"order": id.uuid().to_string()},
        "redirect_urls": {
            "success": "https://www.your-site.com/order/success?session={CHECKOUT_SESSION_ID}&order={{metadata.order}}",
            "failure": "https://www.your-site.com/order/failure?session={CHECKOUT_SESSION_ID}&error={ERROR_CODE}",
            "cancel": "https://www.your-site.com/order/cancel",
        },
        "shopping_cart": {"line_items": [
            {"name": "Ground coffee, 500 g", "price": 1_250 + i64::from(order), "unit_qty": 2},
            {"name": "Paper filters", "price": 399, "unit_qty": 1},
        ]},
    });
    let merchant_id: MerchantId = "6CQXXXXXXXYE1".parse().expect("a merchant id");
    let now = Timestamp::from(SystemTime::now());
    let key = IdempotencyKey::try_from(Box::from(id.uuid().to_string())).expect("a key");
    let sent = Idempotency { key, fingerprint: Fingerprint(Sha256::digest(id.uuid().as_bytes()).into()) };
    let body = body.as_object().expect("an object");
    let expires = now.plus(Duration::from_secs(900));
    Session::open(id, merchant_id, body, Some(&sent), now, expires).expect("a session").with_notices(&[])
}

/// Runtimes of one thread each, as the server has for its workers.
fn workers() -> [Handle; WORKERS] {
    std::array::from_fn(|_| {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let handle = runtime.handle().clone();
        thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        handle
    })
}

/// A store with sessions whose redirects are resolved, and a server on it.
struct Subject {
    app: App,
    addr: SocketAddr,
    ids: Arc<[SessionId]>,
    inside: Series,
    over_grpc: Series,
}

impl Subject {
    async fn new(name: &str, store: Arc<dyn Store>, sessions: usize) -> Self {
        let mut ids = Vec::with_capacity(sessions);
        while ids.len() < sessions {
            let together = FILL_TOGETHER.min(sessions - ids.len());
            let creates = (0..together).map(|_| {
                let session = new_session();
                ids.push(session.id);
                let store = Arc::clone(&store);
                async move { store.create(session).await.expect("created") }
            });
            let creates: Vec<_> = creates.collect();
            futures_util::future::join_all(creates).await;
        }
        let app = App::new(store, Mode::Production, Clock::System);
        let addr = serve(app.clone());
        let (inside, over_grpc) = (
            Series::new(format!("{name}: calls per second inside")),
            Series::new(format!("{name}: calls per second over gRPC")),
        );
        Self { app, addr, ids: ids.into(), inside, over_grpc }
    }

    async fn pay_all(&self) {
        for id in &*self.ids {
            let paid = Ending { outcome: Outcome::Success, payment_id: None, status: None, error_code: None };
            self.app.record_outcome(*id, paid, &Tenants::All).await.expect("recorded");
        }
    }

    async fn see_all(&self) {
        for id in &*self.ids {
            resolve(&self.app, *id).await;
        }
    }

    /// One after the other, in this process.
    async fn resolves_inside(&self, length: Duration) -> f64 {
        let (app, ids) = (self.app.clone(), Arc::clone(&self.ids));
        let measured = tokio::spawn(async move {
            let (began, mut calls, mut draw) = (Instant::now(), 0_u64, Draw::new());
            while began.elapsed() < length {
                resolve(&app, ids[draw.below(ids.len())]).await;
                calls += 1;
            }
            calls as f64 / began.elapsed().as_secs_f64()
        });
        measured.await.expect("no panic")
    }

    /// Many at once, from clients of a server with one worker.
    async fn resolves_over_grpc(&self, length: Duration) -> f64 {
        let mut tasks = JoinSet::new();
        let began = Instant::now();
        for _ in 0..CONNECTIONS {
            let connection = connect(self.addr).await;
            for _ in 0..IN_FLIGHT {
                let (mut connection, ids) = (connection.clone(), Arc::clone(&self.ids));
                tasks.spawn(async move {
                    let (mut calls, mut draw) = (0_u64, Draw::new());
                    while began.elapsed() < length {
                        let request = ResolveRedirectRequest {
                            session_id: ids[draw.below(ids.len())].to_string(),
                            outcome: 1,
                            payment_id: "123456789".into(),
                            ..ResolveRedirectRequest::default()
                        };
                        call(&mut connection, RESOLVE, frame(&request.encode_to_vec())).await;
                        calls += 1;
                    }
                    calls
                });
            }
        }
        let calls: u64 = tasks.join_all().await.into_iter().sum();
        calls as f64 / began.elapsed().as_secs_f64()
    }
}

/// A server with one worker, for as long as this process runs.
fn serve(app: App) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("its address");
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let health = Health::starting().await;
            let router = Router::new(Redirects::new(app.clone()), Merchants::new(app), &health);
            let mut server = Server::new(Limits { workers: std::num::NonZeroUsize::MIN, ..Limits::default() });
            server
                .listen(listener, Http2::new(grpc::edge(router, &grpc::Limits::default(), grpc::Authentication::Off)));
            server.run(std::future::pending(), &health).await.expect("to serve");
        });
    });
    addr
}

async fn resolve(app: &App, session_id: SessionId) {
    let query = ResolveQuery {
        session_id,
        outcome: Some(Outcome::Success),
        payment_id: Some("123456789".into()),
        status: None,
        error_code: None,
        wait: Duration::ZERO,
        deadline: None,
        explain: Explain::No,
        vouching: Vouching::Allowed,
    };
    let answer = app.resolve_redirect(&query, &Tenants::All).await.expect("answered");
    assert!(answer.decision.redirect.is_some());
}

/// Numbers at random, as fast as they can be had.
struct Draw(u64);

impl Draw {
    fn new() -> Self {
        Self(RandomState::new().hash_one(0) | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// What this process has in memory.
fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("procfs");
    let pages: f64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("pages");
    pages * 4_096.0
}

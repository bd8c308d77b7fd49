//! Proves that what the embedded store acknowledged survives: kill -9 at any moment, a disk that is full, a disk that
//! fails or loses its power at a sync.
//!
//! The writer under test is this binary itself, started again with `WAYPOST_CRASH_FILE`; it writes and says on its
//! standard output what was acknowledged (the ledger) until it is killed. `WAYPOST_TEST_KILLS` sets how often.

mod support {
    pub mod disk;
    pub mod draft;
}

use std::{
    collections::{HashMap, HashSet},
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use support::{
    disk::Disk,
    draft::{CREATED, draft, idempotency_key, merchant, merchant_id, recorded},
};
use waypost::{
    model::{Kind, Merchant, Outcome, SessionId},
    store::{
        Created, Imported, RedbStore, Replaced, Store, StoreError,
        redb::{Options, check},
    },
};

const FILE: &str = "WAYPOST_CRASH_FILE";
const ROUND: &str = "WAYPOST_CRASH_ROUND";
const WRITERS: usize = 32;
const MICROSECOND: Duration = Duration::from_micros(1);

/// What was acknowledged, and what was begun.
#[derive(Debug, Default)]
struct Ledger {
    /// The session of each key whose create was acknowledged.
    created: HashMap<String, SessionId>,
    /// The newest acknowledged version of each session and of each merchant.
    sessions: HashMap<SessionId, u64>,
    merchants: HashMap<String, u64>,
    /// Keys whose create was begun.
    begun: HashSet<String>,
}

impl Ledger {
    /// Takes in one line; one that was cut off by the kill is none.
    fn note(&mut self, line: &str) -> bool {
        let Some(line) = line.strip_suffix('\n') else { return false };
        match *line.split(' ').collect::<Vec<_>>() {
            ["begin", key] => {
                self.begun.insert(key.into());
                false
            }
            ["created", key, id] => {
                let id = id.parse().expect("an id");
                let before = self.created.insert(key.into(), id);
                assert_eq!(before, None, "{key} was created twice");
                self.sessions.insert(id, 1);
                true
            }
            ["session", id, version] => {
                self.sessions.insert(id.parse().expect("an id"), version.parse().expect("a version"));
                true
            }
            ["merchant", id, version] => {
                self.merchants.insert(id.into(), version.parse().expect("a version"));
                true
            }
            // What the test runner says.
            _ => false,
        }
    }
}

/// One line in one write, so that a kill cuts at most the last one.
fn say(line: &str) {
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).expect("the parent reads");
}

/// The process that is killed. As a test of its own it does nothing.
#[test]
fn the_writer() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let round = std::env::var(ROUND).expect("a round");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let store = RedbStore::open(Path::new(&file), Options::default()).expect("opened");
        let writers = (0..WRITERS).map(|writer| write_for_ever(&store, format!("{round}-{writer}"), writer));
        futures_util::future::join_all(writers).await;
    });
}

async fn write_for_ever(store: &RedbStore, name: String, writer: usize) {
    let merchant_name = format!("m{writer}");
    for n in 0.. {
        let key = format!("{name}-{n}");
        say(&format!("begin {key}"));
        let created = draft().of(&merchant_name).kind(Kind::Order).key(&key, 1).build();
        assert_eq!(store.create(created.clone()).await.expect("created"), Created::New);
        say(&format!("created {key} {}", created.id));
        let mut state = created;
        for outcome in [Outcome::Failure, Outcome::Success].into_iter().take(n % 3) {
            state = recorded(&state, outcome, CREATED.plus(MICROSECOND));
            assert_eq!(store.replace_session(state.clone()).await.expect("replaced"), Replaced::Done);
            say(&format!("session {} {}", state.id, state.version));
        }
        if n % 2 == 0 {
            let stands = store.merchant(&merchant_id(&merchant_name)).await.expect("loaded");
            let version = stands.map_or(0, |merchant| merchant.version) + 1;
            let next = merchant(&merchant_name, version);
            assert_eq!(store.replace_merchant(next).await.expect("replaced"), Replaced::Done);
            say(&format!("merchant {merchant_name} {version}"));
        }
    }
}

fn start_writer(file: &Path, round: u32) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "the_writer", "--nocapture", "--test-threads=1"])
        .env(FILE, file)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started")
}

/// Reads the ledger to its end and calls `then` once, after that many acknowledgements.
fn follow(child: &mut Child, ledger: &mut Ledger, acknowledgements: u64, then: impl FnOnce(&mut Child)) -> ExitStatus {
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut then = Some(then);
    let mut seen = 0;
    let mut line = String::new();
    loop {
        if seen >= acknowledgements
            && let Some(then) = then.take()
        {
            then(child);
        }
        line.clear();
        if output.read_line(&mut line).expect("read") == 0 {
            return child.wait().expect("ended");
        }
        seen += u64::from(ledger.note(&line));
    }
}

/// Everything in the ledger is in the store, and nothing is there twice.
async fn compare(store: &RedbStore, ledger: &Ledger) {
    for (key, id) in &ledger.created {
        let loaded = store.session(*id).await.expect("loaded").unwrap_or_else(|| panic!("{id} was acknowledged"));
        let version = ledger.sessions[id];
        assert!(loaded.session.version >= version, "{id}: version {version} was acknowledged");
        let merchant = &loaded.session.merchant_id;
        let found = store.session_by_key(merchant, Kind::Order, &idempotency_key(key)).await.expect("looked up");
        assert_eq!(found.as_ref().map(|found| found.id), Some(*id), "{key} finds its session");
    }
    for (id, version) in &ledger.merchants {
        let found = store.merchant(&merchant_id(id)).await.expect("loaded");
        assert!(found.is_some_and(|found| found.version >= *version), "{id}: version {version} was acknowledged");
    }
    // The callers whose create was not answered ask again.
    for key in ledger.begun.iter().filter(|key| !ledger.created.contains_key(*key)) {
        let writer = key.split('-').nth(1).expect("a writer");
        let again = || draft().of(&format!("m{writer}")).kind(Kind::Order).key(key, 1).build();
        let first = again();
        let owner = match store.create(first.clone()).await.expect("answered") {
            Created::New => first.id,
            Created::Before(before) => before.id,
            Created::KeyReused => panic!("{key} has other content"),
        };
        let Created::Before(second) = store.create(again()).await.expect("answered") else { panic!("{key} twice") };
        assert_eq!(second.id, owner);
    }
}

fn random(below: u64) -> u64 {
    static STATE: Mutex<u64> = Mutex::new(0);
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    if *state == 0 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        *state = now.as_secs().wrapping_mul(1_000_003) ^ u64::from(now.subsec_nanos()) | 1;
    }
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % below
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9_at_any_moment() {
    let kills = std::env::var("WAYPOST_TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(20);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("waypost.redb");
    let mut all = Ledger::default();
    let mut slowest = Duration::ZERO;
    for round in 0..kills {
        let mut ledger = Ledger::default();
        let mut child = start_writer(&file, round);
        // Some are killed while they open the file. Acknowledgements come in bursts after each commit, so the kill
        // waits a little longer to fall anywhere in the next one; it orders nothing.
        let acknowledgements = if round % 10 == 9 { 0 } else { random(400) };
        let status = follow(&mut child, &mut ledger, acknowledgements, |child| {
            std::thread::sleep(Duration::from_micros(random(20_000)));
            child.kill().expect("killed");
        });
        assert!(!status.success() && status.code().is_none(), "the writer ended by itself: {status}");
        let opening = Instant::now();
        let store = RedbStore::open(&file, Options::default()).expect("opened");
        slowest = slowest.max(opening.elapsed());
        compare(&store, &ledger).await;
        all.created.extend(ledger.created);
        all.sessions.extend(ledger.sessions);
        all.merchants.extend(ledger.merchants);
        if round + 1 == kills {
            compare(&store, &all).await;
        }
        store.close().await.expect("closed");
    }
    let report = check(&file).expect("checked");
    assert_eq!(report.problems, 0, "{:?}", report.named);
    println!("{kills} kills, {} acknowledged sessions, slowest opening {slowest:?}", all.created.len());
}

#[tokio::test]
async fn a_process_that_is_killed_while_it_makes_the_file_leaves_nothing_in_the_way() {
    for round in 0..10 {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("waypost.redb");
        let mut ledger = Ledger::default();
        let mut child = start_writer(&file, round);
        follow(&mut child, &mut ledger, 0, |child| {
            std::thread::sleep(Duration::from_micros(random(40_000)));
            child.kill().expect("killed");
        });
        let store = RedbStore::open(&file, Options::default()).expect("opened");
        compare(&store, &ledger).await;
    }
}

/// A file system of that size at a path, taken away again when dropped.
struct SmallDisk<'p>(&'p Path);

impl<'p> SmallDisk<'p> {
    /// `None` when this user may not mount.
    fn mount(path: &'p Path, size: &str) -> Option<Self> {
        mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], path).then_some(Self(path))
    }

    fn grow(&self, size: &str) {
        assert!(mount(&["-o", &format!("remount,size={size}")], self.0), "the disk grows");
    }
}

fn mount(arguments: &[&str], path: &Path) -> bool {
    Command::new("mount").args(arguments).arg(path).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.0).status());
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_full_disk_and_the_process_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(disk) = SmallDisk::mount(directory.path(), "6m") else {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "this test needs the right to mount a tmpfs");
        println!("SKIPPED: a full disk; this user may not mount a tmpfs");
        return;
    };
    let file = directory.path().join("waypost.redb");
    let mut ledger = Ledger::default();
    let mut child = start_writer(&file, 0);
    let status = follow(&mut child, &mut ledger, u64::MAX, |_| {});
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
    assert_eq!(status.code(), Some(70), "{said}");
    assert!(said.contains("the disk is full: make room on it and start again"), "{said}");
    assert!(!ledger.created.is_empty());
    disk.grow("64m");
    let store = RedbStore::open(&file, Options::default()).expect("opened");
    compare(&store, &ledger).await;
    store.close().await.expect("closed");
    assert_eq!(check(&file).expect("checked").problems, 0);
}

/// Writes until the store fails, and says what was acknowledged.
async fn write_until_it_fails(store: &RedbStore, round: u64) -> Ledger {
    let mut ledger = Ledger::default();
    for n in 0_u64.. {
        let name = |writer: u64| format!("{round}-{writer}-{n}");
        let creates = (0..8).map(|writer| {
            let key = name(writer);
            let session = draft().of(&format!("m{writer}")).kind(Kind::Order).key(&key, 1).build();
            ledger.begun.insert(key.clone());
            async move { (key, session.id, store.create(session).await) }
        });
        let creates: Vec<_> = creates.collect();
        for (key, id, created) in futures_util::future::join_all(creates).await {
            match created {
                Ok(Created::New) => {
                    ledger.created.insert(key, id);
                    ledger.sessions.insert(id, 1);
                }
                Ok(other) => panic!("{other:?}"),
                Err(StoreError::Unavailable(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        match store.import_merchant(Merchant { version: n + 1, ..merchant("m0", 1) }).await {
            Ok(Imported::Saved) => drop(ledger.merchants.insert("m0".into(), n + 1)),
            Ok(other) => panic!("{other:?}"),
            Err(_) => break,
        }
    }
    ledger
}

/// What the store said when it would have ended the process.
static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn note(failure: &StoreError) {
    SAID.lock().expect("no panic").push(failure.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_disk_that_fails_or_loses_power_at_any_sync() {
    let empty = Disk::failing_after(u64::MAX, ErrorKind::Other, 0, Vec::new());
    let made = RedbStore::open_backend(empty.clone(), Options::default()).expect("made");
    made.close().await.expect("closed");
    for seed in 0..4 {
        for syncs in 0..40 {
            let disk = Disk::failing_after(syncs, ErrorKind::Other, seed, empty.survivors());
            SAID.lock().expect("no panic").clear();
            let options = || Options { on_failure: note, ..Options::default() };
            // It may fail while the file is opened; then nothing was acknowledged.
            let ledger = match RedbStore::open_backend(disk.clone(), options()) {
                Ok(store) => {
                    let ledger = write_until_it_fails(&store, syncs).await;
                    let answer = store.create(draft().build()).await;
                    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "no write is taken after a failure");
                    assert!(store.ping().await.is_err());
                    let said = SAID.lock().expect("no panic").clone();
                    assert_eq!(said.len(), 1, "the process would have ended once: {said:?}");
                    assert!(said[0].contains("writing the file failed"), "{said:?}");
                    ledger
                }
                Err(_) => Ledger::default(),
            };
            assert!(disk.failed());
            let disk = Disk::failing_after(u64::MAX, ErrorKind::Other, seed, disk.survivors());
            let store = RedbStore::open_backend(disk, options())
                .unwrap_or_else(|error| panic!("after {syncs} syncs, seed {seed}: {error}"));
            compare(&store, &ledger).await;
        }
    }
}

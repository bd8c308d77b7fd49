//! Proves what is particular to the embedded store's file: what is refused and in which words, what a check finds, and
//! that an export can be imported, by every store into every other.

mod support {
    pub mod draft;
    pub mod fixture;
}

use redb::{Database, ReadableDatabase, StorageBackend, TableDefinition, backends::InMemoryBackend};
use std::{
    io,
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};
use support::{
    draft::{CREATED, EXPIRES, draft, merchant, recorded},
    fixture::{Fixture, InFile, InMemory},
};
use waypost::{
    model::{Kind, Outcome, Session},
    store::{
        Created, MemoryStore, Record, RedbStore, Replaced, Store, StoreError,
        export::{ExportError, Summary, Totals, copy, export, import},
        redb::{Options, Report, check},
    },
};

// The tables as they are in files that exist, repeated here on purpose: a change of the store's own definitions must not
// go unnoticed.
const SESSIONS: TableDefinition<'_, &[u8; 17], (u64, i64, &[u8])> = TableDefinition::new("sessions");
const KEYS: TableDefinition<'_, (&str, u8, &str), &[u8; 17]> = TableDefinition::new("keys");
const OVER: TableDefinition<'_, (i64, &[u8; 17]), ()> = TableDefinition::new("over");
const MERCHANTS: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("merchants");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

fn file_in(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("waypost.redb")
}

/// Changes a file behind the store's back.
fn tamper(file: &Path, change: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>) {
    let database = Database::create(file).expect("opened");
    let transaction = database.begin_write().expect("begun");
    change(&transaction).expect("changed");
    transaction.commit().expect("committed");
}

fn refusal(file: &Path) -> String {
    match RedbStore::open(file, Options::default()) {
        Err(StoreError::Unavailable(text) | StoreError::Corrupt(text)) => {
            assert!(text.starts_with(&file.display().to_string()), "it names the file: {text}");
            text
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("opened"),
    }
}

#[test]
fn a_file_of_another_format_is_refused_with_the_way_out() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = file_in(&directory);
    drop(RedbStore::open(&file, Options::default()).expect("made"));
    tamper(&file, |transaction| {
        transaction.open_table(META)?.insert("format", 2)?;
        Ok(())
    });
    let text = refusal(&file);
    assert!(text.contains("is of format 2, and this version of waypost reads format 1"), "{text}");
    assert!(text.contains("export everything, and import that into a new file"), "{text}");
}

#[test]
fn a_redb_file_of_another_program_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = file_in(&directory);
    const OTHER: TableDefinition<'_, u64, u64> = TableDefinition::new("other");
    tamper(&file, |transaction| {
        transaction.open_table(OTHER)?.insert(1, 2)?;
        Ok(())
    });
    assert!(refusal(&file).contains("another program"));
    let database = Database::open(&file).expect("opened");
    let transaction = database.begin_read().expect("begun");
    assert_eq!(transaction.list_tables().expect("listed").count(), 1);
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    for content in
        [&b"hello"[..], &[0; 4096], b"redb but not really, however long this text may be. ".repeat(200).as_slice()]
    {
        let file = file_in(&directory);
        std::fs::write(&file, content).expect("written");
        let text = refusal(&file);
        assert!(text.contains("is damaged, or not a store of waypost"), "{text}");
        assert_eq!(std::fs::read(&file).expect("read"), content);
    }
}

#[test]
fn a_file_that_is_in_use_is_refused_with_the_way_out() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = RedbStore::open(&file_in(&directory), Options::default()).expect("opened");
    assert!(refusal(&file_in(&directory)).contains("is in use by another process: stop that one"));
    assert!(check(&file_in(&directory)).is_err_and(|error| error.to_string().contains("in use")));
    drop(store);
    drop(RedbStore::open(&file_in(&directory), Options::default()).expect("dropping lets go of it"));
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = refusal(&directory.path().join("missing").join("waypost.redb"));
    assert!(text.contains("cannot be opened: No such file or directory"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_new_file_is_for_its_owner_only_and_nothing_else_is_left_beside_it() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a directory");
    drop(RedbStore::open(&file_in(&directory), Options::default()).expect("made"));
    let mode = std::fs::metadata(file_in(&directory)).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(directory.path()).expect("listed").count(), 1);
}

#[tokio::test]
async fn after_closing_every_call_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = RedbStore::open(&file_in(&directory), Options::default()).expect("opened");
    store.close().await.expect("closed");
    let closed = |error: StoreError| error.to_string() == "the store is unavailable: it was closed";
    assert!(store.create(draft().build()).await.is_err_and(closed));
    assert!(store.session(draft().build().id).await.is_err_and(closed));
    assert!(store.ping().await.is_err_and(closed));
    assert!(store.close().await.is_err_and(closed));
}

/// A disk that does not finish a sync until it is told to.
#[derive(Debug, Clone, Default)]
struct Hanging {
    content: Arc<InMemoryBackend>,
    /// Held while it hangs.
    hangs: Arc<Mutex<()>>,
}

impl StorageBackend for Hanging {
    fn len(&self) -> Result<u64, io::Error> {
        self.content.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.content.read(offset, out)
    }
    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.content.set_len(len)
    }
    fn sync_data(&self) -> Result<(), io::Error> {
        drop(self.hangs.lock().expect("no panic"));
        self.content.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.content.write(offset, data)
    }
}

#[tokio::test]
#[allow(clippy::await_holding_lock, reason = "who waits for it is a thread of its own")]
async fn a_disk_that_hangs_is_a_store_that_does_not_answer_until_it_goes_on() {
    let disk = Hanging::default();
    let options = Options { patience: Duration::from_millis(20), ..Options::default() };
    let store = RedbStore::open_backend(disk.clone(), options).expect("opened");
    let hang = disk.hangs.lock().expect("no panic");
    let mut create = pin!(store.create(draft().build()));
    let unanswered = tokio::time::timeout(Duration::from_millis(100), &mut create).await;
    assert!(unanswered.is_err(), "{unanswered:?}");
    let error = store.ping().await.expect_err("it hangs").to_string();
    assert!(error.contains("the disk has not finished a write"), "{error}");
    drop(hang);
    assert_eq!(create.await.expect("created"), Created::New);
    // The writer is done some time after it has answered.
    while store.ping().await.is_err() {
        tokio::task::yield_now().await;
    }
}

/// A few sessions of every kind and state, and merchants.
async fn fill(store: &dyn Store) -> Vec<Session> {
    let mut sessions = Vec::new();
    for (n, kind) in Kind::ALL.into_iter().cycle().take(12).enumerate() {
        let draft = draft().of(["m1", "m2"][n % 2]).kind(kind);
        let created = if n % 4 < 2 { draft.build() } else { draft.key(&format!("k{n}"), 1).build() };
        assert_eq!(store.create(created.clone()).await.expect("created"), Created::New);
        sessions.push(match n % 3 {
            0 => created,
            _ => {
                let outcome = if n % 3 == 1 { Outcome::Success } else { Outcome::Pending };
                let next = recorded(&created, outcome, CREATED);
                assert_eq!(store.replace_session(next.clone()).await.expect("replaced"), Replaced::Done);
                next
            }
        });
    }
    for id in ["m1", "m2"] {
        assert_eq!(store.replace_merchant(merchant(id, 1)).await.expect("replaced"), Replaced::Done);
    }
    sessions
}

async fn checked(change: impl FnOnce(&redb::WriteTransaction, &Session) -> Result<(), redb::Error>) -> Report {
    let directory = tempfile::tempdir().expect("a directory");
    let file = file_in(&directory);
    let store = RedbStore::open(&file, Options::default()).expect("opened");
    let sessions = fill(&store).await;
    store.close().await.expect("closed");
    // This one has a key and is open.
    tamper(&file, |transaction| change(transaction, &sessions[3]));
    check(&file).expect("checked")
}

fn id_of(session: &Session) -> [u8; 17] {
    let code = match session.id.kind() {
        Kind::Checkout => 1,
        Kind::Order => 2,
        Kind::Payment => 3,
    };
    let mut id = [code; 17];
    id[1..].copy_from_slice(session.id.uuid().as_bytes());
    id
}

#[tokio::test]
async fn a_check_of_a_good_file_finds_nothing() {
    let report = checked(|_, _| Ok(())).await;
    assert_eq!(report, Report { sessions: 12, merchants: 2, keys: 6, problems: 0, named: Vec::new() });
}

#[tokio::test]
async fn a_check_finds_a_record_that_cannot_be_read() {
    let report = checked(|transaction, session| {
        let over_at = session.over_at().as_micros();
        transaction.open_table(SESSIONS)?.insert(&id_of(session), (1, over_at, &b"{\"session_id\":"[..]))?;
        transaction.open_table(MERCHANTS)?.insert("m1", (1, &b"{}"[..]))?;
        Ok(())
    })
    .await;
    assert_eq!(report.problems, 2, "{:?}", report.named);
    assert!(report.named[0].contains("unreadable") && report.named[1].contains("merchant m1"), "{:?}", report.named);
}

#[tokio::test]
async fn a_check_finds_a_session_without_its_key_or_its_end() {
    let report = checked(|transaction, session| {
        transaction.open_table(KEYS)?.remove((session.merchant_id.as_str(), id_of(session)[0], "k3"))?;
        transaction.open_table(OVER)?.remove((session.over_at().as_micros(), &id_of(session)))?;
        Ok(())
    })
    .await;
    assert_eq!(
        report.named,
        [
            format!("{} is not among those that will be over", session_in(&report)),
            format!("{} is not found by its key", session_in(&report)),
            "not every session has one end".to_owned(),
        ]
    );
}

/// The session that the first problem is about.
fn session_in(report: &Report) -> &str {
    report.named[0].split(' ').next().expect("a word")
}

#[tokio::test]
async fn a_check_finds_a_key_or_an_end_without_its_session() {
    let report = checked(|transaction, session| {
        transaction.open_table(SESSIONS)?.remove(&id_of(session))?;
        Ok(())
    })
    .await;
    assert!(report.named.iter().any(|problem| problem.contains("leads to no session")), "{:?}", report.named);
    assert!(report.named.iter().any(|problem| problem.contains("at a wrong time")), "{:?}", report.named);
}

/// A file whose session with the key `k3` cannot be read, and that session.
async fn unreadable(directory: &tempfile::TempDir) -> (RedbStore, Session) {
    let file = file_in(directory);
    let store = RedbStore::open(&file, Options::default()).expect("opened");
    let session = fill(&store).await.swap_remove(3);
    store.close().await.expect("closed");
    drop(store);
    tamper(&file, |transaction| {
        let over_at = session.over_at().as_micros();
        transaction.open_table(SESSIONS)?.insert(&id_of(&session), (1, over_at, &b"{\"session_id\":"[..]))?;
        Ok(())
    });
    (RedbStore::open(&file, Options::default()).expect("opened"), session)
}

#[tokio::test]
async fn a_session_that_cannot_be_read_holds_up_no_other_that_is_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, _) = unreadable(&directory).await;
    let cutoff = CREATED.plus(Duration::from_secs(1_000 * 24 * 60 * 60));
    // One at a time; the one that stays takes one turn, and the next a day later.
    let mut removed = 0;
    for _ in 0..12 {
        removed += store.remove_over(cutoff, 1).await.expect("swept");
    }
    assert_eq!((removed, store.figures().sessions), (11, Some(1)));
    store.close().await.expect("closed");
    drop(store);
    let report = check(&file_in(&directory)).expect("checked");
    assert_eq!((report.sessions, report.problems), (1, 1), "{:?}", report.named);
}

#[tokio::test]
async fn an_export_has_what_it_cannot_read_as_it_stands_and_names_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, session) = unreadable(&directory).await;
    let (mut file, mut copied) = (Vec::new(), Vec::new());
    let exported = export(&store, &mut file).await.expect("exported");
    assert_eq!(exported.totals, Totals { merchants: 2, sessions: 11, unreadable: 1 });
    let [named] = &*exported.unreadable else { panic!("{exported:?}") };
    assert!(named.starts_with(&session.id.to_string()) && named.contains("no record of this version"), "{named}");
    assert!(String::from_utf8_lossy(&file).contains(r#""record":"{\"session_id\":""#));
    assert_eq!(copy(&mut &file[..], &mut copied).expect("copied"), exported);
    assert_eq!(copied, file);
    // The others are imported.
    let restored = MemoryStore::default();
    let summary = import(&restored, &mut &file[..]).await.expect("imported");
    assert_eq!(summary, Summary { saved: 13, unreadable: 1, ..Summary::default() });
    assert_eq!(restored.figures().sessions, Some(11));
}

#[test]
fn a_check_of_a_missing_file_does_not_make_one() {
    let directory = tempfile::tempdir().expect("a directory");
    assert!(check(&file_in(&directory)).is_err_and(|error| error.to_string().contains("there is no such file")));
    assert!(!file_in(&directory).exists());
}

async fn records(store: &Arc<dyn Store>) -> Vec<Record> {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1_000);
    store.export(sender).await.expect("exported");
    let mut records = Vec::new();
    while let Some(record) = receiver.recv().await {
        records.push(record);
    }
    records.sort_by_key(|record| match record {
        Record::Merchant(merchant) => merchant.id.to_string(),
        Record::Session(session) => session.id.to_string(),
        Record::Unreadable(unreadable) => unreadable.id.clone(),
    });
    records
}

async fn fresh(store: &str) -> Box<dyn Fixture> {
    match store {
        "memory" => Box::new(InMemory::fresh().await),
        "file" => Box::new(InFile::fresh().await),
        other => panic!("no such store: {other}"),
    }
}

#[tokio::test]
async fn an_export_of_either_store_imports_into_either_and_twice_is_harmless() {
    for (from, to) in [("memory", "memory"), ("memory", "file"), ("file", "memory"), ("file", "file")] {
        let (from, to) = (fresh(from).await, fresh(to).await);
        fill(&*from.store()).await;
        let mut file = Vec::new();
        let exported = export(&*from.store(), &mut file).await.expect("exported");
        assert_eq!(exported.totals, Totals { merchants: 2, sessions: 12, unreadable: 0 });
        for (saved, kept) in [(14, 0), (0, 14)] {
            let summary = import(&*to.store(), &mut &file[..]).await.expect("imported");
            assert_eq!(summary, Summary { saved, kept, ..Summary::default() });
            assert_eq!(records(&to.store()).await, records(&from.store()).await);
        }
    }
}

#[tokio::test]
async fn an_import_never_overwrites_what_is_newer() {
    let store = MemoryStore::default();
    let sessions = fill(&store).await;
    let mut file = Vec::new();
    export(&store, &mut file).await.expect("exported");
    let paid = recorded(&sessions[0], Outcome::Success, EXPIRES);
    assert_eq!(store.replace_session(paid.clone()).await.expect("replaced"), Replaced::Done);
    assert_eq!(store.replace_merchant(merchant("m1", 2)).await.expect("replaced"), Replaced::Done);
    import(&store, &mut &file[..]).await.expect("imported");
    let loaded = store.session(paid.id).await.expect("loaded").expect("there");
    assert_eq!((&*loaded.session, &*loaded.merchant), (&paid, &merchant("m1", 2)));
}

#[tokio::test]
async fn an_import_names_the_sessions_whose_key_is_taken_and_goes_on() {
    let (from, to) = (MemoryStore::default(), MemoryStore::default());
    let (first, second) = (draft().key("k", 1).build(), draft().key("k", 1).build());
    let other = draft().build();
    for session in [&first, &other] {
        assert_eq!(from.create(session.clone()).await.expect("created"), Created::New);
    }
    assert_eq!(to.create(second).await.expect("created"), Created::New);
    let mut file = Vec::new();
    export(&from, &mut file).await.expect("exported");
    let summary = import(&to, &mut &file[..]).await.expect("imported");
    assert_eq!(summary, Summary { saved: 1, conflicts: 1, conflicting: vec![first.id], ..Summary::default() });
}

async fn import_error(file: &[u8]) -> String {
    let store = MemoryStore::default();
    let error = import(&store, &mut &file[..]).await.expect_err("refused");
    assert!(matches!(error, ExportError::Line { .. }), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn an_export_that_is_not_whole_is_refused_at_its_line() {
    let store = MemoryStore::default();
    fill(&store).await;
    let mut file = Vec::new();
    export(&store, &mut file).await.expect("exported");
    let ends: Vec<usize> = file.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    assert_eq!(ends.len(), 16);
    assert_eq!(import_error(b"").await, "line 1 of the export does not begin an export of waypost");
    let cut = import_error(&file[..ends[8]]).await;
    assert_eq!(cut, "line 10 of the export is missing: the export was cut off");
    let cut = import_error(&file[..ends[8] - 10]).await;
    assert_eq!(cut, "line 9 of the export ends in the middle: the export was cut off");
    let without_one = [&file[..ends[8]], &file[ends[9]..]].concat();
    let missing = import_error(&without_one).await;
    assert_eq!(missing, "line 15 of the export does not have the totals of what stands above it");
    let newer = [&b"{\"export\":{\"format\":2}}\n"[..], &file[ends[0]..]].concat();
    let newer = import_error(&newer).await;
    assert_eq!(newer, "line 1 of the export names format 2; this version of waypost reads format 1");
    let broken = [&file[..ends[0]], b"{\"session\":{}}\n"].concat();
    assert!(import_error(&broken).await.starts_with("line 2 of the export cannot be read: "));
}

//! The embedded store: one file, one process, nothing to install. [redb](https://docs.rs/redb) keeps the file whole.
//!
//! Writes go to one thread that makes many of them durable at once ([`writer`]). Reads come from memory when they can
//! ([`Cache`]), and otherwise from the file, in the calling task: a record is a few pages away, mostly in memory, and
//! handing a read of microseconds to another thread would cost more than it. Only [`Store::export`], which is long, has
//! a thread of its own.

mod check;
mod tables;
mod writer;

pub use check::{Report, check};

use super::{
    ChangeFeed, Changes, Created, Figures, Imported, Loaded, Record, Replaced, Store, StoreError,
    cache::{self, Cache, Found},
    record,
};
use crate::{
    model::{IdempotencyKey, Kind, Merchant, MerchantId, Session, SessionId, Timestamp},
    telemetry::{self, metrics::STORE_CACHE},
};
use async_trait::async_trait;
use redb::{
    Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    StorageBackend, TableError, WriteTransaction, backends::FileBackend,
};
use std::{
    fs::{File, OpenOptions},
    io::ErrorKind,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;
use writer::{Answer, Write};

/// Writes that may wait for the writer; the next callers wait before they queue up. Some transactions' worth.
const QUEUE: usize = 4_096;

/// How a file is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes of decoded sessions that are kept in memory.
    pub session_cache_bytes: u64,
    /// Bytes of decoded merchants that are kept in memory.
    pub merchant_cache_bytes: u64,
    /// Bytes of the file's pages that are kept in memory: at least the upper levels of its trees.
    pub page_cache_bytes: usize,
    /// Called when the file could not be written or synced. After a failed fsync the kernel may have dropped what it
    /// could not write and say nothing more, so no later success means anything: by default, the process ends. What
    /// was acknowledged is in the file, and the next start repairs the rest.
    pub on_failure: fn(&StoreError),
    /// How long a commit may take until the store counts as one that does not answer: a disk that hangs says nothing. By
    /// default as long as a call may take.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            session_cache_bytes: cache::SESSION_BYTES,
            merchant_cache_bytes: cache::MERCHANT_BYTES,
            page_cache_bytes: 128 << 20,
            on_failure: end_process,
            patience: Duration::from_secs(5),
        }
    }
}

/// Says why on standard error, which is there even when logging is not, and ends the process with `EX_SOFTWARE`.
fn end_process(failure: &StoreError) {
    tracing::error!(%failure, "the store failed; ending the process");
    telemetry::flush();
    eprintln!("waypost: {failure}");
    std::process::exit(70);
}

/// Keeps everything in one file.
#[derive(Debug)]
pub struct RedbStore {
    shared: Arc<Shared>,
    /// `None` once it was closed.
    queue: Mutex<Option<mpsc::Sender<Write>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    patience: Duration,
}

/// What readers and the writer share.
#[derive(Debug)]
struct Shared {
    /// `None` once it was closed.
    database: RwLock<Option<Database>>,
    sessions: Cache<SessionId, Arc<Session>>,
    /// A merchant that was never written has an entry too, with version 0.
    merchants: Cache<MerchantId, Arc<Merchant>>,
    changes: ChangeFeed,
    /// Since when the writer has been at what it writes; `None` when it waits.
    writing_since: Mutex<Option<Instant>>,
}

impl RedbStore {
    /// Opens the file, or makes it. That takes no longer for a large file, nor after a crash.
    pub fn open(path: &Path, options: Options) -> Result<Self, StoreError> {
        let named = |error: StoreError| error.about(path.display());
        if !path.exists() {
            make_file(path).map_err(named)?;
        }
        let file = open_file(path).map_err(named)?;
        let backend = FileBackend::new(file).map_err(|error| named(refusal(&error)))?;
        Self::open_backend(backend, options).map_err(named)
    }

    /// Opens what stands for a file; for tests with a disk that fails.
    pub fn open_backend(backend: impl StorageBackend, options: Options) -> Result<Self, StoreError> {
        let database = Builder::new()
            .set_cache_size(options.page_cache_bytes)
            .set_repair_callback(|_| tracing::warn!("the store's file was not closed and is being repaired"))
            .create_with_backend(backend)
            .map_err(|error| refusal(&error))?;
        check_format(&database)?;
        let shared = Arc::new(Shared {
            database: RwLock::new(Some(database)),
            sessions: Cache::new(options.session_cache_bytes),
            merchants: Cache::new(options.merchant_cache_bytes),
            changes: ChangeFeed::default(),
            writing_since: Mutex::default(),
        });
        let (queue, waiting) = mpsc::channel(QUEUE);
        let writer = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn({
                let shared = shared.clone();
                move || writer::run(&shared, waiting, options.on_failure)
            })
            .map_err(|error| StoreError::Unavailable(format!("the writer's thread did not start: {error}")))?;
        let (queue, writer) = (Mutex::new(Some(queue)), Mutex::new(Some(writer)));
        Ok(Self { shared, queue, writer, patience: options.patience })
    }

    async fn write<T>(&self, write: impl FnOnce(Answer<T>) -> Write) -> Result<T, StoreError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (answer, answered) = oneshot::channel();
        let Some(queue) = queue else { return Err(closed()) };
        queue.send(write(answer)).await.map_err(|_| stopped())?;
        drop(queue);
        answered.await.map_err(|_| stopped())?
    }
}

impl Shared {
    fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().ok_or_else(closed)?.begin_read().map_err(unreadable)
    }

    fn begin_write(&self) -> Result<WriteTransaction, redb::Error> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        Ok(database.as_ref().ok_or(redb::Error::DatabaseClosed)?.begin_write()?)
    }

    fn set_writing(&self, since: Option<Instant>) {
        *self.writing_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// How long the writer has been at what it writes.
    fn writing_for(&self) -> Option<Duration> {
        self.writing_since.lock().unwrap_or_else(PoisonError::into_inner).map(|since| since.elapsed())
    }

    fn take_database(&self) -> Option<Database> {
        self.database.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn session(&self, id: SessionId) -> Result<Option<Arc<Session>>, StoreError> {
        let vacancy = match self.sessions.find(&id) {
            Found::Entry(session) => {
                STORE_CACHE.add([0], 1);
                return Ok(Some(session));
            }
            Found::Absent(vacancy) => vacancy,
        };
        STORE_CACHE.add([1], 1);
        let table = self.begin_read()?.open_table(tables::SESSIONS).map_err(unreadable)?;
        let Some(value) = table.get(&tables::id_bytes(id)).map_err(unreadable)? else { return Ok(None) };
        let session = Arc::new(record::read_session(value.value().2)?);
        vacancy.fill(session.clone());
        Ok(Some(session))
    }

    /// The file keeps the number, so that nothing is counted.
    fn count_sessions(&self) -> Result<u64, StoreError> {
        let table = self.begin_read()?.open_table(tables::SESSIONS).map_err(unreadable)?;
        table.len().map_err(unreadable)
    }

    /// A merchant, with the defaults and version 0 when it was never written.
    fn merchant(&self, id: &MerchantId) -> Result<Arc<Merchant>, StoreError> {
        let vacancy = match self.merchants.find(id) {
            Found::Entry(merchant) => return Ok(merchant),
            Found::Absent(vacancy) => vacancy,
        };
        let table = self.begin_read()?.open_table(tables::MERCHANTS).map_err(unreadable)?;
        let merchant = match table.get(id.as_str()).map_err(unreadable)? {
            Some(value) => record::read_merchant(value.value().1)?,
            None => Merchant::default_for(id.clone()),
        };
        let merchant = Arc::new(merchant);
        vacancy.fill(merchant.clone());
        Ok(merchant)
    }

    fn export(&self, into: &mpsc::Sender<Record>) -> Result<(), StoreError> {
        // One read transaction is one moment. The writer goes on; the file keeps the old pages until this ends.
        let transaction = self.begin_read()?;
        for entry in transaction.open_table(tables::MERCHANTS).map_err(unreadable)?.iter().map_err(unreadable)? {
            let (id, value) = entry.map_err(unreadable)?;
            let text = value.value().1;
            let id = || format!("merchant {}", id.value());
            if into.blocking_send(Record::of(record::read_merchant(text), Record::Merchant, id, text)).is_err() {
                return Ok(());
            }
        }
        for entry in transaction.open_table(tables::SESSIONS).map_err(unreadable)?.iter().map_err(unreadable)? {
            let (id, value) = entry.map_err(unreadable)?;
            let text = value.value().2;
            let id = || tables::name(id.value());
            if into.blocking_send(Record::of(record::read_session(text), Record::Session, id, text)).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Store for RedbStore {
    async fn create(&self, session: Session) -> Result<Created, StoreError> {
        let text = record::write_session(&session).into();
        self.write(|answer| Write::Create(session.into(), text, answer)).await
    }

    async fn session_by_key(
        &self,
        merchant_id: &MerchantId,
        kind: Kind,
        key: &IdempotencyKey,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        let owner = {
            let table = self.shared.begin_read()?.open_table(tables::KEYS).map_err(unreadable)?;
            let owner = table.get((merchant_id.as_str(), tables::code(kind), key.as_str())).map_err(unreadable)?;
            owner.and_then(|id| tables::read_id(id.value()))
        };
        owner.map_or(Ok(None), |id| self.shared.session(id))
    }

    async fn session(&self, id: SessionId) -> Result<Option<Loaded>, StoreError> {
        let Some(session) = self.shared.session(id)? else { return Ok(None) };
        let merchant = self.shared.merchant(&session.merchant_id)?;
        Ok(Some(Loaded { session, merchant }))
    }

    fn session_in_memory(&self, id: SessionId) -> Option<Loaded> {
        let Found::Entry(session) = self.shared.sessions.find(&id) else { return None };
        let Found::Entry(merchant) = self.shared.merchants.find(&session.merchant_id) else { return None };
        STORE_CACHE.add([0], 1);
        Some(Loaded { session, merchant })
    }

    /// Nobody reads what is not on the disk yet.
    async fn session_durably(&self, id: SessionId) -> Result<Option<Arc<Session>>, StoreError> {
        self.shared.session(id)
    }

    async fn replace_session(&self, session: Session) -> Result<Replaced, StoreError> {
        let text = record::write_session(&session).into();
        self.write(|answer| Write::ReplaceSession(session.into(), text, answer)).await
    }

    async fn merchant(&self, id: &MerchantId) -> Result<Option<Arc<Merchant>>, StoreError> {
        let merchant = self.shared.merchant(id)?;
        Ok((merchant.version > 0).then_some(merchant))
    }

    async fn merchant_durably(&self, id: &MerchantId) -> Result<Option<Arc<Merchant>>, StoreError> {
        self.merchant(id).await
    }

    async fn replace_merchant(&self, merchant: Merchant) -> Result<Replaced, StoreError> {
        let text = record::write_merchant(&merchant).into();
        self.write(|answer| Write::ReplaceMerchant(merchant.into(), text, answer)).await
    }

    async fn remove_over(&self, cutoff: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.write(|answer| Write::RemoveOver(cutoff, limit, answer)).await
    }

    async fn export(&self, into: mpsc::Sender<Record>) -> Result<(), StoreError> {
        let shared = self.shared.clone();
        let exported = tokio::task::spawn_blocking(move || shared.export(&into)).await;
        exported.map_err(|error| StoreError::Unavailable(format!("the export did not end: {error}")))?
    }

    async fn import_session(&self, session: Session) -> Result<Imported, StoreError> {
        let text = record::write_session(&session).into();
        self.write(|answer| Write::ImportSession(session.into(), text, answer)).await
    }

    async fn import_merchant(&self, merchant: Merchant) -> Result<Imported, StoreError> {
        let text = record::write_merchant(&merchant).into();
        self.write(|answer| Write::ImportMerchant(merchant.into(), text, answer)).await
    }

    fn changes(&self, id: SessionId) -> Changes {
        self.shared.changes.subscribe(id)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match queue {
            None => Err(closed()),
            Some(queue) if queue.is_closed() => Err(stopped()),
            Some(_) => match self.shared.writing_for() {
                Some(time) if time > self.patience => Err(StoreError::Unavailable(format!(
                    "the disk has not finished a write for {} s: look at it and at the log of the kernel",
                    time.as_secs()
                ))),
                Some(_) | None => Ok(()),
            },
        }
    }

    fn figures(&self) -> Figures {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let queued = queue.as_ref().map(|queue| queue.max_capacity() - queue.capacity());
        Figures {
            sessions: self.shared.count_sessions().ok(),
            queued_writes: queued.map(|writes| writes as u64),
            ..Figures::default()
        }
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.write(Write::Close).await?;
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(())
    }
}

impl Drop for RedbStore {
    /// Waits for the writer, so that the file is let go of when this returns. Nobody is left who could add to its work.
    fn drop(&mut self) {
        self.queue.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            drop(writer.join());
        }
    }
}

/// Opens the file for reading and writing.
fn open_file(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new().read(true).write(true).open(path).map_err(|error| cannot_open(&error))
}

/// Makes an empty store where there is no file.
///
/// It is made under another name and then linked to its own, in one step that never replaces anything: a process that
/// is killed meanwhile leaves no half-made file in the way of the next start, and of two that start together one finds
/// the other's file. A link is durable when its directory is; redb syncs the file alone.
fn make_file(path: &Path) -> Result<(), StoreError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", Uuid::now_v7().as_simple()));
    let unfinished = path.with_file_name(name);
    let made = make_file_as(&unfinished).and_then(|()| match std::fs::hard_link(&unfinished, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked.map_err(|error| cannot_open(&error)),
    });
    // Whether or not it was made, this name has served.
    drop(std::fs::remove_file(&unfinished));
    made?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(|error| cannot_open(&error))
}

fn make_file_as(path: &Path) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600); // It will hold what customers sent.
    let file = options.open(path).map_err(|error| cannot_open(&error))?;
    let backend = FileBackend::new(file).map_err(|error| refusal(&error))?;
    let database = Builder::new().create_with_backend(backend).map_err(|error| refusal(&error))?;
    make_tables(&database).map_err(unreadable)?;
    database.close().map_err(|error| refusal(&error))
}

fn cannot_open(error: &std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("cannot be opened: {error}"))
}

/// Makes the tables of a new file, and refuses one that something else made.
fn check_format(database: &Database) -> Result<(), StoreError> {
    let transaction = database.begin_read().map_err(unreadable)?;
    let format = match transaction.open_table(tables::META) {
        Ok(meta) => meta.get(tables::META_FORMAT).map_err(unreadable)?.map(|format| format.value()),
        Err(TableError::TableDoesNotExist(_)) if transaction.list_tables().map_err(unreadable)?.next().is_none() => {
            return make_tables(database).map_err(unreadable);
        }
        Err(TableError::TableDoesNotExist(_) | TableError::TableTypeMismatch { .. }) => None,
        Err(error) => return Err(unreadable(error)),
    };
    match format {
        Some(tables::FORMAT) => Ok(()),
        Some(format) => Err(StoreError::Corrupt(format!(
            "is of format {format}, and this version of waypost reads format {}: start the version of waypost that \
             wrote it, export everything, and import that into a new file",
            tables::FORMAT
        ))),
        None => {
            Err(StoreError::Corrupt("is a redb file of another program: give the store a path of its own".to_owned()))
        }
    }
}

fn make_tables(database: &Database) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    tables::create(&transaction)?;
    Ok(transaction.commit()?)
}

/// Why a file is not opened, and what to do.
fn refusal(error: &DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => StoreError::Unavailable(
            "is in use by another process: stop that one, or give this one a file of its own; servers that share \
             sessions need the PostgreSQL store"
                .to_owned(),
        ),
        DatabaseError::UpgradeRequired(version) => StoreError::Corrupt(format!(
            "is of redb's file format {version}, which this version of waypost does not read: start the version of \
             waypost that wrote it, export everything, and import that into a new file"
        )),
        DatabaseError::Storage(redb::StorageError::Corrupted(why)) => damaged(why),
        // What redb says of a file without its magic number.
        DatabaseError::Storage(redb::StorageError::Io(why)) if why.kind() == ErrorKind::InvalidData => damaged(why),
        error => StoreError::Unavailable(format!("cannot be opened: {error}")),
    }
}

fn damaged(why: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!(
        "is damaged, or not a store of waypost ({why}): check the path; if it is right, put the file aside and import \
         the last export into a new one"
    ))
}

fn unreadable(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Corrupted(why) => StoreError::Corrupt(why),
        redb::Error::DatabaseClosed => closed(),
        error => StoreError::Unavailable(format!("the file cannot be read: {error}")),
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("it was closed".into())
}

fn stopped() -> StoreError {
    StoreError::Unavailable("it stopped writing; whether the last writes were saved is unknown".into())
}

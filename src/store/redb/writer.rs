//! The one writer: a thread that takes all waiting writes into one transaction and one fsync, then answers all of them.
//!
//! Writes are decided inside the transaction, in the order in which they came, so races have one winner. Nothing is
//! answered, and nothing is seen by readers, before the commit is durable. When a commit fails, nobody knows what the
//! disk holds; see [`super::Options::on_failure`].

use super::{
    Shared,
    tables::{self, IdBytes, KEYS, MERCHANTS, OVER, SESSIONS},
};
use crate::{
    model::{Kind, Merchant, Session, SessionId, Timestamp},
    store::{
        Created, Imported, Replaced, StoreError, compare_with_first, id_in_use, is_same_session,
        record::{self, KeyOwner},
    },
    telemetry::metrics::{STORE_COMMIT_DURATION, STORE_COMMIT_WRITES},
};
use redb::{Durability, ReadableTable, Table, WriteTransaction};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// Writes that one transaction takes: more make the first of them wait longer than they save.
const WRITES_AT_ONCE: usize = 1_024;
/// Sessions that one sweep removes, however many it was allowed to: other writes wait for it.
const REMOVED_AT_ONCE: usize = 1_000;

/// When a session that is over and cannot be read is looked at again: another version may run then.
const LOOKED_AT_AGAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// A write that waits for its turn, with the records already encoded: that is work which the callers can share.
pub enum Write {
    /// [`crate::store::Store::create`].
    Create(Arc<Session>, Box<str>, Answer<Created>),
    /// [`crate::store::Store::replace_session`].
    ReplaceSession(Arc<Session>, Box<str>, Answer<Replaced>),
    /// [`crate::store::Store::replace_merchant`].
    ReplaceMerchant(Arc<Merchant>, Box<str>, Answer<Replaced>),
    /// [`crate::store::Store::remove_over`].
    RemoveOver(Timestamp, usize, Answer<usize>),
    /// [`crate::store::Store::import_session`].
    ImportSession(Arc<Session>, Box<str>, Answer<Imported>),
    /// [`crate::store::Store::import_merchant`].
    ImportMerchant(Arc<Merchant>, Box<str>, Answer<Imported>),
    /// Ends the writer after everything before it.
    Close(Answer<()>),
}

/// Where the answer goes. The caller may have gone; its write stands all the same.
pub type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// A change that was written, for those who keep copies and those who wait.
enum Change {
    Session(Arc<Session>),
    Removed(SessionId),
    Merchant(Arc<Merchant>),
}

/// What to do once the transaction is durable.
#[derive(Default)]
struct Done {
    changes: Vec<Change>,
    /// Whether something was written that is nobody's to know.
    has_written: bool,
    answers: Vec<Box<dyn FnOnce()>>,
}

impl Done {
    fn answer<T: 'static>(&mut self, answer: Answer<T>, result: Result<T, StoreError>) {
        self.answers.push(Box::new(move || drop(answer.send(result))));
    }
}

/// Writes until the last sender is gone or one asks to close, or until the file fails.
pub fn run(shared: &Shared, mut queue: mpsc::Receiver<Write>, on_failure: fn(&StoreError)) {
    let mut batch = Vec::new();
    let mut closing = Vec::new();
    while closing.is_empty() && queue.blocking_recv_many(&mut batch, WRITES_AT_ONCE) > 0 {
        let (close, writes) = batch.drain(..).partition(|write| matches!(write, Write::Close(_)));
        closing = close;
        // A panic in here would leave a server that serves and cannot write; it is a failure like any other.
        shared.set_writing(Some(Instant::now()));
        let committed = catch_unwind(AssertUnwindSafe(|| commit(shared, writes)));
        shared.set_writing(None);
        let failure = match committed {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => StoreError::Unavailable(failure_text(&error)),
            Err(_) => StoreError::Unavailable("the writer of the store panicked; what it wrote last is unknown".into()),
        };
        on_failure(&failure);
        // Only tests come here. Whoever waits is told that it failed, as its answer is dropped.
        drop_the_rest(queue);
        return;
    }
    drop_the_rest(queue);
    let closed = shared.take_database().map_or(Ok(()), redb::Database::close);
    for write in closing {
        let Write::Close(answer) = write else { continue };
        let result = match &closed {
            Ok(()) => Ok(()),
            Err(error) => Err(StoreError::Unavailable(format!("the file could not be closed: {error}"))),
        };
        drop(answer.send(result));
    }
}

/// Takes no more writes, and drops those that wait. To drop the queue is not enough: a write that is being put into it at
/// that moment would stay there, and its caller would wait for an answer as long as the store exists.
fn drop_the_rest(mut queue: mpsc::Receiver<Write>) {
    queue.close();
    while queue.blocking_recv().is_some() {}
}

fn failure_text(error: &redb::Error) -> String {
    let advice = match error {
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => {
            "the disk is full: make room on it and start again"
        }
        _ => "check the disk and the log of the kernel, then start again; `waypost` repairs the file when it opens it",
    };
    format!("writing the file failed, and what was not acknowledged may be lost: {error}; {advice}")
}

fn commit(shared: &Shared, writes: Vec<Write>) -> Result<(), redb::Error> {
    if writes.is_empty() {
        return Ok(());
    }
    let (began, count) = (Instant::now(), writes.len());
    let mut transaction = shared.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    // A file that was not closed (kill -9, power loss) is normally repaired by reading all of it: 9 s for 4 GiB with
    // 1.6 million sessions, and the machine's whole disk cache. With this it opens in about 1 s. The price is a second
    // fsync and the map of free pages in each commit: 119 commits/s instead of 184 on the same disk. With 256 writers
    // waiting that is still 21,000 creates/s, and a server that is back at once is worth more to the buyers.
    transaction.set_quick_repair(true);
    let done = apply(&transaction, writes)?;
    if done.changes.is_empty() && !done.has_written {
        // What the answers rest on was durable before.
        transaction.abort()?;
    } else {
        transaction.commit()?;
        STORE_COMMIT_DURATION.took([], began.elapsed());
        STORE_COMMIT_WRITES.saw([], count as u64);
    }
    for change in &done.changes {
        match change {
            Change::Session(session) => shared.sessions.put(session.id, session.clone()),
            Change::Removed(id) => shared.sessions.remove(id),
            Change::Merchant(merchant) => shared.merchants.put(merchant.id.clone(), merchant.clone()),
        }
    }
    // After all copies are new, so that who is woken reads what woke it.
    for change in &done.changes {
        if let Change::Session(session) = change {
            shared.changes.notify(session.id);
        }
    }
    done.answers.into_iter().for_each(|answer| answer());
    Ok(())
}

fn apply(transaction: &WriteTransaction, writes: Vec<Write>) -> Result<Done, redb::Error> {
    let mut tables = Tables::open(transaction)?;
    let mut done = Done::default();
    for write in writes {
        match write {
            Write::Create(session, text, answer) => {
                let created = tables.create(&session, &text)?;
                if let Ok(Created::New) = created {
                    done.changes.push(Change::Session(session));
                }
                done.answer(answer, created);
            }
            Write::ReplaceSession(session, text, answer) => {
                let replaced = tables.replace_session(&session, &text)?;
                if replaced == Replaced::Done {
                    done.changes.push(Change::Session(session));
                }
                done.answer(answer, Ok(replaced));
            }
            Write::ReplaceMerchant(merchant, text, answer) => {
                let replaced = tables.replace_merchant(&merchant, &text)?;
                if replaced == Replaced::Done {
                    done.changes.push(Change::Merchant(merchant));
                }
                done.answer(answer, Ok(replaced));
            }
            Write::RemoveOver(cutoff, limit, answer) => {
                let (removed, postponed) = tables.remove_over(cutoff, limit.min(REMOVED_AT_ONCE))?;
                done.has_written |= postponed;
                let count = removed.len();
                done.changes.extend(removed.into_iter().map(Change::Removed));
                done.answer(answer, Ok(count));
            }
            Write::ImportSession(session, text, answer) => {
                let imported = tables.import_session(&session, &text)?;
                if let Ok(Imported::Saved) = imported {
                    done.changes.push(Change::Session(session));
                }
                done.answer(answer, imported);
            }
            Write::ImportMerchant(merchant, text, answer) => {
                let imported = tables.import_merchant(&merchant, &text)?;
                if imported == Imported::Saved {
                    done.changes.push(Change::Merchant(merchant));
                }
                done.answer(answer, Ok(imported));
            }
            Write::Close(_) => unreachable!("it was taken out of the batch"),
        }
    }
    Ok(done)
}

/// What a write comes to. The outer error is the file's and ends everything; the inner one concerns this write alone,
/// which then has written nothing.
type Decided<T> = Result<Result<T, StoreError>, redb::Error>;

struct Tables<'t> {
    sessions: Table<'t, &'static IdBytes, (u64, i64, &'static [u8])>,
    keys: Table<'t, (&'static str, u8, &'static str), &'static IdBytes>,
    over: Table<'t, (i64, &'static IdBytes), ()>,
    merchants: Table<'t, &'static str, (u64, &'static [u8])>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            sessions: transaction.open_table(SESSIONS)?,
            keys: transaction.open_table(KEYS)?,
            over: transaction.open_table(OVER)?,
            merchants: transaction.open_table(MERCHANTS)?,
        })
    }

    fn create(&mut self, session: &Session, text: &str) -> Decided<Created> {
        if let Some(owner) = self.owner(session)? {
            let Some(first) = self.sessions.get(&owner)? else {
                return Ok(Err(StoreError::Corrupt("a key without its session".into())));
            };
            let first = record::read_session(first.value().2);
            return Ok(first.map(|first| compare_with_first(session, first.into())));
        }
        let id = tables::id_bytes(session.id);
        if self.sessions.get(&id)?.is_some() {
            return Ok(Err(id_in_use(session.id)));
        }
        self.insert_key(session)?;
        self.insert(session, text)?;
        Ok(Ok(Created::New))
    }

    fn replace_session(&mut self, session: &Session, text: &str) -> Result<Replaced, redb::Error> {
        let id = tables::id_bytes(session.id);
        let stands = self.sessions.get(&id)?.map(|value| (value.value().0, value.value().1));
        match stands {
            Some((version, over_at)) if version + 1 == session.version => {
                self.over.remove((over_at, &id))?;
                self.insert(session, text)?;
                Ok(Replaced::Done)
            }
            Some(_) | None => Ok(Replaced::Stale),
        }
    }

    fn replace_merchant(&mut self, merchant: &Merchant, text: &str) -> Result<Replaced, redb::Error> {
        if self.merchant_version(merchant)? + 1 != merchant.version {
            return Ok(Replaced::Stale);
        }
        self.merchants.insert(merchant.id.as_str(), (merchant.version, text.as_bytes()))?;
        Ok(Replaced::Done)
    }

    /// One that cannot be read stays, as it does not tell its key. It is looked at again a day later, so that it holds up no
    /// other; whether there were such comes second.
    fn remove_over(&mut self, cutoff: Timestamp, limit: usize) -> Result<(Vec<SessionId>, bool), redb::Error> {
        let (mut due, mut unreadable) = (Vec::new(), Vec::new());
        for entry in self.over.range(..=tables::over_until(cutoff))?.take(limit) {
            let key = entry?.0;
            let (over_at, id) = key.value();
            match self.read_over(id)? {
                Ok((known, owner)) => due.push((over_at, known, owner)),
                Err(error) => unreadable.push((over_at, *id, error)),
            }
        }
        let mut removed = Vec::with_capacity(due.len());
        for (over_at, id, owner) in due {
            let bytes = tables::id_bytes(id);
            self.sessions.remove(&bytes)?;
            self.over.remove((over_at, &bytes))?;
            if let Some(key) = owner.idempotency {
                self.keys.remove(key_of(owner.merchant_id.as_str(), id.kind(), key.key.as_str()))?;
            }
            removed.push(id);
        }
        if let Some((_, id, error)) = unreadable.first() {
            let (number, error) = (unreadable.len(), error.clone().about(tables::name(id)));
            tracing::error!(number, %error, "sessions that are over stay, as they cannot be read");
        }
        let postponed = !unreadable.is_empty();
        for (over_at, id, _) in unreadable {
            self.over.remove((over_at, &id))?;
            let stands = self.sessions.get(&id)?.map(|value| (value.value().0, value.value().2.to_vec()));
            // An end without its session is the end of nothing.
            if let Some((version, text)) = stands {
                let again = cutoff.plus(LOOKED_AT_AGAIN).as_micros();
                self.sessions.insert(&id, (version, again, &*text))?;
                self.over.insert((again, &id), ())?;
            }
        }
        Ok((removed, postponed))
    }

    /// What has to be known of a session that is to be removed.
    fn read_over(&self, id: &IdBytes) -> Decided<(SessionId, KeyOwner)> {
        let Some((known, value)) = tables::read_id(id).zip(self.sessions.get(id)?) else {
            return Ok(Err(StoreError::Corrupt("an end without its session".into())));
        };
        Ok(record::read_key_owner(value.value().2).map(|owner| (known, owner)))
    }

    fn import_session(&mut self, session: &Session, text: &str) -> Decided<Imported> {
        let id = tables::id_bytes(session.id);
        if self.owner(session)?.is_some_and(|owner| owner != id) {
            return Ok(Ok(Imported::Conflict));
        }
        let stands = self.sessions.get(&id)?.map(|value| {
            let (version, over_at, text) = value.value();
            record::read_session(text).map(|stands| (version, over_at, is_same_session(&stands, session)))
        });
        match stands.transpose() {
            Err(error) => return Ok(Err(error)),
            Ok(Some((_, _, false))) => return Ok(Ok(Imported::Conflict)),
            Ok(Some((version, _, true))) if version >= session.version => return Ok(Ok(Imported::Kept)),
            Ok(Some((_, over_at, true))) => drop(self.over.remove((over_at, &id))?),
            Ok(None) => self.insert_key(session)?,
        }
        self.insert(session, text)?;
        Ok(Ok(Imported::Saved))
    }

    fn import_merchant(&mut self, merchant: &Merchant, text: &str) -> Result<Imported, redb::Error> {
        if self.merchant_version(merchant)? >= merchant.version {
            return Ok(Imported::Kept);
        }
        self.merchants.insert(merchant.id.as_str(), (merchant.version, text.as_bytes()))?;
        Ok(Imported::Saved)
    }

    /// Whose the key of a session is.
    fn owner(&self, session: &Session) -> Result<Option<IdBytes>, redb::Error> {
        let Some(key) = session.key() else { return Ok(None) };
        let key = key_of(session.merchant_id.as_str(), session.id.kind(), key);
        Ok(self.keys.get(key)?.map(|owner| *owner.value()))
    }

    fn insert_key(&mut self, session: &Session) -> Result<(), redb::Error> {
        if let Some(key) = session.key() {
            let key = key_of(session.merchant_id.as_str(), session.id.kind(), key);
            self.keys.insert(key, &tables::id_bytes(session.id))?;
        }
        Ok(())
    }

    fn insert(&mut self, session: &Session, text: &str) -> Result<(), redb::Error> {
        let (id, over_at) = (tables::id_bytes(session.id), session.over_at().as_micros());
        self.sessions.insert(&id, (session.version, over_at, text.as_bytes()))?;
        self.over.insert((over_at, &id), ())?;
        Ok(())
    }

    /// The version that stands; 0 when there is none.
    fn merchant_version(&self, merchant: &Merchant) -> Result<u64, redb::Error> {
        Ok(self.merchants.get(merchant.id.as_str())?.map_or(0, |stands| stands.value().0))
    }
}

fn key_of<'k>(merchant: &'k str, kind: Kind, key: &'k str) -> (&'k str, u8, &'k str) {
    (merchant, tables::code(kind), key)
}

//! The store for many machines: sessions and merchants in PostgreSQL. The servers hold no state, so any number of them
//! share one database.
//!
//! The only place that names SQL, and it is plain: no advisory locks, no sequences, no transaction of more than one
//! statement, so that CockroachDB, YugabyteDB and Citus (reference tables) serve as well. What must be unique is a
//! UNIQUE constraint, what must not be overwritten has a version in its WHERE.
//!
//! One statement loads a session and its merchant's settings, from one snapshot. Only what cannot send a buyer to the
//! wrong place is kept in memory ([`copies`]): a session that succeeded, and for such sessions their merchant's settings,
//! [`SETTINGS_AGE`] at most.
//!
//! A pooler in between must be in session mode: connections are told their timeouts once, and LISTEN. Where the database
//! passes on no hints, watchers look again every [`POLL_EVERY`].

mod address;
mod copies;
mod database;
mod export;
mod failure;
mod hints;
mod patience;
mod pool;
mod queue;
mod schema;
mod settings_reads;

pub use copies::{SETTINGS_AGE, SUCCESS_AGE};
pub use schema::Migrated;

use self::{
    address::Address,
    copies::{Copies, Kept, Settings, has_succeeded},
    database::{Database, Reply, Value},
    failure::{Effect, Failure, Prospect},
    hints::Hints,
    queue::Line,
    settings_reads::SettingsRead,
};
use super::{
    ChangeFeed, Changes, Created, Figures, Imported, Loaded, Record, Replaced, Store, StoreError,
    cache::Found,
    compare_with_first, is_same_session,
    record::{read_merchant, read_session, write_merchant, write_session},
};
use crate::{
    model::{IdempotencyKey, Kind, Merchant, MerchantId, Session, SessionId, Timestamp},
    telemetry::metrics::STORE_CACHE,
};
use async_trait::async_trait;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use tokio_postgres::Row;

/// How often a watcher looks by itself for what other servers wrote. Hints usually come before; this is how late one
/// is noticed that got lost.
pub const POLL_EVERY: Duration = Duration::from_millis(500);
/// Sessions removed by one statement: more would hold their locks for longer than a buyer should wait.
const REMOVE_TOGETHER: usize = 1_000;
/// How often a create looks again when the winner it lost to is removed before it is read. Removal comes a day after
/// the end at the earliest, so once is already unheard of.
const LOOKS: usize = 8;

const INSERT_SESSION: &str = "
    INSERT INTO waypost_sessions (session_id, merchant_id, kind, idempotency_key, over_at, version, record)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT DO NOTHING";
const SESSION_WITH_SETTINGS: &str = "
    SELECT s.record, m.record
    FROM waypost_sessions s LEFT JOIN waypost_merchants m ON m.merchant_id = s.merchant_id
    WHERE s.session_id = $1";
const UPDATE_SESSION: &str = "
    UPDATE waypost_sessions SET over_at = $3, version = $4, record = $5
    WHERE session_id = $1 AND version = $2";
const SELECT_MERCHANT: &str = "SELECT record FROM waypost_merchants WHERE merchant_id = $1";
const INSERT_MERCHANT: &str = "
    INSERT INTO waypost_merchants (merchant_id, version, record) VALUES ($1, $2, $3)
    ON CONFLICT DO NOTHING";
const UPDATE_MERCHANT: &str = "
    UPDATE waypost_merchants SET version = $3, record = $4
    WHERE merchant_id = $1 AND version = $2";
const SELECT_OVER: &str = "
    SELECT session_id FROM waypost_sessions WHERE over_at <= $1
    ORDER BY over_at LIMIT $2";
const DELETE_OVER: &str = "DELETE FROM waypost_sessions WHERE session_id = ANY($1) AND over_at <= $2";
/// For imports, which may skip versions.
const UPDATE_OLDER_MERCHANT: &str = "
    UPDATE waypost_merchants SET version = $2, record = $3
    WHERE merchant_id = $1 AND version < $2";
const CLOCK: &str = "SELECT (extract(epoch FROM now()) * 1000000)::bigint";
/// Whether both tables are there and may be read.
const PING: &str = "SELECT 1 FROM waypost_sessions, waypost_merchants WHERE false";

// What these read is acknowledged on the strength of having been read, though its writer may never have been told that
// it is durable: its connection may have died while a synchronous replica was awaited. The lock makes the statement a
// write, whose own commit is answered only after everything before it is durable, on the replica too. Shared locks do
// not wait for each other, nor for replacements.
const SESSION_BY_KEY_DURABLY: &str = "
    SELECT record FROM waypost_sessions WHERE merchant_id = $1 AND kind = $2 AND idempotency_key = $3 FOR KEY SHARE";
const SESSION_BY_ID_DURABLY: &str = "
    SELECT version, record FROM waypost_sessions WHERE session_id = $1 FOR KEY SHARE";
const MERCHANT_DURABLY: &str = "
    SELECT version, record FROM waypost_merchants WHERE merchant_id = $1 FOR KEY SHARE";

/// Keeps everything in a PostgreSQL database. Its methods are called within a tokio runtime, which drives the connections
/// that they open.
#[derive(Debug)]
pub struct PostgresStore {
    address: Address,
    database: Database,
    copies: Copies,
    changes: ChangeFeed,
    hints: Hints,
}

/// Why a database cannot be used. The text is for the operator and holds no password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is wrong.
    #[error("the store's url cannot be used: {0}")]
    Address(String),
    /// The database did not answer, and may do so later.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// The database answered that it is not for this user, or not there.
    #[error("the database cannot be used: {0}")]
    Refused(String),
    /// The schema is not this server's.
    #[error("{0}")]
    Schema(String),
}

impl From<Failure> for ConnectError {
    fn from(failure: Failure) -> Self {
        match failure.prospect {
            Prospect::Conflict | Prospect::Passing => Self::Unreachable(failure.text),
            Prospect::Lasting => Self::Refused(failure.text),
        }
    }
}

impl PostgresStore {
    /// Connects to a database whose schema is that of this server; [`PostgresStore::migrate`] makes it so.
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        let address = Address::parse(url)?;
        schema::check(&address).await?;
        let changes = ChangeFeed::default();
        let hints = Hints::start(address.clone(), changes.clone())
            .map_err(|error| ConnectError::Unreachable(format!("no thread for its hints: {error}")))?;
        let database = Database::new(address.clone());
        Ok(Self { address, database, copies: Copies::new(), changes, hints })
    }

    /// Brings the database's schema to the version of this server. Safe to repeat, and when several do it at once.
    pub async fn migrate(url: &str) -> Result<Migrated, ConnectError> {
        schema::migrate(&Address::parse(url)?).await
    }

    /// What stands in the way of a session that was not inserted; `None` when it has gone meanwhile.
    async fn in_the_way(&self, session: &Session, before: Effect) -> Result<Option<Created>, StoreError> {
        let own = |found: &Session| found.id == session.id && found.as_created() == session.as_created();
        if let Some(key) = session.key() {
            let values = key_values(&session.merchant_id, session.id.kind(), key);
            let reply = self.database.run(SESSION_BY_KEY_DURABLY, values).await?;
            if let Some(row) = reply.rows.first() {
                let first = read_session(record(row, 0)?)?;
                // It may be what an earlier attempt of this call wrote, whose answer was lost.
                return Ok(Some(match before {
                    Effect::Unknown if own(&first) => Created::New,
                    Effect::Unknown | Effect::None => compare_with_first(session, Arc::new(first)),
                }));
            }
        }
        let reply = self.database.run(SESSION_BY_ID_DURABLY, [id_value(session.id)]).await?;
        let Some(row) = reply.rows.first() else { return Ok(None) };
        match before {
            Effect::Unknown if own(&read_session(record(row, 1)?)?) => Ok(Some(Created::New)),
            Effect::Unknown | Effect::None => Err(StoreError::Unavailable("the session's id is in use".to_owned())),
        }
    }

    /// The settings that hold for a merchant's sessions, as they were at most [`SETTINGS_AGE`] ago.
    async fn settings(&self, id: &MerchantId) -> Result<Arc<Merchant>, StoreError> {
        let settings = match self.copies.settings(id) {
            Settings::Hold(merchant) => return Ok(merchant),
            settings => settings,
        };
        let came = Instant::now();
        let read = loop {
            let read = self.copies.reads.join(id, read_settings(self.database.clone(), id.clone())).await?;
            // Another caller's read is as good as one's own if it is not too old.
            if read.sent >= came || read.sent.elapsed() < SETTINGS_AGE {
                break read;
            }
        };
        let kept = Kept::new(Arc::clone(&read.merchant), read.sent);
        match settings {
            Settings::Renew(found) => self.copies.renew(&found, kept),
            Settings::Absent(vacancy) => drop(vacancy.fill(kept)),
            Settings::Hold(_) => {}
        }
        Ok(read.merchant)
    }

    /// Wakes everybody who watches a session.
    fn changed(&self, id: SessionId) {
        self.changes.notify(id);
        self.hints.send(id);
    }

    /// What a replacement came to whose statement changed nothing; `wanted` is what it would have written.
    async fn settle(
        &self,
        before: Effect,
        read_durably: &'static str,
        id: Value,
        wanted: (i64, &[u8]),
    ) -> Result<Replaced, StoreError> {
        if before == Effect::None {
            return Ok(Replaced::Stale);
        }
        // An earlier attempt may have done it, and then nothing was left to do.
        let reply = self.database.run(read_durably, [id]).await?;
        let Some(row) = reply.rows.first() else { return Ok(Replaced::Stale) };
        let version: i64 = row.try_get(0).map_err(unreadable)?;
        match version.cmp(&wanted.0) {
            std::cmp::Ordering::Equal if record(row, 1)? == wanted.1 => Ok(Replaced::Done),
            std::cmp::Ordering::Equal | std::cmp::Ordering::Less => Ok(Replaced::Stale),
            // It may have been done and replaced since: neither answer would be true for certain.
            std::cmp::Ordering::Greater => {
                Err(StoreError::Unavailable("the connection was lost and whether it wrote is unknown".to_owned()))
            }
        }
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn create(&self, session: Session) -> Result<Created, StoreError> {
        for _ in 0..LOOKS {
            let reply = self.database.run(INSERT_SESSION, session_values(&session)).await?;
            if reply.affected == 1 {
                return Ok(Created::New);
            }
            if let Some(answer) = self.in_the_way(&session, reply.before).await? {
                return Ok(answer);
            }
        }
        Err(StoreError::Unavailable("the session that has the key is removed again and again".to_owned()))
    }

    async fn session_by_key(
        &self,
        merchant_id: &MerchantId,
        kind: Kind,
        key: &IdempotencyKey,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        let reply = self.database.run(SESSION_BY_KEY_DURABLY, key_values(merchant_id, kind, key.as_str())).await?;
        reply.rows.first().map(|row| read_session(record(row, 0)?).map(Arc::new)).transpose()
    }

    async fn session(&self, id: SessionId) -> Result<Option<Loaded>, StoreError> {
        let vacancy = match self.copies.session(id) {
            Found::Entry(kept) => {
                STORE_CACHE.add([0], 1);
                let session = kept.value();
                let merchant = self.settings(&session.merchant_id).await?;
                return Ok(Some(Loaded { session, merchant }));
            }
            Found::Absent(vacancy) => vacancy,
        };
        STORE_CACHE.add([1], 1);
        let reply = self.database.run_first(Line::New, SESSION_WITH_SETTINGS, [id_value(id)]).await?;
        let Some(row) = reply.rows.first() else { return Ok(None) };
        let session = Arc::new(read_session(record(row, 0)?)?);
        let settings: Option<&[u8]> = row.try_get(1).map_err(unreadable)?;
        let merchant = match settings {
            Some(settings) => read_merchant(settings)?,
            None => Merchant::default_for(session.merchant_id.clone()),
        };
        if has_succeeded(&session) {
            vacancy.fill(Kept::new(Arc::clone(&session), reply.sent));
        }
        Ok(Some(Loaded { session, merchant: Arc::new(merchant) }))
    }

    /// Copies of settings have an age, so that a load may have to read them again.
    fn session_in_memory(&self, _: SessionId) -> Option<Loaded> {
        None
    }

    async fn session_durably(&self, id: SessionId) -> Result<Option<Arc<Session>>, StoreError> {
        let reply = self.database.run(SESSION_BY_ID_DURABLY, [id_value(id)]).await?;
        reply.rows.first().map(|row| read_session(record(row, 1)?).map(Arc::new)).transpose()
    }

    async fn replace_session(&self, session: Session) -> Result<Replaced, StoreError> {
        let (id, version, text) = (session.id, to_bigint(session.version), write_session(&session).into_bytes());
        let (place, sent) = (self.copies.claim_session(id), Instant::now());
        let reply = self.database.run(UPDATE_SESSION, replacement_values(&session, version - 1)).await?;
        let replaced = match reply.affected {
            0 => self.settle(reply.before, SESSION_BY_ID_DURABLY, id_value(id), (version, &text)).await?,
            _ => Replaced::Done,
        };
        if replaced == Replaced::Done {
            self.copies.wrote_session(place, Kept::new(session.into(), sent));
            self.changed(id);
        }
        Ok(replaced)
    }

    async fn merchant(&self, id: &MerchantId) -> Result<Option<Arc<Merchant>>, StoreError> {
        merchant_of(&self.database.run_first(Line::New, SELECT_MERCHANT, merchant_values(id)).await?)
    }

    async fn merchant_durably(&self, id: &MerchantId) -> Result<Option<Arc<Merchant>>, StoreError> {
        let reply = self.database.run(MERCHANT_DURABLY, merchant_values(id)).await?;
        reply.rows.first().map(|row| read_merchant(record(row, 1)?).map(Arc::new)).transpose()
    }

    async fn replace_merchant(&self, merchant: Merchant) -> Result<Replaced, StoreError> {
        let (id, version) = (bytes(merchant.id.as_str()), to_bigint(merchant.version));
        let text = write_merchant(&merchant).into_bytes();
        let (place, sent) = (self.copies.claim_settings(&merchant.id), Instant::now());
        let reply = if version == 1 {
            self.database
                .run(INSERT_MERCHANT, [Box::new(id.clone()), Box::new(version), Box::new(text.clone())])
                .await?
        } else {
            let values: [Value; 4] =
                [Box::new(id.clone()), Box::new(version - 1), Box::new(version), Box::new(text.clone())];
            self.database.run(UPDATE_MERCHANT, values).await?
        };
        let replaced = match reply.affected {
            0 => self.settle(reply.before, MERCHANT_DURABLY, Box::new(id), (version, &text)).await?,
            _ => Replaced::Done,
        };
        if replaced == Replaced::Done {
            self.copies.wrote_settings(place, Kept::new(merchant.into(), sent));
        }
        Ok(replaced)
    }

    async fn remove_over(&self, cutoff: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let limit = i64::try_from(limit.min(REMOVE_TOGETHER)).unwrap_or(i64::MAX);
        loop {
            let reply = self.database.run(SELECT_OVER, [Box::new(cutoff.as_micros()), Box::new(limit)]).await?;
            let ids = reply.rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<Vec<u8>>, _>>();
            let ids = ids.map_err(unreadable)?;
            if ids.is_empty() {
                return Ok(0);
            }
            // A session may have gained time since, so the cutoff is asked again.
            let reply = self.database.run(DELETE_OVER, [Box::new(ids.clone()), Box::new(cutoff.as_micros())]).await?;
            // Those that another server removed first are gone as well, and one that stays is read again.
            let gone = ids.iter().filter_map(|id| std::str::from_utf8(id).ok()?.parse().ok());
            gone.for_each(|id| self.copies.removed_session(id));
            // None means that another server removed these; there may be more, and 0 would say that there are not.
            if reply.affected > 0 {
                return Ok(usize::try_from(reply.affected).unwrap_or(usize::MAX));
            }
        }
    }

    fn changes(&self, id: SessionId) -> Changes {
        self.changes.subscribe(id).polling(POLL_EVERY)
    }

    async fn export(&self, into: mpsc::Sender<Record>) -> Result<(), StoreError> {
        export::send_records(&self.address, &into).await
    }

    async fn import_session(&self, session: Session) -> Result<Imported, StoreError> {
        let mut before = Effect::None;
        let (place, sent) = (self.copies.claim_session(session.id), Instant::now());
        let saved = |session: Session| {
            let id = session.id;
            self.copies.wrote_session(place, Kept::new(session.into(), sent));
            self.changed(id);
            Ok(Imported::Saved)
        };
        for _ in 0..LOOKS {
            let reply = self.database.run(INSERT_SESSION, session_values(&session)).await?;
            before = before.or(reply.before);
            if reply.affected == 1 {
                return saved(session);
            }
            let reply = self.database.run(SESSION_BY_ID_DURABLY, [id_value(session.id)]).await?;
            let Some(row) = reply.rows.first() else {
                let Some(key) = session.key() else { continue };
                let values = key_values(&session.merchant_id, session.id.kind(), key);
                let taken = !self.database.run(SESSION_BY_KEY_DURABLY, values).await?.rows.is_empty();
                if taken {
                    return Ok(Imported::Conflict);
                }
                continue;
            };
            let stands = read_session(record(row, 1)?)?;
            if !is_same_session(&stands, &session) {
                return Ok(Imported::Conflict);
            }
            if before == Effect::Unknown && stands == session {
                return saved(session);
            }
            if stands.version >= session.version {
                return Ok(Imported::Kept);
            }
            let values = replacement_values(&session, to_bigint(stands.version));
            let reply = self.database.run(UPDATE_SESSION, values).await?;
            before = before.or(reply.before);
            if reply.affected == 1 {
                return saved(session);
            }
        }
        Err(StoreError::Unavailable("the session changes faster than it can be imported".to_owned()))
    }

    async fn import_merchant(&self, merchant: Merchant) -> Result<Imported, StoreError> {
        let (id, version) = (bytes(merchant.id.as_str()), to_bigint(merchant.version));
        let text = write_merchant(&merchant).into_bytes();
        let values = || -> [Value; 3] { [Box::new(id.clone()), Box::new(version), Box::new(text.clone())] };
        let (place, sent) = (self.copies.claim_settings(&merchant.id), Instant::now());
        let mut reply = self.database.run(INSERT_MERCHANT, values()).await?;
        if reply.affected == 0 {
            // Merchants are never removed, so there is one to update.
            let inserted = reply.before;
            reply = self.database.run(UPDATE_OLDER_MERCHANT, values()).await?;
            reply.before = inserted.or(reply.before);
        }
        let replaced = match reply.affected {
            0 => self.settle(reply.before, MERCHANT_DURABLY, Box::new(id.clone()), (version, &text)).await?,
            _ => Replaced::Done,
        };
        Ok(match replaced {
            Replaced::Done => {
                self.copies.wrote_settings(place, Kept::new(merchant.into(), sent));
                Imported::Saved
            }
            Replaced::Stale => Imported::Kept,
        })
    }

    async fn clock(&self) -> Result<Option<Timestamp>, StoreError> {
        let reply = self.database.run(CLOCK, []).await?;
        let row = reply.rows.first().ok_or_else(|| StoreError::Corrupt("no clock".to_owned()))?;
        Ok(Some(Timestamp::from_micros(row.try_get(0).map_err(unreadable)?)))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.database.run(PING, []).await.map(drop)
    }

    fn figures(&self) -> Figures {
        self.database.figures()
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.hints.close().await;
        self.database.close();
        Ok(())
    }
}

fn session_values(session: &Session) -> [Value; 7] {
    let key = session.key().map(bytes);
    [
        id_value(session.id),
        Box::new(bytes(session.merchant_id.as_str())),
        Box::new(session.id.kind().as_str()),
        Box::new(key),
        Box::new(session.over_at().as_micros()),
        Box::new(to_bigint(session.version)),
        Box::new(write_session(session).into_bytes()),
    ]
}

fn replacement_values(session: &Session, stands: i64) -> [Value; 5] {
    [
        id_value(session.id),
        Box::new(stands),
        Box::new(session.over_at().as_micros()),
        Box::new(to_bigint(session.version)),
        Box::new(write_session(session).into_bytes()),
    ]
}

fn id_value(id: SessionId) -> Value {
    Box::new(id.to_string().into_bytes())
}

fn key_values(merchant_id: &MerchantId, kind: Kind, key: &str) -> [Value; 3] {
    [Box::new(bytes(merchant_id.as_str())), Box::new(kind.as_str()), Box::new(bytes(key))]
}

/// Buyers who have paid wait for it.
async fn read_settings(database: Database, id: MerchantId) -> Result<SettingsRead, StoreError> {
    let reply = database.run_first(Line::Urgent, SELECT_MERCHANT, merchant_values(&id)).await?;
    let merchant = merchant_of(&reply)?.unwrap_or_else(|| Merchant::default_for(id).into());
    Ok(SettingsRead { merchant, sent: reply.sent })
}

fn merchant_of(reply: &Reply) -> Result<Option<Arc<Merchant>>, StoreError> {
    reply.rows.first().map(|row| read_merchant(record(row, 0)?).map(Arc::new)).transpose()
}

fn merchant_values(id: &MerchantId) -> [Value; 1] {
    [Box::new(bytes(id.as_str()))]
}

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

/// A count of changes; it does not come near the bound.
fn to_bigint(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

fn record(row: &Row, column: usize) -> Result<&[u8], StoreError> {
    row.try_get(column).map_err(unreadable)
}

fn unreadable(error: tokio_postgres::Error) -> StoreError {
    StoreError::Corrupt(failure::describe(&error))
}

//! Where sessions and merchants are kept: the contract that every store fulfils, clause by clause.
//!
//! A store keeps and finds; it decides nothing about redirects and never sees the wire. Absence is `None`: the use case
//! decides what it means. `tests/store_contract.rs` has a test for every clause, run on every store.

mod changes;
mod figures;
mod measured;
mod memory;
mod cache;
pub mod record;
pub mod redb;
pub mod postgres;
pub mod export;
pub mod backup;
mod url;

pub use changes::{ChangeFeed, Changes};
pub use figures::Figures;
pub use measured::Measured;
pub use memory::MemoryStore;
pub use postgres::PostgresStore;
pub use redb::RedbStore;
pub use url::{CannotOpen, InvalidStoreUrl, StoreUrl};

use crate::model::{IdempotencyKey, Kind, Merchant, MerchantId, Session, SessionId, Timestamp};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};
use tokio::sync::mpsc;

/// The contract. Every method is one atomic step; what it acknowledges is durable, on every store but memory.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Saves a new session under its id and, when it has one, its idempotency key.
    ///
    /// - **C1** A session without a key, or with a new one, is saved: [`Created::New`].
    /// - **C2** The same merchant, kind and key with an equal fingerprint returns the first session:
    ///   [`Created::Before`]; nothing is written.
    /// - **C3** The same with another fingerprint is [`Created::KeyReused`]; nothing is written.
    /// - **C4** Keys of other merchants and of other kinds are other keys.
    /// - **C5** When calls with one key race, exactly one session exists after all return, and all that had the equal
    ///   fingerprint got it.
    /// - **C6** A new session under an id that is in use is [`StoreError::Unavailable`]; nothing is written. Chance does
    ///   not do this to version 7 ids, so it is not worth an answer of its own, but it must not cost the session that
    ///   is there.
    async fn create(&self, session: Session) -> Result<Created, StoreError>;

    /// Finds the session that was created with a key.
    ///
    /// - **K1** Returns it as it is now, for the exact merchant, kind and key only.
    /// - **K2** What it finds may be acknowledged, as by **L6**.
    async fn session_by_key(
        &self,
        merchant_id: &MerchantId,
        kind: Kind,
        key: &IdempotencyKey,
    ) -> Result<Option<Arc<Session>>, StoreError>;

    /// Loads a session with its merchant's settings.
    ///
    /// - **L1** What was saved comes back equal, to the last bit.
    /// - **L2** The session is at least as new as every write that was acknowledged before the call, whichever server
    ///   wrote it. The settings are at least as new as every write that this store acknowledged before the call. A
    ///   merchant that was never written has the defaults.
    /// - **L3** Settings that another server wrote hold here, too, at most [`postgres::SETTINGS_AGE`] after they were
    ///   acknowledged; for a session that has not succeeded, from the next call on.
    /// - **L4** A session that succeeded never changes again, so it may be found for up to [`postgres::SUCCESS_AGE`]
    ///   after another server removed it, or an import into another server replaced it. Every other session, and
    ///   whatever this store removed, is gone from the next call on.
    async fn session(&self, id: SessionId) -> Result<Option<Loaded>, StoreError>;

    /// The same of what is held in memory, where nothing has to be asked and nobody waits. `None` where the store has to be
    /// asked, or would rather be.
    ///
    /// - **L5** What it finds is what [`Store::session`] would load.
    fn session_in_memory(&self, id: SessionId) -> Option<Loaded>;

    /// Loads a session for an answer that acknowledges what it finds, such as that an outcome was recorded before.
    ///
    /// - **L6** What it finds is as durable as what this store acknowledges, even if whoever wrote it was never answered,
    ///   and no older than what [`Store::session`] had found before.
    async fn session_durably(&self, id: SessionId) -> Result<Option<Arc<Session>>, StoreError>;

    /// Replaces the state of a session whose version is one less than that of the new state.
    ///
    /// - **R1** If that state still stands, it is replaced; otherwise nothing is written: [`Replaced::Stale`].
    /// - **R2** When replacements of one state race, exactly one is [`Replaced::Done`].
    /// - **R3** A session that does not exist is [`Replaced::Stale`].
    /// - **R4** The key of the session goes on finding it.
    async fn replace_session(&self, session: Session) -> Result<Replaced, StoreError>;

    /// Loads a merchant's settings.
    ///
    /// - **M1** A merchant that was never written is `None`; one that was comes back equal.
    async fn merchant(&self, id: &MerchantId) -> Result<Option<Arc<Merchant>>, StoreError>;

    /// Loads a merchant's settings for an answer that acknowledges what it finds.
    ///
    /// - **M4** As **L6**, of [`Store::merchant`].
    async fn merchant_durably(&self, id: &MerchantId) -> Result<Option<Arc<Merchant>>, StoreError>;

    /// Replaces the state of a merchant whose version is one less than that of the new state; version 1 is the first.
    ///
    /// - **M2** If that state still stands, it is replaced; otherwise nothing is written: [`Replaced::Stale`].
    /// - **M3** When replacements of one state race, exactly one is [`Replaced::Done`].
    async fn replace_merchant(&self, merchant: Merchant) -> Result<Replaced, StoreError>;

    /// Removes up to `limit` sessions that were over at `cutoff`, with their keys, and says how many.
    ///
    /// - **X1** Removes none that was not over then ([`Session::over_at`]).
    /// - **X2** Repeated until it answers 0, it has removed all that were.
    /// - **X3** A removed session's key may be used again.
    async fn remove_over(&self, cutoff: Timestamp, limit: usize) -> Result<usize, StoreError>;

    /// Watches a session, whether or not it exists.
    ///
    /// - **W1** Every replacement of it that is acknowledged after this call wakes the watcher, whoever wrote it.
    fn changes(&self, id: SessionId) -> Changes;

    /// Sends every merchant and then every session, as they are at one moment; see [`export`](mod@export).
    ///
    /// - **E1** Everything acknowledged before the call is sent, each thing once, and all of it as of one moment: of
    ///   two writes that were acknowledged one after the other, never the second without the first.
    /// - **E2** Writes go on meanwhile, however slow the receiver is. When it is gone, this ends.
    async fn export(&self, into: mpsc::Sender<Record>) -> Result<(), StoreError>;

    /// Saves a session of an export as it is, with its key, its ending and its version.
    ///
    /// - **I1** One that does not exist is saved: [`Imported::Saved`].
    /// - **I2** A state newer than the one that stands replaces it, and wakes the watchers: [`Imported::Saved`]. Any
    ///   other writes nothing: [`Imported::Kept`]. So importing twice is harmless, in any order.
    /// - **I3** When another session has its key, or what has its id was created by another call, nothing is written:
    ///   [`Imported::Conflict`].
    async fn import_session(&self, session: Session) -> Result<Imported, StoreError>;

    /// Saves a merchant of an export as it is, with its version.
    ///
    /// - **I4** A state newer than the one that stands is saved: [`Imported::Saved`]. Any other writes nothing:
    ///   [`Imported::Kept`].
    async fn import_merchant(&self, merchant: Merchant) -> Result<Imported, StoreError>;

    /// Answers when the store can serve.
    async fn ping(&self) -> Result<(), StoreError>;

    /// The time by a clock of its own, which is not this machine's; `None` where it has none.
    ///
    /// - **T1** It is the time of the call.
    async fn clock(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    /// Says how it stands, at once and without asking anything that is far away.
    fn figures(&self) -> Figures {
        Figures::default()
    }

    /// Makes everything acknowledged durable and lets go of what is open; no other call follows.
    ///
    /// - **D1** Opened again, a store has everything that it acknowledged, and goes on with it; only the one in memory
    ///   has nothing.
    async fn close(&self) -> Result<(), StoreError>;
}

/// A session, and the settings that hold for it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The session.
    pub session: Arc<Session>,
    /// Its merchant.
    pub merchant: Arc<Merchant>,
}

/// What came of a create.
#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    /// It was saved.
    New,
    /// The key was used with equal content before; this is that session, as it is now.
    Before(Arc<Session>),
    /// The key was used with other content before.
    KeyReused,
}

/// What came of a replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// It was saved.
    Done,
    /// The state that it was made from does not stand any more.
    Stale,
}

/// What an export consists of.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A merchant that was written at least once.
    Merchant(Arc<Merchant>),
    /// A session.
    Session(Arc<Session>),
    /// What this version cannot read, as it stands in the store.
    Unreadable(Unreadable),
}

/// A record that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// Whose it is.
    pub id: String,
    /// What is wrong with it.
    pub problem: String,
    /// Its text; bytes that are no UTF-8 are replaced.
    pub record: String,
}

impl Record {
    /// What was read, or what was to be.
    pub(crate) fn of<T>(
        read: Result<T, StoreError>,
        make: impl FnOnce(Arc<T>) -> Self,
        id: impl FnOnce() -> String,
        text: &[u8],
    ) -> Self {
        match read {
            Ok(read) => make(read.into()),
            Err(error) => Self::Unreadable(Unreadable {
                id: id(),
                problem: error.to_string(),
                record: String::from_utf8_lossy(text).into_owned(),
            }),
        }
    }
}

/// What came of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// It was saved.
    Saved,
    /// What stands is as new or newer, and stays.
    Kept,
    /// Another session has its key or its id.
    Conflict,
}

/// Why a store failed. The text is for the log, not for the client.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// It did not answer; the same call may succeed later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// It is asked for more than it can do, and this was not asked of it.
    #[error("more is asked of the store than it can do")]
    Overloaded,
    /// It holds something that it cannot have been given.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// Names what it is about.
    pub(crate) fn about(self, what: impl fmt::Display) -> Self {
        match self {
            Self::Unavailable(text) => Self::Unavailable(format!("{what}: {text}")),
            Self::Overloaded => self,
            Self::Corrupt(text) => Self::Corrupt(format!("{what}: {text}")),
        }
    }
}

/// What a create that found its key in use comes to.
pub(crate) fn compare_with_first(session: &Session, first: Arc<Session>) -> Created {
    if session.fingerprint() == first.fingerprint() { Created::Before(first) } else { Created::KeyReused }
}

/// Whether two states are states of one session: what the create call said never changes.
pub(crate) fn is_same_session(one: &Session, other: &Session) -> bool {
    let keyed = |session: &Session| (session.id, session.fingerprint());
    keyed(one) == keyed(other) && one.merchant_id == other.merchant_id && one.key() == other.key()
}

/// What a create under an id that exists comes to.
pub(crate) fn id_in_use(id: SessionId) -> StoreError {
    StoreError::Unavailable(format!("a new session has the id of another one, {id}"))
}

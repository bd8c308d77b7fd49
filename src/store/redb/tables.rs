//! The tables of the file, and how ids are written as their keys. A change here is a change of [`FORMAT`].

use crate::model::{Kind, SessionId, Timestamp};
use redb::{TableDefinition, TableError, WriteTransaction};
use uuid::Uuid;

/// The version of what this file describes.
pub const FORMAT: u64 = 1;

/// A session's id: the code of its kind, then its uuid. Later ids of one kind sort later, so that new sessions stand
/// side by side in the file.
pub type IdBytes = [u8; 17];

/// By id: version, when it is over in microseconds, and the record. The first two repeat what the record says, so that
/// a writer can decide without reading JSON.
pub const SESSIONS: TableDefinition<'_, &IdBytes, (u64, i64, &[u8])> = TableDefinition::new("sessions");
/// By merchant, code of the kind and idempotency key: whose key it is.
pub const KEYS: TableDefinition<'_, (&str, u8, &str), &IdBytes> = TableDefinition::new("keys");
/// When each session is over, soonest first.
pub const OVER: TableDefinition<'_, (i64, &IdBytes), ()> = TableDefinition::new("over");
/// By id: version and record.
pub const MERCHANTS: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("merchants");
/// `format`: [`FORMAT`].
pub const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// The name in [`META`].
pub const META_FORMAT: &str = "format";

/// Makes the tables of a new file.
pub fn create(transaction: &WriteTransaction) -> Result<(), TableError> {
    transaction.open_table(SESSIONS)?;
    transaction.open_table(KEYS)?;
    transaction.open_table(OVER)?;
    transaction.open_table(MERCHANTS)?;
    transaction.open_table(META)?.insert(META_FORMAT, FORMAT)?;
    Ok(())
}

/// The code of a kind. Codes are never used again for anything else.
pub const fn code(kind: Kind) -> u8 {
    match kind {
        Kind::Checkout => 1,
        Kind::Order => 2,
        Kind::Payment => 3,
    }
}

/// An id as a key.
pub fn id_bytes(id: SessionId) -> IdBytes {
    let mut bytes = [code(id.kind()); 17];
    bytes[1..].copy_from_slice(id.uuid().as_bytes());
    bytes
}

/// The id that a key was made from; `None` when its kind is none.
pub fn read_id(bytes: &IdBytes) -> Option<SessionId> {
    let [kind, uuid @ ..] = *bytes;
    let kind = Kind::ALL.into_iter().find(|known| code(*known) == kind)?;
    Some(SessionId::new(kind, Uuid::from_bytes(uuid)))
}

/// How people are told of an id, whatever stands there.
pub fn name(id: &IdBytes) -> String {
    read_id(id).map_or_else(|| format!("a session with the key {id:02x?}"), |id| id.to_string())
}

/// The last key in [`OVER`] of sessions that were over at `cutoff`.
pub const fn over_until(cutoff: Timestamp) -> (i64, &'static IdBytes) {
    (cutoff.as_micros(), &[u8::MAX; 17])
}

//! The store that forgets: sessions and merchants in maps of this process, for tests and trials.

use super::{
    ChangeFeed, Changes, Created, Figures, Imported, Loaded, Record, Replaced, Store, StoreError, compare_with_first,
    id_in_use, is_same_session,
};
use crate::model::{IdempotencyKey, Kind, Merchant, MerchantId, Session, SessionId, Timestamp};
use ahash::{AHashMap, RandomState};
use async_trait::async_trait;
use hashbrown::{HashTable, hash_table::Entry};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};
use tokio::sync::mpsc;

/// Parts of the session table, so that writers seldom wait for each other. A power of two.
const SHARDS: usize = 64;

/// Keeps everything in memory.
#[derive(Debug)]
pub struct MemoryStore {
    hasher: RandomState,
    /// By id. The entries are pointers, and what tells them apart is read through them: a resolve reads it anyway.
    shards: [RwLock<Shard>; SHARDS],
    /// Those that were written, whose versions are above 0, and [defaults](MemoryStore::merchant_or_defaults) of others.
    merchants: RwLock<AHashMap<MerchantId, Arc<Merchant>>>,
    /// The sessions with an idempotency key. Locked before a shard, by whatever needs both.
    keys: Mutex<HashTable<Keyed>>,
    /// The sessions that were over within each span of time, as of each of their states; the state that stands decides
    /// when the turn comes.
    over: Mutex<BTreeMap<i64, Vec<SessionId>>>,
    changes: ChangeFeed,
}

/// Merchants, written or not, beside which no more defaults are kept, so that ids which nobody wrote take some megabytes at
/// most. Those of further merchants are made for each load.
const MAX_MERCHANTS_WITH_DEFAULTS: usize = 10_000;

/// The length of the spans of `over`, in microseconds: about a minute, as often as sessions are removed.
const SPAN: i64 = 1 << 26;

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| RwLock::default()),
            merchants: RwLock::default(),
            keys: Mutex::default(),
            over: Mutex::default(),
            changes: ChangeFeed::default(),
        }
    }
}

/// A session with an idempotency key, and half of the hash of whose key it is: all of it would take a third more.
#[derive(Debug, Clone, Copy)]
struct Keyed {
    hash: u32,
    id: SessionId,
}

impl Keyed {
    /// The hash that the table goes by, which looks at both ends of it.
    const fn spread(hash: u32) -> u64 {
        (hash as u64) << 32 | hash as u64
    }
}

/// The sessions of one part of the table.
#[derive(Debug, Default)]
struct Shard {
    table: HashTable<Arc<Session>>,
    /// Memory that the sessions take, without the table.
    bytes: usize,
}

/// What a session takes behind its pointer: itself, and the counts of who shares it.
fn bytes_of(session: &Session) -> usize {
    session.bytes() + 2 * size_of::<usize>()
}

impl MemoryStore {
    fn shard(&self, id: SessionId) -> &RwLock<Shard> {
        // The last bytes of a version 7 uuid are random.
        &self.shards[id.uuid().as_bytes()[15] as usize % SHARDS]
    }

    fn entry<'s>(&self, table: &'s mut HashTable<Arc<Session>>, id: SessionId) -> Entry<'s, Arc<Session>> {
        let hash = |session: &Arc<Session>| self.hasher.hash_one(session.id);
        table.entry(self.hasher.hash_one(id), |session| session.id == id, hash)
    }

    fn find(&self, id: SessionId) -> Option<Arc<Session>> {
        read(self.shard(id)).table.find(self.hasher.hash_one(id), |session| session.id == id).cloned()
    }

    /// A merchant that was written, or the defaults of one that was not, which are kept if there is room.
    fn merchant_or_defaults(&self, id: &MerchantId) -> Arc<Merchant> {
        if let Some(found) = read(&self.merchants).get(id).cloned() {
            return found;
        }
        let defaults = Arc::new(Merchant::default_for(id.clone()));
        if read(&self.merchants).len() >= MAX_MERCHANTS_WITH_DEFAULTS {
            return defaults;
        }
        Arc::clone(write(&self.merchants).entry(id.clone()).or_insert(defaults))
    }

    /// The place of a key among all with what stands there, and its hash.
    fn key_entry<'k>(
        &self,
        keys: &'k mut HashTable<Keyed>,
        merchant_id: &MerchantId,
        kind: Kind,
        key: &str,
    ) -> (u32, Entry<'k, Keyed>) {
        let hash = self.hasher.hash_one((merchant_id, kind, key)) as u32;
        let is_it = |other: &Keyed| {
            other.hash == hash
                && other.id.kind() == kind
                && self.find(other.id).is_some_and(|it| it.merchant_id == *merchant_id && it.key() == Some(key))
        };
        (hash, keys.entry(Keyed::spread(hash), is_it, |keyed| Keyed::spread(keyed.hash)))
    }

    fn insert(&self, session: Session) -> Result<(), StoreError> {
        let (id, over_at) = (session.id, session.over_at());
        {
            let mut shard = write(self.shard(id));
            let Shard { table, bytes } = &mut *shard;
            let Entry::Vacant(vacant) = self.entry(table, id) else { return Err(id_in_use(id)) };
            *bytes += bytes_of(&session);
            vacant.insert(Arc::new(session));
        }
        self.note_over(over_at, id);
        Ok(())
    }

    fn note_over(&self, over_at: Timestamp, id: SessionId) {
        lock(&self.over).entry(span(over_at)).or_default().push(id);
    }

    fn remove_if_over(&self, id: SessionId, cutoff: Timestamp) -> Removal {
        let mut keys = lock(&self.keys);
        let Some(session) = self.find(id) else { return Removal::Gone };
        // Its state may be replaced meanwhile, its key may not.
        let keyed = session.key().map(|key| self.key_entry(&mut keys, &session.merchant_id, id.kind(), key));
        let mut shard = write(self.shard(id));
        let Shard { table, bytes } = &mut *shard;
        let Entry::Occupied(entry) = self.entry(table, id) else { return Removal::Gone };
        let over_at = entry.get().over_at();
        if over_at > cutoff {
            return Removal::NotBefore(over_at);
        }
        let (removed, _) = entry.remove();
        *bytes -= bytes_of(&removed);
        if let Some((_, Entry::Occupied(keyed))) = keyed {
            keyed.remove();
        }
        Removal::Done
    }
}

enum Removal {
    Done,
    Gone,
    NotBefore(Timestamp),
}

fn span(time: Timestamp) -> i64 {
    time.as_micros().div_euclid(SPAN)
}

#[async_trait]
impl Store for MemoryStore {
    async fn create(&self, session: Session) -> Result<Created, StoreError> {
        let Some(key) = session.key() else {
            self.insert(session)?;
            return Ok(Created::New);
        };
        let mut keys = lock(&self.keys);
        match self.key_entry(&mut keys, &session.merchant_id, session.id.kind(), key) {
            (hash, Entry::Vacant(vacant)) => {
                let id = session.id;
                self.insert(session)?;
                vacant.insert(Keyed { hash, id });
                Ok(Created::New)
            }
            (_, Entry::Occupied(taken)) => {
                let id = taken.get().id;
                let first = self.find(id).ok_or_else(|| StoreError::Corrupt("a key without its session".into()))?;
                Ok(compare_with_first(&session, first))
            }
        }
    }

    async fn session_by_key(
        &self,
        merchant_id: &MerchantId,
        kind: Kind,
        key: &IdempotencyKey,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        match self.key_entry(&mut lock(&self.keys), merchant_id, kind, key.as_str()) {
            (_, Entry::Occupied(taken)) => Ok(self.find(taken.get().id)),
            (_, Entry::Vacant(_)) => Ok(None),
        }
    }

    async fn session(&self, id: SessionId) -> Result<Option<Loaded>, StoreError> {
        Ok(self.session_in_memory(id))
    }

    fn session_in_memory(&self, id: SessionId) -> Option<Loaded> {
        let session = self.find(id)?;
        let merchant = self.merchant_or_defaults(&session.merchant_id);
        Some(Loaded { session, merchant })
    }

    async fn session_durably(&self, id: SessionId) -> Result<Option<Arc<Session>>, StoreError> {
        Ok(self.find(id))
    }

    async fn replace_session(&self, session: Session) -> Result<Replaced, StoreError> {
        let (id, over_at) = (session.id, session.over_at());
        {
            let mut shard = write(self.shard(id));
            let Shard { table, bytes } = &mut *shard;
            match self.entry(table, id) {
                Entry::Occupied(mut entry) if entry.get().version + 1 == session.version => {
                    *bytes = *bytes + bytes_of(&session) - bytes_of(entry.get());
                    *entry.get_mut() = session.into();
                }
                Entry::Occupied(_) | Entry::Vacant(_) => return Ok(Replaced::Stale),
            }
        }
        self.note_over(over_at, id);
        self.changes.notify(id);
        Ok(Replaced::Done)
    }

    async fn merchant(&self, id: &MerchantId) -> Result<Option<Arc<Merchant>>, StoreError> {
        Ok(read(&self.merchants).get(id).filter(|merchant| merchant.version > 0).cloned())
    }

    async fn merchant_durably(&self, id: &MerchantId) -> Result<Option<Arc<Merchant>>, StoreError> {
        self.merchant(id).await
    }

    async fn replace_merchant(&self, merchant: Merchant) -> Result<Replaced, StoreError> {
        let mut merchants = write(&self.merchants);
        let stands = merchants.get(&merchant.id).map_or(0, |merchant| merchant.version);
        if stands + 1 != merchant.version {
            return Ok(Replaced::Stale);
        }
        merchants.insert(merchant.id.clone(), merchant.into());
        Ok(Replaced::Done)
    }

    async fn remove_over(&self, cutoff: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut removed = 0;
        loop {
            let (due, ids) = match lock(&self.over).first_entry() {
                Some(first) if *first.key() <= span(cutoff) => first.remove_entry(),
                _ => return Ok(removed),
            };
            // The last span may end after the cutoff, and the limit may be reached within any.
            let mut left = Vec::new();
            for id in ids {
                if removed == limit {
                    left.push(id);
                    continue;
                }
                match self.remove_if_over(id, cutoff) {
                    Removal::Done => removed += 1,
                    Removal::NotBefore(over_at) if span(over_at) == due => left.push(id),
                    // The state that stands was noted where it belongs.
                    Removal::NotBefore(_) | Removal::Gone => {}
                }
            }
            if !left.is_empty() {
                lock(&self.over).entry(due).or_default().extend(left);
                return Ok(removed);
            }
        }
    }

    async fn export(&self, into: mpsc::Sender<Record>) -> Result<(), StoreError> {
        // All locks together are one moment; the copies are pointers. Sessions first would do as well: nothing is
        // written while all are held.
        let records: Vec<Record> = {
            let merchants = read(&self.merchants);
            let shards = self.shards.each_ref().map(read);
            let merchants = merchants.values().filter(|merchant| merchant.version > 0);
            let merchants = merchants.cloned().map(Record::Merchant);
            merchants.chain(shards.iter().flat_map(|shard| shard.table.iter().cloned().map(Record::Session))).collect()
        };
        for record in records {
            if into.send(record).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn import_session(&self, session: Session) -> Result<Imported, StoreError> {
        let (id, over_at, session) = (session.id, session.over_at(), Arc::new(session));
        {
            let mut keys = lock(&self.keys);
            let keyed = session.key().map(|key| self.key_entry(&mut keys, &session.merchant_id, id.kind(), key));
            if let Some((_, Entry::Occupied(owner))) = &keyed
                && owner.get().id != id
            {
                return Ok(Imported::Conflict);
            }
            let mut shard = write(self.shard(id));
            let Shard { table, bytes } = &mut *shard;
            match self.entry(table, id) {
                Entry::Occupied(entry) if !is_same_session(entry.get(), &session) => return Ok(Imported::Conflict),
                Entry::Occupied(entry) if entry.get().version >= session.version => return Ok(Imported::Kept),
                Entry::Occupied(mut entry) => {
                    *bytes = *bytes + bytes_of(&session) - bytes_of(entry.get());
                    *entry.get_mut() = Arc::clone(&session);
                }
                Entry::Vacant(vacant) => {
                    *bytes += bytes_of(&session);
                    vacant.insert(Arc::clone(&session));
                }
            }
            if let Some((hash, Entry::Vacant(vacant))) = keyed {
                vacant.insert(Keyed { hash, id });
            }
        }
        self.note_over(over_at, id);
        self.changes.notify(id);
        Ok(Imported::Saved)
    }

    async fn import_merchant(&self, merchant: Merchant) -> Result<Imported, StoreError> {
        let mut merchants = write(&self.merchants);
        if merchants.get(&merchant.id).is_some_and(|stands| stands.version >= merchant.version) {
            return Ok(Imported::Kept);
        }
        merchants.insert(merchant.id.clone(), merchant.into());
        Ok(Imported::Saved)
    }

    fn changes(&self, id: SessionId) -> Changes {
        self.changes.subscribe(id)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn figures(&self) -> Figures {
        let (mut sessions, mut bytes) = (0, 0);
        for shard in &self.shards {
            let shard = read(shard);
            sessions += shard.table.len();
            bytes += shard.bytes + shard.table.allocation_size();
        }
        bytes += lock(&self.keys).allocation_size();
        bytes += lock(&self.over).values().map(|ids| ids.capacity() * size_of::<SessionId>()).sum::<usize>();
        Figures { sessions: Some(sessions as u64), session_memory_bytes: Some(bytes as u64), ..Figures::default() }
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

// A panic elsewhere cannot leave these maps half changed, so poison is no reason to stop.

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_made_once_for_each_merchant_as_long_as_there_is_room() {
        let store = MemoryStore::default();
        let find = |number: usize| store.merchant_or_defaults(&format!("m{number}").parse().expect("a merchant id"));
        for number in 0..=MAX_MERCHANTS_WITH_DEFAULTS {
            assert_eq!(*find(number), Merchant::default_for(format!("m{number}").parse().expect("a merchant id")));
        }
        assert_eq!(read(&store.merchants).len(), MAX_MERCHANTS_WITH_DEFAULTS);
        assert!(Arc::ptr_eq(&find(0), &find(0)));
        assert!(!Arc::ptr_eq(&find(MAX_MERCHANTS_WITH_DEFAULTS), &find(MAX_MERCHANTS_WITH_DEFAULTS)));
    }
}

//! The store that forgets: sessions and merchants in maps of this process, for tests and trials.

use super::{
    ChangeFeed, Changes, Created, Imported, Loaded, Record, Replaced, Store, StoreError, compare_with_first, id_in_use,
    is_same_session,
};
use crate::model::{IdempotencyKey, Kind, Merchant, MerchantId, Session, SessionId, Timestamp};
use ahash::AHashMap;
use async_trait::async_trait;
use std::{
    collections::{BTreeSet, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};
use tokio::sync::mpsc;

/// Parts of the session map, so that writers seldom wait for each other. A power of two.
const SHARDS: usize = 64;

type Key = (MerchantId, Kind, IdempotencyKey);

/// Keeps everything in memory.
#[derive(Debug)]
pub struct MemoryStore {
    shards: [RwLock<AHashMap<SessionId, Arc<Session>>>; SHARDS],
    merchants: RwLock<AHashMap<MerchantId, Arc<Merchant>>>,
    /// Locked before a shard, by whatever needs both.
    keys: Mutex<AHashMap<Key, SessionId>>,
    /// When each session was over as of each of its states; the state that stands decides when the turn comes.
    over: Mutex<BTreeSet<(Timestamp, SessionId)>>,
    changes: ChangeFeed,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            merchants: RwLock::default(),
            keys: Mutex::default(),
            over: Mutex::default(),
            changes: ChangeFeed::default(),
        }
    }
}

impl MemoryStore {
    fn shard(&self, id: SessionId) -> &RwLock<AHashMap<SessionId, Arc<Session>>> {
        // The last bytes of a version 7 uuid are random.
        &self.shards[id.uuid().as_bytes()[15] as usize % SHARDS]
    }

    fn find(&self, id: SessionId) -> Option<Arc<Session>> {
        read(self.shard(id)).get(&id).cloned()
    }

    fn insert(&self, session: Session) -> Result<(), StoreError> {
        let (id, over_at) = (session.id, session.over_at());
        match write(self.shard(id)).entry(id) {
            Entry::Vacant(vacant) => drop(vacant.insert(Arc::new(session))),
            Entry::Occupied(_) => return Err(id_in_use(id)),
        }
        lock(&self.over).insert((over_at, id));
        Ok(())
    }

    fn remove_if_over(&self, id: SessionId, cutoff: Timestamp) -> Removal {
        let mut keys = lock(&self.keys);
        let mut shard = write(self.shard(id));
        let Entry::Occupied(entry) = shard.entry(id) else { return Removal::Gone };
        let over_at = entry.get().over_at();
        if over_at > cutoff {
            return Removal::NotBefore(over_at);
        }
        if let Some(key) = key_of(&entry.remove()) {
            keys.remove(&key);
        }
        Removal::Done
    }
}

enum Removal {
    Done,
    Gone,
    NotBefore(Timestamp),
}

fn key_of(session: &Session) -> Option<Key> {
    let key = session.idempotency.as_ref()?.key.clone();
    Some((session.merchant_id.clone(), session.id.kind(), key))
}

#[async_trait]
impl Store for MemoryStore {
    async fn create(&self, session: Session) -> Result<Created, StoreError> {
        let Some(key) = key_of(&session) else {
            self.insert(session)?;
            return Ok(Created::New);
        };
        let mut keys = lock(&self.keys);
        match keys.entry(key) {
            Entry::Vacant(vacant) => {
                let id = session.id;
                self.insert(session)?;
                vacant.insert(id);
                Ok(Created::New)
            }
            Entry::Occupied(taken) => {
                let first =
                    self.find(*taken.get()).ok_or_else(|| StoreError::Corrupt("a key without its session".into()))?;
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
        let id = lock(&self.keys).get(&(merchant_id.clone(), kind, key.clone())).copied();
        Ok(id.and_then(|id| self.find(id)))
    }

    async fn session(&self, id: SessionId) -> Result<Option<Loaded>, StoreError> {
        let Some(session) = self.find(id) else { return Ok(None) };
        let merchant = self.merchant(&session.merchant_id).await?;
        let merchant = merchant.unwrap_or_else(|| Merchant::default_for(session.merchant_id.clone()).into());
        Ok(Some(Loaded { session, merchant }))
    }

    async fn replace_session(&self, session: Session) -> Result<Replaced, StoreError> {
        let (id, over_at) = (session.id, session.over_at());
        match write(self.shard(id)).entry(id) {
            Entry::Occupied(mut entry) if entry.get().version + 1 == session.version => entry.insert(session.into()),
            Entry::Occupied(_) | Entry::Vacant(_) => return Ok(Replaced::Stale),
        };
        lock(&self.over).insert((over_at, id));
        self.changes.notify(id);
        Ok(Replaced::Done)
    }

    async fn merchant(&self, id: &MerchantId) -> Result<Option<Arc<Merchant>>, StoreError> {
        Ok(read(&self.merchants).get(id).cloned())
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
        while removed < limit {
            let Some((due, id)) = lock(&self.over).first().copied() else { break };
            if due > cutoff {
                break;
            }
            lock(&self.over).remove(&(due, id));
            match self.remove_if_over(id, cutoff) {
                Removal::Done => removed += 1,
                Removal::Gone => {}
                Removal::NotBefore(over_at) => drop(lock(&self.over).insert((over_at, id))),
            }
        }
        Ok(removed)
    }

    async fn export(&self, into: mpsc::Sender<Record>) -> Result<(), StoreError> {
        // All locks together are one moment; the copies are pointers. Sessions first would do as well: nothing is
        // written while all are held.
        let records: Vec<Record> = {
            let merchants = read(&self.merchants);
            let shards = self.shards.each_ref().map(read);
            let merchants = merchants.values().cloned().map(Record::Merchant);
            merchants.chain(shards.iter().flat_map(|shard| shard.values().cloned().map(Record::Session))).collect()
        };
        for record in records {
            if into.send(record).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn import_session(&self, session: Session) -> Result<Imported, StoreError> {
        let (id, over_at, key) = (session.id, session.over_at(), key_of(&session));
        {
            let mut keys = lock(&self.keys);
            if key.as_ref().and_then(|key| keys.get(key)).is_some_and(|owner| *owner != id) {
                return Ok(Imported::Conflict);
            }
            match write(self.shard(id)).entry(id) {
                Entry::Occupied(entry) if !is_same_session(entry.get(), &session) => return Ok(Imported::Conflict),
                Entry::Occupied(entry) if entry.get().version >= session.version => return Ok(Imported::Kept),
                Entry::Occupied(mut entry) => drop(entry.insert(session.into())),
                Entry::Vacant(vacant) => drop(vacant.insert(session.into())),
            }
            keys.extend(key.map(|key| (key, id)));
        }
        lock(&self.over).insert((over_at, id));
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

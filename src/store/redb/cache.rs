//! Sessions and merchants that were decoded before, so that resolving a redirect again costs no reading and no JSON.
//!
//! It never holds a state older than an acknowledged write. The writer puts every state here after its commit and before
//! it acknowledges. A reader that looks something up in the file meanwhile holds the place of the entry ([`Vacancy`]);
//! the writer takes that place away, so what the reader found in its older snapshot is not kept.

use crate::model::{Merchant, MerchantId, Session, SessionId};
use ahash::RandomState;
use quick_cache::{
    Weighter,
    sync::{Cache as Quick, DefaultLifecycle, GuardResult, PlaceholderGuard},
};
use std::{hash::Hash, sync::Arc};

/// Entries by id, bounded by bytes.
#[derive(Debug)]
pub struct Cache<K, V>(Quick<K, Arc<V>, Bytes, RandomState>);

/// Estimates what an entry takes.
#[derive(Debug, Clone)]
pub struct Bytes;

/// What a lookup finds.
pub enum Found<'c, K, V> {
    /// The entry.
    Entry(Arc<V>),
    /// No entry, and the right to fill one in. Others who look meanwhile wait for it: reading a record takes
    /// microseconds.
    Vacancy(Vacancy<'c, K, V>),
}

/// The place of an entry that is not there.
pub struct Vacancy<'c, K, V>(PlaceholderGuard<'c, K, Arc<V>, Bytes, RandomState, DefaultLifecycle<K, Arc<V>>>);

impl<K: Eq + Hash + Clone, V> Cache<K, V>
where
    Bytes: Weighter<K, Arc<V>>,
{
    /// One of that size. `entry_bytes` is a guess at the usual entry.
    pub fn new(bytes: u64, entry_bytes: u64) -> Self {
        let entries = usize::try_from(bytes / entry_bytes).unwrap_or(usize::MAX).max(1);
        Self(Quick::with(entries, bytes, Bytes, RandomState::new(), DefaultLifecycle::default()))
    }

    /// Looks something up; the file is read only after a vacancy was found, never before.
    pub fn find(&self, id: &K) -> Found<'_, K, V> {
        match self.0.get_value_or_guard(id, None) {
            GuardResult::Value(value) => Found::Entry(value),
            GuardResult::Guard(guard) => Found::Vacancy(Vacancy(guard)),
            GuardResult::Timeout => unreachable!("there is no time limit"),
        }
    }

    /// Puts the state here that was just committed.
    pub fn put(&self, id: K, value: Arc<V>) {
        // Inserting what is too large leaves a vacancy in place, so that is taken away first.
        self.remove(&id);
        self.0.insert(id, value);
    }

    /// Forgets what was just removed.
    pub fn remove(&self, id: &K) {
        self.0.remove(id);
    }
}

impl<K: Eq + Hash + Clone, V> Vacancy<'_, K, V>
where
    Bytes: Weighter<K, Arc<V>>,
{
    /// Keeps what was read, unless a writer was faster.
    pub fn fill(self, value: Arc<V>) {
        drop(self.0.insert(value));
    }
}

impl Weighter<SessionId, Arc<Session>> for Bytes {
    fn weight(&self, _: &SessionId, session: &Arc<Session>) -> u64 {
        (session.bytes() + 256) as u64
    }
}

impl Weighter<MerchantId, Arc<Merchant>> for Bytes {
    fn weight(&self, _: &MerchantId, merchant: &Arc<Merchant>) -> u64 {
        let urls: usize = merchant.return_urls.iter().map(|(_, url)| 2 * url.as_str().len() + 64).sum();
        let lists = 128 * (merchant.allowed_origins.len() + merchant.app_schemes.len());
        (size_of::<Merchant>() + urls + lists + 512) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merchant(version: u64) -> Arc<Merchant> {
        let id = "m1".parse().expect("an id");
        Arc::new(Merchant { version, ..Merchant::default_for(id) })
    }

    fn found(cache: &Cache<MerchantId, Merchant>) -> Option<u64> {
        match cache.find(&merchant(0).id) {
            Found::Entry(merchant) => Some(merchant.version),
            Found::Vacancy(_) => None,
        }
    }

    #[test]
    fn a_reader_does_not_fill_in_what_a_writer_has_replaced() {
        // A cache too small for anything must behave no worse.
        for bytes in [1 << 20, 1] {
            let cache = Cache::<MerchantId, Merchant>::new(bytes, 1_000);
            let Found::Vacancy(vacancy) = cache.find(&merchant(0).id) else { panic!("an entry in an empty cache") };
            cache.put(merchant(0).id.clone(), merchant(2));
            vacancy.fill(merchant(1));
            assert_ne!(found(&cache), Some(1), "{bytes}");
        }
    }

    #[test]
    fn a_reader_does_not_fill_in_what_a_writer_has_removed() {
        let cache = Cache::<MerchantId, Merchant>::new(1 << 20, 1_000);
        let Found::Vacancy(vacancy) = cache.find(&merchant(0).id) else { panic!("an entry in an empty cache") };
        cache.remove(&merchant(0).id);
        vacancy.fill(merchant(1));
        assert_eq!(found(&cache), None);
    }

    #[test]
    fn what_a_reader_fills_in_is_found_until_it_is_replaced() {
        let cache = Cache::<MerchantId, Merchant>::new(1 << 20, 1_000);
        let Found::Vacancy(vacancy) = cache.find(&merchant(0).id) else { panic!("an entry in an empty cache") };
        vacancy.fill(merchant(1));
        assert_eq!(found(&cache), Some(1));
        cache.put(merchant(0).id.clone(), merchant(2));
        assert_eq!(found(&cache), Some(2));
    }
}

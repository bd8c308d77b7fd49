//! Sessions and merchants that were decoded before, so that resolving a redirect again costs no reading and no JSON.
//!
//! It never holds a state older than one that this process wrote and acknowledged. The writer puts every state here
//! after its commit and before it acknowledges. A reader that looks something up in the store meanwhile holds the place
//! of the entry ([`Vacancy`]); the writer takes that place away, so what the reader found in its older snapshot is not
//! kept. Nobody waits here: a reader may hold its place while it waits for a database.

use crate::model::{Merchant, MerchantId, Session, SessionId};
use ahash::RandomState;
use quick_cache::{
    Weighter,
    sync::{Cache as Quick, DefaultLifecycle, EntryAction, GuardResult, PlaceholderGuard},
};
use std::{hash::Hash, sync::Arc, time::Duration};

/// Bytes of decoded sessions that a store keeps unless it is told otherwise: some 50,000, more than are under way at
/// most times.
pub const SESSION_BYTES: u64 = 128 << 20;
/// Bytes of decoded merchants that a store keeps unless it is told otherwise: some 10,000 merchants.
pub const MERCHANT_BYTES: u64 = 32 << 20;
/// A guess at the usual entry, from which tables get their first size.
const ENTRY_BYTES: u64 = 2_500;

/// Entries by id, bounded by bytes. They are cheap to clone.
#[derive(Debug)]
pub struct Cache<K, V>(Quick<K, V, Bytes, RandomState>);

/// Estimates what an entry takes.
#[derive(Debug, Clone)]
pub struct Bytes;

/// What a lookup finds.
pub enum Found<'c, K, V> {
    /// The entry.
    Entry(V),
    /// No entry, and the place of one.
    Absent(Vacancy<'c, K, V>),
}

/// The place of an entry that is not there. Of those who read the same thing at once, one has it.
pub struct Vacancy<'c, K, V>(Option<Place<'c, K, V>>);

type Place<'c, K, V> = PlaceholderGuard<'c, K, V, Bytes, RandomState, DefaultLifecycle<K, V>>;

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V>
where
    Bytes: Weighter<K, V>,
{
    /// One of that size.
    pub fn new(bytes: u64) -> Self {
        let entries = usize::try_from(bytes / ENTRY_BYTES).unwrap_or(usize::MAX).max(1);
        Self(Quick::with(entries, bytes, Bytes, RandomState::new(), DefaultLifecycle::default()))
    }

    /// Looks something up; the store is read only after this, never before.
    pub fn find(&self, id: &K) -> Found<'_, K, V> {
        match self.0.get_value_or_guard(id, Some(Duration::ZERO)) {
            GuardResult::Value(value) => Found::Entry(value),
            GuardResult::Guard(guard) => Found::Absent(Vacancy(Some(guard))),
            GuardResult::Timeout => Found::Absent(Vacancy(None)),
        }
    }

    /// Takes the place for a state that is about to be written, where writers do not come one after the other. Once
    /// it is committed and before it is acknowledged, the place is filled, or what has it meanwhile is removed: it may
    /// be older.
    pub fn claim(&self, id: &K) -> Vacancy<'_, K, V> {
        self.remove(id);
        match self.find(id) {
            Found::Absent(vacancy) => vacancy,
            Found::Entry(_) => Vacancy(None),
        }
    }

    /// Puts the state here that was just committed.
    pub fn put(&self, id: K, value: V) {
        // Inserting what is too large leaves a vacancy in place, so that is taken away first.
        self.remove(&id);
        self.0.insert(id, value);
    }

    /// Puts a state that was read in the place of the entry that was found before, if that still stands.
    pub fn renew(&self, id: &K, value: V, found: impl FnOnce(&V) -> bool) {
        // The vacancy of an entry that is gone is dropped.
        drop(self.0.entry(id, Some(Duration::ZERO), |_, stands| {
            if found(stands) {
                *stands = value;
            }
            EntryAction::Retain(())
        }));
    }

    /// Forgets what was just removed.
    pub fn remove(&self, id: &K) {
        self.0.remove(id);
    }

    /// Forgets the entry that was found before, if it still stands.
    pub fn remove_found(&self, id: &K, found: impl FnOnce(&V) -> bool) {
        self.0.remove_if(id, found);
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Vacancy<'_, K, V>
where
    Bytes: Weighter<K, V>,
{
    /// Keeps what was read, unless a writer was faster; whether it is kept.
    pub fn fill(self, value: V) -> bool {
        self.0.is_some_and(|guard| guard.insert(value).is_ok())
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

    fn found(cache: &Cache<MerchantId, Arc<Merchant>>) -> Option<u64> {
        match cache.find(&merchant(0).id) {
            Found::Entry(merchant) => Some(merchant.version),
            Found::Absent(_) => None,
        }
    }

    #[test]
    fn a_reader_does_not_fill_in_what_a_writer_has_replaced() {
        // A cache too small for anything must behave no worse.
        for bytes in [1 << 20, 1] {
            let cache = Cache::<MerchantId, Arc<Merchant>>::new(bytes);
            let Found::Absent(vacancy) = cache.find(&merchant(0).id) else { panic!("an entry in an empty cache") };
            cache.put(merchant(0).id.clone(), merchant(2));
            assert!(!vacancy.fill(merchant(1)));
            assert_ne!(found(&cache), Some(1), "{bytes}");
        }
    }

    #[test]
    fn a_reader_does_not_fill_in_what_a_writer_has_removed() {
        let cache = Cache::<MerchantId, Arc<Merchant>>::new(1 << 20);
        let Found::Absent(vacancy) = cache.find(&merchant(0).id) else { panic!("an entry in an empty cache") };
        cache.remove(&merchant(0).id);
        assert!(!vacancy.fill(merchant(1)));
        assert_eq!(found(&cache), None);
    }

    #[test]
    fn what_a_reader_fills_in_is_found_until_it_is_replaced() {
        let cache = Cache::<MerchantId, Arc<Merchant>>::new(1 << 20);
        let Found::Absent(vacancy) = cache.find(&merchant(0).id) else { panic!("an entry in an empty cache") };
        assert!(vacancy.fill(merchant(1)));
        assert_eq!(found(&cache), Some(1));
        cache.put(merchant(0).id.clone(), merchant(2));
        assert_eq!(found(&cache), Some(2));
    }
    #[test]
    fn what_was_read_renews_only_the_entry_that_was_found() {
        let cache = Cache::<MerchantId, Arc<Merchant>>::new(1 << 20);
        let id = merchant(0).id.clone();
        cache.put(id.clone(), merchant(1));
        cache.renew(&id, merchant(2), |stands| stands.version == 1);
        assert_eq!(found(&cache), Some(2));
        cache.put(id.clone(), merchant(3));
        cache.renew(&id, merchant(2), |stands| stands.version == 2);
        assert_eq!(found(&cache), Some(3));
        cache.remove(&id);
        cache.renew(&id, merchant(2), |_| true);
        assert_eq!(found(&cache), None);
        // Nor does it wait for a reader.
        let Found::Absent(vacancy) = cache.find(&id) else { panic!("it was removed") };
        cache.renew(&id, merchant(2), |_| true);
        assert!(vacancy.fill(merchant(4)));
        assert_eq!(found(&cache), Some(4));
    }

    #[test]
    fn of_two_writers_the_one_that_ends_last_keeps_nothing_that_may_be_older() {
        let cache = Cache::<MerchantId, Arc<Merchant>>::new(1 << 20);
        let id = merchant(0).id.clone();
        let end = |place: Vacancy<'_, MerchantId, Arc<Merchant>>, version| {
            if !place.fill(merchant(version)) {
                cache.remove(&id);
            }
        };
        for first_to_claim in [1, 2] {
            let first = cache.claim(&id);
            let second = cache.claim(&id);
            let (one, two) = if first_to_claim == 1 { (first, second) } else { (second, first) };
            // Version 2 was committed last, and is acknowledged before version 1.
            end(two, 2);
            assert_ne!(found(&cache), Some(1));
            end(one, 1);
            assert_ne!(found(&cache), Some(1));
        }
        end(cache.claim(&id), 3);
        assert_eq!(found(&cache), Some(3));
    }

    #[test]
    fn of_two_readers_one_fills_in_and_the_other_does_not_wait() {
        let cache = Cache::<MerchantId, Arc<Merchant>>::new(1 << 20);
        let id = merchant(0).id.clone();
        let (Found::Absent(one), Found::Absent(other)) = (cache.find(&id), cache.find(&id)) else {
            panic!("an entry in an empty cache")
        };
        assert!(!other.fill(merchant(1)));
        assert_eq!(found(&cache), None);
        assert!(one.fill(merchant(2)));
        assert_eq!(found(&cache), Some(2));
    }
}

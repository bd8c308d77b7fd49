//! What is kept in memory between calls: sessions that succeeded, and for a moment the settings that hold for them.
//!
//! A session that has not succeeded is never kept, for another server may have recorded how it ended a millisecond ago,
//! and the buyer would be sent to the wrong place. It is read on each call, together with its settings.

use super::settings_reads::SettingsReads;
use crate::{
    model::{Ending, Merchant, MerchantId, Outcome, Session, SessionId},
    store::cache::{self, Bytes, Cache, Found, Vacancy},
};
use quick_cache::Weighter;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// How long after another server acknowledged a change of settings this one may still decide by those before. A person
/// who tightens `allowed_origins` takes longer to look whether it worked, and one read of a merchant in half of this
/// time costs the database nothing, however many buyers return.
pub const SETTINGS_AGE: Duration = Duration::from_millis(500);
/// How long a session that succeeded is kept. It never changes again, but it may have been removed, days later, by
/// another server, replaced by an import from a store in which it went another way, or been lost with a primary whose
/// replica did not have it yet.
pub const SUCCESS_AGE: Duration = Duration::from_secs(60);

/// The copies. Whoever writes brings them up to date before it acknowledges.
#[derive(Debug)]
pub(super) struct Copies {
    sessions: Cache<SessionId, Kept<Session>>,
    settings: Cache<MerchantId, Kept<Merchant>>,
    /// Of settings.
    pub(super) reads: SettingsReads,
}

/// A copy and its age. Clones are the same copy.
#[derive(Debug)]
pub(super) struct Kept<V>(Arc<(Arc<V>, Instant, AtomicBool)>);

/// What is kept of a merchant's settings.
pub(super) enum Settings<'k> {
    /// They hold.
    Hold(Arc<Merchant>),
    /// They will soon be too old, and one caller, this one, is to read them again; with the copy that it renews.
    Renew(Kept<Merchant>),
    /// None that are new enough.
    Absent(Vacancy<'k, MerchantId, Kept<Merchant>>),
}

impl Copies {
    pub(super) fn new() -> Self {
        let (sessions, settings) = (Cache::new(cache::SESSION_BYTES), Cache::new(cache::MERCHANT_BYTES));
        Self { sessions, settings, reads: SettingsReads::default() }
    }

    /// A session that succeeded.
    pub(super) fn session(&self, id: SessionId) -> Found<'_, SessionId, Kept<Session>> {
        find(&self.sessions, &id, SUCCESS_AGE)
    }

    /// What holds for the sessions of a merchant.
    pub(super) fn settings(&self, id: &MerchantId) -> Settings<'_> {
        match find(&self.settings, id, SETTINGS_AGE) {
            Found::Entry(copy) if copy.age() >= SETTINGS_AGE / 2 && copy.is_first_to_renew() => Settings::Renew(copy),
            Found::Entry(copy) => Settings::Hold(copy.value()),
            Found::Absent(vacancy) => Settings::Absent(vacancy),
        }
    }

    /// Keeps settings that were read again.
    pub(super) fn renew(&self, found: &Kept<Merchant>, read: Kept<Merchant>) {
        let id = read.value().id.clone();
        self.settings.renew(&id, read, |stands| stands.is(found));
    }

    /// Takes the place of a session that is about to be written.
    pub(super) fn claim_session(&self, id: SessionId) -> Vacancy<'_, SessionId, Kept<Session>> {
        self.sessions.claim(&id)
    }

    /// Keeps a session that was written, if that was its last state.
    pub(super) fn wrote_session(&self, place: Vacancy<'_, SessionId, Kept<Session>>, written: Kept<Session>) {
        let session = written.value();
        if !has_succeeded(&session) || !place.fill(written) {
            self.sessions.remove(&session.id);
        }
    }

    /// Forgets a session that was removed.
    pub(super) fn removed_session(&self, id: SessionId) {
        self.sessions.remove(&id);
    }

    /// Takes the place of settings that are about to be written.
    pub(super) fn claim_settings(&self, id: &MerchantId) -> Vacancy<'_, MerchantId, Kept<Merchant>> {
        self.settings.claim(id)
    }

    /// Keeps settings that were written.
    pub(super) fn wrote_settings(&self, place: Vacancy<'_, MerchantId, Kept<Merchant>>, written: Kept<Merchant>) {
        let merchant = written.value();
        self.reads.forget(&merchant.id);
        if !place.fill(written) {
            self.settings.remove(&merchant.id);
        }
    }
}

/// Whether a session may be kept: success is final.
pub(super) fn has_succeeded(session: &Session) -> bool {
    matches!(session.ending, Some(Ending { outcome: Outcome::Success, .. }))
}

/// Looks a copy up that is not older than that.
fn find<'k, K, V>(cache: &'k Cache<K, Kept<V>>, id: &K, age: Duration) -> Found<'k, K, Kept<V>>
where
    K: Eq + std::hash::Hash + Clone,
    Bytes: Weighter<K, Kept<V>>,
{
    loop {
        match cache.find(id) {
            Found::Entry(copy) if copy.age() >= age => cache.remove_found(id, |stands| stands.is(&copy)),
            found => return found,
        }
    }
}

impl<V> Kept<V> {
    /// What was read or written by a statement that was sent at that time, or later.
    pub(super) fn new(value: Arc<V>, sent: Instant) -> Self {
        Self(Arc::new((value, sent, AtomicBool::new(false))))
    }

    pub(super) fn value(&self) -> Arc<V> {
        Arc::clone(&self.0.0)
    }

    fn age(&self) -> Duration {
        self.0.1.elapsed()
    }

    /// Whoever is told so and does not do it does no harm: the copy gets too old, and everybody reads.
    fn is_first_to_renew(&self) -> bool {
        !self.0.2.swap(true, Ordering::Relaxed)
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<V> Clone for Kept<V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> Weighter<K, Kept<V>> for Bytes
where
    Bytes: Weighter<K, Arc<V>>,
{
    fn weight(&self, id: &K, copy: &Kept<V>) -> u64 {
        self.weight(id, &copy.0.0)
    }
}

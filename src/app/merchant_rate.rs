//! How many calls a second each merchant may make: a bucket for each, in bounded memory.

use super::Error;
use crate::{
    model::{MerchantId, Tenants},
    telemetry::metrics::Shed,
};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed, StateStore},
};
use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Merchants that have a bucket of their own at once; about 100 bytes each. One whose bucket has filled again is forgotten
/// when its place is needed, which is at the latest a second after its last call: more merchants than that in a second
/// are not the business of one server. Those who come nevertheless share one bucket.
const MAX_MERCHANTS: usize = 64 * 1_024;

/// Parts of the table, each with a lock of its own, so that workers do not wait for each other.
const SHARDS: usize = 16;

/// The least time between two searches of a shard for merchants to forget.
const FORGETS_EVERY: Duration = Duration::from_secs(1);

/// The limit for each merchant.
pub struct MerchantRate<C: Clock = MonotonicClock> {
    limiter: RateLimiter<MerchantId, Buckets, C, NoOpMiddleware<C::Instant>>,
}

impl MerchantRate {
    /// Lets each merchant make so many calls a second, and as many at once after a second of silence.
    pub fn new(calls_per_second: NonZeroU32) -> Self {
        Self::with_clock(calls_per_second, MonotonicClock)
    }
}

impl<C: Clock> MerchantRate<C> {
    fn with_clock(calls_per_second: NonZeroU32, clock: C) -> Self {
        let buckets = Buckets::new(MAX_MERCHANTS / SHARDS);
        Self { limiter: RateLimiter::new(Quota::per_second(calls_per_second), buckets, clock) }
    }

    /// Counts a call of that merchant, unless it has made as many as it may.
    pub(super) fn count(&self, merchant: &MerchantId) -> Result<(), Error> {
        self.limiter.check_key(merchant).map_err(|not_until| {
            Shed::MerchantRate.count();
            Error::RateLimited(not_until.wait_time_from(self.limiter.clock().now()))
        })
    }
}

/// Whose rate a call counts for that names a merchant: that of the one merchant that its caller acts for, else of the one
/// that it names. Nobody's if the caller does not act for that one, so that no tenant uses up another's.
pub(super) fn payer<'a>(tenants: &'a Tenants, named: &'a MerchantId) -> Option<&'a MerchantId> {
    tenants.only_one().or_else(|| tenants.include(named).then_some(named))
}

/// The buckets, as times at which they will be full again.
struct Buckets {
    begun: Instant,
    max_each: usize,
    hasher: ahash::RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    buckets: HashMap<MerchantId, InMemoryState, ahash::RandomState>,
    /// Of all merchants that found no place.
    shared: InMemoryState,
    searched: Option<Instant>,
}

impl Buckets {
    fn new(max_each: usize) -> Self {
        Self { begun: Instant::now(), max_each, hasher: ahash::RandomState::new(), shards: Default::default() }
    }
}

impl StateStore for Buckets {
    type Key = MerchantId;

    fn measure_and_replace<T, F, E>(&self, merchant: &MerchantId, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let at = self.hasher.hash_one(merchant) as usize % SHARDS;
        let mut shard = self.shards[at].lock().unwrap_or_else(PoisonError::into_inner);
        if !shard.buckets.contains_key(merchant) {
            shard.make_room(self.max_each, self.begun);
            if shard.buckets.len() >= self.max_each {
                return shard.shared.measure_and_replace(&NotKeyed::NonKey, f);
            }
        }
        shard.buckets.entry(merchant.clone()).or_default().measure_and_replace(&NotKeyed::NonKey, f)
    }
}

impl Shard {
    /// Forgets merchants whose buckets are full, if there is no place for another one.
    fn make_room(&mut self, max: usize, begun: Instant) {
        let now = Instant::now();
        let searched = self.searched.is_some_and(|searched| now.duration_since(searched) < FORGETS_EVERY);
        if self.buckets.len() < max || searched {
            return;
        }
        self.searched = Some(now);
        let now = Nanos::from(now.duration_since(begun));
        self.buckets.retain(|_, bucket| full_at(bucket).is_some_and(|full| full > now));
    }
}

/// When a bucket will be full again, since the beginning; `None` if it always was.
fn full_at(bucket: &InMemoryState) -> Option<Nanos> {
    bucket.measure_and_replace::<(), _, _>(&NotKeyed::NonKey, Err).err().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    fn id(text: &str) -> MerchantId {
        text.parse().unwrap()
    }

    #[test]
    fn each_merchant_has_its_own_rate_and_is_told_when_to_come_again() {
        let clock = FakeRelativeClock::default();
        let rate = MerchantRate::with_clock(NonZeroU32::new(4).unwrap(), clock.clone());
        for _ in 0..4 {
            rate.count(&id("m1")).unwrap();
        }
        let Err(Error::RateLimited(wait)) = rate.count(&id("m1")) else { panic!("the fifth at once") };
        assert_eq!(wait, Duration::from_millis(250));
        rate.count(&id("m2")).expect("another merchant");
        clock.advance(wait);
        rate.count(&id("m1")).expect("when it was told");
        rate.count(&id("m1")).unwrap_err();
    }

    #[test]
    fn a_call_counts_for_the_callers_one_merchant_or_the_named_one_and_never_for_a_strangers() {
        let (m1, m2) = (id("m1"), id("m2"));
        let (one, both) = (Tenants::only([m1.clone()]), Tenants::only([m1.clone(), m2.clone()]));
        let stranger = id("m3");
        assert_eq!(payer(&one, &m2), Some(&m1));
        assert_eq!(payer(&both, &m2), Some(&m2));
        assert_eq!(payer(&Tenants::All, &m2), Some(&m2));
        assert_eq!(payer(&both, &stranger), None);
    }

    #[test]
    fn memory_is_bounded_and_merchants_who_are_silent_are_forgotten() {
        let buckets = Buckets::new(2);
        let second = Duration::from_secs(1);
        let full_in = |merchant: &str, after: Duration| {
            let full = Nanos::from(buckets.begun.elapsed() + after);
            buckets.measure_and_replace::<_, _, ()>(&id(merchant), |_| Ok(((), full))).unwrap();
        };
        for number in 0..1_000 {
            full_in(&number.to_string(), 60 * second);
        }
        let known = || buckets.shards.iter().map(|shard| shard.lock().unwrap().buckets.len()).collect::<Vec<_>>();
        assert_eq!(known(), [2; SHARDS]);
        // Those without a place share a bucket, whose time is that of the last of them.
        for shard in &buckets.shards {
            assert!(full_at(&shard.lock().unwrap().shared).is_some());
        }
        // Full again a moment after, and looked for again as if a second had passed.
        let buckets = Buckets::new(2);
        for number in 0..1_000 {
            for shard in &buckets.shards {
                shard.lock().unwrap().searched = None;
            }
            buckets.measure_and_replace::<_, _, ()>(&id(&number.to_string()), |_| Ok(((), Nanos::from(1)))).unwrap();
        }
        assert!(buckets.shards.iter().all(|shard| full_at(&shard.lock().unwrap().shared).is_none()));
    }
}

//! Tells who waits for a session that it changed. What it changed to, the waiter reads from the store: a wake-up is a
//! hint, so one too many does no harm.

use crate::model::SessionId;
use ahash::AHashMap;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// The sessions that somebody waits for. Cheap to clone: clones are the same feed.
#[derive(Debug, Clone, Default)]
pub struct ChangeFeed {
    watched: Arc<Mutex<AHashMap<SessionId, watch::Sender<()>>>>,
}

/// One waiter's view of one session.
#[derive(Debug)]
pub struct Changes {
    feed: ChangeFeed,
    id: SessionId,
    /// `None` only while this is dropped.
    receiver: Option<watch::Receiver<()>>,
    /// Wakes the waiter from time to time even without a change; see [`Changes::polling`].
    poll_every: Option<Duration>,
    /// The time until it looks again after it could not; see [`Changes::put_off`].
    pause: Option<Duration>,
    /// It was told of a change since it last could look.
    told: bool,
}

/// The longest time until a waiter who could not look does so again.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

impl ChangeFeed {
    /// Watches a session from now on.
    pub fn subscribe(&self, id: SessionId) -> Changes {
        let receiver = self.lock().entry(id).or_insert_with(|| watch::Sender::new(())).subscribe();
        Changes { feed: self.clone(), id, receiver: Some(receiver), poll_every: None, pause: None, told: false }
    }

    /// Wakes everybody who watches that session.
    pub fn notify(&self, id: SessionId) {
        if let Some(sender) = self.lock().get(&id) {
            sender.send_replace(());
        }
    }

    /// A panic elsewhere cannot leave the map half changed, so poison is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, AHashMap<SessionId, watch::Sender<()>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changes {
    /// For a store that other processes write to as well: their hints may be lost, so the waiter looks again that
    /// often without one.
    #[must_use]
    pub fn polling(mut self, every: Duration) -> Self {
        self.poll_every = Some(every);
        self
    }

    /// Returns after the next change since the subscription or the last return.
    pub async fn changed(&mut self) {
        let Some(receiver) = &mut self.receiver else { return };
        // The feed cannot go while this holds it, so there is always a sender.
        let changed = receiver.changed();
        let told = match self.pause.or(self.poll_every) {
            None => changed.await.is_ok(),
            Some(pause) => tokio::time::timeout(pause, changed).await.is_ok(),
        };
        self.told |= told;
    }

    /// The waiter could not look after the last return, as the store is asked for more than it can do. It comes again, later
    /// and later while it knows of nothing to see.
    pub fn put_off(&mut self) {
        let every = self.poll_every.unwrap_or(LONGEST_PAUSE);
        let longer = self.pause.map_or(every, |pause| pause * 2).min(LONGEST_PAUSE);
        self.pause = Some(if self.told { every } else { longer });
    }

    /// The waiter has looked.
    pub fn looked(&mut self) {
        (self.pause, self.told) = (None, false);
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        let mut watched = self.feed.lock();
        // Under the lock, so that of two that go at once the second one sees that nobody is left.
        self.receiver = None;
        if watched.get(&self.id).is_some_and(|sender| sender.receiver_count() == 0) {
            watched.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;
    use tokio::time::Instant;

    #[tokio::test]
    async fn a_change_wakes_every_watcher_of_that_session_only() {
        let feed = ChangeFeed::default();
        let [one, other] = [1, 2].map(|n| SessionId::new(Kind::Order, uuid::Uuid::from_u128(n)));
        let (mut first, mut second, mut third) = (feed.subscribe(one), feed.subscribe(one), feed.subscribe(other));
        feed.notify(one);
        first.changed().await;
        second.changed().await;
        assert!(tokio::time::timeout(Duration::ZERO, third.changed()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_look_comes_later_and_later_unless_there_is_something_to_see() {
        async fn pause(changes: &mut Changes) -> Duration {
            let since = Instant::now();
            changes.changed().await;
            since.elapsed()
        }
        const MS: Duration = Duration::from_millis(1);
        let feed = ChangeFeed::default();
        let id = SessionId::new(Kind::Order, uuid::Uuid::nil());
        let mut changes = feed.subscribe(id).polling(500 * MS);
        for expected in [500, 500, 1_000, 2_000, 4_000, 4_000] {
            assert_eq!(pause(&mut changes).await, expected * MS);
            changes.put_off();
        }
        feed.notify(id);
        for expected in [0, 500, 500] {
            assert_eq!(pause(&mut changes).await, expected * MS);
            changes.put_off();
        }
        changes.looked();
        for expected in [500, 500, 1_000] {
            assert_eq!(pause(&mut changes).await, expected * MS);
            changes.put_off();
        }
    }

    #[tokio::test]
    async fn nothing_is_kept_for_sessions_that_nobody_watches() {
        let feed = ChangeFeed::default();
        let id = SessionId::new(Kind::Order, uuid::Uuid::nil());
        let (first, second) = (feed.subscribe(id), feed.subscribe(id));
        drop(first);
        assert_eq!(feed.lock().len(), 1);
        drop(second);
        assert_eq!(feed.lock().len(), 0);
    }
}

//! `WatchSession`: a session now, and again after each change, until nothing can change any more.
//!
//! Each step loads what stands and compares it with what was seen last, so that a wake-up too many, a lost one that the
//! store makes up for by polling, or a slow reader never yields a state twice or in the wrong order.

use super::{App, Error};
use crate::{
    model::{Ending, Outcome, Session, SessionId, Tenants, Timestamp},
    store::{Changes, StoreError},
};
use std::sync::Arc;
use tokio::time::timeout;

/// Somebody's view of one session.
pub struct SessionWatch {
    app: App,
    id: SessionId,
    tenants: Tenants,
    changes: Changes,
    seen: Option<State>,
    /// Something was loaded, which counted as the call.
    begun: bool,
    /// Success was seen: it is final.
    over: bool,
}

/// Which state of a session was seen. Later states are greater: a version is first open, then perhaps out of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct State {
    version: u64,
    timed_out: bool,
}

/// A session at a time.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The session.
    pub session: Arc<Session>,
    /// The time at which it was looked at.
    pub now: Timestamp,
}

impl Seen {
    /// Which state it is in.
    pub fn state(&self) -> State {
        let Session { version, ending, expire_time, .. } = &*self.session;
        State { version: *version, timed_out: ending.is_none() && self.now >= *expire_time }
    }
}

impl State {
    /// The state as text, for a page to give back.
    pub fn to_text(self) -> String {
        format!("{}{}", self.version, if self.timed_out { "x" } else { "" })
    }

    /// Reads what [`State::to_text`] wrote.
    pub fn from_text(text: &str) -> Option<Self> {
        let (digits, timed_out) = text.strip_suffix('x').map_or((text, false), |digits| (digits, true));
        Some(Self { version: digits.parse().ok()?, timed_out })
    }
}

impl App {
    /// Watches a session. Nothing is loaded before the first [`SessionWatch::next`], but no change from now on is
    /// missed.
    pub fn watch_session(&self, id: SessionId, tenants: &Tenants) -> SessionWatch {
        self.watch_session_after(id, None, tenants)
    }

    /// Watches a session for states later than the one that was seen already.
    pub fn watch_session_after(&self, id: SessionId, seen: Option<State>, tenants: &Tenants) -> SessionWatch {
        let (app, tenants) = (self.clone(), tenants.clone());
        SessionWatch { app, id, tenants, changes: self.store.changes(id), seen, begun: false, over: false }
    }
}

impl SessionWatch {
    /// The next state; `None` once the last one was final.
    pub async fn next(&mut self) -> Result<Option<Seen>, Error> {
        if self.over {
            return Ok(None);
        }
        loop {
            let loaded = match self.begun {
                true => self.app.load(self.id, &self.tenants).await,
                false => self.app.load_counted(self.id, &self.tenants).await,
            };
            // Not looked at is no news.
            if self.begun && matches!(loaded, Err(Error::Store(StoreError::Overloaded))) {
                self.changes.put_off();
                self.changes.changed().await;
                continue;
            }
            let loaded = loaded?;
            self.changes.looked();
            self.begun = true;
            let session = loaded.session;
            let now = self.app.clock.now();
            let seen = Seen { session, now };
            let state = seen.state();
            // Greater, not only different: a store of many machines may show an older state again.
            if self.seen.is_none_or(|last| state > last) {
                self.seen = Some(state);
                self.over = matches!(seen.session.ending, Some(Ending { outcome: Outcome::Success, .. }));
                return Ok(Some(seen));
            }
            match seen.session.ending_at(now) {
                // Running out of time is a change too, and nobody announces it.
                None => drop(timeout(now.until(seen.session.expire_time), self.changes.changed()).await),
                Some(_) => self.changes.changed().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_in_order_and_survive_being_written() {
        let state = |version, timed_out| State { version, timed_out };
        let states = [state(1, false), state(1, true), state(2, false), state(10, false)];
        assert!(states.is_sorted());
        for state in states {
            assert_eq!(State::from_text(&state.to_text()), Some(state));
        }
        for text in ["", "x", "-1", "1y", "1xx", "99999999999999999999999"] {
            assert_eq!(State::from_text(text), None, "{text}");
        }
    }
}

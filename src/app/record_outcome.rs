//! `RecordOutcome` (SPEC 9).

use super::{App, Error};
use crate::{
    model::{Ending, Session, SessionId, Tenants, Timestamp},
    store::Replaced,
};
use std::sync::Arc;

/// What came of a report.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The session as it is now.
    pub session: Arc<Session>,
    /// Whether the report changed it.
    pub applied: bool,
    /// The time of the report.
    pub now: Timestamp,
}

impl App {
    /// Records how a session ended, unless that says nothing new.
    pub async fn record_outcome(&self, id: SessionId, report: Ending, tenants: &Tenants) -> Result<Recorded, Error> {
        let mut session = self.load_counted(id, tenants).await?.session;
        loop {
            let now = self.clock.now();
            let Some(next) = session.record(report.clone(), now) else {
                // Whoever recorded it may never have been answered, as it was not durable: this answer says that it is.
                let kept = self.store.session_durably(id).await?.ok_or(Error::SessionNotFound)?;
                if kept.version == session.version {
                    return Ok(Recorded { session, applied: false, now });
                }
                session = kept;
                continue;
            };
            match self.store.replace_session(next.clone()).await? {
                Replaced::Done => return Ok(Recorded { session: next.into(), applied: true, now }),
                // Somebody else's report came in between: whether this one still says something new is asked again.
                // Each turn means that another writer got through, and the call's deadline bounds their number.
                Replaced::Stale => session = self.load(id, tenants).await?.session,
            }
        }
    }
}

//! `GetSession`.

use super::{App, Error};
use crate::{
    model::{Session, SessionId, Tenants, Timestamp},
    store::Loaded,
    telemetry::call,
};
use std::sync::Arc;

impl App {
    /// A session, and the time from which its expiry is seen.
    pub async fn get_session(&self, id: SessionId, tenants: &Tenants) -> Result<(Arc<Session>, Timestamp), Error> {
        let Loaded { session, .. } = self.load_counted(id, tenants).await?;
        Ok((session, self.clock.now()))
    }

    /// The same as [`App::load`] as the first step of a call, which counts for its merchant's rate: before the store is
    /// asked if the caller acts for one merchant only, else once the session has told whose it is.
    pub(super) async fn load_counted(&self, id: SessionId, tenants: &Tenants) -> Result<Loaded, Error> {
        let Some(rate) = &self.rate else { return self.load(id, tenants).await };
        if let Some(merchant) = tenants.only_one() {
            rate.count(merchant)?;
            return self.load(id, tenants).await;
        }
        let loaded = self.load(id, tenants).await?;
        rate.count(&loaded.session.merchant_id)?;
        Ok(loaded)
    }

    /// A session with its merchant, if the caller may [see](seen_by) it.
    pub(super) async fn load(&self, id: SessionId, tenants: &Tenants) -> Result<Loaded, Error> {
        call::about_session(id);
        seen_by(tenants, self.store.session(id).await?)
    }

    /// The same as [`App::load_counted`] of a session that is held in memory. `None` where the store has to be asked, or
    /// calls count, which they do before anything is looked up.
    pub(super) fn load_at_once(&self, id: SessionId, tenants: &Tenants) -> Option<Result<Loaded, Error>> {
        if self.rate.is_some() {
            return None;
        }
        let found = self.store.session_in_memory(id)?;
        call::about_session(id);
        Some(seen_by(tenants, Some(found)))
    }
}

/// The one way in which use cases come to a session. To whoever does not act for its merchant it is not there, and nothing
/// tells the two cases apart.
fn seen_by(tenants: &Tenants, found: Option<Loaded>) -> Result<Loaded, Error> {
    let loaded = found.filter(|found| tenants.include(&found.session.merchant_id)).ok_or(Error::SessionNotFound)?;
    call::about_merchant(&loaded.session.merchant_id);
    Ok(loaded)
}

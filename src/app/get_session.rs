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
        self.count_caller(tenants)?;
        let loaded = self.load(id, tenants).await?;
        self.count_owner(&loaded, tenants)?;
        Ok(loaded)
    }

    /// The same of a session that is held in memory, at once. `None` where the store has to be asked: nothing counts then.
    pub(super) fn load_counted_at_once(&self, id: SessionId, tenants: &Tenants) -> Option<Result<Loaded, Error>> {
        let found = self.store.session_in_memory(id)?;
        let load = || {
            call::about_session(id);
            self.count_caller(tenants)?;
            let loaded = seen_by(tenants, Some(found))?;
            self.count_owner(&loaded, tenants)?;
            Ok(loaded)
        };
        Some(load())
    }

    fn count_caller(&self, tenants: &Tenants) -> Result<(), Error> {
        self.rate.as_ref().zip(tenants.only_one()).map_or(Ok(()), |(rate, merchant)| rate.count(merchant))
    }

    fn count_owner(&self, loaded: &Loaded, tenants: &Tenants) -> Result<(), Error> {
        let rate = self.rate.as_ref().filter(|_| tenants.only_one().is_none());
        rate.map_or(Ok(()), |rate| rate.count(&loaded.session.merchant_id))
    }

    /// A session with its merchant, to whoever may [see](seen_by) it.
    pub(super) async fn load(&self, id: SessionId, tenants: &Tenants) -> Result<Loaded, Error> {
        call::about_session(id);
        seen_by(tenants, self.store.session(id).await?)
    }
}

/// The one way in which use cases come to a session. To whoever does not act for its merchant it is not there, and nothing
/// tells the two cases apart.
fn seen_by(tenants: &Tenants, found: Option<Loaded>) -> Result<Loaded, Error> {
    let seen = found.filter(|found| tenants.include(&found.session.merchant_id)).ok_or(Error::SessionNotFound)?;
    call::about_merchant(&seen.session.merchant_id);
    Ok(seen)
}

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
        let Loaded { session, .. } = self.load(id, tenants).await?;
        Ok((session, self.clock.now()))
    }

    /// A session with its merchant: the one way in which use cases come to a session. To whoever does not act for its
    /// merchant it is not there, and nothing tells the two cases apart.
    pub(super) async fn load(&self, id: SessionId, tenants: &Tenants) -> Result<Loaded, Error> {
        call::about_session(id);
        let loaded = self.store.session(id).await?;
        let loaded = loaded.filter(|loaded| tenants.include(&loaded.session.merchant_id));
        let loaded = loaded.ok_or(Error::SessionNotFound)?;
        call::about_merchant(&loaded.session.merchant_id);
        Ok(loaded)
    }
}

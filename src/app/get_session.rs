//! `GetSession`.

use super::{App, Error};
use crate::{
    model::{Session, SessionId, Timestamp},
    store::Loaded,
};
use std::sync::Arc;

impl App {
    /// A session, and the time from which its expiry is seen.
    pub async fn get_session(&self, id: SessionId) -> Result<(Arc<Session>, Timestamp), Error> {
        let Loaded { session, .. } = self.load(id).await?;
        Ok((session, self.clock.now()))
    }

    /// A session with its merchant.
    pub(super) async fn load(&self, id: SessionId) -> Result<Loaded, Error> {
        self.store.session(id).await?.ok_or(Error::SessionNotFound)
    }
}

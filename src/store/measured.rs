//! A store whose operations are timed and whose failures are counted: what the use cases work on.
//!
//! Not a [`Store`] itself, as each of its futures would then be boxed once more, on the way of every call.

use super::{Changes, Created, Loaded, Replaced, Store, StoreError};
use crate::{
    model::{IdempotencyKey, Kind, Merchant, MerchantId, Session, SessionId, Timestamp},
    telemetry::metrics::{Operation, STORE_ERRORS, STORE_OPERATION_DURATION},
};
use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

/// The store behind it, by the same names.
#[derive(Clone)]
pub struct Measured(Arc<dyn Store>);

impl Measured {
    /// Times that store.
    pub const fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }

    /// The store itself.
    pub const fn store(&self) -> &Arc<dyn Store> {
        &self.0
    }

    /// [`Store::create`].
    pub async fn create(&self, session: Session) -> Result<Created, StoreError> {
        timed(Operation::Create, self.0.create(session)).await
    }

    /// [`Store::session_by_key`].
    pub async fn session_by_key(
        &self,
        merchant_id: &MerchantId,
        kind: Kind,
        key: &IdempotencyKey,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        timed(Operation::SessionByKey, self.0.session_by_key(merchant_id, kind, key)).await
    }

    /// [`Store::session_in_memory`]. What it finds counts as loaded in no time: it takes less than a look at the clock.
    pub fn session_in_memory(&self, id: SessionId) -> Option<Loaded> {
        let loaded = self.0.session_in_memory(id)?;
        STORE_OPERATION_DURATION.took([Operation::Session as usize], Duration::ZERO);
        Some(loaded)
    }

    /// [`Store::session`], which is asked for what is not in memory.
    pub async fn session(&self, id: SessionId) -> Result<Option<Loaded>, StoreError> {
        if let loaded @ Some(_) = self.session_in_memory(id) {
            return Ok(loaded);
        }
        timed(Operation::Session, self.0.session(id)).await
    }

    /// [`Store::session_durably`].
    pub async fn session_durably(&self, id: SessionId) -> Result<Option<Arc<Session>>, StoreError> {
        timed(Operation::SessionDurably, self.0.session_durably(id)).await
    }

    /// [`Store::replace_session`].
    pub async fn replace_session(&self, session: Session) -> Result<Replaced, StoreError> {
        timed(Operation::ReplaceSession, self.0.replace_session(session)).await
    }

    /// [`Store::merchant`].
    pub async fn merchant(&self, id: &MerchantId) -> Result<Option<Arc<Merchant>>, StoreError> {
        timed(Operation::Merchant, self.0.merchant(id)).await
    }

    /// [`Store::merchant_durably`].
    pub async fn merchant_durably(&self, id: &MerchantId) -> Result<Option<Arc<Merchant>>, StoreError> {
        timed(Operation::MerchantDurably, self.0.merchant_durably(id)).await
    }

    /// [`Store::replace_merchant`].
    pub async fn replace_merchant(&self, merchant: Merchant) -> Result<Replaced, StoreError> {
        timed(Operation::ReplaceMerchant, self.0.replace_merchant(merchant)).await
    }

    /// [`Store::remove_over`].
    pub async fn remove_over(&self, cutoff: Timestamp, limit: usize) -> Result<usize, StoreError> {
        timed(Operation::RemoveOver, self.0.remove_over(cutoff, limit)).await
    }

    /// [`Store::changes`], which asks nothing of the store.
    pub fn changes(&self, id: SessionId) -> Changes {
        self.0.changes(id)
    }

    /// [`Store::ping`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        timed(Operation::Ping, self.0.ping()).await
    }
}

async fn timed<T>(operation: Operation, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let began = Instant::now();
    let answered = asked.await;
    // The store was not asked, and has not failed.
    if matches!(answered, Err(StoreError::Overloaded)) {
        return answered;
    }
    STORE_OPERATION_DURATION.took([operation as usize], began.elapsed());
    if answered.is_err() {
        STORE_ERRORS.add([operation as usize], 1);
    }
    answered
}

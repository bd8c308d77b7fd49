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

/// After how long a store that has not answered has failed whoever waits no more: their time was over, they did not leave.
const LEFT_UNANSWERED: Duration = Duration::from_secs(1);

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

    /// [`Store::clock`].
    pub async fn clock(&self) -> Result<Option<Timestamp>, StoreError> {
        self.0.clock().await
    }

    /// [`Store::ping`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        timed(Operation::Ping, self.0.ping()).await
    }
}

async fn timed<T>(operation: Operation, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let asking = Asking { operation, began: Instant::now() };
    let answered = asked.await;
    asking.answered(&answered);
    answered
}

/// An operation that was not answered yet.
struct Asking {
    operation: Operation,
    began: Instant,
}

impl Asking {
    fn answered<T>(self, answer: &Result<T, StoreError>) {
        // The store that was not asked has not failed.
        if !matches!(answer, Err(StoreError::Overloaded)) {
            self.count(answer.is_err());
        }
        std::mem::forget(self);
    }

    fn count(&self, failed: bool) {
        STORE_OPERATION_DURATION.took([self.operation as usize], self.began.elapsed());
        if failed {
            STORE_ERRORS.add([self.operation as usize], 1);
        }
    }
}

impl Drop for Asking {
    /// Nobody waits for the answer any more.
    fn drop(&mut self) {
        self.count(self.began.elapsed() > LEFT_UNANSWERED);
    }
}

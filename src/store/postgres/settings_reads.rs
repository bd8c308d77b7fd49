//! Reads of merchants' settings that are under way: however many buyers come back at once, one is made and all wait for it.
//!
//! A read is a task of its own, so that it goes on when whoever began it does not. What comes of it may be too old for those
//! who came later, which they see by when it was sent. It never keeps what was read: that is [`copies`](super::copies)'.

use super::super::StoreError;
use crate::model::{Merchant, MerchantId};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// The reads that are under way. Clones are the same reads.
#[derive(Debug, Clone, Default)]
pub(super) struct SettingsReads(Arc<Mutex<HashMap<MerchantId, Read>>>);

/// A read; clones wait for the same.
type Read = Shared<BoxFuture<'static, Result<SettingsRead, StoreError>>>;

/// What was read.
#[derive(Debug, Clone)]
pub(super) struct SettingsRead {
    pub(super) merchant: Arc<Merchant>,
    /// Before it was read.
    pub(super) sent: Instant,
}

impl SettingsReads {
    /// The read of that merchant that is under way, or else this one, which begins now.
    pub(super) fn join(
        &self,
        id: &MerchantId,
        read: impl Future<Output = Result<SettingsRead, StoreError>> + Send + 'static,
    ) -> impl Future<Output = Result<SettingsRead, StoreError>> + Send + 'static {
        let mut reads = self.lock();
        if let Some(read) = reads.get(id) {
            return read.clone();
        }
        let ends = Ends { reads: self.clone(), id: id.clone() };
        let reading = tokio::spawn(async move {
            let _ends = ends;
            read.await
        });
        let ended = |_| Err(StoreError::Unavailable("the server is stopping".to_owned()));
        let read = async move { reading.await.unwrap_or_else(ended) }.boxed().shared();
        reads.insert(id.clone(), read.clone());
        read
    }

    /// The settings were written: who comes now does not join an older read.
    pub(super) fn forget(&self, id: &MerchantId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MerchantId, Read>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A read that ends when this is dropped, however it ends. It may take a newer one with it, which then is joined by nobody.
struct Ends {
    reads: SettingsReads,
    id: MerchantId,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.reads.forget(&self.id);
    }
}

//! A store in which one session takes for ever to load and others break the code that loads them, and which refuses to load
//! any while it is busy.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::mpsc;
use waypost::{
    model::{IdempotencyKey, Kind, Merchant, MerchantId, Session, SessionId, Timestamp},
    store::{Changes, Created, Imported, Loaded, MemoryStore, Record, Replaced, Store, StoreError},
};

/// The store.
pub struct Awkward {
    inner: MemoryStore,
    loading: AtomicUsize,
    busy: AtomicBool,
    looks: AtomicUsize,
}

/// Takes for ever to load.
pub const SLOW: &str = "order_0190a000-0000-7000-8000-000000000001";

/// Breaks the code that loads it.
pub const BROKEN: &str = "order_0190a000-0000-7000-8000-000000000002";

/// Breaks the code that looks for it in memory.
pub const BROKEN_IN_MEMORY: &str = "order_0190a000-0000-7000-8000-000000000003";

impl Awkward {
    pub fn new() -> Self {
        let (loading, busy, looks) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicUsize::new(0));
        Self { inner: MemoryStore::default(), loading, busy, looks }
    }

    /// Whether it is busy from now on.
    pub fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::SeqCst);
    }

    /// How often it was to load a session.
    pub fn looks(&self) -> usize {
        self.looks.load(Ordering::SeqCst)
    }

    /// How often [`SLOW`] was asked for.
    pub fn loading(&self) -> usize {
        self.loading.load(Ordering::SeqCst)
    }
}

#[async_trait::async_trait]
impl Store for Awkward {
    async fn session(&self, id: SessionId) -> Result<Option<Loaded>, StoreError> {
        assert_ne!(id.to_string(), BROKEN, "a fault of the store");
        if id.to_string() == SLOW {
            self.loading.fetch_add(1, Ordering::SeqCst);
            return pending().await;
        }
        self.looks.fetch_add(1, Ordering::SeqCst);
        if self.busy.load(Ordering::SeqCst) {
            return Err(StoreError::Overloaded);
        }
        self.inner.session(id).await
    }

    fn session_in_memory(&self, id: SessionId) -> Option<Loaded> {
        assert_ne!(id.to_string(), BROKEN_IN_MEMORY, "a fault of the store");
        None
    }

    async fn create(&self, session: Session) -> Result<Created, StoreError> {
        self.inner.create(session).await
    }
    async fn session_by_key(
        &self,
        merchant_id: &MerchantId,
        kind: Kind,
        key: &IdempotencyKey,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        self.inner.session_by_key(merchant_id, kind, key).await
    }
    async fn session_durably(&self, id: SessionId) -> Result<Option<Arc<Session>>, StoreError> {
        self.inner.session_durably(id).await
    }
    async fn merchant_durably(&self, id: &MerchantId) -> Result<Option<Arc<Merchant>>, StoreError> {
        self.inner.merchant_durably(id).await
    }
    async fn replace_session(&self, session: Session) -> Result<Replaced, StoreError> {
        self.inner.replace_session(session).await
    }
    async fn merchant(&self, id: &MerchantId) -> Result<Option<Arc<Merchant>>, StoreError> {
        self.inner.merchant(id).await
    }
    async fn replace_merchant(&self, merchant: Merchant) -> Result<Replaced, StoreError> {
        self.inner.replace_merchant(merchant).await
    }
    async fn remove_over(&self, cutoff: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.inner.remove_over(cutoff, limit).await
    }
    fn changes(&self, id: SessionId) -> Changes {
        // As a store that others write to as well.
        self.inner.changes(id).polling(Duration::from_millis(10))
    }
    async fn export(&self, into: mpsc::Sender<Record>) -> Result<(), StoreError> {
        self.inner.export(into).await
    }
    async fn import_session(&self, session: Session) -> Result<Imported, StoreError> {
        self.inner.import_session(session).await
    }
    async fn import_merchant(&self, merchant: Merchant) -> Result<Imported, StoreError> {
        self.inner.import_merchant(merchant).await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}

//! What the suite needs of a store under test: a fresh one for each test, and ways to meet its data again.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use async_trait::async_trait;
use std::sync::Arc;
use waypost::store::{MemoryStore, Store};

/// A store of which nobody knows but the test that made it. Dropping the fixture removes its data.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The store.
    fn store(&self) -> Arc<dyn Store>;

    /// Closes the store and opens its data again; what [`Fixture::store`] gave out before is done with.
    async fn reopen(&mut self);

    /// Another handle on the same data, as another server has it; for a store that belongs to one process, the same
    /// handle.
    async fn another(&self) -> Arc<dyn Store>;

    /// What reopening is expected to find.
    fn memory(&self) -> Memory;
}

/// What a store still knows after it was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Everything acknowledged.
    Durable,
    /// Nothing.
    Forgets,
}

/// The store in memory.
#[derive(Default)]
pub struct InMemory(Arc<MemoryStore>);

impl InMemory {
    /// A fresh one.
    pub async fn fresh() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Fixture for InMemory {
    fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }

    async fn reopen(&mut self) {
        self.0.close().await.expect("closed");
        self.0 = Arc::default();
    }

    async fn another(&self) -> Arc<dyn Store> {
        self.0.clone()
    }

    fn memory(&self) -> Memory {
        Memory::Forgets
    }
}

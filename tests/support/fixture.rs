//! What the suite needs of a store under test: a fresh one for each test, and ways to meet its data again.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use async_trait::async_trait;
use std::{path::PathBuf, sync::Arc};
use tempfile::TempDir;
use waypost::store::{MemoryStore, RedbStore, Store, redb::Options};

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

/// The store in one file, in a directory of its own.
pub struct InFile {
    // Closed before its directory goes.
    store: Option<Arc<RedbStore>>,
    directory: TempDir,
}

impl InFile {
    /// A fresh one.
    pub async fn fresh() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut fixture = Self { store: None, directory };
        fixture.open();
        fixture
    }

    /// One that keeps next to nothing in memory, so that reads come from the file.
    pub async fn fresh_without_cache() -> Self {
        let mut fixture = Self::fresh().await;
        fixture.store = None;
        let options =
            Options { session_cache_bytes: 1, merchant_cache_bytes: 1, page_cache_bytes: 1, ..Self::options() };
        fixture.store = Some(Arc::new(RedbStore::open(&fixture.path(), options).expect("opened")));
        fixture
    }

    /// One in memory that pretends to be a file system, where there is one: histories need no disk to be compared.
    pub async fn fresh_without_sync() -> Self {
        let Ok(directory) = tempfile::tempdir_in("/dev/shm") else { return Self::fresh().await };
        let mut fixture = Self { store: None, directory };
        fixture.open();
        fixture
    }

    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("waypost.redb")
    }

    fn open(&mut self) {
        self.store = Some(Arc::new(RedbStore::open(&self.path(), Self::options()).expect("opened")));
    }

    fn options() -> Options {
        Options { on_failure: |failure| panic!("{failure}"), ..Options::default() }
    }
}

#[async_trait]
impl Fixture for InFile {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone().expect("open")
    }

    async fn reopen(&mut self) {
        self.store().close().await.expect("closed");
        // The old handle still exists here: closing lets go of the file, not dropping.
        self.open();
    }

    async fn another(&self) -> Arc<dyn Store> {
        self.store()
    }

    fn memory(&self) -> Memory {
        Memory::Durable
    }
}

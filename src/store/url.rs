//! Which store, as it is written on the command line.

use super::{MemoryStore, RedbStore, Store, StoreError, redb};
use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};

/// The address of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `memory:`
    Memory,
    /// `redb:PATH`
    Redb(PathBuf),
}

impl StoreUrl {
    /// Opens the store.
    ///
    /// # Errors
    ///
    /// When it is not there, or not one that this version can use; the text says what to do.
    pub async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        match self {
            Self::Memory => Ok(Arc::new(MemoryStore::default())),
            Self::Redb(path) => Ok(Arc::new(RedbStore::open(path, redb::Options::default())?)),
        }
    }
}

impl FromStr for StoreUrl {
    type Err = InvalidStoreUrl;

    fn from_str(text: &str) -> Result<Self, InvalidStoreUrl> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("redb", path)) if !path.is_empty() => Ok(Self::Redb(path.into())),
            _ => Err(InvalidStoreUrl),
        }
    }
}

/// Without what an address may hold in secret.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory: (forgets everything when the server stops)"),
            Self::Redb(path) => write!(f, "redb:{}", path.display()),
        }
    }
}

/// The text is not the address of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a store: write `redb:PATH` or `memory:`")]
pub struct InvalidStoreUrl;

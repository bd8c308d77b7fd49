//! Which store, as it is written on the command line.

use super::{MemoryStore, Store, StoreError};
use std::{fmt, str::FromStr, sync::Arc};

/// The address of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `memory:`
    Memory,
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
        }
    }
}

impl FromStr for StoreUrl {
    type Err = InvalidStoreUrl;

    fn from_str(text: &str) -> Result<Self, InvalidStoreUrl> {
        match text {
            "memory:" => Ok(Self::Memory),
            _ => Err(InvalidStoreUrl),
        }
    }
}

/// Without what an address may hold in secret.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory: (forgets everything when the server stops)"),
        }
    }
}

/// The text is not the address of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a store: write `memory:`")]
pub struct InvalidStoreUrl;

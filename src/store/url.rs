//! Which store, as it is written on the command line.

use super::{
    MemoryStore, RedbStore, Store, StoreError,
    postgres::{ConnectError, Migrated, PostgresStore},
    redb,
};
use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};

/// The address of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `memory:`
    Memory,
    /// `redb:PATH`
    Redb(PathBuf),
    /// `postgres://...`, as libpq reads it.
    Postgres(Box<str>),
}

impl StoreUrl {
    /// Opens the store.
    ///
    /// # Errors
    ///
    /// When it is not there, or not one that this version can use; the text says what to do.
    pub async fn open(&self) -> Result<Arc<dyn Store>, CannotOpen> {
        match self {
            Self::Memory => Ok(Arc::new(MemoryStore::default())),
            Self::Redb(path) => {
                Ok(Arc::new(RedbStore::open(path, redb::Options::default()).map_err(CannotOpen::file)?))
            }
            Self::Postgres(url) => Ok(Arc::new(PostgresStore::connect(url).await.map_err(CannotOpen::database)?)),
        }
    }

    /// Makes a database ready for this version. The other stores always are.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached or changed, or is ready for a newer version.
    pub async fn migrate(&self) -> Result<Option<Migrated>, CannotOpen> {
        match self {
            Self::Memory | Self::Redb(_) => Ok(None),
            Self::Postgres(url) => PostgresStore::migrate(url).await.map(Some).map_err(CannotOpen::database),
        }
    }
}

impl FromStr for StoreUrl {
    type Err = InvalidStoreUrl;

    fn from_str(text: &str) -> Result<Self, InvalidStoreUrl> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("redb", path)) if !path.is_empty() => Ok(Self::Redb(path.into())),
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => Ok(Self::Postgres(text.into())),
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
            Self::Postgres(url) => f.write_str(&without_secrets(url)),
        }
    }
}

/// Only the host and the database: user, password and options stay out of logs.
fn without_secrets(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(url) => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("postgres://{}{port}{}", url.host_str().unwrap_or_default(), url.path())
        }
        Err(_) => "postgres://...".to_owned(),
    }
}

/// Why a store could not be opened, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct CannotOpen {
    text: String,
    may_pass: bool,
}

impl CannotOpen {
    fn file(cause: StoreError) -> Self {
        Self { text: cause.to_string(), may_pass: false }
    }

    fn database(cause: ConnectError) -> Self {
        Self { text: cause.to_string(), may_pass: matches!(cause, ConnectError::Unreachable(_)) }
    }

    /// Whether it may go better later: a database may be starting, or failing over.
    pub const fn may_pass(&self) -> bool {
        self.may_pass
    }
}

/// The text is not the address of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a store: write `redb:PATH`, `postgres://...` or `memory:`")]
pub struct InvalidStoreUrl;

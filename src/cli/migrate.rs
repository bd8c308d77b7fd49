//! `waypost migrate`: makes a database ready for this version.

use super::{failure::Failure, store_url::Unrepeated};
use crate::store::{StoreUrl, postgres::Migrated};
use clap::Args;

/// Which database.
#[derive(Debug, Args)]
pub struct Migrate {
    /// The database: `postgres://...`.
    #[arg(long, env = "WAYPOST_STORE", hide_env_values = true, value_name = "URL", value_parser = Unrepeated)]
    store: StoreUrl,
}

impl Migrate {
    /// Migrates, and says from what to what.
    pub fn run(&self) -> Result<String, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
        let migrated = runtime.block_on(self.store.migrate());
        match migrated.map_err(|error| Failure::Failed(format!("--store {}: {error}", self.store)))? {
            None => Err(Failure::Usage(format!("--store {}: only a database is migrated", self.store))),
            Some(Migrated { from, to }) if from == to => Ok(format!("the schema is at version {to} already")),
            Some(Migrated { from, to }) => Ok(format!("the schema went from version {from} to {to}")),
        }
    }
}

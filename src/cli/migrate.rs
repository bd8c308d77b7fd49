//! `waypost migrate`: makes a database ready for this version.

use super::{config::GivenStore, failure::Failure};
use crate::store::postgres::Migrated;
use clap::Args;

/// Which database.
#[derive(Debug, Args)]
pub struct Migrate {
    #[command(flatten)]
    store: GivenStore,
}

impl Migrate {
    /// Migrates, and says from what to what.
    pub fn run(self) -> Result<String, Failure> {
        let store = self.store.url()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
        let migrated = runtime.block_on(store.migrate());
        match migrated.map_err(|error| Failure::Failed(format!("--store {store}: {error}")))? {
            None => Err(Failure::Usage(format!(
                "--store {store}: only a database is migrated: name it with --store postgres://..., WAYPOST_STORE or the \
                 file of --config"
            ))),
            Some(Migrated { from, to }) if from == to => Ok(format!("the schema is at version {to} already")),
            Some(Migrated { from, to }) => Ok(format!("the schema went from version {from} to {to}")),
        }
    }
}

//! Proves the PostgreSQL store against real, throw-away servers: the contract, and what only a database can do to it.
//! Skipped aloud where PostgreSQL is not installed; under `CI=true` that is a failure.

#[path = "../support"]
mod support {
    pub mod contract;
    pub mod draft;
    pub mod fixture;
    pub mod model;
    pub mod postgres;
}

mod crashes;
mod faults;
mod ledger;
mod lossy_proxy;
mod many_servers;
mod migrations;
mod model;
mod pool;
mod settings;
mod tls;

mod contract {
    use crate::support::postgres::{Cluster, InPostgres};

    crate::store_contract!({
        let Some(cluster) = Cluster::shared() else { return };
        InPostgres::fresh(cluster)
    });
}

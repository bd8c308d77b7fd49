//! Databases that die under the writers, with a ledger of what was acknowledged.

use crate::{
    ledger::Ledger,
    support::postgres::{Cluster, Fsync, USER},
};
use std::{sync::Arc, time::Instant};
use waypost::store::PostgresStore;

/// How often the database is killed; `WAYPOST_TEST_KILLS` for more.
fn kills() -> u32 {
    std::env::var("WAYPOST_TEST_KILLS").map_or(3, |text| text.parse().expect("WAYPOST_TEST_KILLS is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_database_loses_nothing_acknowledged_whatever_its_default() {
    let Some(cluster) = Cluster::start(Fsync::On, "synchronous_commit = off") else { return };
    let database = cluster.create_database().await;
    let ledger = Ledger::keep(database.store().await, 32);
    let start = Instant::now();
    for _ in 0..kills() {
        ledger.wait_for_writes(300).await;
        cluster.kill();
        cluster.restart();
    }
    ledger.wait_for_writes(300).await;
    let kept = ledger.close().await;
    kept.check(&database).await;
    println!(
        "{} writes acknowledged, {} calls refused, {} kills in {:?}",
        kept.writes(),
        kept.refused(),
        kills(),
        start.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_replica_has_everything_acknowledged() {
    let Some(primary) = Cluster::start(Fsync::Off, "") else { return };
    let database = primary.create_database().await;
    drop(database.store().await);
    let replica = primary.start_replica();
    database.execute("ALTER SYSTEM SET synchronous_standby_names = 'replica'").await;
    database.execute("SELECT pg_reload_conf()").await;
    while database.number("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'").await == 0 {}

    let [first, second] = [&primary, &replica].map(|cluster| cluster.directory().display().to_string());
    let hosts = format!("{first},{second}").replace('/', "%2F");
    let url = format!("postgres://{USER}@{hosts}/{}", database.name);
    let store = Arc::new(PostgresStore::connect(&url).await.expect("connected"));
    let ledger = Ledger::keep(store, 32);
    ledger.wait_for_writes(1_000).await;
    let start = Instant::now();
    primary.kill();
    replica.promote();
    ledger.wait_for_writes(1).await;
    let unserved = start.elapsed();
    ledger.wait_for_writes(300).await;
    let kept = ledger.close().await;
    kept.check(&replica.same(&database)).await;
    println!("{} writes acknowledged, {} calls refused, unserved for {unserved:?}", kept.writes(), kept.refused());
}

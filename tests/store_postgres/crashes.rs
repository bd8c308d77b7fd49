//! Databases that die under the writers, with a ledger of what was acknowledged.

use crate::{
    ledger::Ledger,
    support::{
        draft::{CREATED, draft, ending, idempotency_key, merchant, recorded},
        postgres::{Cluster, Fsync, USER},
    },
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use waypost::{
    app::{App, Clock, Effect, MerchantChange},
    model::{Outcome, Tenants, Violations},
    redirect::Mode,
    store::{Created, PostgresStore, Store},
};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replica_may_not_have_is_acknowledged_by_nobody_who_finds_it() {
    let Some(primary) = Cluster::start(Fsync::Off, "") else { return };
    let database = primary.create_database().await;
    let store = database.store().await;
    let session = draft().key("k", 1).build();
    assert_eq!(store.create(session.clone()).await.expect("created"), Created::New);
    let set_replicas = async |names: &str| {
        database.execute(&format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'")).await;
        database.execute("SELECT pg_reload_conf()").await;
        let is_set = format!(
            "SELECT count(*) FROM pg_settings WHERE name = 'synchronous_standby_names' AND setting = '{names}'"
        );
        while database.number(&is_set).await == 0 {}
    };
    // It is not there, so nobody is answered; and what was written is seen by all once whoever waits is cut off.
    set_replicas("replica").await;
    let paid = recorded(&session, Outcome::Success, CREATED);
    let settings = merchant("m1", 1);
    let writes = async {
        let answers = tokio::join!(store.replace_session(paid.clone()), store.replace_merchant(settings.clone()));
        assert!(matches!(answers, (Err(_), Err(_))), "{answers:?}");
        std::future::pending().await
    };
    let cut_off = async {
        let are_seen = async || {
            let seen = store.session(session.id).await.expect("loaded").expect("there");
            seen.session.version == paid.version && seen.merchant.version == settings.version
        };
        while !are_seen().await {
            database
                .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
                .await;
        }
    };
    tokio::select! { () = writes => {} () = cut_off => {} }

    let app = App::new(store.clone(), Mode::Production, Clock::System);
    let record = || app.record_outcome(session.id, ending(Outcome::Success), &Tenants::All);
    let update = || {
        let change = MerchantChange { name: Some(settings.name.clone()), ..MerchantChange::default() };
        app.update_merchant(Some(settings.id.clone()), change, Violations::default(), Effect::Save, &Tenants::All)
    };
    let key = idempotency_key("k");
    let by_key = || store.session_by_key(&session.merchant_id, session.id.kind(), &key);
    let answered = async {
        tokio::select! { _ = record() => "an outcome", _ = update() => "settings", _ = by_key() => "a session" }
    };
    let answer = tokio::time::timeout(Duration::from_secs(1), answered).await;
    assert!(answer.is_err(), "{answer:?} was acknowledged");
    // Once there is nobody to wait for, that is.
    set_replicas("").await;
    assert!(!record().await.expect("answered").applied);
    assert_eq!(update().await.expect("answered").version, settings.version);
    assert_eq!(by_key().await.expect("answered").expect("there").version, paid.version);
}

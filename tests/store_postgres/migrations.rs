//! The schema: made once however many servers make it, and refused when it is another server's.

use crate::support::{
    draft::draft,
    postgres::{Cluster, TestDatabase},
};
use waypost::store::{
    PostgresStore, Store,
    postgres::{ConnectError, Migrated},
};

async fn refusal(database: &TestDatabase) -> String {
    match PostgresStore::connect(&database.url()).await {
        Err(ConnectError::Schema(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_migrate_at_once_make_one_schema() {
    let Some(cluster) = Cluster::shared() else { return };
    for _ in 0..5 {
        let database = cluster.create_database().await;
        let racers: Vec<_> = (0..8)
            .map(|_| {
                let url = database.url();
                tokio::spawn(async move { PostgresStore::migrate(&url).await })
            })
            .collect();
        for racer in racers {
            let Migrated { to, .. } = racer.await.expect("no panic").expect("migrated");
            assert_eq!(to, 1);
        }
        assert_eq!(database.number("SELECT count(*) FROM waypost_migrations").await, 1);
        let store = PostgresStore::connect(&database.url()).await.expect("connected");
        store.create(draft().key("k", 1).build()).await.expect("created");
    }
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let store = database.store().await;
    let session = draft().build();
    store.create(session.clone()).await.expect("created");
    assert_eq!(PostgresStore::migrate(&database.url()).await.expect("migrated"), Migrated { from: 1, to: 1 });
    assert_eq!(*store.session(session.id).await.expect("loaded").expect("there").session, session);
}

#[tokio::test]
async fn a_database_without_the_schema_is_refused_with_what_to_run() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let text = refusal(&database).await;
    assert!(text.contains("no schema") && text.contains("waypost migrate") && text.contains("--migrate"), "{text}");
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    drop(database.store().await);
    database.execute("INSERT INTO waypost_migrations (version, name) VALUES (999, 'later')").await;
    let text = refusal(&database).await;
    assert!(text.contains("version 999") && text.contains("newer waypost"), "{text}");
    let error = PostgresStore::migrate(&database.url()).await.expect_err("refused");
    assert!(matches!(error, ConnectError::Schema(_)), "{error}");
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_named_as_that() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("postgres://me:hunter2@/pay?host={}", directory.path().display());
    for error in [
        PostgresStore::connect(&url).await.expect_err("nobody listens"),
        PostgresStore::migrate(&url).await.expect_err("nobody listens"),
    ] {
        assert!(matches!(error, ConnectError::Unreachable(_)), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_that_takes_a_connection_and_never_answers_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("postgres://me@{}/pay", silent.local_addr().expect("its address"));
    for error in [
        PostgresStore::connect(&url).await.expect_err("nobody answers"),
        PostgresStore::migrate(&url).await.expect_err("nobody answers"),
    ] {
        assert!(matches!(&error, ConnectError::Unreachable(text) if text.contains("in time")), "{error}");
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_is_not_waited_for() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    let url = database.url().replace(&database.name, "no_such_database");
    let error = PostgresStore::connect(&url).await.expect_err("not there");
    assert!(matches!(&error, ConnectError::Refused(text) if text.contains("3D000")), "{error}");
}

//! Moving from the embedded store to PostgreSQL, with the steps of `docs/stores.md`.

use crate::{
    MACHINE,
    process::{Server, run},
    support::postgres::Cluster,
    writers::Ledger,
};
use std::os::unix::fs::PermissionsExt;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_moves_to_postgres_while_the_old_server_serves() {
    let _machine = MACHINE.read().await;
    let Some(cluster) = Cluster::shared() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (old, first, last) = (format!("redb:{}", path("waypost.redb")), path("first.jsonl"), path("last.jsonl"));
    let new = cluster.create_database().await.url();
    run(&["migrate", "--store", &new]);

    let server = Server::start(&old);
    let mut ledger = Ledger::keep(server.connect().await);
    ledger.wait_for_writes(500).await;
    // The bulk moves while the old server serves.
    assert!(run(&["store", "export", &first, "--store", &old]).starts_with("exported "));
    let mode = std::fs::metadata(&first).expect("exported").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds what customers sent");
    run(&["store", "import", &first, "--store", &new]);
    ledger.wait_for_writes(100).await;
    // The rest, what changed meanwhile included, once it has stopped.
    ledger.shut().await;
    server.stop();
    run(&["store", "export", &last, "--store", &old]);
    let said = run(&["store", "import", &last, "--store", &new]);
    assert!(said.starts_with("imported ") && !said.contains("left out"), "{said}");

    let server = Server::start(&new);
    ledger.check_all(&server.connect().await, &new).await;
    ledger.open(server.connect().await);
    ledger.wait_for_writes(100).await;
    ledger.shut().await;
    ledger.check_all(&server.connect().await, &new).await;
}

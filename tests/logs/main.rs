//! Nothing secret or personal is logged, at any level. A server that logs everything is walked through, over TLS, with a
//! word that nobody else uses in every place where somebody may write one; the log must not have it in any spelling.
//!
//! Skipped aloud on PostgreSQL where that is not installed; under `CI=true` that is a failure.

// What this binary takes from those next door has more than it needs.
#[allow(dead_code)]
#[path = "../tls/certificates.rs"]
mod certificates;
#[path = "../support"]
mod support {
    pub mod fixture;
    pub mod postgres;
    #[allow(dead_code, reason = "shared with tests that do more")]
    pub mod process;
}

mod server;
mod walk;

use server::{LogFormat, Server};
use support::postgres::{Cluster, Fsync};
use tracing::level_filters::STATIC_MAX_LEVEL;

/// What the log must not have.
pub const WORD: &str = "tattle";

/// That word, and where it stood.
pub fn tell(place: &str) -> String {
    format!("{WORD}-{place}")
}

/// Asserts that the log has everything but what was told.
fn assert_discreet(log: &str, secrets: &[String]) {
    let all = STATIC_MAX_LEVEL.to_string().to_uppercase();
    for everything in [all.as_str(), "h2", "hyper", "lacks the scope"] {
        assert!(log.contains(everything), "the log has less than everything: no {everything}");
    }
    let bytes = WORD.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
    let hex: String = WORD.bytes().map(|byte| format!("{byte:02x}")).collect();
    let log = log.to_lowercase();
    for line in log.lines() {
        for spelling in [WORD, bytes.as_str(), hex.as_str()] {
            assert!(!line.contains(spelling), "it was logged: {line}");
        }
    }
    for secret in secrets {
        // The first part is enough to be recognised by.
        let part = &secret[..secret.len().min(24)];
        assert!(part.len() >= 16 && !log.contains(&part.to_lowercase()), "{secret} was logged");
    }
}

/// Runs it to its end, and ends what it began: a server that stops waits for its connections.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

#[test]
fn a_whole_walk_leaves_nothing_in_the_log() {
    let server = Server::start("redb:waypost.redb", LogFormat::Text);
    let secrets = block_on(walk::everywhere(&server));
    assert_discreet(&server.log(), &secrets);
}

#[test]
fn neither_does_one_on_postgresql_that_ends_with_a_database_that_is_gone() {
    let Some(cluster) = Cluster::start(Fsync::Off, "") else { return };
    let database = block_on(async {
        let database = cluster.create_database().await;
        drop(database.store().await);
        database
    });
    let server = Server::start(&database.url(), LogFormat::Json);
    let secrets = block_on(walk::everywhere(&server));
    cluster.kill();
    block_on(walk::without_a_store(&server));
    assert_discreet(&server.log(), &secrets);
}

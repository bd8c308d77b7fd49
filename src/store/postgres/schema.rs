//! The tables, and how they come to be: numbered SQL files, each applied once.
//!
//! Several servers may migrate at once. There is no lock that every database of the family has, so each migration first
//! writes its own row, in its transaction: whoever comes second waits there, finds the row, and goes on.

use super::{
    ConnectError,
    address::{Address, Driven},
    failure::{Failure, describe},
};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, error::SqlState};

/// One step from one version of the schema to the next. Never changed once it was released.
struct Migration {
    version: i64,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "sessions_and_merchants",
    sql: include_str!("migrations/0001_sessions_and_merchants.sql"),
}];

/// The version that this server works with.
const CURRENT: i64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// Attempts of the whole migration. Each racing server makes the others fail at most once per statement.
const ATTEMPTS: u32 = 50;
/// Between the attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the database may take to say which schema it has. It may lock its tables for a migration meanwhile.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

const CREATE_TABLE: &str = "
    CREATE TABLE IF NOT EXISTS waypost_migrations (
        version    bigint      NOT NULL PRIMARY KEY,
        name       text        NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )";
const VERSION: &str = "SELECT max(version) FROM waypost_migrations";
const RECORD: &str = "INSERT INTO waypost_migrations (version, name) VALUES ($1, $2)";

/// What a migration came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The schema's version before; 0 when there was none.
    pub from: i64,
    /// The schema's version now.
    pub to: i64,
}

/// Brings the schema to the version of this server; a newer one stays, and is an error.
pub(super) async fn migrate(address: &Address) -> Result<Migrated, ConnectError> {
    let mut first = None;
    let mut failed = 0;
    loop {
        match migrate_once(address, &mut first).await {
            Ok(()) => return Ok(Migrated { from: first.unwrap_or(0), to: CURRENT }),
            Err(Failed::For(error)) => return Err(error),
            Err(Failed::Racing(error)) => {
                failed += 1;
                if failed == ATTEMPTS {
                    return Err(ConnectError::Schema(format!("the migration failed: {}", describe(&error))));
                }
            }
        }
        sleep(PAUSE).await;
    }
}

/// Refuses to serve with another schema than this server's.
pub(super) async fn check(address: &Address) -> Result<(), ConnectError> {
    let (client, wire) = address.open_in_time().await?;
    let wire = Driven::start(wire);
    let version = match timeout(VERSION_TIMEOUT, version(&client)).await {
        Ok(version) => version.map_err(|error| Failure::of_statement(&error))?,
        Err(_) => return Err(Failure::to_answer_in_time().into()),
    };
    drop(wire);
    match version {
        0 => Err(ConnectError::Schema(format!(
            "the database has no schema and this server needs version {CURRENT}: {HOW_TO_MIGRATE}"
        ))),
        older if older < CURRENT => Err(ConnectError::Schema(format!(
            "the database has schema version {older} and this server needs {CURRENT}: {HOW_TO_MIGRATE}"
        ))),
        CURRENT => Ok(()),
        newer => Err(too_new(newer)),
    }
}

const HOW_TO_MIGRATE: &str = "run `waypost migrate`, or start with `waypost serve --migrate`";

fn too_new(version: i64) -> ConnectError {
    ConnectError::Schema(format!(
        "the database has schema version {version} and this server knows {CURRENT}: a newer waypost migrated it; run \
         that version"
    ))
}

/// Why one attempt of a migration ended.
enum Failed {
    /// Another server does the same, or the connection was lost: try again.
    Racing(tokio_postgres::Error),
    /// For good.
    For(ConnectError),
}

async fn migrate_once(address: &Address, first: &mut Option<i64>) -> Result<(), Failed> {
    let (mut client, wire) = address.open_in_time().await.map_err(|failure| Failed::For(failure.into()))?;
    let _wire = Driven::start(wire);
    let from = match timeout(VERSION_TIMEOUT, version(&client)).await {
        Ok(version) => version.map_err(racing)?,
        Err(_) => return Err(Failed::For(Failure::to_answer_in_time().into())),
    };
    let first = *first.get_or_insert(from);
    if from > CURRENT {
        return Err(Failed::For(too_new(from)));
    }
    client.batch_execute(CREATE_TABLE).await.map_err(racing)?;
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > from) {
        apply(&mut client, migration).await.map_err(racing)?;
        tracing::info!(version = migration.version, name = migration.name, first, "the schema was migrated");
    }
    Ok(())
}

async fn apply(client: &mut Client, migration: &Migration) -> Result<(), tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    transaction.execute(RECORD, &[&migration.version, &migration.name]).await?;
    transaction.batch_execute(migration.sql).await?;
    transaction.commit().await
}

/// The version of the schema; 0 when there is none.
async fn version(client: &Client) -> Result<i64, tokio_postgres::Error> {
    match client.query_one(VERSION, &[]).await {
        Ok(row) => Ok(row.try_get::<_, Option<i64>>(0)?.unwrap_or(0)),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(0),
        Err(error) => Err(error),
    }
}

/// Tells what another server's migration causes from what no waiting cures.
fn racing(error: tokio_postgres::Error) -> Failed {
    let Some(code) = error.code() else { return Failed::Racing(error) };
    let races = [
        // Our own row, or PostgreSQL's catalogue: `IF NOT EXISTS` is not atomic.
        SqlState::UNIQUE_VIOLATION,
        SqlState::DUPLICATE_TABLE,
        SqlState::DUPLICATE_OBJECT,
        // "tuple concurrently updated".
        SqlState::INTERNAL_ERROR,
    ];
    if races.contains(code) || ["08", "40", "57"].iter().any(|class| code.code().starts_with(class)) {
        Failed::Racing(error)
    } else {
        Failed::For(ConnectError::Schema(format!("the migration failed: {}", describe(&error))))
    }
}

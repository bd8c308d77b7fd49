//! Throw-away PostgreSQL clusters from the installed binaries, and the fixture of the store that keeps its data there.
//!
//! A cluster has its own directory and listens on a socket in it, so nothing can collide. A keeper process removes it
//! as soon as the test process ends, however that ends.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use super::fixture::{Fixture, Memory};
use async_trait::async_trait;
use std::{
    fs,
    io::Write,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio_postgres::NoTls;
use waypost::store::{PostgresStore, Store};

/// The superuser of every cluster.
pub const USER: &str = "waypost";

/// Whether a cluster survives a crash of the machine. Without, tests are several times faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    On,
    Off,
}

/// A running database server. Dropping it stops it and removes its data.
pub struct Cluster {
    directory: PathBuf,
    /// Of the socket's name too.
    port: u16,
    owner: Owner,
    keeper: Child,
}

/// Whom the server runs as; it refuses root.
#[derive(Debug, Clone, Copy)]
enum Owner {
    Ourselves,
    Other { uid: u32, gid: u32 },
}

/// A database of its own in a cluster.
#[derive(Debug, Clone)]
pub struct TestDatabase {
    directory: PathBuf,
    port: u16,
    pub name: String,
}

impl Cluster {
    /// The cluster that the tests of this process share; `None`, said aloud, where PostgreSQL is not installed.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Fsync::Off, "")).as_ref()
    }

    /// Starts a cluster with these further settings.
    pub fn start(fsync: Fsync, settings: &str) -> Option<Self> {
        // Only the name of the socket, in a directory of its own.
        Self::start_on(5432, fsync, settings)
    }

    /// Starts a cluster on that port, of TCP where the settings say so.
    pub fn start_on(port: u16, fsync: Fsync, settings: &str) -> Option<Self> {
        let (cluster, data) = Self::prepare(port)?;
        let mut initdb = cluster.command("initdb");
        initdb.args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--no-locale", "--username", USER, "-D"]);
        run(initdb.arg(&data));
        let fsync = if fsync == Fsync::On { "on" } else { "off" };
        let socket = cluster.directory.display();
        cluster.configure(&format!(
            "listen_addresses = ''\nport = {port}\nunix_socket_directories = '{socket}'\nmax_connections = 600\nfsync = {fsync}\n{settings}\n"
        ));
        cluster.restart();
        Some(cluster)
    }

    /// Starts a replica of this cluster, which follows it under the name `replica`.
    pub fn start_replica(&self) -> Self {
        let (replica, data) = Self::prepare(self.port).expect("PostgreSQL is installed");
        let mut backup = replica.command("pg_basebackup");
        backup.args(["--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream", "-D"]).arg(&data);
        let source = self.directory.display();
        run(backup.arg("-d").arg(format!("host={source} user={USER} application_name=replica")));
        replica.configure(&format!("unix_socket_directories = '{}'\n", replica.directory.display()));
        replica.restart();
        replica
    }

    /// The directory of a cluster that does not exist yet, and its keeper.
    fn prepare(port: u16) -> Option<(Self, PathBuf)> {
        if binaries().is_none() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "PostgreSQL is not installed, and CI skips nothing");
            println!("SKIPPED: PostgreSQL is not installed (looked for /usr/lib/postgresql/*/bin/initdb)");
            return None;
        }
        let owner = Owner::find();
        let directory = tempfile::Builder::new().prefix("waypost-pg-").tempdir().expect("a directory").keep();
        if let Owner::Other { uid, gid } = owner {
            chown(&directory, Some(uid), Some(gid)).expect("we are root");
        }
        // The keeper reads from a pipe of which this process has the other end: it goes on when the pipe closes.
        let mut keeper = Command::new("sh");
        keeper.args(["-c", r#"read -r _; "$1" stop -s -m immediate -D "$2/data"; rm -rf "$2""#, "keeper"]);
        keeper.arg(binaries().expect("looked for above").join("pg_ctl")).arg(&directory);
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
        let keeper = owner.run_as(&mut keeper).spawn().expect("a shell");
        let data = directory.join("data");
        Some((Self { directory, port, owner, keeper }, data))
    }

    /// One of PostgreSQL's programs, run as the owner of the cluster.
    pub fn command(&self, binary: &str) -> Command {
        let mut command = Command::new(binaries().expect("a cluster exists").join(binary));
        self.owner.run_as(command.current_dir("/").stdin(Stdio::null()));
        command
    }

    /// A file in the cluster's directory that the server can read.
    pub fn write_file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.join(name);
        fs::write(&path, content).expect("written");
        if let Owner::Other { uid, gid } = self.owner {
            chown(&path, Some(uid), Some(gid)).expect("we are root");
        }
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&path, mode).expect("it is ours");
        path
    }

    /// Adds to the settings; they hold from the next start.
    pub fn configure(&self, settings: &str) {
        let path = self.directory.join("data/postgresql.conf");
        let mut file = fs::OpenOptions::new().append(true).open(path).expect("initialised");
        file.write_all(settings.as_bytes()).expect("written");
    }

    /// Starts the server, after a kill or for the first time.
    pub fn restart(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let mut start = self.command("pg_ctl");
            start.args(["start", "-w", "-s", "-t", "60", "-l"]).arg(self.directory.join("log"));
            start.arg("-D").arg(self.directory.join("data")).stdout(Stdio::null()).stderr(Stdio::null());
            // It refuses while processes of a killed predecessor still hold its shared memory.
            if start.status().expect("pg_ctl").success() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{}",
                fs::read_to_string(self.directory.join("log")).unwrap_or_default()
            );
        }
    }

    /// Ends the server and all its processes as a power cut would, by SIGKILL to each.
    pub fn kill(&self) {
        let pid_file = fs::read_to_string(self.directory.join("data/postmaster.pid")).expect("it runs");
        let postmaster: u32 = pid_file.lines().next().and_then(|line| line.parse().ok()).expect("a process id");
        let children = children(postmaster);
        // The parent first, or it would begin a recovery. A backend that it started in between ends by itself.
        kill_9(&[postmaster]);
        kill_9(&children);
    }

    /// Makes a replica the primary.
    pub fn promote(&self) {
        run(self.command("pg_ctl").args(["promote", "-w", "-s", "-D"]).arg(self.directory.join("data")));
    }

    /// Makes a database that no other test has.
    pub async fn create_database(&self) -> TestDatabase {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let database = TestDatabase { directory: self.directory.clone(), port: self.port, name };
        let postgres = TestDatabase { name: "postgres".to_owned(), ..database.clone() };
        postgres.execute(&format!("CREATE DATABASE {}", database.name)).await;
        database
    }

    /// The database of that name as this cluster has it.
    pub fn same(&self, database: &TestDatabase) -> TestDatabase {
        TestDatabase { directory: self.directory.clone(), port: self.port, name: database.name.clone() }
    }

    /// The directory of its socket.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}

impl TestDatabase {
    /// The store's URL for it.
    pub fn url(&self) -> String {
        format!("postgres:///{}?host={}&port={}&user={USER}", self.name, self.directory.display(), self.port)
    }

    /// The path of the server's socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join(format!(".s.PGSQL.{}", self.port))
    }

    /// Runs statements as the superuser, on a connection of their own.
    pub async fn execute(&self, sql: &str) {
        self.client().await.batch_execute(sql).await.expect(sql);
    }

    /// The one number that a query returns.
    pub async fn number(&self, sql: &str) -> i64 {
        self.client().await.query_one(sql, &[]).await.expect(sql).get(0)
    }

    /// A connection that does not go through the store; it lives as long as the test's runtime.
    pub async fn client(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await.expect("it runs");
        tokio::spawn(connection);
        client
    }

    /// A store on it, with its schema.
    pub async fn store(&self) -> Arc<PostgresStore> {
        PostgresStore::migrate(&self.url()).await.expect("migrated");
        Arc::new(PostgresStore::connect(&self.url()).await.expect("connected"))
    }
}

impl Owner {
    fn find() -> Self {
        let ourselves = fs::metadata("/proc/self").expect("procfs");
        if std::os::unix::fs::MetadataExt::uid(&ourselves) != 0 {
            return Self::Ourselves;
        }
        let accounts = fs::read_to_string("/etc/passwd").expect("accounts");
        let find = |name: &str| {
            let fields: Vec<&str> =
                accounts.lines().map(|line| line.split(':').collect()).find(|fields: &Vec<_>| fields[0] == name)?;
            Some(Self::Other { uid: fields[2].parse().ok()?, gid: fields[3].parse().ok()? })
        };
        find("postgres").or_else(|| find("nobody")).expect("an account that is not root")
    }

    fn run_as(self, command: &mut Command) -> &mut Command {
        match self {
            Self::Ourselves => command,
            Self::Other { uid, gid } => command.uid(uid).gid(gid),
        }
    }
}

/// Where the newest installed PostgreSQL has its programs.
fn binaries() -> Option<&'static Path> {
    static BINARIES: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
        let major = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
        let newest = versions.filter_map(|entry| Some(entry.ok()?.path())).max_by_key(major)?.join("bin");
        newest.join("initdb").exists().then_some(newest)
    };
    BINARIES.get_or_init(find).as_deref()
}

fn run(command: &mut Command) {
    let output = command.output().expect("it is installed");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn kill_9(pids: &[u32]) {
    let pids = pids.iter().map(ToString::to_string);
    // A child that ended by itself meanwhile is no failure.
    Command::new("kill").arg("-9").args(pids).stderr(Stdio::null()).status().expect("kill");
}

/// The processes with that parent.
fn children(parent: u32) -> Vec<u32> {
    let parent_of = |pid: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let pids =
        fs::read_dir("/proc").expect("procfs").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

/// The store in a database of its own.
pub struct InPostgres {
    database: TestDatabase,
    store: Arc<PostgresStore>,
}

impl InPostgres {
    /// A fresh one.
    pub async fn fresh(cluster: &Cluster) -> Self {
        let database = cluster.create_database().await;
        let store = database.store().await;
        Self { database, store }
    }
}

#[async_trait]
impl Fixture for InPostgres {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    async fn reopen(&mut self) {
        self.store.close().await.expect("closed");
        self.store = self.database.store().await;
    }

    async fn another(&self) -> Arc<dyn Store> {
        self.database.store().await
    }

    fn memory(&self) -> Memory {
        Memory::Durable
    }
}

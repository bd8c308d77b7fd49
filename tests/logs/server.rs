//! The binary with everything that it can have switched on, and its log.

use crate::{certificates::Authority, support::process::Process, tell};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};
use tempfile::TempDir;
use tracing::level_filters::STATIC_MAX_LEVEL;

#[derive(Debug, Clone, Copy)]
pub enum LogFormat {
    Text,
    Json,
}

pub struct Server {
    process: Process,
    pub grpc: SocketAddr,
    pub pages: SocketAddr,
    pub ops: SocketAddr,
    pub authority: Authority,
    /// What is in the files of keys, which the log must not have either.
    pub keys: Vec<String>,
    dir: TempDir,
}

fn waypost(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
    // Names of files in the arguments are those of the directory.
    command.env_clear().current_dir(dir).args(args);
    command
}

/// What an owner of that secret may do.
fn credential(name: &str, secret: &str, scopes: &str) -> String {
    let digest: String = Sha256::digest(secret).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[credential]]\nname = '{name}'\nsha256 = '{digest}'\nmerchants = ['shop']\nscopes = {scopes}\n")
}

impl Server {
    /// Its files are in a directory of its own, in which the store's may be too.
    pub fn start(store: &str, format: LogFormat) -> Self {
        let dir = TempDir::new().expect("a directory");
        let authority = Authority::new("ours");
        authority.server().write(dir.path(), "server");
        let credentials = credential("admin", &tell("secret-of-admin"), "['admin']")
            + &credential("reader", &tell("secret-of-reader"), "['read']");
        fs::write(dir.path().join("credentials.toml"), credentials).expect("written");
        let mut keys = vec![fs::read_to_string(dir.path().join("server.key")).expect("text")];
        for kind in ["signing", "page"] {
            let made = waypost(dir.path(), &["keygen", kind]).output().expect("run");
            let path = dir.path().join(format!("{kind}.key"));
            fs::write(&path, &made.stdout).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
            keys.push(String::from_utf8(made.stdout).expect("text"));
        }
        // The second line of each file is the first of the key itself.
        let keys = keys.iter().map(|file| file.lines().nth(1).expect("a key").to_owned()).collect();
        let mut serve = waypost(dir.path(), &["serve", "--sandbox", "--workers", "1", "--store", store]);
        serve.args(["--grpc-addr", "127.0.0.1:0", "--page-addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0"]);
        serve.args(["--reflection", "on"]);
        serve.args(["--tls-cert", "server.crt", "--tls-key", "server.key"]);
        serve.args(["--page-tls-cert", "server.crt", "--page-tls-key", "server.key"]);
        serve.args(["--credentials-file", "credentials.toml", "--page-key-file", "page.key"]);
        serve.args(["--signing-key-file", "signing.key", "--log", &STATIC_MAX_LEVEL.to_string(), "--log-format"]);
        serve.arg(match format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        });
        let log = File::create(dir.path().join("log")).expect("a log");
        let mut process = Process::start(serve.stderr(log));
        let [grpc, pages, ops] = ["gRPC", "pages", "ops"].map(|listener| {
            let url = process.said(listener);
            let addr = url.rsplit("//").next().and_then(|addr| addr.split('/').next());
            addr.and_then(|addr| addr.parse().ok()).expect("an address")
        });
        Self { process, grpc, pages, ops, authority, keys, dir }
    }

    /// What it logged, after it has ended.
    pub fn log(mut self) -> String {
        self.process.stop();
        fs::read_to_string(self.dir.path().join("log")).expect("text")
    }
}

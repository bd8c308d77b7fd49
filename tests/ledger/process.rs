//! `waypost` as processes of the test's own, on free ports, ended with the test.

use crate::support::process::Process;
use std::{
    ffi::OsStr,
    fs::File,
    io::{Read, Seek},
    process::{Command, Stdio},
};
use tonic::transport::{Channel, Endpoint};

/// A running server.
pub struct Server {
    process: Process,
    addr: String,
    /// What it logs, shown when a test fails.
    log: File,
}

/// `waypost` without the tests' own environment.
pub fn waypost(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
    command.env_clear().args(args).stdin(Stdio::null());
    command
}

/// Runs it to its end, which must be a good one; what it wrote.
pub fn run(args: &[&str]) -> String {
    let output = waypost(args).output().expect("it runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The command that serves a store on a free port.
pub fn serve(store: &str) -> Command {
    waypost([
        "serve",
        "--grpc-addr",
        "127.0.0.1:0",
        "--page-addr",
        "off",
        "--ops-addr",
        "off",
        "--workers",
        "2",
        "--store",
        store,
    ])
}

impl Server {
    /// Starts one, and waits until it says where it listens.
    pub fn start(store: &str) -> Self {
        Self::spawn(&mut serve(store))
    }

    /// The same of a command that [`serve`] made.
    pub fn spawn(command: &mut Command) -> Self {
        let log = tempfile::tempfile().expect("a file");
        let process = Process::start(command.stderr(log.try_clone().expect("a file")));
        let mut server = Self { process, addr: String::new(), log };
        server.addr = server.process.said("gRPC");
        server
    }

    /// A new connection.
    pub async fn connect(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.addr)).expect("an address");
        endpoint.connect().await.expect("it listens")
    }

    /// Ends it by SIGKILL; it must have run until then.
    pub fn kill(mut self) {
        self.assert_runs();
        self.process.signal(libc::SIGKILL);
        self.process.ended();
    }

    /// Ends it by SIGTERM, as an operator does.
    pub fn stop(mut self) {
        let status = self.process.stop();
        assert!(status.success(), "{status}: {}", read(&mut self.log));
    }

    /// Fails when it ended by itself.
    pub fn assert_runs(&mut self) {
        let ended = self.process.child.try_wait().expect("it is ours");
        assert_eq!(ended, None, "{}", read(&mut self.log));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // With its last words.
            let _ = self.process.child.kill();
            let _ = self.process.child.wait();
            let log = read(&mut self.log);
            let last: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("the log of the server at {}, last line first:\n{}", self.addr, last.join("\n"));
        }
    }
}

fn read(log: &mut File) -> String {
    let mut text = String::new();
    log.rewind().and_then(|()| log.read_to_string(&mut text)).expect("a log");
    text
}

//! A server of the real binary, in a process of its own.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
};

/// Ended when this is dropped, in whatever state it is.
pub struct Process {
    pub child: Child,
    /// Kept, as a server whose standard output is closed would fail to write to it.
    stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts a command that serves.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("started");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, stdout }
    }

    /// Waits until it says where it listens: for `gRPC`, then for `pages`, then for `ops`.
    pub fn said(&mut self, listener: &str) -> String {
        loop {
            let line = self.line().expect("it says where it listens before it ends");
            if let Some(place) = line.trim().strip_prefix(listener) {
                return place.trim().to_owned();
            }
            assert!(!line.trim().starts_with("store"), "it does not listen for {listener}, or has said so before");
        }
    }

    /// The next line that it prints; `None` once it has ended.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        (self.stdout.read_line(&mut line).expect("text") > 0).then_some(line)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill(2) touches no memory; the process is a child of ours that was not waited for.
        assert_eq!(unsafe { libc::kill(self.child.id().try_into().expect("a process id"), signal) }, 0);
    }

    /// Waits until it has ended.
    pub fn ended(&mut self) -> ExitStatus {
        self.stdout.read_to_string(&mut String::new()).expect("text");
        self.child.wait().expect("ended")
    }

    /// Ends it as an operator does.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(libc::SIGTERM);
        self.ended()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

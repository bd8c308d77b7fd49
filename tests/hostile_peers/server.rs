//! The server under attack: a process of its own, whose memory, processor time, descriptors and log are looked at from
//! outside.

use crate::{
    bystander::full,
    cores::give_server_its_core,
    peer::{PREFACE, SETTINGS, frame},
    process::Process,
};
use std::{
    env, fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    process::Command,
    thread,
    time::{Duration, Instant},
};

pub struct Server {
    process: Process,
    pub addr: SocketAddr,
    log: tempfile::NamedTempFile,
}

impl Server {
    pub fn start() -> Self {
        Self::spawn(&mut command())
    }

    /// One that may have so many descriptors.
    pub fn start_with_descriptors(most: u64) -> Self {
        let mut command = command();
        let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
        // SAFETY: between fork and exec only setrlimit(2) is called, which may be called there.
        unsafe {
            command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        Self::spawn(&mut command)
    }

    fn spawn(command: &mut Command) -> Self {
        let log = tempfile::NamedTempFile::new().expect("a file");
        let stderr = log.reopen().expect("the file");
        if full() {
            give_server_its_core(command);
        }
        let mut process = Process::start(command.stderr(stderr));
        let addr = process.said("gRPC").parse().expect("an address");
        let server = Self { process, addr, log };
        server.serves();
        server
    }

    /// Returns once it serves, and has nothing open but what it needs for that.
    fn serves(&self) {
        let mut socket = TcpStream::connect(self.addr).expect("connected");
        socket.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).expect("said");
        socket.read_exact(&mut [0]).expect("greeted");
        let with_it = self.descriptors();
        drop(socket);
        while self.descriptors() == with_it {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Resident memory now.
    pub fn memory_mib(&self) -> f64 {
        let kib: f64 = self.status("VmRSS:").parse().expect("a number");
        kib / 1_024.0
    }

    /// Whether the kernel may hand out memory to it in pages of 2 MiB.
    pub fn takes_huge_pages(&self) -> bool {
        self.status("THP_enabled:") != "0"
    }

    /// What it has logged so far.
    pub fn log_kib(&self) -> u64 {
        self.log.as_file().metadata().expect("a file").len() / 1_024
    }

    /// Descriptors that are open now.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.child.id())).expect("running").count()
    }

    /// Ready once it has no more descriptors open than that.
    pub async fn closed(&self, descriptors: usize, within: Duration) {
        let began = Instant::now();
        while self.descriptors() > descriptors {
            assert!(began.elapsed() < within, "{} descriptors are open, {descriptors} were", self.descriptors());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Processor time that its first thread, which accepts connections, has used so far.
    pub fn accepting_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{0}/task/{0}/stat", self.process.child.id())).expect("running");
        // Fields 14 and 15, in hundredths of a second; the name before them, in brackets, may have spaces.
        let after_name = stat.rsplit_once(')').expect("a name").1;
        let ticks: u64 =
            after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(ticks * 10)
    }

    fn status(&self, field: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.child.id())).expect("running");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
        line.split_whitespace().next().expect("a value").to_owned()
    }
}

/// With one worker, which the attack and the well-behaved caller have to share.
fn command() -> Command {
    let built = env::var_os("WAYPOST_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_waypost").into());
    let mut command = Command::new(built);
    command.env_clear().args(["serve", "--grpc-addr", "127.0.0.1:0", "--page-addr", "off", "--store", "memory:"]);
    // A line for each call is what calls cost; what is bounded is what else there is to say.
    command.args(["--ops-addr", "off", "--workers", "1", "--log", "info,waypost::calls=warn"]);
    command
}

//! A server in a process of its own, on a core of its own. `WAYPOST_BENCH_BINARY` names another build of it than
//! cargo's, such as that for production.

use std::{
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

/// The core of the servers.
pub const SERVER_CORE: usize = 0;

/// The core of the load.
pub const LOAD_CORE: usize = 1;

/// A server that was started.
pub struct Server {
    process: Child,
    /// Where it listens.
    pub addr: SocketAddr,
}

impl Server {
    /// Starts the binary with sessions in memory, one worker, and that log.
    pub fn waypost(log: &str) -> Self {
        Self::start(&mut waypost(log, 1))
    }

    /// The same with a worker on each of two cores, one of them that of the load.
    #[allow(dead_code, reason = "one benchmark asks how much a second core gives")]
    pub fn waypost_on_two_cores(log: &str) -> Self {
        Self::start_on(&[SERVER_CORE, LOAD_CORE], &mut waypost(log, 2))
    }

    /// The same with one worker, on the core of the load.
    #[allow(dead_code, reason = "one benchmark asks what a core is worth that is shared with the load")]
    pub fn waypost_beside_the_load(log: &str) -> Self {
        Self::start_on(&[LOAD_CORE], &mut waypost(log, 1))
    }

    /// Starts that command, which says where it listens.
    pub fn start(command: &mut Command) -> Self {
        Self::start_on(&[SERVER_CORE], command)
    }

    fn start_on(cores: &[usize], command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a server");
        pin(process.id(), cores);
        let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines().map_while(Result::ok);
        let addr = lines.find_map(|line| line.trim().strip_prefix("gRPC")?.trim().parse().ok()).expect("its address");
        // Read to its end, as a server whose output nobody takes gives up.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, addr }
    }

    /// Seconds of processor time so far, of the threads that there are: a server that is measured ends none.
    pub fn cpu(&self) -> f64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).expect("its threads");
        // The first number of each thread's file, in nanoseconds, for one that runs as of the scheduler's last tick: the
        // kernel's documentation of scheduler statistics.
        let on_cpu = |thread: std::fs::DirEntry| {
            let schedstat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            schedstat.split(' ').next()?.parse::<f64>().ok()
        };
        let nanos: f64 = threads.flatten().filter_map(on_cpu).sum();
        assert!(nanos > 0.0, "the kernel counts no processor time of threads");
        nanos / 1e9
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn waypost(log: &str, workers: usize) -> Command {
    let built = env::var_os("WAYPOST_BENCH_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_waypost").into());
    let mut command = Command::new(built);
    command.args(["serve", "--sandbox", "--store", "memory:", "--log", log, "--workers", &workers.to_string()]);
    command.args(["--grpc-addr", "127.0.0.1:0", "--page-addr", "off", "--ops-addr", "off"]);
    command
}

/// Binds a process and its threads to come to these cores; 0 is this one.
pub fn pin(process: u32, cores: &[usize]) {
    // SAFETY: the set is a plain bit set that lives for the call.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        cores.iter().for_each(|core| libc::CPU_SET(*core, &mut set));
        libc::sched_setaffinity(process as libc::pid_t, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

//! What happens when the process runs out of file descriptors. Alone in its binary, as the limit is the process's.

#[allow(dead_code, reason = "shared with tests that need more of it")]
mod support;

use std::{fs::File, mem::MaybeUninit, time::Duration};
use support::{PATIENCE, Running, tell};
use tokio::{
    io::AsyncReadExt,
    time::{sleep, timeout},
};

#[tokio::test]
async fn without_descriptors_the_accept_loop_rests_and_comes_back() {
    let server = Running::start_default();
    let mut client = server.client().await;
    tell(&mut client, "before").await.unwrap();

    limit_descriptors(128);
    let mut taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    drop(taken.pop().expect("some were free"));
    // Takes the last one, so that the server's accept has none.
    let mut waiting = server.socket().await;

    // Not for synchronisation: this is the time over which its rest is measured.
    let (window, before) = (Duration::from_millis(500), processor_time());
    sleep(window).await;
    let spent = processor_time() - before;
    assert!(spent < window / 5, "spent {spent:?} of {window:?}");
    assert_eq!(tell(&mut client, "meanwhile").await.unwrap(), "meanwhile");

    drop(taken);
    timeout(PATIENCE, waiting.read_u8()).await.expect("served").unwrap();
}

fn limit_descriptors(soft: libc::rlim_t) {
    let mut limit = MaybeUninit::uninit();
    // SAFETY: `getrlimit` fills the structure that it is given, and its success is asserted before it is read.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()), 0);
        let limit = libc::rlimit { rlim_cur: soft, ..limit.assume_init() };
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
}

/// What all threads of this process have spent so far.
fn processor_time() -> Duration {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: as above.
    let usage = unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()), 0);
        usage.assume_init()
    };
    [usage.ru_utime, usage.ru_stime]
        .into_iter()
        .map(|time| Duration::new(time.tv_sec.unsigned_abs(), time.tv_usec.unsigned_abs() as u32 * 1_000))
        .sum()
}

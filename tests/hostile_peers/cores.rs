//! Who runs where while attacks are as hard as they get. In life an attacker uses up no core of the server, and none of the
//! server's callers: so the server has a core, and the caller comes first on the one that it shares with the attack.

use std::os::unix::process::CommandExt;
use std::process::Command;

const SERVER: usize = 0;
const ATTACK_AND_CALLER: usize = 1;

/// Starts a server on its core.
pub fn give_server_its_core(command: &mut Command) {
    // SAFETY: between fork and exec only sched_setaffinity(2) is called, which may be called there.
    unsafe {
        command.pre_exec(|| {
            keep_to(SERVER);
            Ok(())
        });
    }
}

/// Keeps this thread, and those that it starts, to the core of the attack and the caller.
pub fn share_other_core() {
    keep_to(ATTACK_AND_CALLER);
}

/// Lets all others of its core interrupt this thread at once, which uses what they leave. A weaker priority would not do:
/// within its slice of some milliseconds, Linux lets a thread go on. Threads that this one starts are the same.
pub fn let_caller_go_first() {
    // SAFETY: reads a number for the call; 0 is this thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &libc::sched_param { sched_priority: 0 }) };
}

/// Where there is no such core, all stays as it is.
fn keep_to(core: usize) {
    // SAFETY: the set is a plain bit set that lives for the call; 0 is this thread.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

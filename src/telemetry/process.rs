//! What Linux says about this process, under the names that every Prometheus client library gives it.

use std::{fs, sync::OnceLock, time::SystemTime};

static STARTED: OnceLock<SystemTime> = OnceLock::new();

/// Notes the time as that at which the process started.
pub(super) fn started() {
    STARTED.get_or_init(SystemTime::now);
}

/// Seconds since 1970.
pub(super) fn start_time() -> Option<f64> {
    let started = STARTED.get()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(started.as_secs_f64())
}

pub(super) fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // Fields 14 and 15 of proc(5), counted after the name, which may hold spaces.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    // Linux counts a hundred ticks a second, whatever the kernel's own clock.
    Some(ticks as f64 / 100.0)
}

pub(super) fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?;
    Some(kibibytes.parse::<u64>().ok()? as f64 * 1_024.0)
}

pub(super) fn open_files() -> Option<f64> {
    // Less the one by which they are counted.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

pub(super) fn max_files() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    limit.split_whitespace().next()?.parse().ok()
}

//! How the kernel hands out memory to this process; never how much, which is bounded where it is used.

/// Asks for it in small pages. One of 2 MiB is emptied while a worker stands still, a millisecond or two on a virtual
/// machine, each time that there are more sessions or answers than before; what the larger ones spare in looking up
/// addresses is a quarter of a microsecond for a session out of a million.
pub fn prefer_small_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::info!(%error, "memory grows by huge pages where the kernel has them");
    }
}

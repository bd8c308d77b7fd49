//! The `waypost` command.

use std::process::ExitCode;

/// Many small allocations on one thread each: see `benches/server.rs`, which compares it with the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    waypost::cli::run()
}

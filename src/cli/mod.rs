//! The command line: what is typed, checked as a whole, and handed on.

mod serve;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Where does the buyer's browser go after paying, and why.
#[derive(Debug, Parser)]
#[command(name = "waypost", version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the server.
    Serve(serve::Serve),
}

/// Reads the command line and does what it says.
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
    }
}

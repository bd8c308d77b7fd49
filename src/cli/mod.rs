//! The command line: what is typed, checked as a whole, and handed on.
//!
//! The commands but `serve` are clients: they send one call to a server, wherever it runs, and hold no rule of their
//! own. Each returns the text to print, so that nothing else writes to standard output.

mod serve;
mod access;
mod serve_tls;
mod signing;
mod config;
mod files;
mod server;

mod bench;
mod apply;
mod completions;
mod create;
mod demo;
mod explain;
mod get;
mod healthcheck;
mod keygen;
mod man;
mod merchant;
mod migrate;
mod preview;
mod record;
mod resolve;
mod store;
mod verify;

mod body;
mod client;
mod client_tls;
mod failure;
mod input;
mod json;
mod merchants_file;
mod notices;
mod outcome;
mod redirect;
mod secret_file;
mod session;
mod story;
mod table;
mod time;
mod token;

use clap::{CommandFactory, Parser, Subcommand};
use failure::Failure;
use std::{
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

/// Where does the buyer's browser go after paying, and why.
#[derive(Debug, Parser)]
#[command(
    name = "waypost",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = failure::EXIT_CODES
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the server.
    #[command(after_help = serve::EXAMPLES)]
    Serve(config::Given),
    /// Shows and checks what the server would run with.
    #[command(subcommand)]
    Config(config::Config),
    /// Says where a session's buyer goes now, and why.
    #[command(after_help = "\
Examples:
  waypost resolve invoice_0198... --explain
  waypost resolve invoice_0198... --outcome failure --error-code card_declined")]
    Resolve(resolve::Resolve),
    /// Tells in words why a session's buyer ends where they do, and what to change.
    #[command(after_help = "\
Examples:
  waypost explain invoice_0198...
  waypost explain order_0198... --outcome pending
  waypost explain order_0198... --json | jq -r '.reasons[].code'")]
    Explain(explain::Explain),
    /// Says where the buyer would go for each outcome.
    #[command(after_help = "\
Examples:
  waypost preview checkout_0198...
  waypost preview --order order.json --merchant demo")]
    Preview(preview::Preview),
    /// Creates a session from a provider's JSON body.
    #[command(after_help = "\
Examples:
  waypost create checkout clover.json --merchant 6CQXXXXXXXYE1
  curl -s https://shop.example.com/order.json | waypost create order - --merchant demo --ttl 1h")]
    Create(create::Create),
    /// Shows a session.
    #[command(after_help = "Example:\n  waypost get order_0198... --json")]
    Get(get::Get),
    /// Records how a session ended.
    #[command(after_help = "Example:\n  waypost record order_0198... success --payment-id 123456789 --status approved")]
    Record(record::Record),
    /// Tells what a return URL that a buyer came back with is worth, for merchants whose returns are signed. Asks a server,
    /// or with --jwks nobody.
    #[command(after_help = verify::EXIT_CODES)]
    Verify(verify::Verify),
    /// Shows and changes what a merchant set for all its sessions.
    #[command(subcommand)]
    Merchant(merchant::Merchant),
    /// Checks, backs up and moves what a store holds.
    #[command(subcommand)]
    Store(store::Store),
    /// Makes a database ready for this version. Safe to repeat, and while servers run.
    #[command(after_help = "\
Examples:
  waypost migrate --store postgres://waypost@db.internal/waypost
  waypost migrate --config /etc/waypost/waypost.toml")]
    Migrate(migrate::Migrate),
    /// Makes a secret of a deployment. Asks no server.
    #[command(subcommand)]
    Keygen(keygen::Keygen),
    /// Plays the three providers' flows against a server, and explains each decision. Leaves sessions that expire after a
    /// minute.
    #[command(after_help = "Example:\n  waypost serve --sandbox &\n  waypost demo")]
    Demo(demo::Demo),
    /// Puts load on a server and says how it bears it.
    #[command(subcommand, after_help = bench::EXAMPLES)]
    Bench(bench::Bench),
    /// Tells by its exit code whether a server is serving: 0 if it is, 1 if not.
    #[command(after_help = "\
Example, in a Dockerfile:
  HEALTHCHECK CMD [\"waypost\", \"healthcheck\"]")]
    Healthcheck(healthcheck::Healthcheck),
    /// Prints the script that completes this command line in your shell. Asks no server.
    #[command(after_help = completions::EXAMPLES)]
    Completions(completions::Completions),
    /// Writes the manual: one page for each command. Asks no server.
    #[command(after_help = "Example:\n  waypost man --out /usr/local/share/man/man1 && man waypost-resolve")]
    Man(man::Man),
}

/// Reads the command line and does what it says.
pub fn run() -> ExitCode {
    let answer = match Cli::parse().command {
        Command::Serve(given) => server::run(config::Effective::of(given)),
        Command::Config(config) => config.run(),
        Command::Verify(verify) => return end(verify.run()),
        Command::Resolve(resolve) => resolve.run(),
        Command::Explain(explain) => explain.run(),
        Command::Demo(demo) => demo.run(),
        Command::Preview(preview) => preview.run(),
        Command::Create(create) => create.run(),
        Command::Get(get) => get.run(),
        Command::Record(record) => record.run(),
        Command::Merchant(merchant) => merchant.run(),
        Command::Store(store) => store.run(),
        Command::Migrate(migrate) => migrate.run(),
        Command::Keygen(keygen) => keygen.run(),
        Command::Bench(bench) => bench.run(),
        Command::Healthcheck(healthcheck) => healthcheck.run(),
        Command::Completions(completions) => completions.run(Cli::command()),
        Command::Man(man) => man.run(Cli::command()),
    };
    end(answer.map(|text| (text, ExitCode::SUCCESS)))
}

/// Prints the answer and gives the exit code that comes with it, or tells of the failure.
fn end(answer: Result<(String, ExitCode), Failure>) -> ExitCode {
    match answer.and_then(|(text, code)| print(&text).map(|()| code)) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    if text.is_empty() {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        // A reader such as `head -1` has what it wanted.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Failure::Output),
    }
}

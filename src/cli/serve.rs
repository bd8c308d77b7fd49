//! The options of `waypost serve`: the one place where each is defined, and what they may not be together.
//!
//! Each is a flag, an environment variable and a key of the configuration file at once: see [`config`](super::config).

use super::{access::Access, config::Problem, serve_tls::ServeTls, signing::Signing};
use crate::{model::limits, pages::PublicUrl, redirect::Mode, store::StoreUrl, telemetry::LogFormat};
use clap::{Args, builder::BoolishValueParser};
use std::{
    error::Error,
    net::{AddrParseError, SocketAddr},
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};
use tracing::level_filters::STATIC_MAX_LEVEL;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// What the help text ends with.
pub const EXAMPLES: &str = "\
Every option is also an environment variable and, but for --config, a key of its file. What would hold, and what is wrong:
`waypost config print` and `waypost config check` with the same options.

Examples:
  waypost serve --sandbox
  waypost serve --config /etc/waypost/waypost.toml --log debug
  waypost serve --grpc-addr 0.0.0.0:50051 --credentials-file credentials.toml \\
      --tls-cert server.crt --tls-key server.key --store postgres://waypost@db.internal/waypost";

/// Options of the server.
#[derive(Debug, Args)]
pub struct Serve {
    /// Where gRPC is served; port 0 takes a free one. An address that other machines reach needs --credentials-file or
    /// --allow-unauthenticated.
    #[arg(long, env = "WAYPOST_GRPC_ADDR", default_value = "127.0.0.1:50051", value_name = "ADDR:PORT")]
    #[arg(help_heading = "Listeners")]
    pub grpc_addr: SocketAddr,

    /// Where the buyers' pages are served; port 0 takes a free one, `off` serves none.
    #[arg(long, env = "WAYPOST_PAGE_ADDR", default_value = "127.0.0.1:8080", value_name = "ADDR:PORT")]
    #[arg(help_heading = "Listeners")]
    pub page_addr: ListenAddr,

    /// Where metrics (`/metrics`) and health (`/livez`, `/readyz`) are served, for those who run this server; port 0 takes
    /// a free one, `off` serves none. It tells no secrets and asks for none, so it needs no word to leave loopback.
    #[arg(long, env = "WAYPOST_OPS_ADDR", default_value = "127.0.0.1:9090", value_name = "ADDR:PORT")]
    #[arg(help_heading = "Listeners")]
    pub ops_addr: ListenAddr,

    /// Threads that serve calls [default: one per core].
    #[arg(long, env = "WAYPOST_WORKERS", value_name = "N", help_heading = "Listeners")]
    pub workers: Option<NonZeroUsize>,

    /// Where sessions live: `redb:PATH`, a file of this server's own; `postgres://...`, a database that many servers
    /// share; or `memory:`, which forgets everything when the server stops.
    // Hidden in help texts, since it may hold a password.
    #[arg(
        long,
        env = "WAYPOST_STORE",
        hide_env_values = true,
        default_value = "redb:waypost.redb",
        value_name = "URL"
    )]
    #[arg(help_heading = "Store")]
    pub store: StoreUrl,

    /// Makes the database of `postgres://...` ready for this version first, as `waypost migrate` does.
    #[arg(long, env = "WAYPOST_MIGRATE", value_parser = BoolishValueParser::new(), help_heading = "Store")]
    pub migrate: bool,

    /// How long sessions, and with them idempotency keys, are kept after they are over; at least 24h.
    #[arg(long, env = "WAYPOST_RETENTION", default_value = "7d", value_name = "TIME", value_parser = retention)]
    #[arg(help_heading = "Store")]
    pub retention: Duration,

    #[command(flatten)]
    pub access: Access,

    #[command(flatten)]
    pub tls: ServeTls,

    /// Calls a second that each merchant may make, and as many at once after a second of silence; more are told
    /// RATE_LIMITED and when to come again. A call counts for the one merchant of its credential, else for the merchant
    /// that it names or whose session it names; each request of a stream counts. Buyers' pages do not count, and each
    /// server counts its own calls [default: no limit].
    #[arg(long, env = "WAYPOST_MERCHANT_RATE", value_name = "N", help_heading = "Limits")]
    pub merchant_rate: Option<NonZeroU32>,

    /// Where browsers find the pages: what links to them begin with, such as `https://pay.example.com` [default: the
    /// address of the page listener].
    #[arg(long, env = "WAYPOST_PUBLIC_URL", value_name = "URL", help_heading = "Pages")]
    pub public_url: Option<PublicUrl>,

    /// File with the key of the pages' links, as `waypost keygen page` makes it; the same for all servers of a
    /// deployment. Further lines hold older keys whose links still work [default: a key of this process, whose links end
    /// with it].
    #[arg(long, env = "WAYPOST_PAGE_KEY_FILE", value_name = "FILE", help_heading = "Pages")]
    pub page_key_file: Option<PathBuf>,

    #[command(flatten)]
    pub signing: Signing,

    /// For trying things out: also accepts return URLs to `localhost`, `127.0.0.1` and `[::1]`, with http too, and
    /// serves a stand-in checkout.
    #[arg(long, env = "WAYPOST_SANDBOX", value_parser = BoolishValueParser::new(), help_heading = "Sandbox")]
    pub sandbox: bool,

    /// How long calls are still taken after a signal to stop, for load balancers to notice.
    #[arg(long, env = "WAYPOST_LAME_DUCK", default_value = "0s", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[arg(help_heading = "Stopping")]
    pub lame_duck: Duration,

    /// How long calls in progress have to finish after that; then connections are cut.
    #[arg(long, env = "WAYPOST_GRACE", default_value = "30s", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[arg(help_heading = "Stopping")]
    pub grace: Duration,

    /// What is logged: error, warn, info or debug (and trace, in builds for development), or a list such as
    /// `warn,waypost=debug`.
    #[arg(long, env = "WAYPOST_LOG", default_value = "info", value_name = "FILTER", value_parser = log_filter)]
    #[arg(help_heading = "Logs")]
    pub log: String,

    /// How log lines are written.
    #[arg(long, env = "WAYPOST_LOG_FORMAT", default_value = "text", value_name = "FORMAT", help_heading = "Logs")]
    pub log_format: LogFormat,
}

impl Serve {
    /// Whether it is for trying things out.
    pub const fn mode(&self) -> Mode {
        if self.sandbox { Mode::Sandbox } else { Mode::Production }
    }

    /// What these options cannot be together, as far as it can be told without opening a file. What one option needs
    /// beside it, and what excludes it, is said where it is defined.
    pub fn contradictions(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        problems.extend(self.access.contradiction(self.grpc_addr));
        let public_url = match (&self.public_url, self.page_addr) {
            (Some(url), _) => Some(url.clone()),
            (None, ListenAddr::Off) => None,
            (None, ListenAddr::At(addr)) => {
                let url = PublicUrl::of_listener(addr);
                if url.is_none() {
                    problems.push(page_addr_unusable(addr));
                    return problems;
                }
                url
            }
        };
        problems.extend(self.signing.contradiction(public_url.as_ref()));
        problems
    }
}

/// The page listener's address stands for all of a machine's, and nothing says what links begin with.
fn page_addr_unusable(addr: SocketAddr) -> Problem {
    let remedy = "give --public-url, such as https://pay.example.com";
    Problem::of("page_addr", format!("{addr} is no address that a browser can open: {remedy}")).and("public_url")
}

/// Where a listener that may be left out listens.
#[derive(Debug, Clone, Copy)]
pub enum ListenAddr {
    Off,
    At(SocketAddr),
}

impl FromStr for ListenAddr {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        if text == "off" { Ok(Self::Off) } else { text.parse().map(Self::At) }
    }
}

fn retention(text: &str) -> Result<Duration, Box<dyn Error + Send + Sync>> {
    let retention = humantime::parse_duration(text)?;
    if retention < limits::RETENTION_MIN {
        return Err("is below 24h: idempotency keys, which live with their sessions, are kept that long".into());
    }
    Ok(retention)
}

fn log_filter(text: &str) -> Result<String, String> {
    const REMEDY: &str = "write a level such as info, or a list such as warn,waypost=debug";
    // To the filter any other word is a module, of which everything is logged, and nothing else: a slip would be silent.
    let is_module = |word: &&str| !word.contains(['=', '[']) && LevelFilter::from_str(word).is_err();
    if let Some(word) = text.split(',').map(str::trim).find(is_module) {
        return Err(format!("has `{word}`, which is no level: {REMEDY}"));
    }
    let is_left_out = |part: &&str| {
        let level = part.rsplit('=').next().and_then(|level| level.trim().parse::<LevelFilter>().ok());
        level.is_some_and(|level| level > STATIC_MAX_LEVEL)
    };
    if let Some(part) = text.split(',').find(is_left_out) {
        return Err(format!("has `{}`, of which this build says nothing: write debug", part.trim()));
    }
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}: {REMEDY}")),
    }
}

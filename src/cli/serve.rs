//! `waypost serve`: puts the parts together, says where it listens, and runs until it is told to stop.

use crate::{
    app::{App, Clock},
    grpc::{self, Health, Merchants, Redirects, Router},
    model::limits,
    redirect::Mode,
    server::{Http2, Limits, Server},
    store::{Store, StoreUrl, backup},
    telemetry::{self, LogFormat},
};
use clap::{Args, builder::BoolishValueParser};
use std::{
    future::Future,
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    num::NonZeroUsize,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};

/// Options of the server.
#[derive(Debug, Args)]
pub struct Serve {
    /// Where gRPC is served; port 0 takes a free one.
    #[arg(long, env = "WAYPOST_GRPC_ADDR", default_value = "127.0.0.1:50051", value_name = "ADDR:PORT")]
    grpc_addr: SocketAddr,

    /// Where sessions live: `redb:PATH`, a file of this server's own; `postgres://...`, a database that many servers
    /// share; or `memory:`, which forgets everything when the server stops.
    #[arg(long, env = "WAYPOST_STORE", default_value = "redb:waypost.redb", value_name = "URL")]
    store: StoreUrl,

    /// Makes the database of `postgres://...` ready for this version first, as `waypost migrate` does.
    #[arg(long, env = "WAYPOST_MIGRATE", value_parser = BoolishValueParser::new())]
    migrate: bool,

    /// For trying things out: also accepts return URLs to `localhost`, `127.0.0.1` and `[::1]`, with http too.
    #[arg(long, env = "WAYPOST_SANDBOX", value_parser = BoolishValueParser::new())]
    sandbox: bool,

    /// Serves on an address that other machines reach, although calls are not authenticated.
    #[arg(long, env = "WAYPOST_ALLOW_UNAUTHENTICATED", value_parser = BoolishValueParser::new())]
    allow_unauthenticated: bool,

    /// Threads that serve calls [default: one per core].
    #[arg(long, env = "WAYPOST_WORKERS", value_name = "N")]
    workers: Option<NonZeroUsize>,

    /// How long sessions are kept after they are over; at least 24h.
    #[arg(long, env = "WAYPOST_RETENTION", default_value = "7d", value_name = "TIME", value_parser = retention)]
    retention: Duration,

    /// How long calls are still taken after a signal to stop, for load balancers to notice.
    #[arg(long, env = "WAYPOST_LAME_DUCK", default_value = "0s", value_name = "TIME", value_parser = humantime::parse_duration)]
    lame_duck: Duration,

    /// How long calls in progress have to finish after that; then connections are cut.
    #[arg(long, env = "WAYPOST_GRACE", default_value = "30s", value_name = "TIME", value_parser = humantime::parse_duration)]
    grace: Duration,

    /// What is logged: error, warn, info, debug or trace, or a list such as `warn,waypost=debug`.
    #[arg(long, env = "WAYPOST_LOG", default_value = "info", value_name = "FILTER")]
    log: String,

    /// How log lines are written.
    #[arg(long, env = "WAYPOST_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    log_format: LogFormat,
}

impl Serve {
    /// Runs the server until a signal stops it.
    pub fn run(&self) -> ExitCode {
        if let Err(error) = telemetry::start(&self.log, self.log_format) {
            return fail(&format!("--log {error}: write a level such as info, or a list such as warn,waypost=debug"));
        }
        // A panic ends one call, and its text may hold what the call was about: only where it happened is logged.
        std::panic::set_hook(Box::new(|panic| {
            let at = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(at, "a panic");
        }));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime
            .map_err(|error| format!("cannot start: {error}"))
            .and_then(|runtime| runtime.block_on(self.serve()))
        {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => fail(&problem),
        }
    }

    async fn serve(&self) -> Result<(), String> {
        if !self.grpc_addr.ip().is_loopback() && !self.allow_unauthenticated {
            return Err(format!(
                "--grpc-addr {} is reachable from other machines, and calls are not authenticated: listen on a loopback \
                 address, or give --allow-unauthenticated if the network lets only trusted callers through",
                self.grpc_addr
            ));
        }
        let listener = TcpListener::bind(self.grpc_addr)
            .map_err(|error| format!("cannot listen on --grpc-addr {}: {error}", self.grpc_addr))?;
        let addr = listener.local_addr().map_err(|error| format!("cannot tell the address: {error}"))?;
        let stop = stop_signals().map_err(|error| format!("cannot wait for signals: {error}"))?;
        if self.migrate {
            let migrated = self.store.migrate().await;
            migrated.map_err(|error| format!("cannot migrate --store {}: {error}", self.store))?;
        }
        let store = self.store.open().await.map_err(|error| format!("cannot open --store {}: {error}", self.store))?;
        if let StoreUrl::Redb(path) = &self.store
            && let Err(error) = backup::serve(path, Arc::clone(&store))
        {
            tracing::warn!(%error, "no backups can be taken while this server runs");
        }

        let mode = if self.sandbox { Mode::Sandbox } else { Mode::Production };
        let app = App::new(Arc::clone(&store), mode, Clock::System);
        let health = Health::starting().await;
        let router = Router::new(Redirects::new(app.clone()), Merchants::new(app.clone()), &health);
        let mut server = Server::new(self.limits());
        server.listen(listener, Http2::new(grpc::edge(router, &grpc::Limits::default())));
        self.announce(addr).map_err(|error| format!("cannot write to standard output: {error}"))?;
        health.serving().await;
        let drained = tokio::select! {
            drained = server.run(stop, &health) => drained,
            () = app.keep_removing(self.retention) => unreachable!("removing never ends"),
            () = follow(&*store, &health) => unreachable!("following never ends"),
        };
        drained.map_err(|error| format!("cannot serve: {error}"))?;
        store.close().await.map_err(|error| error.to_string())
    }

    fn limits(&self) -> Limits {
        let Limits { workers, .. } = Limits::default();
        Limits {
            workers: self.workers.unwrap_or(workers),
            lame_duck: self.lame_duck,
            grace: self.grace,
            ..Limits::default()
        }
    }

    /// Says where it listens, and how to try it.
    fn announce(&self, addr: SocketAddr) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let sandbox = if self.sandbox { " (sandbox)" } else { "" };
        writeln!(out, "waypost {}{sandbox}", env!("CARGO_PKG_VERSION"))?;
        writeln!(out, "  gRPC   {addr}")?;
        writeln!(out, "  store  {}", self.store)?;
        writeln!(out, "\nTry it: create a payment, then ask where its buyer goes.\n")?;
        writeln!(out, "grpcurl -plaintext -d '{EXAMPLE}' {addr} waypost.v1.RedirectService/CreatePayment")?;
        let waypost = std::env::current_exe()?;
        writeln!(out, "{} resolve --server {addr} --explain <sessionId of the answer>", waypost.display())?;
        out.flush()
    }
}

/// Says in the health whether the store answers. While the server drains it is not polled any more.
async fn follow(store: &dyn Store, health: &Health) {
    let mut answers = true;
    let mut ticks = tokio::time::interval(PING_EVERY);
    loop {
        ticks.tick().await;
        let pinged = store.ping().await;
        match (&pinged, answers) {
            (Ok(()), false) => {
                tracing::info!("the store answers again");
                health.serving().await;
            }
            (Err(error), true) => {
                tracing::error!(%error, "the store does not answer; health says NOT_SERVING until it does");
                health.not_serving().await;
            }
            (Ok(()), true) | (Err(_), false) => {}
        }
        answers = pinged.is_ok();
    }
}

/// How often the store is asked whether it answers: balancers ask the health about as often.
const PING_EVERY: Duration = Duration::from_secs(2);

/// A payment that shows what the placeholders do.
const EXAMPLE: &str = r#"{"merchant_id":"demo","customer_email":"ana@example.com","items":[{"type":"PAYMENT_INTENT","price":"50","currency":"USD"}],"metadata":{"order":"A 17"},"redirect_url":"https://shop.example.com/paid?id={{id}}&order={{metadata.order}}"}"#;

/// Ready at the first SIGTERM or SIGINT. The second one ends the process at once.
fn stop_signals() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping; a second signal ends the process at once");
        // Lives as long as the drain; the runtime ends it.
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            std::process::exit(EXIT_IMPATIENT);
        });
    })
}

/// What shells report for a process that SIGINT ended.
const EXIT_IMPATIENT: i32 = 130;

fn retention(text: &str) -> Result<Duration, String> {
    let retention = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if retention < limits::RETENTION_MIN {
        return Err("is below 24h: idempotency keys, which live with their sessions, are kept that long".into());
    }
    Ok(retention)
}

fn fail(problem: &str) -> ExitCode {
    // There is nobody left to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "waypost: {problem}");
    ExitCode::FAILURE
}

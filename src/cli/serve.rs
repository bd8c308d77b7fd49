//! `waypost serve`: puts the parts together, says where it listens, and runs until it is told to stop.

use super::{
    access::{Access, Reflection},
    key_file::KeyFile,
    serve_tls::{self, ServeTls, Tls},
    signing::Signing,
};
use crate::{
    app::{App, Clock, MerchantRate},
    grpc::{self, Authentication, Health, Merchants, Redirects, Router},
    model::limits,
    ops::{self, Component, Readiness},
    pages::{self, Links, PageKeys, PublicUrl, limits::PAGE_KEY_FILE_BYTES},
    redirect::Mode,
    server::{Encrypted, Http2, Limits, Server, Web},
    store::{Measured, StoreUrl, backup},
    telemetry::{self, LogFormat, metrics},
};
use clap::{Args, builder::BoolishValueParser};
use std::{
    future::Future,
    io::{self, Write},
    net::{AddrParseError, SocketAddr, TcpListener},
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    process::ExitCode,
    str::FromStr,
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

    /// Where the buyers' pages are served; port 0 takes a free one, `off` serves none.
    #[arg(long, env = "WAYPOST_PAGE_ADDR", default_value = "127.0.0.1:8080", value_name = "ADDR:PORT")]
    page_addr: ListenAddr,

    /// Where metrics (`/metrics`) and health (`/livez`, `/readyz`) are served, for those who run this server; port 0 takes
    /// a free one, `off` serves none. It tells no secrets and asks for none, so it needs no word to leave loopback.
    #[arg(long, env = "WAYPOST_OPS_ADDR", default_value = "127.0.0.1:9090", value_name = "ADDR:PORT")]
    ops_addr: ListenAddr,

    /// Where browsers find the pages: what links to them begin with, such as `https://pay.example.com`. Default:
    /// `http://`, or `https://` with --page-tls-cert, and the address of the page listener.
    #[arg(long, env = "WAYPOST_PUBLIC_URL", value_name = "URL")]
    public_url: Option<PublicUrl>,

    /// File with the key of the pages' links, as `waypost keygen page` makes it; the same for all servers of a
    /// deployment. Further lines hold older keys whose links still work. Default: a key of this process, whose links end
    /// with it.
    #[arg(long, env = "WAYPOST_PAGE_KEY_FILE", value_name = "FILE")]
    page_key_file: Option<PathBuf>,

    /// Where sessions live: `redb:PATH`, a file of this server's own; `postgres://...`, a database that many servers
    /// share; or `memory:`, which forgets everything when the server stops.
    #[arg(long, env = "WAYPOST_STORE", default_value = "redb:waypost.redb", value_name = "URL")]
    store: StoreUrl,

    /// Makes the database of `postgres://...` ready for this version first, as `waypost migrate` does.
    #[arg(long, env = "WAYPOST_MIGRATE", value_parser = BoolishValueParser::new())]
    migrate: bool,

    /// For trying things out: also accepts return URLs to `localhost`, `127.0.0.1` and `[::1]`, with http too, and
    /// serves a stand-in checkout.
    #[arg(long, env = "WAYPOST_SANDBOX", value_parser = BoolishValueParser::new())]
    sandbox: bool,

    /// Threads that serve calls [default: one per core].
    #[arg(long, env = "WAYPOST_WORKERS", value_name = "N")]
    workers: Option<NonZeroUsize>,

    /// Calls a second that each merchant may make, and as many at once after a second of silence; more are told
    /// RATE_LIMITED and when to come again. A call counts for the one merchant of its credential, else for the merchant
    /// or session that it names; each request of a stream counts. Buyers' pages do not count. Each server counts its own
    /// calls [default: no limit].
    #[arg(long, env = "WAYPOST_MERCHANT_RATE", value_name = "N")]
    merchant_rate: Option<NonZeroU32>,

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

    #[command(flatten)]
    signing: Signing,

    #[command(flatten)]
    access: Access,

    #[command(flatten)]
    tls: ServeTls,
}

impl Serve {
    /// Runs the server until a signal stops it.
    pub fn run(&self) -> ExitCode {
        if let Err(error) = telemetry::start(&self.log, self.log_format) {
            return fail(&format!("--log {error}: write a level such as info, or a list such as warn,waypost=debug"));
        }
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
        let authentication = self.access.authentication(self.grpc_addr)?;
        let tls = self.tls.grpc()?;
        if tls.is_none() && matches!(authentication, Authentication::By(_)) && !self.grpc_addr.ip().is_loopback() {
            tracing::warn!("secrets travel unencrypted: give --tls-cert, unless a proxy on this machine encrypts them");
        }
        let listener = TcpListener::bind(self.grpc_addr)
            .map_err(|error| format!("cannot listen on --grpc-addr {}: {error}", self.grpc_addr))?;
        let addr = listener.local_addr().map_err(|error| format!("cannot tell the address: {error}"))?;
        let mode = if self.sandbox { Mode::Sandbox } else { Mode::Production };
        let pages = self.pages(mode)?;
        let public_url = pages.as_ref().map(|pages| pages.public_url.clone()).or_else(|| self.public_url.clone());
        let ops = self.ops()?;
        let signer = self.signing.signer(public_url.as_ref())?;
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

        let mut app = App::new(Arc::clone(&store), mode, Clock::System);
        if let Some(signer) = signer {
            app = app.signing(signer);
        }
        let health = Health::starting().await;
        let readiness = Readiness::starting(health.clone());
        let mut server = Server::new(self.limits());
        // Callers are limited, and buyers are not.
        let called = match self.merchant_rate {
            Some(rate) => app.clone().limiting(MerchantRate::new(rate)),
            None => app.clone(),
        };
        let mut redirects = Redirects::new(called.clone()).draining(server.drain());
        if let Some(Pages { links, .. }) = &pages {
            redirects = redirects.linking(Arc::clone(links));
        }
        let mut router = Router::new(redirects, Merchants::new(called), &health);
        if self.access.reflection(mode) == Reflection::Off {
            router = router.without_reflection();
        }
        let edge = grpc::edge(router, &grpc::Limits::default(), authentication.clone());
        match tls.clone() {
            Some(tls) => server.listen(listener, Encrypted::new(Http2::new(edge), tls)),
            None => server.listen(listener, Http2::new(edge)),
        }
        .counted_as(metrics::Listener::Grpc);
        let public_url = pages.as_ref().map(|pages| pages.public_url.clone());
        let page_tls = pages.as_ref().and_then(|pages| pages.tls.clone());
        if let Some(Pages { listener, links, tls, .. }) = pages {
            let web = Web::new(pages::router(app.clone(), links, server.drain()));
            match tls {
                Some(tls) => server.listen_with(listener, Encrypted::new(web, tls), &pages::limits::places()),
                None => server.listen_with(listener, web, &pages::limits::places()),
            }
            .counted_as(metrics::Listener::Pages);
        }
        let ops_tls = ops.as_ref().and_then(|ops| ops.tls.clone());
        let ops_url = ops.as_ref().map(Ops::url);
        if let Some(Ops { listener, tls, .. }) = ops {
            let web = Web::new(ops::router(Arc::clone(&store), readiness.clone()));
            match tls {
                Some(tls) => server.listen_with(listener, Encrypted::new(web, tls), &ops::limits::places()),
                None => server.listen_with(listener, web, &ops::limits::places()),
            }
            .counted_as(metrics::Listener::Ops);
        }
        self.announce(addr, public_url.as_ref(), ops_url.as_deref(), &authentication, &tls)
            .map_err(|error| format!("cannot write to standard output: {error}"))?;
        readiness.ready(Component::Store, STORE_ANSWERS).await;
        readiness.ready(Component::Listeners, "listening").await;
        let drained = tokio::select! {
            drained = server.run(stop, &readiness) => drained,
            () = app.keep_removing(self.retention) => unreachable!("removing never ends"),
            () = follow(app.store(), &readiness) => unreachable!("following never ends"),
            never = authentication.follow() => match never {},
            never = serve_tls::follow(&tls) => match never {},
            never = serve_tls::follow(&page_tls) => match never {},
            never = serve_tls::follow(&ops_tls) => match never {},
        };
        drained.map_err(|error| format!("cannot serve: {error}"))?;
        store.close().await.map_err(|error| error.to_string())
    }

    /// Binds the page listener and makes what its links need.
    fn pages(&self, mode: Mode) -> Result<Option<Pages>, String> {
        let ListenAddr::At(wanted) = self.page_addr else { return Ok(None) };
        let listener = TcpListener::bind(wanted).map_err(|error| {
            format!("cannot listen on --page-addr {wanted}: {error}; give another one, or `off` for no pages")
        })?;
        let addr = listener.local_addr().map_err(|error| format!("cannot tell the address: {error}"))?;
        let tls = self.tls.pages()?;
        let of_listener = if tls.is_some() { PublicUrl::of_encrypted_listener } else { PublicUrl::of_listener };
        let public_url = match &self.public_url {
            Some(url) => url.clone(),
            None => of_listener(addr).ok_or_else(|| {
                format!("--page-addr {addr} is no address that a browser can open: give --public-url, such as https://pay.example.com")
            })?,
        };
        let keys = match &self.page_key_file {
            Some(file) => {
                let named = |problem: String| format!("--page-key-file {} {problem}", file.display());
                let read = KeyFile::read(file, PAGE_KEY_FILE_BYTES).map_err(named)?;
                if read.is_open_to_others {
                    tracing::warn!(
                        "every user of the machine can open any buyer's page: `chmod 600` the file of --page-key-file"
                    );
                }
                PageKeys::read(&read.text).map_err(|error| named(error.to_string()))?
            }
            None => {
                tracing::warn!(
                    "links to the buyers' pages end with this process and open on no other server: give --page-key-file"
                );
                PageKeys::ephemeral().ok_or("the system has no randomness for a key of the pages' links")?
            }
        };
        let links = Arc::new(Links::new(public_url.clone(), keys, mode));
        Ok(Some(Pages { listener, links, public_url, tls }))
    }

    /// Binds the operations listener.
    fn ops(&self) -> Result<Option<Ops>, String> {
        let ListenAddr::At(wanted) = self.ops_addr else { return Ok(None) };
        let listener = TcpListener::bind(wanted).map_err(|error| {
            format!("cannot listen on --ops-addr {wanted}: {error}; give another one, or `off` for no metrics")
        })?;
        let addr = listener.local_addr().map_err(|error| format!("cannot tell the address: {error}"))?;
        Ok(Some(Ops { listener, addr, tls: self.tls.ops()? }))
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
    fn announce(
        &self,
        addr: SocketAddr,
        pages: Option<&PublicUrl>,
        ops: Option<&str>,
        authentication: &Authentication,
        tls: &Tls,
    ) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let sandbox = if self.sandbox { " (sandbox)" } else { "" };
        writeln!(out, "waypost {}{sandbox}", env!("CARGO_PKG_VERSION"))?;
        writeln!(out, "  gRPC   {addr}")?;
        if let Some(url) = pages {
            writeln!(out, "  pages  {url}")?;
        }
        if let Some(url) = ops {
            writeln!(out, "  ops    {url}")?;
        }
        writeln!(out, "  store  {}", self.store)?;
        let secured = match (authentication, tls) {
            (Authentication::Off, None) => None,
            (Authentication::Off, Some(_)) => Some("with TLS".to_owned()),
            (Authentication::By(known), None) => Some(format!("by {} credentials", known.current().len())),
            (Authentication::By(known), Some(_)) => Some(format!("by {} credentials, with TLS", known.current().len())),
        };
        // What to paste would need a secret, which is nobody's to print, or the name in a certificate.
        if let Some(secured) = secured {
            writeln!(out, "  access {secured}")?;
            return out.flush();
        }
        if let (true, Some(url)) = (self.sandbox, pages) {
            writeln!(
                out,
                "\nTry it: create an order, then open the checkoutUrl of the answer in a browser and pay.\n"
            )?;
            let example = SANDBOX_EXAMPLE.replace("{pages}", &url.to_string());
            writeln!(out, "grpcurl -plaintext -d '{example}' {addr} waypost.v1.RedirectService/CreateOrder")?;
            return out.flush();
        }
        writeln!(out, "\nTry it: create a payment, then ask where its buyer goes.\n")?;
        writeln!(out, "grpcurl -plaintext -d '{EXAMPLE}' {addr} waypost.v1.RedirectService/CreatePayment")?;
        let waypost = std::env::current_exe()?;
        writeln!(out, "{} resolve --server {addr} --explain <sessionId of the answer>", waypost.display())?;
        out.flush()
    }
}

/// Says in the readiness whether the store answers.
async fn follow(store: &Measured, readiness: &Readiness) {
    let mut answers = true;
    let mut ticks = tokio::time::interval(PING_EVERY);
    loop {
        ticks.tick().await;
        let pinged = store.ping().await;
        match (&pinged, answers) {
            (Ok(()), false) => {
                tracing::info!("the store answers again");
                readiness.ready(Component::Store, STORE_ANSWERS).await;
            }
            (Err(error), true) => {
                tracing::error!(%error, "the store does not answer; health says NOT_SERVING until it does");
                readiness.not_ready(Component::Store, "does not answer; the log says why").await;
            }
            (Ok(()), true) | (Err(_), false) => {}
        }
        answers = pinged.is_ok();
    }
}

const STORE_ANSWERS: &str = "answers";

/// How often the store is asked whether it answers: balancers ask the health about as often.
const PING_EVERY: Duration = Duration::from_secs(2);

/// A payment that shows what the placeholders do.
const EXAMPLE: &str = r#"{"merchant_id":"demo","customer_email":"ana@example.com","items":[{"type":"PAYMENT_INTENT","price":"50","currency":"USD"}],"metadata":{"order":"A 17"},"redirect_url":"https://shop.example.com/paid?id={{id}}&order={{metadata.order}}"}"#;

/// An order whose buyer comes back to the stand-in shop.
const SANDBOX_EXAMPLE: &str = r#"{"merchant_id":"demo","type":"online","total_amount":"1000.00","external_reference":"A-17","checkout_pro":{"back_urls":{"success":"{pages}/shop/success","failure":"{pages}/shop/failure"}}}"#;

/// The page listener, bound, and its links.
struct Pages {
    listener: TcpListener,
    links: Arc<Links>,
    public_url: PublicUrl,
    tls: Tls,
}

/// The operations listener, bound.
struct Ops {
    listener: TcpListener,
    addr: SocketAddr,
    tls: Tls,
}

impl Ops {
    /// Where it is.
    fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/metrics", self.addr)
    }
}

/// Where a listener that may be left out listens.
#[derive(Debug, Clone, Copy)]
enum ListenAddr {
    Off,
    At(SocketAddr),
}

impl FromStr for ListenAddr {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        if text == "off" { Ok(Self::Off) } else { text.parse().map(Self::At) }
    }
}

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

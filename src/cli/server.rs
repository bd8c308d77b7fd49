//! The server that the options of `waypost serve` describe: puts the parts together, says where it listens, and runs until
//! it is told to stop.

use super::{
    access::Reflection,
    config::Effective,
    failure::Failure,
    files::Files,
    serve::{ListenAddr, Serve},
    serve_tls::{self, Tls},
};
use crate::{
    app::{App, Clock, MerchantRate},
    grpc::{self, Authentication, Health, Merchants, Redirects, Router},
    ops::{self, Component, Readiness},
    pages::{self, Links, PageKeys, PublicUrl},
    redirect::Mode,
    server::{Encrypted, Http2, Limits, Server, Web, prefer_small_pages},
    store::{CannotOpen, Measured, Store, StoreUrl, backup},
    telemetry::{self, metrics},
};
use std::{
    future::Future,
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};

/// Runs the server until a signal stops it.
///
/// # Errors
///
/// When the options are wrong, or it cannot start or not go on.
pub fn run(mut effective: Effective) -> Result<String, Failure> {
    if !effective.problems.is_empty() {
        return Err(Failure::Options(effective.problems));
    }
    let serve = &effective.serve;
    let _telling =
        telemetry::start(&serve.log, serve.log_format).map_err(|error| Failure::Failed(error.to_string()))?;
    effective.warn();
    let files = match Files::read(serve) {
        Ok(files) => files,
        Err(problems) => {
            effective.tell(problems);
            return Err(Failure::Failed(effective.problems.to_string()));
        }
    };
    prefer_small_pages();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
    let served = runtime.block_on(serve.serve(files));
    // A name that is still being looked up cannot be stopped; dropping the runtime would wait for it.
    runtime.shutdown_background();
    served.map(|()| String::new()).map_err(Failure::Failed)
}

impl Serve {
    async fn serve(&self, files: Files) -> Result<(), String> {
        let Files { authentication, tls, page_tls, ops_tls, page_keys, signing_keys } = files;
        let mut stop = pin!(stop_signals().map_err(|error| format!("cannot wait for signals: {error}"))?);
        // Before anything listens: whoever connected would wait with it.
        let store = tokio::select! {
            opened = self.open_store() => opened?,
            () = &mut stop => return Ok(()),
        };
        let listener = TcpListener::bind(self.grpc_addr)
            .map_err(|error| format!("cannot listen on --grpc-addr {}: {error}", self.grpc_addr))?;
        let addr = listener.local_addr().map_err(|error| format!("cannot tell the address: {error}"))?;
        let pages = self.pages(page_keys, page_tls)?;
        let public_url = pages.as_ref().map(|pages| pages.public_url.clone()).or_else(|| self.public_url.clone());
        let ops = self.ops(ops_tls.clone())?;
        let signer = signing_keys.map(|keys| self.signing.signer(keys, public_url.as_ref())).transpose()?;
        if let StoreUrl::Redb(path) = &self.store
            && let Err(error) = backup::serve(path, Arc::clone(&store))
        {
            tracing::warn!(%error, "no backups can be taken while this server runs");
        }

        let mut app = App::new(Arc::clone(&store), self.mode(), Clock::System);
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
        if self.access.reflection(self.mode()) == Reflection::Off {
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
            let mut router = pages::router(app.clone(), links, server.drain());
            if tls.is_some() && app.mode() == Mode::Production {
                router = pages::strictly_encrypted(router);
            }
            let web = Web::new(router);
            match tls {
                Some(tls) => server.listen_with(listener, Encrypted::new(web, tls), &pages::limits::places()),
                None => server.listen_with(listener, web, &pages::limits::places()),
            }
            .counted_as(metrics::Listener::Pages);
        }
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

    /// Opens the store, made ready for this version if that is wanted. A database that may be starting or failing over is
    /// waited for.
    async fn open_store(&self) -> Result<Arc<dyn Store>, String> {
        let began = Instant::now();
        loop {
            let (failed, doing) = match self.try_store().await {
                Ok(store) => return Ok(store),
                Err(failed) => failed,
            };
            if !failed.may_pass() {
                return Err(format!("cannot {doing} --store {}: {failed}", self.store));
            }
            if began.elapsed() > STORE_PATIENCE {
                let waited = began.elapsed().as_secs();
                return Err(format!("cannot {doing} --store {} after {waited} s: {failed}", self.store));
            }
            tracing::warn!(error = %failed, "the store does not answer yet: trying again");
            sleep(STORE_RETRY).await;
        }
    }

    async fn try_store(&self) -> Result<Arc<dyn Store>, (CannotOpen, &'static str)> {
        if self.migrate {
            self.store.migrate().await.map_err(|error| (error, "migrate"))?;
        }
        self.store.open().await.map_err(|error| (error, "open"))
    }

    /// Binds the page listener and makes the links to it. No keys, no pages.
    fn pages(&self, keys: Option<PageKeys>, tls: Tls) -> Result<Option<Pages>, String> {
        let (ListenAddr::At(wanted), Some(keys)) = (self.page_addr, keys) else { return Ok(None) };
        let listener = TcpListener::bind(wanted).map_err(|error| {
            format!("cannot listen on --page-addr {wanted}: {error}; give another one, or `off` for no pages")
        })?;
        let addr = listener.local_addr().map_err(|error| format!("cannot tell the address: {error}"))?;
        let of_listener = if tls.is_some() { PublicUrl::of_encrypted_listener } else { PublicUrl::of_listener };
        let public_url = self.public_url.clone().or_else(|| of_listener(addr));
        let public_url =
            public_url.ok_or_else(|| format!("--page-addr {addr} is no address that a browser can open"))?;
        let links = Arc::new(Links::new(public_url.clone(), keys, self.mode()));
        Ok(Some(Pages { listener, links, public_url, tls }))
    }

    /// Binds the operations listener.
    fn ops(&self, tls: Tls) -> Result<Option<Ops>, String> {
        let ListenAddr::At(wanted) = self.ops_addr else { return Ok(None) };
        let listener = TcpListener::bind(wanted).map_err(|error| {
            format!("cannot listen on --ops-addr {wanted}: {error}; give another one, or `off` for no metrics")
        })?;
        let addr = listener.local_addr().map_err(|error| format!("cannot tell the address: {error}"))?;
        Ok(Some(Ops { listener, addr, tls }))
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
        // An empty chroot has no /proc to read it from.
        let waypost = std::env::current_exe().unwrap_or_else(|_| "waypost".into());
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

/// How long a start waits for a store that does not answer: longer than a failover takes. Whoever starts the server then
/// starts it again, and sees that it did not start.
const STORE_PATIENCE: Duration = Duration::from_secs(60);

/// Between two attempts to open it.
const STORE_RETRY: Duration = Duration::from_secs(2);

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

/// Ready at the first SIGTERM or SIGINT, or SIGHUP, which comes when a terminal closes and perhaps twice. A second one of the
/// others ends the process at once.
fn stop_signals() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // One that was told to outlive its terminal does, as by `nohup`.
    let mut hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            Some(_) = async { hangup.as_mut()?.recv().await } => {}
        }
        tracing::info!("stopping; a second SIGTERM or SIGINT ends the process at once");
        // Lives as long as the drain; the runtime ends it.
        tokio::spawn(async move {
            // Kept, so that another of these does nothing.
            let _hangup = hangup;
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            telemetry::flush();
            std::process::exit(EXIT_IMPATIENT);
        });
    })
}

/// Whether SIGHUP was ignored when the process began, as the kernel tells it.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}

/// What shells report for a process that SIGINT ended.
const EXIT_IMPATIENT: i32 = 130;

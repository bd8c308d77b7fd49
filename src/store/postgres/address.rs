//! Where the database is and how to talk to it: the store's URL, read once.
//!
//! It is libpq's URL with the parameters that tokio-postgres knows, several hosts included, and three more:
//! `sslrootcert` (a PEM file of the authorities to trust instead of the web's), `sslmode=verify-full`, and `pool_size`.
//! A certificate is verified in every `sslmode` that uses one: encryption to anybody protects from nobody.

use super::{
    ConnectError,
    failure::{Failure, describe},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{borrow::Cow, fmt, sync::Arc, time::Duration};
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{Client, Config, Connection, Socket, config::TargetSessionAttrs, tls::MakeTlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Connections of one server. More do not make a database of common size faster, and its default limit of 100 then
/// serves six servers. `pool_size` in the URL changes it.
const POOL_SIZE_DEFAULT: usize = 16;
/// The most that `pool_size` may ask for.
const POOL_SIZE_MAX: usize = 1_000;
/// How long one host may take to answer a TCP connect; the next host is tried within the same call.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long a connection may take until it can be used: a host may take it and never say a word. Longer than a few hosts
/// take that do not even do that.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long sent bytes may stay unacknowledged, so that a host that went away without a word is given up in time.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(3);
/// The same for a connection on which nobody waits; three probes follow.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// What every connection is told first. A statement is ended by the database before the caller gives up on it, so that
/// none runs on unattended. "Acknowledged means durable" also holds where the database's default is otherwise.
const SETTINGS: &str = "
    SET statement_timeout = 2000;
    SET idle_in_transaction_session_timeout = 10000;
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') IN ('off', 'local')";

/// A database to connect to.
#[derive(Clone)]
pub(super) struct Address {
    config: Config,
    tls: MakeRustlsConnect,
    pool_size: usize,
}

/// The side of a connection that must be driven for the other to work.
pub(super) type Wire = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// The task that drives a connection. Dropping it ends the connection.
#[derive(Debug)]
pub(super) struct Driven(JoinHandle<()>);

impl Driven {
    /// Within the runtime that is to do the I/O.
    pub(super) fn start(wire: Wire) -> Self {
        Self(tokio::spawn(async move {
            if let Err(error) = wire.await {
                tracing::warn!(error = describe(&error), "a database connection was lost");
            }
        }))
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Without what a URL may hold in secret.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").field("pool_size", &self.pool_size).finish_non_exhaustive()
    }
}

impl Address {
    /// Reads the store's URL.
    pub(super) fn parse(url: &str) -> Result<Self, ConnectError> {
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let mut passed_on = Vec::new();
        let mut roots = None;
        let mut pool_size = POOL_SIZE_DEFAULT;
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=').unwrap_or((parameter, "")) {
                ("sslrootcert", "system") => {}
                ("sslrootcert", path) => roots = Some(read_roots(&decode(path)?)?),
                ("sslmode", "verify-ca" | "verify-full") => passed_on.push("sslmode=require"),
                ("pool_size", size) => pool_size = read_pool_size(size)?,
                _ => passed_on.push(parameter),
            }
        }
        let mut config: Config = format!("{place}?{}", passed_on.join("&"))
            .parse()
            .map_err(|error: tokio_postgres::Error| ConnectError::Address(describe(&error)))?;
        set_defaults(&mut config, &passed_on);
        let roots = roots.unwrap_or_else(|| webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect());
        Ok(Self { config, tls: MakeRustlsConnect::new(client_config(roots)?), pool_size })
    }

    pub(super) const fn pool_size(&self) -> usize {
        self.pool_size
    }

    /// Opens a connection as it comes: with the database's own settings, and not driven yet.
    pub(super) async fn open(&self) -> Result<(Client, Wire), tokio_postgres::Error> {
        self.config.connect(self.tls.clone()).await
    }

    /// The same, for who has no limit of time for it.
    pub(super) async fn open_in_time(&self) -> Result<(Client, Wire), Failure> {
        match timeout(OPEN_TIMEOUT, self.open()).await {
            Ok(opened) => opened.map_err(|error| Failure::to_connect(&error)),
            Err(_) => Err(Failure::to_connect_in_time()),
        }
    }

    /// Opens a connection for statements of the store, driven by this runtime.
    pub(super) async fn open_driven(&self) -> Result<(Client, Driven), tokio_postgres::Error> {
        let (client, wire) = self.open().await?;
        let driven = Driven::start(wire);
        client.batch_execute(SETTINGS).await?;
        Ok((client, driven))
    }
}

/// What the URL does not say.
fn set_defaults(config: &mut Config, said: &[&str]) {
    let says = |name: &str| said.iter().any(|parameter| parameter.split('=').next() == Some(name));
    // Of several hosts, the one that takes writes, also after a failover.
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    if !says("application_name") {
        config.application_name("waypost");
    }
    if !says("connect_timeout") {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if !says("tcp_user_timeout") {
        config.tcp_user_timeout(TCP_USER_TIMEOUT);
    }
    if !says("keepalives_idle") {
        config.keepalives_idle(KEEPALIVE_IDLE);
    }
    if !says("keepalives_interval") {
        config.keepalives_interval(KEEPALIVE_INTERVAL);
    }
    if !says("keepalives_retries") {
        config.keepalives_retries(KEEPALIVE_RETRIES);
    }
}

fn client_config(roots: RootCertStore) -> Result<ClientConfig, ConnectError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::Address(error.to_string()))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    // Asked for by `sslnegotiation=direct`, and harmless otherwise.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(config)
}

fn read_roots(path: &str) -> Result<RootCertStore, ConnectError> {
    let unusable = |reason: String| ConnectError::Address(format!("sslrootcert {path:?}: {reason}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() { Err(unusable("holds no certificate".to_owned())) } else { Ok(roots) }
}

fn read_pool_size(text: &str) -> Result<usize, ConnectError> {
    text.parse().ok().filter(|size| (1..=POOL_SIZE_MAX).contains(size)).ok_or_else(|| {
        ConnectError::Address(format!("pool_size is {text:?}: write a whole number from 1 to {POOL_SIZE_MAX}"))
    })
}

fn decode(text: &str) -> Result<Cow<'_, str>, ConnectError> {
    percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| ConnectError::Address("sslrootcert is not text when its % escapes are read".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_postgres::config::SslMode;

    #[test]
    fn the_url_is_libpqs() {
        let address = Address::parse("postgres://me:pw@one:5433,two/pay?sslmode=verify-full&pool_size=4").unwrap();
        assert_eq!(address.config.get_dbname(), Some("pay"));
        assert_eq!(address.config.get_hosts().len(), 2);
        assert_eq!(address.config.get_ssl_mode(), SslMode::Require);
        assert_eq!(address.pool_size(), 4);
    }

    #[test]
    fn what_the_url_says_comes_before_the_defaults() {
        let address = Address::parse("postgresql:///pay?host=/run/pg&application_name=mine&sslmode=disable").unwrap();
        assert_eq!(address.config.get_application_name(), Some("mine"));
        assert_eq!(address.config.get_ssl_mode(), SslMode::Disable);
        assert_eq!(address.pool_size(), POOL_SIZE_DEFAULT);
    }

    #[test]
    fn an_unusable_url_is_refused_without_repeating_its_password() {
        for query in ["sslmode=maybe", "pool_size=0", "pool_size=1001", "sslrootcert=/no/such/file", "colour=blue"] {
            let error = Address::parse(&format!("postgres://me:hunter2@db/pay?{query}")).expect_err(query);
            let text = error.to_string();
            assert!(text.contains(query.split('=').next().unwrap()) && !text.contains("hunter2"), "{text}");
        }
    }
}

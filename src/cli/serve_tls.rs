//! The options of `waypost serve` about encryption.

use super::config::Problem;
use crate::{
    followed::Followed,
    server::{Inside, TlsFiles},
    telemetry::metrics::Listener,
};
use clap::Args;
use rustls::ServerConfig;
use std::{convert::Infallible, future::pending, path::PathBuf, sync::Arc};

/// Certificates and keys, all of them PEM files that are read again when they change.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS")]
pub struct ServeTls {
    /// The certificate of the gRPC listener, followed by those that lead to its authority. With it, gRPC is served with
    /// TLS only. All of these files are PEM, and read again when they change.
    #[arg(long, env = "WAYPOST_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The key of that certificate.
    #[arg(long, env = "WAYPOST_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// The authorities of the callers' certificates: a caller without one is refused in the handshake. What a certificate
    /// allows stands in the credentials file.
    #[arg(long, env = "WAYPOST_TLS_CLIENT_CA", value_name = "FILE", requires_all = ["tls_cert", "credentials_file"])]
    tls_client_ca: Option<PathBuf>,

    /// The certificate of the page listener, as `--tls-cert` is that of gRPC.
    #[arg(long, env = "WAYPOST_PAGE_TLS_CERT", value_name = "FILE", requires = "page_tls_key")]
    page_tls_cert: Option<PathBuf>,

    /// The key of that certificate.
    #[arg(long, env = "WAYPOST_PAGE_TLS_KEY", value_name = "FILE", requires = "page_tls_cert")]
    page_tls_key: Option<PathBuf>,

    /// The certificate of the operations listener, as `--tls-cert` is that of gRPC.
    #[arg(long, env = "WAYPOST_OPS_TLS_CERT", value_name = "FILE", requires = "ops_tls_key")]
    ops_tls_cert: Option<PathBuf>,

    /// The key of that certificate.
    #[arg(long, env = "WAYPOST_OPS_TLS_KEY", value_name = "FILE", requires = "ops_tls_cert")]
    ops_tls_key: Option<PathBuf>,
}

/// The encryption of one listener; `None` without certificates.
pub type Tls = Option<Arc<Followed<ServerConfig>>>;

impl ServeTls {
    /// That of the gRPC listener.
    pub fn grpc(&self) -> Result<Tls, Problem> {
        let files = files(&self.tls_cert, &self.tls_key, &self.tls_client_ca);
        let tls =
            files.map(|files| files.follow("--tls-cert", Listener::Grpc, Inside::Http2).map(Arc::new)).transpose();
        tls.map_err(|problem| Problem::of("tls_cert", problem))
    }

    /// That of the page listener. Browsers are never asked for certificates.
    pub fn pages(&self) -> Result<Tls, Problem> {
        let files = files(&self.page_tls_cert, &self.page_tls_key, &None);
        let tls =
            files.map(|files| files.follow("--page-tls-cert", Listener::Pages, Inside::Web).map(Arc::new)).transpose();
        tls.map_err(|problem| Problem::of("page_tls_cert", problem))
    }

    /// That of the operations listener.
    pub fn ops(&self) -> Result<Tls, Problem> {
        let files = files(&self.ops_tls_cert, &self.ops_tls_key, &None);
        let tls =
            files.map(|files| files.follow("--ops-tls-cert", Listener::Ops, Inside::Web).map(Arc::new)).transpose();
        tls.map_err(|problem| Problem::of("ops_tls_cert", problem))
    }
}

/// None of them without both: options that are checked have both or none.
fn files(certificate: &Option<PathBuf>, key: &Option<PathBuf>, authorities: &Option<PathBuf>) -> Option<TlsFiles> {
    let (certificate, key) = certificate.clone().zip(key.clone())?;
    Some(TlsFiles { certificate, key, client_authorities: authorities.clone() })
}

/// Looks after the files for as long as it is polled.
pub async fn follow(tls: &Tls) -> Infallible {
    match tls {
        Some(tls) => tls.follow().await,
        None => pending().await,
    }
}

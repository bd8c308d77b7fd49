//! How a command encrypts what it says to a server, and whom it believes to be that server.

use super::failure::Failure;
use clap::Args;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// What an `https://` server is recognised by, and what it recognises us by.
#[derive(Debug, Clone, Default, Args)]
pub struct ClientTls {
    /// The authorities that may vouch for an https:// server [default: those that browsers trust].
    #[arg(long, env = "WAYPOST_TLS_CA", value_name = "FILE", help_heading = "Connection")]
    tls_ca: Option<PathBuf>,

    /// Your certificate, for a server that asks for one.
    #[arg(
        long,
        env = "WAYPOST_CLIENT_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key",
        help_heading = "Connection"
    )]
    tls_cert: Option<PathBuf>,

    /// The key of that certificate.
    #[arg(
        long,
        env = "WAYPOST_CLIENT_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert",
        help_heading = "Connection"
    )]
    tls_key: Option<PathBuf>,
}

/// Opens encrypted connections.
#[derive(Clone)]
pub struct Connect(TlsConnector);

impl ClientTls {
    /// Whether anything was said about encryption.
    pub const fn is_given(&self) -> bool {
        self.tls_ca.is_some() || self.tls_cert.is_some()
    }

    /// Reads the files.
    pub fn connector(&self) -> Result<Connect, Failure> {
        let mut authorities = RootCertStore::empty();
        match &self.tls_ca {
            None => authorities.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(path) => {
                for certificate in certificates("--tls-ca", path)? {
                    authorities.add(certificate).map_err(|error| unusable("--tls-ca", path, &error))?;
                }
            }
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::Failed(format!("cannot use TLS: {error}")))?
            .with_root_certificates(authorities);
        let mut config = match self.tls_cert.as_ref().zip(self.tls_key.as_ref()) {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates("--tls-cert", certificate)?;
                let read = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable("--tls-key", key, &error))?;
                builder.with_client_auth_cert(chain, read).map_err(|error| unusable("--tls-key", key, &error))?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Connect(TlsConnector::from(Arc::new(config))))
    }
}

fn certificates(option: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let unusable = |error| unusable(option, path, &error);
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(unusable)?.collect();
    let read = read.map_err(unusable)?;
    if read.is_empty() {
        return Err(Failure::Usage(format!("{option} {}: holds no certificate in PEM", path.display())));
    }
    Ok(read)
}

fn unusable(option: &str, path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::Usage(format!("{option} {}: {error}", path.display()))
}

impl tower::Service<Uri> for Connect {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let tls = self.0.clone();
        Box::pin(async move {
            // As the URI has it, an IPv6 address stands in brackets.
            let host = server.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let port = server.port_u16().unwrap_or_default();
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            tls.connect(name, stream).await.map(TokioIo::new)
        })
    }
}

//! How a client encrypts what it says to a server, and whom it believes to be that server.

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// What an `https://` server is recognised by, and what it recognises us by. By default the authorities that browsers
/// trust, and no certificate of ours.
#[derive(Default)]
pub struct Tls {
    authorities: Option<RootCertStore>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Tls {
    /// Believes the authorities of that PEM text, and no others.
    ///
    /// # Errors
    ///
    /// When it holds no certificate, or one that is no authority's.
    pub fn trusting(self, pem: &[u8]) -> Result<Self, InvalidPem> {
        let mut authorities = RootCertStore::empty();
        for certificate in certificates(pem)? {
            authorities.add(certificate).map_err(|error| InvalidPem::Certificate(error.to_string()))?;
        }
        Ok(Self { authorities: Some(authorities), ..self })
    }

    /// Shows that certificate to a server that asks for one: the certificate with those that vouch for it, and its key,
    /// both as PEM text.
    ///
    /// # Errors
    ///
    /// When one of them is not there or cannot be read.
    pub fn presenting(self, certificate: &[u8], key: &[u8]) -> Result<Self, InvalidPem> {
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| InvalidPem::Key(error.to_string()))?;
        Ok(Self { identity: Some((chain, key)), ..self })
    }

    /// Whether anything was said about encryption.
    pub(super) const fn is_given(&self) -> bool {
        self.authorities.is_some() || self.identity.is_some()
    }

    pub(super) fn connector(&self) -> Result<Connect, InvalidPem> {
        let authorities = self
            .authorities
            .clone()
            .unwrap_or_else(|| RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
        let unusable = |error: rustls::Error| InvalidPem::Key(error.to_string());
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_root_certificates(authorities);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(unusable)?,
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Connect(TlsConnector::from(Arc::new(config))))
    }
}

impl Clone for Tls {
    fn clone(&self) -> Self {
        let identity = self.identity.as_ref().map(|(chain, key)| (chain.clone(), key.clone_key()));
        Self { authorities: self.authorities.clone(), identity }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, InvalidPem> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read.map_err(|error| InvalidPem::Certificate(error.to_string()))? {
        read if read.is_empty() => Err(InvalidPem::NoCertificate),
        read => Ok(read),
    }
}

/// A text is not the PEM that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPem {
    /// There is no certificate in it.
    #[error("holds no certificate in PEM")]
    NoCertificate,
    /// A certificate in it cannot be used.
    #[error("{0}")]
    Certificate(String),
    /// The key is none, or not that of the certificate.
    #[error("{0}")]
    Key(String),
}

/// Opens encrypted connections.
#[derive(Clone)]
pub(super) struct Connect(TlsConnector);

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connect")
    }
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

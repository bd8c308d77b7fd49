//! TLS between accept and what is spoken: [`Encrypted`] does the handshake and hands the stream on.
//!
//! Certificates are read again when their files change: connections that are open keep what they were opened with, new
//! ones get the new. TLS 1.3 and 1.2, by rustls with ring.

use super::{
    connection::{End, Life, Protocol},
    stream::Stream,
};
use crate::{
    followed::Followed,
    telemetry::metrics::{CERTIFICATE_NOT_AFTER, Listener},
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::{TLS12, TLS13},
};
use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{net::TcpStream, time::sleep};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A protocol on encrypted connections.
pub struct Encrypted<P> {
    inner: Arc<P>,
    tls: Arc<Followed<ServerConfig>>,
}

/// The PEM files of a listener.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate, followed by those that lead to its authority.
    pub certificate: PathBuf,
    /// The certificate's key.
    pub key: PathBuf,
    /// The authorities of which every peer needs a certificate; without it, peers are not asked for one.
    pub client_authorities: Option<PathBuf>,
}

/// What is spoken inside, as the handshake calls it (ALPN). A peer that names something else is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inside {
    /// HTTP/2.
    Http2,
    /// HTTP/2 or HTTP/1.1.
    Web,
}

impl<P> Encrypted<P> {
    /// That protocol, once the handshake is done.
    pub fn new(inner: P, tls: Arc<Followed<ServerConfig>>) -> Self {
        Self { inner: Arc::new(inner), tls }
    }
}

impl<P: Protocol> Protocol for Encrypted<P> {
    fn serve(&self, stream: Stream, life: Life) -> Pin<Box<dyn Future<Output = End> + Send>> {
        let stream = match stream {
            Stream::Plain(stream) => stream,
            // Once is enough.
            encrypted @ Stream::Encrypted(_) => return self.inner.serve(encrypted, life),
        };
        let (inner, config) = (Arc::clone(&self.inner), self.tls.to_keep());
        Box::pin(async move {
            match handshake(stream, config, &life).await {
                Ok(stream) => inner.serve(Stream::Encrypted(Box::new(stream)), life).await,
                Err(error) => End::Failed(error.into()),
            }
        })
    }
}

/// Ends at the deadline, and with the drain: a peer that has not even shaken hands has no call to lose.
async fn handshake(stream: TcpStream, config: Arc<ServerConfig>, life: &Life) -> io::Result<TlsStream<TcpStream>> {
    tokio::select! {
        biased;
        done = TlsAcceptor::from(config).accept(stream) => done,
        () = life.drain.begun() => {
            Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the handshake was not done before the server's drain"))
        }
        () = sleep(life.handshake_timeout) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the peer did not finish the handshake in time"))
        }
    }
}

impl TlsFiles {
    /// Reads the files now and whenever they change. `option` names them in the log, and the metric of their end that
    /// listener.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or they do not belong together; the text is read after `option`.
    pub fn follow(
        self,
        option: &'static str,
        listener: Listener,
        inside: Inside,
    ) -> Result<Followed<ServerConfig>, String> {
        let paths = [&self.certificate, &self.key].into_iter().chain(&self.client_authorities).cloned().collect();
        Followed::open(option, paths, move |_| self.read(listener, inside))
    }

    fn read(&self, listener: Listener, inside: Inside) -> Result<ServerConfig, String> {
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| format!("{}: is no private key in PEM, or is encrypted: {error}", self.key.display()))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| error.to_string())?;
        let builder = match &self.client_authorities {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let unusable = |error: &dyn std::error::Error| format!("{}: {error}", path.display());
                let mut authorities = RootCertStore::empty();
                for certificate in certificates(path)? {
                    authorities.add(certificate).map_err(|error| unusable(&error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(authorities.into(), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| unusable(&error))?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            let (certificate, key) = (self.certificate.display(), self.key.display());
            format!("{certificate}: cannot be used with {key}: {error}; keys are RSA of 2048 bits or more, P-256, P-384 or Ed25519")
        })?;
        self.tell_expiry(listener);
        config.alpn_protocols = match inside {
            Inside::Http2 => vec![b"h2".to_vec()],
            Inside::Web => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        if self.client_authorities.is_some() {
            // A resumed session would not have the peer's certificate looked at again, which may have run out.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }

    /// Peers that refuse the certificate do not tell us, so the log and a metric tell.
    fn tell_expiry(&self, listener: Listener) {
        let Some(not_after) = not_after(&self.certificate) else { return };
        CERTIFICATE_NOT_AFTER.set([listener as usize], Some(not_after));
        match not_after.duration_since(SystemTime::now()) {
            Ok(left) if left >= EXPIRY_WARNING => {}
            Ok(left) => {
                let (file, hours) = (self.certificate.display(), left.as_secs() / 3_600);
                tracing::warn!(%file, hours, "the certificate expires soon");
            }
            Err(_) => tracing::error!(file = %self.certificate.display(), "the certificate has expired"),
        }
    }
}

/// How long before a certificate's end reading it is worth a warning. Short-lived ones last a day and are replaced at
/// half of it.
const EXPIRY_WARNING: Duration = Duration::from_secs(8 * 60 * 60);

/// Until when the first certificate of a file is valid.
fn not_after(path: &Path) -> Option<SystemTime> {
    let der = CertificateDer::from_pem_file(path).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unusable = |error| format!("{}: is no certificate in PEM: {error}", path.display());
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(unusable)?.collect();
    let read = read.map_err(unusable)?;
    if read.is_empty() { Err(format!("{}: holds no certificate", path.display())) } else { Ok(read) }
}

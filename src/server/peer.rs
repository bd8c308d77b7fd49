//! What the certificate of a peer names. Whether the certificate is to be believed was decided in the handshake.

use super::limits::MAX_PEER_NAMES;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// The names of a peer, read once for each connection. Requests have it as an extension.
#[derive(Debug, Clone)]
pub struct PeerNames(Arc<[PeerName]>);

/// One subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PeerName {
    /// A URI, as it is written in the certificate: `spiffe://example.org/checkout`.
    Uri(Box<str>),
    /// A DNS name in lower case.
    Dns(Box<str>),
}

impl PeerNames {
    /// `None` for a certificate that cannot be read, which names nobody.
    ///
    /// A certificate with several URIs has none: the SPIFFE X.509-SVID standard (section 2) wants exactly one, and so
    /// do we, for one connection has one caller.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let names = certificate.subject_alternative_name().ok()?;
        let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
        let uris = names.iter().filter(|name| matches!(name, GeneralName::URI(_))).count();
        let read = names.iter().take(MAX_PEER_NAMES).filter_map(|name| match name {
            GeneralName::URI(uri) if uris == 1 => Some(PeerName::Uri((*uri).into())),
            GeneralName::DNSName(name) => Some(PeerName::Dns(name.to_ascii_lowercase().into())),
            _ => None,
        });
        Some(Self(read.collect()))
    }

    /// The names, in the certificate's order.
    pub fn as_slice(&self) -> &[PeerName] {
        &self.0
    }
}

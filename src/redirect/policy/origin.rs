//! The entries of a merchant's `allowed_origins`.

use super::{Mode, host};
use std::fmt;
use url::Url;

/// An entry of `allowed_origins`: a scheme, a host or `*.` and a domain, and perhaps a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPattern {
    scheme: Box<str>,
    host: Box<str>,
    port: Option<u16>,
    hosts: Hosts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hosts {
    Exactly,
    Below,
}

impl OriginPattern {
    /// Reads an entry.
    pub fn parse(text: &str, mode: Mode) -> Result<Self, InvalidOrigin> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidOrigin)?;
        let (hosts, rest) = match rest.strip_prefix("*.") {
            Some(rest) => (Hosts::Below, rest),
            None => (Hosts::Exactly, rest),
        };
        let url = Url::parse(&format!("{scheme}://{rest}")).map_err(|_| InvalidOrigin)?;
        // Whatever is more than an origin, or spelt another way, shows in the comparison.
        if url.as_str().strip_suffix('/') != Some(&format!("{scheme}://{rest}")) || url.path() != "/" {
            return Err(InvalidOrigin);
        }
        let loopback = mode == Mode::Sandbox && host::is_loopback(&url) && hosts == Hosts::Exactly;
        let secure = url.scheme() == "https" && host::check_host(url.host()).is_ok();
        let web = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
        if !web || !(loopback || secure) {
            return Err(InvalidOrigin);
        }
        let host = url.host_str().ok_or(InvalidOrigin)?;
        Ok(Self { scheme: scheme.into(), host: host.into(), port: url.port(), hosts })
    }

    pub(super) fn matches(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let host_matches = match self.hosts {
            Hosts::Exactly => host == &*self.host,
            Hosts::Below => host.strip_suffix(&*self.host).is_some_and(|below| below.len() > 1 && below.ends_with('.')),
        };
        host_matches && url.scheme() == &*self.scheme && url.port() == self.port
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = match self.hosts {
            Hosts::Exactly => "",
            Hosts::Below => "*.",
        };
        write!(f, "{}://{below}{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The text is not an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not an origin: write `https://`, a lower-case DNS name of at least two labels (or `*.` and such a name) and, \
     when it is not 443, the port, without path or trailing slash: `https://shop.example.com`, `https://*.example.com`"
)]
pub struct InvalidOrigin;

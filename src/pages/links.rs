//! The links to the pages, as answers hold them and as browsers open them.

use super::{PageKeys, Purpose};
use crate::{model::SessionId, redirect::Mode};
use std::{fmt, net::SocketAddr, str::FromStr};
use url::Url;

/// Makes the links, and tells which session one opens.
#[derive(Clone)]
pub struct Links {
    public_url: PublicUrl,
    keys: PageKeys,
    mode: Mode,
}

impl Links {
    /// Links that begin with that URL, under those keys.
    pub const fn new(public_url: PublicUrl, keys: PageKeys, mode: Mode) -> Self {
        Self { public_url, keys, mode }
    }

    /// The buyer's page.
    pub fn page_url(&self, id: SessionId) -> String {
        format!("{}/r/{}", self.public_url, self.keys.token(Purpose::Return, id))
    }

    /// The sandbox's checkout; `None` outside of it.
    pub fn checkout_url(&self, id: SessionId) -> Option<String> {
        let url = || format!("{}/c/{}", self.public_url, self.keys.token(Purpose::Checkout, id));
        (self.mode == Mode::Sandbox).then(url)
    }

    /// The session that a token opens.
    pub(super) fn open(&self, purpose: Purpose, token: &str) -> Option<SessionId> {
        self.keys.open(purpose, token)
    }

    /// The buyer's page, seen from another page.
    pub(super) fn page_path(&self, id: SessionId) -> String {
        format!("{}/r/{}", self.public_url.path, self.keys.token(Purpose::Return, id))
    }

    /// The sandbox's checkout, seen from another page; `None` outside of the sandbox.
    pub(super) fn checkout_path(&self, id: SessionId) -> Option<String> {
        let path = || format!("{}/c/{}", self.public_url.path, self.keys.token(Purpose::Checkout, id));
        (self.mode == Mode::Sandbox).then(path)
    }

    /// What the paths of all pages begin with: empty, or the path of a proxy that serves more than these pages.
    pub(super) fn base(&self) -> &str {
        &self.public_url.path
    }
}

/// Where browsers find the page listener: `https://pay.example.com`, perhaps with a path that a proxy takes away again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    origin: Box<str>,
    /// Empty, or begins with a slash and ends without one.
    path: Box<str>,
}

impl PublicUrl {
    /// The page listener itself, without anything in front of it; `None` when its address stands for all of a machine's
    /// addresses and is none that a browser can open.
    pub fn of_listener(addr: SocketAddr) -> Option<Self> {
        (!addr.ip().is_unspecified()).then(|| Self { origin: format!("http://{addr}").into(), path: "".into() })
    }

    /// The same of a page listener with TLS.
    pub fn of_encrypted_listener(addr: SocketAddr) -> Option<Self> {
        (!addr.ip().is_unspecified()).then(|| Self { origin: format!("https://{addr}").into(), path: "".into() })
    }
}

impl FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    fn from_str(text: &str) -> Result<Self, InvalidPublicUrl> {
        let url = Url::parse(text).map_err(|_| InvalidPublicUrl::Form)?;
        let path = url.path().trim_end_matches('/');
        let written_so = url.as_str().trim_end_matches('/') == text.trim_end_matches('/');
        let plain = url.username().is_empty() && url.password().is_none() && !text.contains(['?', '#']);
        // What stands in every page has to need no escaping.
        let plain_path = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte));
        if !written_so || !plain || !plain_path || path.contains("//") {
            return Err(InvalidPublicUrl::Form);
        }
        let local = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => return Err(InvalidPublicUrl::Form),
        };
        match url.scheme() {
            "https" => {}
            "http" if local => {}
            "http" => return Err(InvalidPublicUrl::Http),
            _ => return Err(InvalidPublicUrl::Form),
        }
        Ok(Self { origin: url.origin().ascii_serialization().into(), path: path.into() })
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

/// Why a text is not the public URL of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPublicUrl {
    /// Not a URL of that form.
    #[error("is not the URL of a site: write it as `https://pay.example.com`, without user, query and fragment")]
    Form,
    /// Unencrypted.
    #[error("is not encrypted: write `https://` (`http` is accepted to this machine itself only)")]
    Http,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_an_encrypted_site_or_this_machine() {
        for (text, answer) in [
            ("https://pay.example.com", Ok("https://pay.example.com")),
            ("https://pay.example.com/", Ok("https://pay.example.com")),
            ("https://example.com:8443/pay/", Ok("https://example.com:8443/pay")),
            ("http://127.0.0.1:8080", Ok("http://127.0.0.1:8080")),
            ("http://localhost:8080", Ok("http://localhost:8080")),
            ("http://[::1]:8080", Ok("http://[::1]:8080")),
            ("http://pay.example.com", Err(InvalidPublicUrl::Http)),
            ("https://user@pay.example.com", Err(InvalidPublicUrl::Form)),
            ("https://pay.example.com/?a=1", Err(InvalidPublicUrl::Form)),
            ("https://pay.example.com/#a", Err(InvalidPublicUrl::Form)),
            ("https://pay.example.com/a'b", Err(InvalidPublicUrl::Form)),
            ("https://PAY.example.com", Err(InvalidPublicUrl::Form)),
            ("ftp://pay.example.com", Err(InvalidPublicUrl::Form)),
            ("pay.example.com", Err(InvalidPublicUrl::Form)),
            ("", Err(InvalidPublicUrl::Form)),
        ] {
            assert_eq!(text.parse::<PublicUrl>().map(|url| url.to_string()), answer.map(str::to_owned), "{text}");
        }
    }
}

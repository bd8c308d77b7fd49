//! Where the server is, as it is typed. Never looks a name up and never connects.

use http::{Uri, uri::Scheme};
use std::{fmt, str::FromStr};

/// The address of a server, and whether it is spoken to with TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(Uri);

impl Address {
    /// Whether what is said to it is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// The name or address of the machine, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        self.0.host().unwrap_or_default().trim_matches(['[', ']'])
    }

    /// For the client to connect to.
    pub const fn uri(&self) -> &Uri {
        &self.0
    }

    /// The same as if nothing said to it was encrypted.
    pub(super) fn uri_without_tls(&self) -> Uri {
        let mut parts = self.0.clone().into_parts();
        parts.scheme = Some(Scheme::HTTP);
        Uri::from_parts(parts).expect("a scheme for another")
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let scheme = scheme.to_ascii_lowercase();
        if !["http", "https"].contains(&scheme.as_str()) {
            return Err(InvalidAddress::Form);
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@']) {
            return Err(InvalidAddress::Form);
        }
        let uri: Uri = format!("{scheme}://{authority}/").parse().map_err(|_| InvalidAddress::Form)?;
        if uri.host().is_none_or(str::is_empty) {
            return Err(InvalidAddress::Form);
        }
        // HTTP's own ports are never meant, and to try them would be a riddle.
        if uri.port_u16().is_none() {
            return Err(InvalidAddress::Port);
        }
        Ok(Self(uri))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}",
            self.0.scheme_str().unwrap_or_default(),
            self.0.authority().map_or("", http::uri::Authority::as_str)
        )
    }
}

/// The text is not an address that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// Without a port.
    #[error("has no port: write https://HOST:PORT, or http://HOST:PORT such as http://127.0.0.1:50051")]
    Port,
    /// Anything else.
    #[error("is not an address: write https://HOST:PORT, http://HOST:PORT or HOST:PORT, with nothing before or after")]
    Form,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, InvalidAddress>) {
        let read = text.parse::<Address>().map(|address| address.to_string());
        assert_eq!(read, expected.map(str::to_owned), "{text}");
    }

    #[test]
    fn an_address_is_a_host_and_a_port_with_or_without_the_scheme() {
        check("http://127.0.0.1:50051", Ok("http://127.0.0.1:50051"));
        check("http://127.0.0.1:50051/", Ok("http://127.0.0.1:50051"));
        check("127.0.0.1:50051", Ok("http://127.0.0.1:50051"));
        check("waypost.payments.svc:50051", Ok("http://waypost.payments.svc:50051"));
        check("[::1]:50051", Ok("http://[::1]:50051"));
        check("HTTP://localhost:1", Ok("http://localhost:1"));
        check("https://pay.example.com:443", Ok("https://pay.example.com:443"));
        check("HTTPS://[::1]:443/", Ok("https://[::1]:443"));
    }

    #[test]
    fn what_is_not_an_address_is_refused_with_what_to_write() {
        check("https://pay.example.com", Err(InvalidAddress::Port));
        check("localhost", Err(InvalidAddress::Port));
        check("http://localhost", Err(InvalidAddress::Port));
        for text in ["", ":50051", "http://:50051", "unix:///run/x", "a:1/path", "a:1?q", "me@a:1", "a b:1", "a:99999"]
        {
            let read = text.parse::<Address>();
            assert!(matches!(read, Err(InvalidAddress::Form | InvalidAddress::Port)), "{text}: {read:?}");
        }
    }
}

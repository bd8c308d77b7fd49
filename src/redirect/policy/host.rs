//! Which hosts a buyer may be sent to.

use super::Refusal;
use url::{Host, Url};

pub(super) fn is_loopback(url: &Url) -> bool {
    matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

pub(super) fn check_host(host: Option<Host<&str>>) -> Result<(), Refusal> {
    let name = match host {
        Some(Host::Domain(name)) => name,
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => return Err(Refusal::IpAddress),
        None => return Err(Refusal::Host),
    };
    // RFC 1035, section 2.3.4; the WHATWG rules leave these to the resolver, and let through characters that no DNS
    // name of a web site has. Underscores do occur.
    let (mut letters, mut labels, mut label_len, mut label_from) = (true, 1, 0, 0);
    for (at, byte) in name.bytes().enumerate() {
        letters &= LETTERS_OF_HOSTS[usize::from(byte)];
        if byte != b'.' {
            label_len += 1;
        } else if matches!(label_len, 1..=LABEL_BYTES) {
            (labels, label_len, label_from) = (labels + 1, 0, at + 1);
        } else {
            return Err(Refusal::Host);
        }
    }
    // The last label, which is empty when the name ends with a dot.
    let lengths = name.len() <= HOST_BYTES && matches!(label_len, 1..=LABEL_BYTES);
    let numeric = || name.as_bytes()[label_from..].iter().all(u8::is_ascii_digit);
    if letters && labels >= 2 && lengths && !numeric() { Ok(()) } else { Err(Refusal::Host) }
}

const LABEL_BYTES: usize = 63;
const HOST_BYTES: usize = 253;

/// The bytes of DNS names of web sites, the dot included.
const LETTERS_OF_HOSTS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'_' | b'.');
        byte += 1;
    }
    table
};

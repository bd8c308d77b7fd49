//! Whether a server may be put under load. Loopback may; any other has to be named once more, because a command out of
//! the shell's history must not be what buyers of a platform wait behind.

use crate::{cli::failure::Failure, client::Address};
use std::net::IpAddr;

/// Refuses a server that is neither this machine nor the host that `named` names.
pub fn check(server: &Address, named: Option<&str>) -> Result<(), Failure> {
    let host = server.host();
    let loopback = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    match named {
        _ if loopback => Ok(()),
        Some(named) if named.trim_matches(['[', ']']) == host => Ok(()),
        Some(named) => Err(Failure::Usage(format!("--yes-load {named} is not the host of --server {server}: {host}"))),
        None => Err(Failure::Usage(format!(
            "--server {server} is not this machine, and whoever uses it would feel the load: if that is meant, repeat its \
             host, --yes-load {host}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(server: &str, named: Option<&str>) -> bool {
        check(&server.parse().unwrap(), named).is_ok()
    }

    #[test]
    fn this_machine_needs_no_permission() {
        for server in ["127.0.0.1:1", "http://127.9.9.9:1", "https://localhost:1", "[::1]:1"] {
            assert!(allowed(server, None), "{server}");
        }
    }

    #[test]
    fn any_other_has_to_be_named_exactly() {
        for server in
            ["10.0.0.1:1", "https://pay.example.com:443", "[2001:db8::1]:1", "localhost.example.com:1", "0.0.0.0:1"]
        {
            assert!(!allowed(server, None), "{server}");
            assert!(!allowed(server, Some("example.com")), "{server}");
        }
        assert!(allowed("https://pay.example.com:443", Some("pay.example.com")));
        assert!(allowed("[2001:db8::1]:1", Some("[2001:db8::1]")));
        assert!(!allowed("https://pay.example.com:443", Some("")));
    }
}

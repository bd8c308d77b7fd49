//! What a server counts, as a collector reads it from its operations listener. Asks for nothing else there.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

/// Above what an answer takes, on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(20);

/// Every number that is told, by its name with its labels, at the URL that the server says when it starts.
pub fn metrics(url: &str) -> BTreeMap<String, f64> {
    let addr = url.strip_prefix("http://").and_then(|url| url.strip_suffix("/metrics")).expect("a URL of metrics");
    let mut stream = TcpStream::connect(addr).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let head = format!("GET /metrics HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let lines = body.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            (series.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

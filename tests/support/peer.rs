//! A peer that says exactly the bytes it is told: HTTP/2 by hand, RFC 9113, with HPACK by hand, RFC 7541.

use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const ENHANCE_YOUR_CALM: u32 = 11;

pub const RESOLVE: &str = "/waypost.v1.RedirectService/ResolveRedirect";
pub const GET_SESSION: &str = "/waypost.v1.RedirectService/GetSession";

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of a call, in one frame.
pub fn call(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &head(path))
}

/// The header block of a call.
pub fn head(path: &str) -> Vec<u8> {
    // `:method POST` and `:scheme http` of the static table, then what differs.
    let mut block = vec![0x83, 0x86];
    block.extend(literal(b":path", path.as_bytes()));
    block.extend(literal(b":authority", b"server"));
    block.extend(literal(b"content-type", b"application/grpc"));
    block.extend(literal(b"te", b"trailers"));
    block
}

/// A header field that is written out and not remembered.
pub fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0][..], &text(name), &text(value)].concat()
}

/// The header blocks of a connection's first call of that path and of all later ones, which take six bytes each: an
/// attacker who saves them has more calls in as many bytes.
pub fn heads_remembered(path: &str) -> [Vec<u8>; 2] {
    let remembered = |name: &[u8], value: &[u8]| [&[0x40][..], &text(name), &text(value)].concat();
    let mut first = vec![0x83, 0x86];
    first.extend(remembered(b":path", path.as_bytes()));
    first.extend(remembered(b":authority", b"server"));
    first.extend(remembered(b"content-type", b"application/grpc"));
    first.extend(remembered(b"te", b"trailers"));
    // The four are found in the table behind the 61 that everybody knows, the last one first.
    [first, vec![0x83, 0x86, 0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62]]
}

/// A text without Huffman code.
pub fn text(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 4);
    let Some(mut rest) = bytes.len().checked_sub(127) else {
        out.push(bytes.len() as u8);
        out.extend_from_slice(bytes);
        return out;
    };
    out.push(127);
    while rest >= 128 {
        out.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    out.push(rest as u8);
    out.extend_from_slice(bytes);
    out
}

/// A setting, as the payload of SETTINGS has it.
pub fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// A message as gRPC frames it.
pub fn message(message: &impl prost::Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    [&[0][..], &u32::try_from(message.len()).expect("small").to_be_bytes(), &message].concat()
}

pub struct Peer {
    pub socket: TcpStream,
}

impl Peer {
    /// Connected, and silent.
    pub async fn silent(server: SocketAddr) -> Self {
        Self { socket: TcpStream::connect(server).await.expect("connected") }
    }

    /// Connected from that address, and silent.
    pub async fn from(source: [u8; 4], server: SocketAddr) -> std::io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((std::net::Ipv4Addr::from(source), 0).into())?;
        Ok(Self { socket: socket.connect(server).await? })
    }

    /// Connected, with its preface and these settings said.
    pub async fn greeting(server: SocketAddr, settings: &[u8]) -> Self {
        let mut peer = Self::silent(server).await;
        peer.say(&[PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()).await.expect("said");
        peer
    }

    pub async fn say(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.socket.write_all(bytes).await
    }

    /// Says it, and fails when the server does not read for so long.
    pub async fn say_within(&mut self, bytes: &[u8], time: Duration) -> std::io::Result<()> {
        timeout(time, self.say(bytes)).await.unwrap_or_else(|_| Err(std::io::ErrorKind::WouldBlock.into()))
    }

    /// Reads one frame: kind, flags, stream, payload.
    pub async fn hear(&mut self) -> std::io::Result<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.socket.read_exact(&mut payload).await?;
        Ok((kind, flags, u32::from_be_bytes(stream), payload))
    }

    /// Reads until the server has closed the connection, and gives the error code of its GOAWAY if there was one.
    pub async fn closed_within(&mut self, time: Duration) -> Option<u32> {
        let mut told = None;
        let closed = timeout(time, async {
            while let Ok((kind, .., payload)) = self.hear().await {
                if kind == GOAWAY {
                    told = Some(u32::from_be_bytes(payload[4..8].try_into().expect("four bytes")));
                }
            }
        });
        closed.await.expect("the server closes the connection");
        told
    }
}

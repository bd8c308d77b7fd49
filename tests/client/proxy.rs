//! A proxy that breaks connections in the two ways in which networks do.

use std::{future::pending, net::SocketAddr, sync::Arc};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::{
        Notify,
        watch::{self, Sender},
    },
    task::JoinHandle,
};

/// Carries bytes until it is told otherwise.
pub struct Proxy {
    pub addr: SocketAddr,
    break_off: Arc<Notify>,
    fall_silent: Arc<Notify>,
    connections: Sender<u32>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (break_off, fall_silent) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (connections, _) = watch::channel(0);
        let (ends, holes, count) = (Arc::clone(&break_off), Arc::clone(&fall_silent), connections.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (ends, holes) = (Arc::clone(&ends), Arc::clone(&holes));
                count.send_modify(|count| *count += 1);
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        () = ends.notified() => {}
                        // Both ends stay open, and nothing comes through any more.
                        () = holes.notified() => pending().await,
                    }
                });
            }
        });
        Self { addr, break_off, fall_silent, connections, accepting }
    }

    /// Closes the connections of now.
    pub fn break_off(&self) {
        self.break_off.notify_waiters();
    }

    /// Lets nothing through on the connections of now, and does not close them.
    pub fn fall_silent(&self) {
        self.fall_silent.notify_waiters();
    }

    /// How many connections there have been.
    pub fn connections(&self) -> u32 {
        *self.connections.borrow()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

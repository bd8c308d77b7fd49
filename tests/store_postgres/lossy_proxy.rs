//! A connection that loses answers: what the client asks arrives and is done, and then the line goes dead. Or there is no
//! connection to be had.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
};

/// Listens on a port of its own and passes everything on to a server's socket.
pub struct LossyProxy {
    port: u16,
    /// Answers that are still to be lost.
    losses: Arc<AtomicUsize>,
    refuses: Arc<AtomicBool>,
}

impl LossyProxy {
    /// In front of that socket; it lives as long as the test's runtime.
    pub async fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let losses = Arc::new(AtomicUsize::new(0));
        let refuses = Arc::new(AtomicBool::new(false));
        let proxy = Self { port, losses: losses.clone(), refuses: refuses.clone() };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if refuses.load(Ordering::SeqCst) {
                    continue;
                }
                let server = UnixStream::connect(&socket).await.expect("it runs");
                tokio::spawn(pass_on(client, server, losses.clone()));
            }
        });
        proxy
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Loses the next answer of the server, whole, with its connection.
    pub fn lose_next_answer(&self) {
        self.losses.fetch_add(1, Ordering::SeqCst);
    }

    /// From now on, whether new connections end at once.
    pub fn refuse_connections(&self, refuse: bool) {
        self.refuses.store(refuse, Ordering::SeqCst);
    }

    /// Whether all answers that were to be lost have been.
    pub fn has_lost_all(&self) -> bool {
        self.losses.load(Ordering::SeqCst) == 0
    }
}

async fn pass_on(mut client: TcpStream, mut server: UnixStream, losses: Arc<AtomicUsize>) {
    let (mut question, mut answer) = ([0; 16_384], [0; 16_384]);
    loop {
        tokio::select! {
            asked = client.read(&mut question) => match asked {
                Ok(n) if n > 0 => server.write_all(&question[..n]).await.expect("it runs"),
                _ => return,
            },
            answered = server.read(&mut answer) => match answered {
                Ok(n) if n > 0 => {
                    let lose = |left: usize| left.checked_sub(1);
                    // The server answers after its commit: what was asked is done.
                    if losses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, lose).is_ok() {
                        return;
                    }
                    if client.write_all(&answer[..n]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
        }
    }
}

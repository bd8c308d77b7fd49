//! The worker threads: each has a single-threaded runtime and serves the connections that it was dealt.

use super::{
    connection::{Accepted, Life},
    drain::{Drain, Phases},
    limits::Limits,
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{mpsc, oneshot},
    task::JoinSet,
};

/// The threads, as the server holds them.
pub(super) struct Workers {
    dealer: Dealer,
    ended: Ended,
}

/// Deals connections to the workers in turn. The workers end once every dealer is gone and their connections closed.
#[derive(Clone)]
pub(super) struct Dealer {
    // Unbounded, as admission bounds the connections.
    workers: Arc<[mpsc::UnboundedSender<Accepted>]>,
    turn: Arc<AtomicUsize>,
}

/// Waits for the workers' end.
pub(super) struct Ended(Vec<oneshot::Receiver<()>>);

impl Workers {
    /// Starts the threads.
    pub(super) fn start(limits: &Arc<Limits>, phases: &Phases) -> io::Result<Self> {
        let (mut dealt, mut ended) = (Vec::new(), Vec::new());
        for number in 0..limits.workers.get() {
            let (deal, incoming) = mpsc::unbounded_channel();
            let (end, has_ended) = oneshot::channel();
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (limits, drain) = (Arc::clone(limits), phases.subscribe());
            thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                serve(runtime, incoming, limits, drain);
                // Nobody waits any more when the grace limit is long over.
                let _ = end.send(());
            })?;
            dealt.push(deal);
            ended.push(has_ended);
        }
        Ok(Self { dealer: Dealer { workers: dealt.into(), turn: Arc::default() }, ended: Ended(ended) })
    }

    pub(super) fn dealer(&self) -> Dealer {
        self.dealer.clone()
    }

    /// Lets the workers end with their last connection, once the accept loops are gone too.
    pub(super) fn accept_no_more(self) -> Ended {
        self.ended
    }
}

impl Dealer {
    pub(super) fn deal(&self, accepted: Accepted) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.workers.len();
        if self.workers[turn].send(accepted).is_err() {
            tracing::error!(worker = turn, "connection closed: its worker is gone");
        }
    }
}

impl Ended {
    /// Ready once every worker has ended. May be dropped and called again.
    pub(super) async fn all(&mut self) {
        while let Some(worker) = self.0.last_mut() {
            // An error is a thread that panicked, which ended as well.
            let _ = worker.await;
            self.0.pop();
        }
    }
}

fn serve(runtime: Runtime, incoming: mpsc::UnboundedReceiver<Accepted>, limits: Arc<Limits>, drain: Drain) {
    runtime.block_on(serve_connections(incoming, limits, drain));
    // Dropping the runtime drops the calls of connections that were cut.
}

async fn serve_connections(mut incoming: mpsc::UnboundedReceiver<Accepted>, limits: Arc<Limits>, drain: Drain) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(accepted) = incoming.recv() => {
                connections.spawn(accepted.serve(Life::new(&limits, drain.clone())));
            }
            Some(ended) = connections.join_next() => {
                if let Err(panic) = ended {
                    tracing::error!(cause = %panic, "connection ended by a panic");
                }
            }
            else => return,
        }
    }
}

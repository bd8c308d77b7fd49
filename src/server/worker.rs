//! The worker threads: each has a single-threaded runtime and serves the connections that it was dealt.

use super::{
    connection::{Accepted, Life},
    drain::{Drain, Phases},
    lateness,
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

/// Deals each connection to the worker that has the fewest. The workers end once every dealer is gone and their
/// connections closed.
#[derive(Clone)]
pub(super) struct Dealer {
    // Unbounded, as admission bounds the connections.
    workers: Arc<[mpsc::UnboundedSender<(Accepted, Seat)>]>,
    table: Arc<Table>,
}

/// How many connections each worker has.
struct Table {
    taken: Box<[AtomicUsize]>,
    turn: AtomicUsize,
}

/// A connection's place at its worker, until this is dropped.
struct Seat {
    table: Arc<Table>,
    worker: usize,
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
            let runtime = Builder::new_current_thread()
                .enable_all()
                .on_thread_park(lateness::rests)
                .on_thread_unpark(lateness::wakes)
                .build()?;
            let (limits, drain) = (Arc::clone(limits), phases.subscribe());
            thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                serve(runtime, incoming, limits, drain);
                // Nobody waits any more when the grace limit is long over.
                let _ = end.send(());
            })?;
            dealt.push(deal);
            ended.push(has_ended);
        }
        let table = Arc::new(Table::new(dealt.len()));
        Ok(Self { dealer: Dealer { workers: dealt.into(), table }, ended: Ended(ended) })
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
        let seat = Seat::take(&self.table);
        let worker = seat.worker;
        if self.workers[worker].send((accepted, seat)).is_err() {
            tracing::error!(worker, "connection closed: its worker is gone");
        }
    }
}

impl Table {
    fn new(workers: usize) -> Self {
        Self { taken: (0..workers).map(|_| AtomicUsize::new(0)).collect(), turn: AtomicUsize::new(0) }
    }

    /// The worker with the fewest connections; those that have as few take turns.
    fn fewest(&self) -> usize {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = (0..self.taken.len()).map(|step| turn.wrapping_add(step) % self.taken.len());
        // The accept loops count at the same time, and then one of them may see one connection less: that is as good.
        in_turn.min_by_key(|&worker| self.taken[worker].load(Ordering::Relaxed)).expect("there is a worker")
    }
}

impl Seat {
    fn take(table: &Arc<Table>) -> Self {
        let worker = table.fewest();
        table.taken[worker].fetch_add(1, Ordering::Relaxed);
        Self { table: Arc::clone(table), worker }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.table.taken[self.worker].fetch_sub(1, Ordering::Relaxed);
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

fn serve(runtime: Runtime, incoming: mpsc::UnboundedReceiver<(Accepted, Seat)>, limits: Arc<Limits>, drain: Drain) {
    runtime.block_on(serve_connections(incoming, limits, drain));
    // Drops the calls of connections that were cut. A name that is still being looked up cannot be stopped; dropping the
    // runtime would wait for it.
    runtime.shutdown_background();
}

async fn serve_connections(mut incoming: mpsc::UnboundedReceiver<(Accepted, Seat)>, limits: Arc<Limits>, drain: Drain) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some((accepted, seat)) = incoming.recv() => {
                let served = accepted.serve(Life::new(&limits, drain.clone()));
                connections.spawn(async move {
                    let _seat = seat;
                    served.await;
                });
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

#[cfg(test)]
mod tests {
    use super::*;

    fn workers_of(seats: &[Seat]) -> Vec<usize> {
        seats.iter().map(|seat| seat.worker).collect()
    }

    #[test]
    fn workers_that_have_as_many_connections_take_turns() {
        let table = Arc::new(Table::new(3));
        let seats: Vec<_> = (0..7).map(|_| Seat::take(&table)).collect();
        assert_eq!(workers_of(&seats), [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn what_closed_is_made_up_for_by_what_comes() {
        let table = Arc::new(Table::new(4));
        let mut seats: Vec<_> = (0..200).map(|_| Seat::take(&table)).collect();
        // All of one worker's connections go, and half of another's.
        let mut left = 25;
        seats.retain(|seat| match seat.worker {
            2 => false,
            3 => {
                left -= 1;
                left >= 0
            }
            _ => true,
        });
        seats.extend((0..75).map(|_| Seat::take(&table)));
        for worker in 0..4 {
            assert_eq!(seats.iter().filter(|seat| seat.worker == worker).count(), 50, "worker {worker}");
        }
        drop(seats);
        assert!(table.taken.iter().all(|taken| taken.load(Ordering::Relaxed) == 0));
    }
}

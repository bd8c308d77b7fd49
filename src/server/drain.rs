//! The drain as its parts see it: one sequence of phases, written by the server, waited for by everyone else.

use std::future::Future;
use tokio::sync::watch;

/// How far a drain has come. Only ever goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// No drain.
    Serving,
    /// Connections get their GOAWAY; calls in flight go on.
    Draining,
    /// Streams that would not end by themselves end now.
    Ending,
    /// The grace limit is over.
    Stopped,
}

/// The server's end: moves the drain forward.
pub(super) struct Phases(watch::Sender<Phase>);

/// Waits for a drain. Cheap to clone; a server that was dropped counts as stopped.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<Phase>);

impl Phases {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Phase::Serving))
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.0.send_replace(phase);
    }

    pub(super) fn subscribe(&self) -> Drain {
        Drain(self.0.subscribe())
    }
}

impl Drain {
    /// Ready once connections are told to go. Work that has not begun should not begin.
    pub fn begun(&self) -> impl Future<Output = ()> + Send + use<> {
        self.reached(Phase::Draining)
    }

    /// Ready once streams that last as long as their caller wants should end.
    pub fn streams_end(&self) -> impl Future<Output = ()> + Send + use<> {
        self.reached(Phase::Ending)
    }

    /// Ready once the grace limit is over. Whatever is still going on is cut.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        self.reached(Phase::Stopped)
    }

    fn reached(&self, phase: Phase) -> impl Future<Output = ()> + Send + use<> {
        let mut phases = self.0.clone();
        async move {
            // An error says that the server is gone, which is as far as a drain can come.
            let _ = phases.wait_for(|now| *now >= phase).await;
        }
    }
}

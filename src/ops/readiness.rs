//! Whether the server is ready, and what of it is not: the one truth behind `/readyz`, the metrics and
//! `grpc.health.v1`.
//!
//! It is written by the one task that runs the server, and read by everybody.

use crate::{grpc::Health, server::Announce, telemetry::metrics::COMPONENTS};
use serde_json::{Value, json};
use std::{
    fmt::Write,
    sync::{Arc, PoisonError, RwLock},
};

/// What has to be ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// The listeners take connections.
    Listeners,
    /// The store answers.
    Store,
    /// The server was not told to stop.
    Drain,
}

/// The state of all components.
#[derive(Clone)]
pub struct Readiness {
    states: Arc<RwLock<[State; COMPONENTS.len()]>>,
    health: Health,
}

#[derive(Debug, Clone, Copy)]
struct State {
    is_ready: bool,
    reason: &'static str,
}

impl Readiness {
    /// Of a server that starts: nothing but the drain is ready. Says the same by that health.
    pub fn starting(health: Health) -> Self {
        let states = [
            State { is_ready: false, reason: "not listening yet" },
            State { is_ready: false, reason: "not asked yet" },
            State { is_ready: true, reason: "not draining" },
        ];
        Self { states: Arc::new(RwLock::new(states)), health }
    }

    /// A component is ready; the reason says what that means.
    pub async fn ready(&self, component: Component, reason: &'static str) {
        self.set(component, State { is_ready: true, reason }).await;
    }

    /// A component is not ready; the reason says why, and holds nothing that is secret.
    pub async fn not_ready(&self, component: Component, reason: &'static str) {
        self.set(component, State { is_ready: false, reason }).await;
    }

    async fn set(&self, component: Component, state: State) {
        let was_ready = self.is_ready();
        self.states.write().unwrap_or_else(PoisonError::into_inner)[component as usize] = state;
        // Nobody else writes, so what the health says is what stands. Watchers of it are told of changes only.
        match (was_ready, self.is_ready()) {
            (false, true) => self.health.serving().await,
            (true, false) => self.health.not_serving().await,
            (true, true) | (false, false) => {}
        }
    }

    /// Whether every component is ready.
    pub fn is_ready(&self) -> bool {
        self.each().into_iter().all(|ready| ready)
    }

    /// Whether each component is, in the order of [`COMPONENTS`].
    pub fn each(&self) -> [bool; COMPONENTS.len()] {
        self.states().map(|state| state.is_ready)
    }

    /// A line for each component, for people.
    pub fn to_text(&self) -> String {
        let mut text = String::from(if self.is_ready() { "ready\n" } else { "not ready\n" });
        for (name, State { is_ready, reason }) in COMPONENTS.iter().zip(self.states()) {
            let mark = if is_ready { "ok  " } else { "FAIL" };
            writeln!(text, "{mark} {name}: {reason}").expect("writing to a string does not fail");
        }
        text
    }

    /// The same for machines.
    pub fn to_json(&self) -> Value {
        let components = COMPONENTS.iter().zip(self.states()).map(|(name, State { is_ready, reason })| {
            ((*name).to_owned(), json!({ "ready": is_ready, "reason": reason }))
        });
        json!({ "ready": self.is_ready(), "components": components.collect::<serde_json::Map<_, _>>() })
    }

    fn states(&self) -> [State; COMPONENTS.len()] {
        *self.states.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Announce for Readiness {
    async fn not_serving(&self) {
        self.not_ready(Component::Drain, "draining: the server was told to stop").await;
    }

    async fn end_streams(&self) {
        self.health.end_streams().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all_ready() -> Readiness {
        let readiness = Readiness::starting(Health::starting().await);
        readiness.ready(Component::Listeners, "listening").await;
        readiness.ready(Component::Store, "answers").await;
        readiness
    }

    #[test]
    fn components_have_their_names() {
        assert_eq!(COMPONENTS[Component::Listeners as usize], "listeners");
        assert_eq!(COMPONENTS[Component::Store as usize], "store");
        assert_eq!(COMPONENTS[Component::Drain as usize], "drain");
    }

    #[tokio::test]
    async fn a_server_is_ready_once_every_component_is() {
        let readiness = Readiness::starting(Health::starting().await);
        assert!(!readiness.is_ready());
        readiness.ready(Component::Listeners, "listening").await;
        assert_eq!(
            readiness.to_text(),
            "not ready\nok   listeners: listening\nFAIL store: not asked yet\nok   drain: not draining\n"
        );
        readiness.ready(Component::Store, "answers").await;
        assert!(readiness.is_ready());
    }

    #[tokio::test]
    async fn a_store_that_comes_back_during_a_drain_does_not_make_the_server_ready() {
        let readiness = all_ready().await;
        readiness.not_ready(Component::Store, "does not answer").await;
        Announce::not_serving(&readiness).await;
        readiness.ready(Component::Store, "answers").await;
        assert!(!readiness.is_ready());
        assert_eq!(readiness.each(), [true, true, false]);
    }
}

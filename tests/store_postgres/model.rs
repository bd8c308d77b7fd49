//! The store answers random histories of all its operations as a plain map would.
//!
//! `WAYPOST_TEST_CASES` sets the number of histories; the default is what a quick run can afford.

use crate::support::{
    model::{Against, Fresh, Histories},
    postgres::{Cluster, InPostgres},
};
use proptest::test_runner::{Config, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

impl Fresh for InPostgres {
    type Fixture = Self;

    async fn fresh() -> Self {
        Self::fresh(Cluster::shared().expect("the test looked for it")).await
    }
}

#[test]
fn the_postgres_store_answers_as_the_model_does() {
    if Cluster::shared().is_none() {
        return;
    }
    let cases = std::env::var("WAYPOST_TEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(12);
    // A failing history is printed, and becomes a test of its own.
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let histories = Histories::<false>::sequential_strategy(1..40);
    let run = TestRunner::new(config.clone()).run(&histories, |(model, steps, seen)| {
        Against::<InPostgres, false>::test_sequential(config.clone(), model, steps, seen);
        Ok(())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
}

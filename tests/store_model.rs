//! Proves that every store answers random histories of all its operations, reopening included, as a plain map would.
//!
//! `WAYPOST_TEST_CASES` sets the number of histories; the default is what a quick run can afford.

mod support {
    pub mod draft;
    pub mod fixture;
    pub mod model;
}

use proptest::test_runner::Config;
use proptest_state_machine::prop_state_machine;
use support::{
    fixture::{InFile, InMemory},
    model::{Against, Fresh},
};

fn config() -> Config {
    let cases = std::env::var("WAYPOST_TEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64);
    // A failing history is printed, and becomes a test of its own.
    Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() }
}

type MemoryModel = Against<InMemory, true>;
type RedbModel = Against<InFile, false>;

impl Fresh for InMemory {
    type Fixture = Self;

    async fn fresh() -> Self {
        Self::default()
    }
}

impl Fresh for InFile {
    type Fixture = Self;

    async fn fresh() -> Self {
        Self::fresh_without_sync().await
    }
}

prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn the_memory_store_answers_as_the_model_does(sequential 1..60 => MemoryModel);

    #[test]
    fn the_redb_store_answers_as_the_model_does(sequential 1..60 => RedbModel);
}

//! Proves that every store fulfils every clause of the contract in `src/store/mod.rs`. No store is exempt.

mod support {
    pub mod contract;
    pub mod draft;
    pub mod fixture;
}

mod memory {
    use crate::support::fixture::InMemory;

    crate::store_contract!(InMemory::fresh());
}

mod redb {
    use crate::support::fixture::InFile;

    crate::store_contract!(InFile::fresh());
}

/// The same file, read at every call instead of remembered.
mod redb_without_cache {
    use crate::support::fixture::InFile;

    crate::store_contract!(InFile::fresh_without_cache());
}

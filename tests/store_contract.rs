//! Proves that every store fulfils every clause of the contract in `src/store/mod.rs`. No store is exempt.

mod support {
    pub mod contract;
    pub mod draft;
    pub mod fixture;
}

mod memory {
    use crate::support::fixture::InMemory;

    crate::store_contract!(InMemory::fresh());

    #[tokio::test]
    async fn what_sessions_take_is_counted_until_they_are_removed() {
        use crate::support::draft::{CREATED, EXPIRES, draft, next_id, recorded};
        use std::time::Duration;
        use waypost::{
            model::{Kind, Outcome},
            store::{Imported, MemoryStore, Store},
        };

        let store = MemoryStore::default();
        let bytes = || store.figures().session_memory_bytes.expect("it keeps them in memory");
        let early = EXPIRES.minus(Duration::from_secs(1));
        let ids: Vec<_> = (0..100).map(|_| next_id(Kind::Payment)).collect();
        let create_early = async || {
            for id in &ids {
                store.create(draft().expires(early).build_as(*id)).await.expect("created");
            }
        };
        for _ in &ids {
            store.create(draft().build()).await.expect("created");
        }
        create_early().await;
        let all = bytes();
        assert_eq!(store.remove_over(early, 1_000).await.expect("removed"), 100);
        assert!(bytes() + 100 * 100 < all, "{} of {all}", bytes());
        create_early().await;
        // The tables themselves may have grown.
        assert!(bytes().abs_diff(all) < 100 * 100, "{} of {all}", bytes());
        let all = bytes();
        for id in &ids {
            let paid = recorded(&draft().expires(early).build_as(*id), Outcome::Success, CREATED);
            assert_eq!(store.import_session(paid).await.expect("imported"), Imported::Saved);
        }
        // Each takes the place of what it was before.
        assert!(bytes().abs_diff(all) < 100 * 100, "{} of {all}", bytes());
        assert_eq!(store.figures().sessions, Some(200));
    }
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

//! Any bytes as a stored record or an export: they are read or refused, what was read comes back from what is written, and
//! what was imported is exported.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::LazyCell;
use tokio::runtime::{Builder, Runtime};
use waypost::store::{
    MemoryStore,
    export::{self, Summary, Totals},
    record,
};

thread_local! {
    static RUNTIME: LazyCell<Runtime> = LazyCell::new(|| Builder::new_current_thread().build().expect("a runtime"));
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(session) = record::read_session(bytes) {
        let again = record::read_session(record::write_session(&session).as_bytes()).expect("written by us");
        assert_eq!(again, session);
    }
    if let Ok(merchant) = record::read_merchant(bytes) {
        let again = record::read_merchant(record::write_merchant(&merchant).as_bytes()).expect("written by us");
        assert_eq!(again, merchant);
    }
    let _ = export::copy(&mut &*bytes, &mut std::io::sink());
    if bytes.starts_with(b"{\"export\"") {
        RUNTIME.with(|runtime| runtime.block_on(import(bytes)));
    }
});

async fn import(bytes: &[u8]) {
    let store = MemoryStore::default();
    let Ok(imported) = export::import(&store, &mut &*bytes).await else { return };
    let mut written = Vec::new();
    let exported = export::export(&store, &mut written).await.expect("written to memory");
    let Totals { merchants, sessions, unreadable } = exported.totals;
    assert_eq!(unreadable, 0, "what was imported was read");
    // Of several states of one, the newest is there.
    assert!(merchants + sessions <= imported.saved);
    let again = export::import(&MemoryStore::default(), &mut &*written).await.expect("written by us");
    assert_eq!(again, Summary { saved: merchants + sessions, ..Summary::default() });
}

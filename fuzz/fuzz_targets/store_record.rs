//! Any bytes as a stored record or an export: they are read or refused, and what was read comes back from what is written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost::store::{export, record};

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
});

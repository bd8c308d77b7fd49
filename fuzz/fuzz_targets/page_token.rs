//! Any text as the token of a page: only the one spelling that was handed out opens anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use uuid::Uuid;
use waypost::{
    model::{Kind, SessionId},
    pages::{PageKeys, Purpose},
};

fuzz_target!(|input: (&str, u8, u128)| {
    let (text, kind, uuid) = input;
    let keys = PageKeys::read(&"ab".repeat(32)).expect("a key");
    for purpose in [Purpose::Return, Purpose::Checkout] {
        if let Some(id) = keys.open(purpose, text) {
            assert_eq!(keys.token(purpose, id), text);
        }
    }
    let id = SessionId::new(Kind::ALL[usize::from(kind) % 3], Uuid::from_u128(uuid));
    let token = keys.token(Purpose::Return, id);
    assert_eq!(keys.open(Purpose::Return, &token), Some(id));
    assert_eq!(keys.open(Purpose::Checkout, &token), None);
    let _ = PageKeys::read(text);
    if let Ok(id) = text.parse::<SessionId>() {
        assert_eq!(id.to_string(), text);
    }
});

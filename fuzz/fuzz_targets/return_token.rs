//! Any text as a signed return: nothing is valid that was not signed, a token is the same alone and in a URL, and what is
//! valid is valid in one spelling only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::LazyCell;
use url::form_urlencoded;
use waypost::{
    model::{MerchantId, Timestamp},
    redirect::{SigningKey, SigningKeys, Verdict, Verified, to_pem},
};

struct Verifier {
    keys: SigningKeys,
    merchant_id: MerchantId,
}

thread_local! {
    static VERIFIER: LazyCell<Verifier> = LazyCell::new(|| {
        let keys = SigningKey::read_all(&[[7; 32], [8; 32]].map(|seed| to_pem(&seed)).concat()).expect("keys");
        Verifier { keys: SigningKeys::new(keys).expect("a set"), merchant_id: "shop".parse().expect("an id") }
    });
}

/// The token that is among the seeds; nobody can make another one that verifies.
const SIGNED: &str = include_str!("../seeds/return_token/signed");

fuzz_target!(|input: (u16, &str)| {
    let (place, text) = input;
    VERIFIER.with(|verifier| {
        let Verifier { keys, merchant_id } = &**verifier;
        let now = Timestamp::from_micros(1_767_225_600_000_000);
        let judge = |token: &str| Verified::judge(token, Some(keys), merchant_id, now);
        let verified = judge(text);
        let believed = matches!(verified.verdict, Verdict::Valid | Verdict::Expired | Verdict::OtherMerchant);
        assert_eq!(believed, text == &SIGNED[2..], "{text}");
        assert_eq!(verified.claims.is_some(), matches!(verified.verdict, Verdict::Valid | Verdict::Expired));
        assert!(believed || Verified::judge(text, None, merchant_id, now).verdict != Verdict::Valid);

        // However a framework spells it in a query.
        let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("return_token", text).finish();
        if query.len() < 8_192 {
            assert_eq!(Verified::judge_url(&format!("/paid?a=1&{query}&b=2#c"), Some(keys), merchant_id, now), verified);
            let twice = Verified::judge_url(&format!("/?{query}&{query}"), Some(keys), merchant_id, now);
            assert_eq!(twice.verdict, Verdict::Altered);
        }
        let _ = Verified::judge_url(text, Some(keys), merchant_id, now);

        // One character of a token is another one.
        let mut altered = SIGNED[2..].to_owned();
        let at = usize::from(place) % altered.len();
        if let Some(first) = text.chars().next() {
            altered.replace_range(at..=at, first.encode_utf8(&mut [0; 4]));
            let verdict = judge(&altered).verdict;
            assert_eq!(verdict == Verdict::Valid, altered == SIGNED[2..], "{altered}");
        }
        let _ = SigningKey::read_all(text);
    });
});

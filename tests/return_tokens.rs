//! The tokens of signed returns, as forgers would have them: every classic forgery has a verdict, and none is valid.
//!
//! Tokens are made here by hand, so that the judge is not tested by the code that writes them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use proptest::prelude::*;
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};
use sha2::Sha256;
use std::time::Duration;
use uuid::Uuid;
use waypost::{
    model::{Kind, MerchantId, Outcome, SessionId, Timestamp, limits},
    redirect::{Claims, SigningKey, SigningKeys, Verdict, Verified, to_pem},
};

const SEED: [u8; 32] = [7; 32];
const OTHER_SEED: [u8; 32] = [8; 32];
/// 2026-01-01 00:00 UTC.
const NOW_SECS: i64 = 1_767_225_600;

fn keys(seeds: &[[u8; 32]]) -> SigningKeys {
    let pem: String = seeds.iter().map(to_pem).collect();
    SigningKeys::new(SigningKey::read_all(&pem).expect("keys")).expect("a set")
}

fn kid(seed: [u8; 32]) -> String {
    keys(&[seed]).signing().kid().to_owned()
}

fn merchant(id: &str) -> MerchantId {
    id.parse().expect("a merchant id")
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_micros(secs * 1_000_000)
}

fn session_id() -> String {
    SessionId::new(Kind::Order, Uuid::from_u128(7)).to_string()
}

/// The header of our tokens.
fn header() -> Value {
    json!({"alg": "EdDSA", "kid": kid(SEED), "typ": "JWT"})
}

fn claims() -> Value {
    json!({
        "iss": "https://pay.example.com", "aud": "shop", "sub": session_id(), "iat": NOW_SECS - 60, "exp": NOW_SECS + 840,
        "jti": "AAAAAAAAAAAAAAAAAAAAAA", "outcome": "success", "payment_id": "123456789", "status": "approved",
    })
}

fn part(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

/// A token of those parts, signed with that key.
fn signed(seed: [u8; 32], header: &Value, claims: &Value) -> String {
    let text = format!("{}.{}", part(header), part(claims));
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed");
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(pair.sign(text.as_bytes())))
}

fn ours() -> String {
    signed(SEED, &header(), &claims())
}

fn judge_at(token: &str, secs: i64) -> Verified {
    Verified::judge(token, Some(&keys(&[SEED])), &merchant("shop"), at(secs))
}

fn verdict(token: &str) -> Verdict {
    let verified = judge_at(token, NOW_SECS);
    let believed = matches!(verified.verdict, Verdict::Valid | Verdict::Expired);
    assert_eq!(verified.claims.is_some(), believed, "claims are shown when they may be believed");
    verified.verdict
}

fn with(mut value: Value, name: &str, changed: Value) -> Value {
    value[name] = changed;
    value
}

fn judge_url(url: &str) -> Verdict {
    Verified::judge_url(url, Some(&keys(&[SEED])), &merchant("shop"), at(NOW_SECS)).verdict
}

#[test]
fn what_waypost_signed_is_valid_and_says_what_was_signed() {
    let verified = judge_at(&ours(), NOW_SECS);
    assert_eq!(verified.verdict, Verdict::Valid);
    assert_eq!(serde_json::to_value(verified.claims).expect("JSON"), claims());
}

#[test]
fn a_token_is_valid_until_the_second_in_which_it_expires() {
    let at = |secs| judge_at(&ours(), secs).verdict;
    assert_eq!(at(NOW_SECS + 839), Verdict::Valid);
    assert_eq!(at(NOW_SECS + 840), Verdict::Expired);
    // Another server's clock may be behind.
    assert_eq!(at(NOW_SECS - 3_600), Verdict::Valid);
}

#[test]
fn a_token_for_another_merchant_shows_nothing_even_when_it_has_expired() {
    for expire in [NOW_SECS + 840, NOW_SECS - 1] {
        let token = signed(SEED, &header(), &with(with(claims(), "aud", json!("other")), "exp", json!(expire)));
        assert_eq!(verdict(&token), Verdict::OtherMerchant);
    }
    // A list of audiences is not how ours are written.
    assert_eq!(verdict(&signed(SEED, &header(), &with(claims(), "aud", json!(["shop"])))), Verdict::Altered);
}

#[test]
fn no_algorithm_but_ours_is_known() {
    let none =
        |alg: &str| format!("{}.{}.", part(&json!({"alg": alg, "kid": kid(SEED), "typ": "JWT"})), part(&claims()));
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        assert_eq!(verdict(&none(alg)), Verdict::Altered, "{alg}");
    }
    // The public key, which everybody has, as the secret of a MAC: as its bytes, as JWK and as PEM.
    let jwks: Value = serde_json::from_str(&keys(&[SEED]).to_jwks()).expect("JSON");
    let x = jwks["keys"][0]["x"].as_str().expect("a public key");
    let bytes = URL_SAFE_NO_PAD.decode(x).expect("base64");
    for secret in [bytes.as_slice(), x.as_bytes(), jwks["keys"][0].to_string().as_bytes()] {
        for alg in ["HS256", "EdDSA"] {
            let text = format!("{}.{}", part(&with(header(), "alg", json!(alg))), part(&claims()));
            let mac =
                Hmac::<Sha256>::new_from_slice(secret).expect("a key").chain_update(&text).finalize().into_bytes();
            assert_eq!(verdict(&format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac))), Verdict::Altered, "{alg}");
        }
    }
    // Even when the signature holds: Ed25519 by its newer name (RFC 9864), and others.
    for alg in ["Ed25519", "ES256", "RS256", "eddsa"] {
        assert_eq!(verdict(&signed(SEED, &with(header(), "alg", json!(alg)), &claims())), Verdict::Altered, "{alg}");
    }
}

#[test]
fn a_header_with_anything_else_in_it_is_not_ours_whoever_signed_it() {
    let jwks: Value = serde_json::from_str(&keys(&[OTHER_SEED]).to_jwks()).expect("JSON");
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("jku", json!("https://evil.example/jwks.json")),
        ("jwk", jwks["keys"][0].clone()),
        ("x5u", json!("https://evil.example/cert.pem")),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
    ] {
        for seed in [SEED, OTHER_SEED] {
            let header = with(with(header(), "kid", json!(kid(seed))), name, value.clone());
            assert_eq!(verdict(&signed(seed, &header, &claims())), Verdict::Altered, "{name}");
        }
    }
    // The same members, written another way.
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(format!("{} ", header())), part(&claims()));
    let pair = Ed25519KeyPair::from_seed_unchecked(&SEED).expect("a seed");
    let token = format!("{text}.{}", URL_SAFE_NO_PAD.encode(pair.sign(text.as_bytes())));
    assert_eq!(verdict(&token), Verdict::Altered);
}

#[test]
fn a_key_that_the_server_does_not_have_is_told_from_an_altered_token() {
    let foreign = signed(OTHER_SEED, &with(header(), "kid", json!(kid(OTHER_SEED))), &claims());
    assert_eq!(verdict(&foreign), Verdict::UnknownKey);
    for kid in ["", "../../keys/other", "' OR 1=1 --", "preview"] {
        assert_eq!(verdict(&signed(SEED, &with(header(), "kid", json!(kid)), &claims())), Verdict::UnknownKey, "{kid}");
    }
    // What no key of ours has a header for is none, whatever key it names.
    for (name, value) in [("alg", "none"), ("typ", "JOSE")] {
        let header = with(with(header(), "kid", json!(kid(OTHER_SEED))), name, json!(value));
        assert_eq!(verdict(&signed(OTHER_SEED, &header, &claims())), Verdict::Altered, "{name}");
    }
    // Under our name.
    assert_eq!(verdict(&signed(OTHER_SEED, &header(), &claims())), Verdict::Altered);
    // No name at all.
    assert_eq!(verdict(&signed(SEED, &json!({"alg": "EdDSA", "typ": "JWT"}), &claims())), Verdict::Altered);
    // A server without keys knows none.
    let verified = Verified::judge(&ours(), None, &merchant("shop"), at(NOW_SECS));
    assert_eq!(verified.verdict, Verdict::UnknownKey);
}

#[test]
fn what_has_not_the_form_of_a_token_is_altered_and_nothing_is_missing() {
    let token = ours();
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>().try_into().expect("three parts");
    for altered in [
        "x".into(),
        ".".into(),
        "..".into(),
        "...".into(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{token}."),
        format!("{token}.{signature}"),
        format!("{token}="),
        format!("{header}.{payload}.{signature}=="),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}..{signature}"),
        // A signature cut short, and one with more after it.
        format!("{header}.{payload}.{}", &signature[..84]),
        format!("{header}.{payload}.{signature}AAAA"),
        // Zeros, as specimens have them.
        format!("{header}.{payload}.{}", "A".repeat(86)),
        format!("{header}.{}.{signature}", "A".repeat(200_000)),
        "A".repeat(1_000_000),
        // A header that is not JSON, not UTF-8, or names twice what it says.
        format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode("[]")),
        format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode([0xff, 0xfe])),
        format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","alg":"EdDSA","kid":"x"}"#)),
        format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode("[".repeat(2_000))),
    ] {
        assert_eq!(verdict(&altered), Verdict::Altered, "{altered:.300}");
    }
    assert_eq!(verdict(""), Verdict::Missing);
}

#[test]
fn what_was_signed_and_is_no_set_of_claims_is_altered() {
    for payload in [
        json!([]),
        json!("x"),
        json!({}),
        with(claims(), "exp", json!("never")),
        with(claims(), "outcome", json!("paid")),
    ] {
        assert_eq!(verdict(&signed(SEED, &header(), &payload)), Verdict::Altered, "{payload}");
    }
}

#[test]
fn keys_rotate_without_a_gap_when_the_new_one_is_known_before_it_signs() {
    // Old servers know the new key before new servers sign with it; new ones know the old one until its tokens expired.
    let (old, both, new) = (keys(&[SEED]), keys(&[SEED, OTHER_SEED]), keys(&[OTHER_SEED, SEED]));
    let (before, after) = (ours(), signed(OTHER_SEED, &with(header(), "kid", json!(kid(OTHER_SEED))), &claims()));
    let judge =
        |keys: &SigningKeys, token: &str| Verified::judge(token, Some(keys), &merchant("shop"), at(NOW_SECS)).verdict;
    assert_eq!(
        (old.signing().kid(), both.signing().kid(), new.signing().kid()),
        (&*kid(SEED), &*kid(SEED), &*kid(OTHER_SEED))
    );
    for keys in [&both, &new] {
        assert_eq!([judge(keys, &before), judge(keys, &after)], [Verdict::Valid; 2]);
    }
    // A server that was left out.
    assert_eq!(judge(&old, &after), Verdict::UnknownKey);
}

#[test]
fn the_token_of_a_url_is_the_one_of_its_query_and_only_if_there_is_one() {
    let token = ours();
    for valid in [
        format!("https://a.example.com/paid?x=1&return_token={token}#top"),
        format!("https://a.example.com/paid?return_token={token}&utm_source=mail&fbclid=1"),
        format!("/paid?return_token={token}"),
        format!("com.example.shop://back?return_token={token}"),
        // Software on the way may encode what needs no encoding.
        format!("https://a.example.com/?return%5Ftoken={}", token.replace('.', "%2E").replace('e', "%65")),
        format!("https://a.example.com/?return_token={token}&Return_Token=x&xreturn_token=y"),
        format!("https://a.example.com/?return_token={token}#return_token=x"),
    ] {
        assert_eq!(judge_url(&valid), Verdict::Valid, "{valid}");
    }
    for missing in [
        String::new(),
        "https://a.example.com/paid?order_id=1&status=approved".into(),
        "https://a.example.com/?return_token=".into(),
        "https://a.example.com/?return_token".into(),
        format!("https://a.example.com/#return_token={token}"),
        format!("https://a.example.com/#?return_token={token}"),
        format!("https://a.example.com/return_token={token}"),
        format!("https://a.example.com/?RETURN_TOKEN={token}"),
        format!("https://a.example.com/?next=%26return_token%3D{token}"),
    ] {
        assert_eq!(judge_url(&missing), Verdict::Missing, "{missing}");
    }
    for altered in [
        format!("https://a.example.com/?return_token={token}&return_token={token}"),
        format!("https://a.example.com/?return_token={token}&return_token="),
        format!("https://a.example.com/?return_token=&return_token={token}"),
        format!("https://a.example.com/?return_token=x&return%5ftoken={token}"),
        format!("https://a.example.com/?return_token={token}%00"),
        format!("https://a.example.com/?return_token={token}+"),
        format!("https://a.example.com/?return_token={}", token.replace('.', "%252E")),
        format!("https://a.example.com/?x={}&return_token={token}", "x".repeat(20_000)),
    ] {
        assert_eq!(judge_url(&altered), Verdict::Altered, "{altered:.300}");
    }
}

#[test]
fn an_orders_parameters_that_contradict_its_token_are_altered() {
    let (token, id) = (ours(), session_id());
    let url = |parameters: &str| format!("https://a.example.com/paid?{parameters}&return_token={token}");
    let as_added = format!("payment_id=123456789&status=approved&external_reference=null&order_id={id}");
    for agreeing in [
        as_added.clone(),
        // Left out, in another order, spelled otherwise, and beside others.
        "status=approved".into(),
        format!("order_id={id}&status=%61pproved&st%61tus=approved"),
        "Status=refunded&state=refunded&status[]=refunded".into(),
    ] {
        assert_eq!(judge_url(&url(&agreeing)), Verdict::Valid, "{agreeing}");
    }
    for contradicting in [
        as_added.replace("123456789", "1"),
        as_added.replace("approved", "Approved"),
        as_added.replace("approved", ""),
        as_added.replace("approved", "null"),
        as_added.replace("external_reference=null", "external_reference="),
        as_added.replace("external_reference=null", "external_reference=A-17"),
        as_added.replace(&id, &id.to_uppercase()),
        as_added.replace(&id, "null"),
        format!("{as_added}&status=refunded"),
        format!("status=refunded&{as_added}"),
        format!("st%61tus=refunded&{as_added}"),
    ]
    .into_iter()
    // Whatever Waypost adds.
    .chain(
        Kind::Order.added_params().iter().filter(|name| **name != "return_token").map(|name| format!("{name}=other")),
    ) {
        assert_eq!(judge_url(&url(&contradicting)), Verdict::Altered, "{contradicting}");
        // Behind the token, too.
        let behind = format!("https://a.example.com/paid?return_token={token}&{contradicting}#top");
        assert_eq!(judge_url(&behind), Verdict::Altered, "{behind}");
    }
    // Not in the fragment, which is not looked at; and in the URLs of others these names are the merchant's own.
    assert_eq!(judge_url(&format!("{}#&status=refunded", url(&as_added))), Verdict::Valid);
    let checkout = SessionId::new(Kind::Checkout, Uuid::from_u128(7)).to_string();
    let token = signed(SEED, &header(), &with(claims(), "sub", json!(checkout)));
    assert_eq!(judge_url(&format!("/paid?status=refunded&order_id=9&return_token={token}")), Verdict::Valid);
}

#[test]
fn what_is_longer_than_ours_can_be_is_altered_even_when_its_signature_holds() {
    let long = |bytes: usize| signed(SEED, &header(), &with(claims(), "status", json!("s".repeat(bytes))));
    let sizes: Vec<usize> = (0..limits::URL_FILLED_BYTES).collect();
    let fits = sizes.partition_point(|bytes| long(*bytes).len() <= limits::URL_FILLED_BYTES) - 1;
    assert_eq!(long(fits).len(), limits::URL_FILLED_BYTES);
    assert_eq!(verdict(&long(fits)), Verdict::Valid);
    assert_eq!(verdict(&long(fits + 1)), Verdict::Altered);
    let (start, end) = ("https://a.example.com/?x=", format!("&return_token={}", ours()));
    for (bytes, expected) in
        [(limits::RETURNED_URL_BYTES, Verdict::Valid), (limits::RETURNED_URL_BYTES + 1, Verdict::Altered)]
    {
        let url = format!("{start}{}{end}", "x".repeat(bytes - start.len() - end.len()));
        let verified = Verified::judge_url(&url, Some(&keys(&[SEED])), &merchant("shop"), at(NOW_SECS));
        assert_eq!(verified.verdict, expected, "{bytes}");
    }
}

#[test]
fn equal_claims_have_one_id_and_others_have_others() {
    let merchant_id = merchant("shop");
    let id = SessionId::new(Kind::Order, Uuid::from_u128(7));
    let token_id = |outcome, secs, payment_id: Option<&'static str>| {
        let claims = Claims::new("i", &merchant_id, id, outcome, at(secs), Duration::from_secs(900));
        written(&Claims { payment_id: payment_id.map(Into::into), ..claims }).token_id.into_owned()
    };
    let first = token_id(Outcome::Success, NOW_SECS, None);
    assert_eq!(first.len(), 22);
    assert_eq!(first, token_id(Outcome::Success, NOW_SECS + 59, None));
    for other in [
        token_id(Outcome::Pending, NOW_SECS, None),
        token_id(Outcome::Success, NOW_SECS + 60, None),
        token_id(Outcome::Success, NOW_SECS, Some("1")),
    ] {
        assert_ne!(first, other);
    }
    // Whatever id they came with.
    let claims = Claims::new("i", &merchant_id, id, Outcome::Success, at(NOW_SECS), Duration::from_secs(900));
    assert_eq!(written(&Claims { token_id: "x".into(), ..claims }).token_id, first);
}

/// The claims as a token of them says them.
fn written(claims: &Claims<'_>) -> Claims<'static> {
    let url = url_of(claims);
    let verified = Verified::judge_url(&url, Some(&keys(&[SEED])), &merchant("shop"), at(NOW_SECS));
    verified.claims.unwrap_or_else(|| panic!("{:?} {url}", verified.verdict))
}

/// A return URL that carries a token of those claims, made by the core.
fn url_of(claims: &Claims<'_>) -> String {
    use waypost::{
        model::{Late, Precedence, Root},
        redirect::{AutoReturn, Mode, Policy, Question, ReturnParams, Seal, Signing, Template, decide},
    };
    let keys = keys(&[SEED]);
    let template = Template::compile("https://a.example.com/?a=1").expect("a template");
    let (id, merchant_id) = (SessionId::new(Kind::Checkout, Uuid::from_u128(7)), merchant("shop"));
    let decision = decide(&Question {
        kind: Kind::Checkout,
        outcome: Outcome::Success,
        urls: &|_| Some(template.view()),
        precedence: Precedence::SettingsFirst,
        values: &Root::at_resolve(id, &merchant_id, &serde_json::Map::new(), Late::default()),
        params: ReturnParams::None(Kind::Checkout),
        signing: Signing::On { claims, keys: &keys, seal: Seal::Signature },
        policy: Policy { mode: Mode::Production, allowed_origins: &[], app_schemes: &[] },
        auto_return: AutoReturn::Approved,
        delay: Duration::ZERO,
    });
    decision.redirect.expect("a redirect").url.into()
}

proptest! {
    #[test]
    fn what_is_signed_comes_back_as_it_was_whatever_it_is(
        payment_id in proptest::option::of("\\PC{0,40}"), status in proptest::option::of("\\PC{1,20}"),
        reference in proptest::option::of(".{0,40}"), secs in NOW_SECS - 800..NOW_SECS,
    ) {
        let merchant_id = merchant("shop");
        let id = SessionId::new(Kind::Order, Uuid::from_u128(7));
        let claims = Claims {
            payment_id: payment_id.map(Into::into),
            status: status.map(Into::into),
            external_reference: reference.map(Into::into),
            ..Claims::new("https://pay.example.com", &merchant_id, id, Outcome::Success, at(secs), Duration::from_secs(900))
        };
        let back = written(&claims);
        prop_assert_eq!(Claims { token_id: "".into(), ..back }, claims);
    }

    #[test]
    fn a_token_that_is_altered_anywhere_is_never_valid(place in 0_usize..10_000, letter in "[A-Za-z0-9_.=%-]") {
        let token = ours();
        let at = place % token.len();
        let mut altered = token.clone();
        altered.replace_range(at..=at, &letter);
        prop_assume!(altered != token);
        prop_assert!(!matches!(verdict(&altered), Verdict::Valid | Verdict::Expired));
        prop_assert_ne!(verdict(&token[..at]), Verdict::Valid);
    }

    #[test]
    fn no_text_is_a_token_and_none_panics(text in any::<String>(), like in "[A-Za-z0-9_-]{0,90}\\.[A-Za-z0-9_-]{0,90}\\.[A-Za-z0-9_-]{0,90}") {
        prop_assert_ne!(verdict(&text), Verdict::Valid);
        prop_assert_ne!(verdict(&like), Verdict::Valid);
        let url = Verified::judge_url(&text, Some(&keys(&[SEED])), &merchant("shop"), at(NOW_SECS));
        prop_assert_ne!(url.verdict, Verdict::Valid);
    }
}

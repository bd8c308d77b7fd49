//! The pure core in nanoseconds: `cargo bench --bench core`.

mod support {
    pub mod sessions;
}

use divan::{Bencher, black_box};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use support::sessions::{BITGPT, session};
use waypost::{
    model::{Kind, Late, Level, Outcome, Precedence, ReturnUrls, Root, Session, Timestamp},
    redirect::{
        AutoReturn, Claims, Mode, Policy, Position, Question, ReturnParams, Seal, Signing, SigningKey, SigningKeys,
        Template, Verified, decide, to_pem,
    },
    server::prefer_small_pages,
};

/// As the server's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    prefer_small_pages();
    divan::main();
}

const PLAIN: &str = "https://www.your-site.com/success";

fn resolve(session: &Session, settings: &ReturnUrls<Template>, signing: Signing<'_>) -> usize {
    decided(session, settings, signing).len()
}

fn resolved_url(session: &Session, keys: &SigningKeys) -> String {
    let claims = claims(session);
    let signing = Signing::On { claims: &claims, keys, seal: Seal::Signature };
    decided(session, &ReturnUrls::default(), signing)
}

fn decided(session: &Session, settings: &ReturnUrls<Template>, signing: Signing<'_>) -> String {
    let late =
        Late { organization_name: None, payment_id: Some("123456789"), status: Some("approved"), error_code: None };
    let decision = decide(&Question {
        kind: session.id.kind(),
        outcome: Outcome::Success,
        urls: &|Position { slot, level }| match level {
            Level::Settings => settings.get(slot).map(Template::view),
            Level::Request => session.return_url(slot),
        },
        precedence: Precedence::SettingsFirst,
        values: &Root::at_resolve(session.id, &session.merchant_id, session.body(), late),
        params: match session.id.kind() {
            Kind::Order => ReturnParams::Order {
                payment_id: late.payment_id,
                status: late.status,
                external_reference: session.external_reference(),
                order_id: session.id,
            },
            kind => ReturnParams::None(kind),
        },
        signing,
        policy: Policy { mode: Mode::Production, allowed_origins: &[], app_schemes: &[] },
        auto_return: AutoReturn::Approved,
        delay: Duration::from_secs(5),
    });
    decision.redirect.expect("a redirect").url.into()
}

/// Five placeholders, four of them bound at create; the final check included.
#[divan::bench(sample_size = 1_000)]
fn resolve_payment_with_five_placeholders(bencher: Bencher) {
    let (session, settings) = (session(Kind::Payment, BITGPT), ReturnUrls::default());
    bencher.bench(|| resolve(black_box(&session), black_box(&settings), Signing::Off));
}

/// The same on sessions at random out of a million, so that each comes from memory and not from a cache.
#[divan::bench(sample_size = 10_000)]
fn resolve_payments_at_random(bencher: Bencher) {
    static SESSIONS: OnceLock<Vec<Arc<Session>>> = OnceLock::new();
    at_random(bencher, &SESSIONS, |_| session(Kind::Payment, BITGPT));
}

fn at_random(bencher: Bencher, sessions: &OnceLock<Vec<Arc<Session>>>, session: impl Fn(u32) -> Session) {
    let sessions = sessions.get_or_init(|| (0..1_000_000).map(|number| Arc::new(session(number))).collect());
    let settings = ReturnUrls::default();
    let mut at = 0_u64;
    bencher.bench_local(|| {
        // An affine walk that never comes near where it was.
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let session = Arc::clone(&sessions[(at >> 33) as usize % sessions.len()]);
        resolve(black_box(&session), black_box(&settings), Signing::Off)
    });
}

/// The same with a path of its own in each URL, so that each is parsed, as no parse can be remembered.
#[divan::bench(sample_size = 10_000)]
fn resolve_payments_with_their_own_paths_at_random(bencher: Bencher) {
    static SESSIONS: OnceLock<Vec<Arc<Session>>> = OnceLock::new();
    at_random(bencher, &SESSIONS, |number| {
        session(Kind::Payment, &BITGPT.replace("/redirect", &format!("/redirect/{number:07}")))
    });
}

/// Four parameters added.
#[divan::bench(sample_size = 1_000)]
fn resolve_order(bencher: Bencher) {
    let (session, settings) = (session(Kind::Order, PLAIN), ReturnUrls::default());
    bencher.bench(|| resolve(black_box(&session), black_box(&settings), Signing::Off));
}

fn keys() -> SigningKeys {
    SigningKeys::new(SigningKey::read_all(&to_pem(&[7; 32])).expect("a key")).expect("a set")
}

fn claims(session: &Session) -> Claims<'_> {
    let (now, ttl) = (Timestamp::from_micros(1_767_225_600_000_000), Duration::from_secs(900));
    let issuer = "https://pay.example.com";
    let claims = Claims::new(issuer, &session.merchant_id, session.id, Outcome::Success, now, ttl);
    Claims { payment_id: Some("123456789".into()), status: Some("approved".into()), ..claims }
}

/// The same with a token: nearly all that it costs more is the signature.
#[divan::bench(sample_size = 1_000)]
fn resolve_order_signed(bencher: Bencher) {
    let (session, settings, keys) = (session(Kind::Order, PLAIN), ReturnUrls::default(), keys());
    bencher.bench(|| {
        let claims = claims(&session);
        let signing = Signing::On { claims: &claims, keys: &keys, seal: Seal::Signature };
        resolve(black_box(&session), black_box(&settings), signing)
    });
}

/// What that signature costs whoever verifies it.
#[divan::bench(sample_size = 1_000)]
fn verify_a_return(bencher: Bencher) {
    let (session, keys) = (session(Kind::Order, PLAIN), keys());
    let url = resolved_url(&session, &keys);
    let now = Timestamp::from_micros(1_767_225_600_000_000);
    bencher.bench(|| Verified::judge_url(black_box(&url), Some(&keys), &session.merchant_id, now));
}

/// The settings' template leads into the body, which is read for it.
#[divan::bench(sample_size = 1_000)]
fn resolve_by_settings_with_five_placeholders(bencher: Bencher) {
    let session = session(Kind::Payment, PLAIN);
    let mut settings = ReturnUrls::default();
    settings.set(Outcome::Success, Some(Template::compile(BITGPT).expect("a template")));
    bencher.bench(|| resolve(black_box(&session), black_box(&settings), Signing::Off));
}

/// What the parser takes for a whole URL.
#[divan::bench(sample_size = 1_000)]
fn url_parse_alone(bencher: Bencher) {
    let url = "https://example.com/redirect?id=invoice_01986132-e354-7676-9b4a-fc8dd5c5253e&metadata-value-spaced=custom-value-2&metadata-value-normal=custom-value-1&item=PAYMENT_INTENT&payment=123456789";
    bencher.bench(|| url::Url::parse(black_box(url)));
}

#[divan::bench(sample_size = 1_000)]
fn compile_and_bind_a_session(bencher: Bencher) {
    bencher.bench(|| session(Kind::Payment, black_box(BITGPT)));
}

//! One resolve, over and over, to be counted instruction by instruction: `scripts/instructions` runs it in callgrind.
//!
//! Counts do not depend on what else the machine does, so a budget can be held to within some per cent.

mod support {
    pub mod sessions;
}

use std::{env, hint::black_box, time::Duration};
use support::sessions::{BITGPT, session};
use url::Url;
use waypost::{
    model::{Kind, Late, Level, Outcome, Precedence, ReturnUrls, Root, Session},
    redirect::{AutoReturn, Mode, Policy, Position, Question, ReturnParams, Signing, Template, decide},
};

/// As the server's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // `cargo test` and `cargo bench` run it too, to see that it works.
    let repeated: u32 = env::var("REPEATED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let (payment, order) = (session(Kind::Payment, BITGPT), session(Kind::Order, "https://www.your-site.com/success"));
    // Each comes once, so that its parse is not remembered.
    let heads = (0..repeated).map(|number| format!("https://example.com/redirect/{number:04}"));
    let parsed = heads.map(|head| {
        let url = BITGPT.replace("https://example.com/redirect", &head);
        (session(Kind::Payment, &url), head)
    });
    let parsed: Vec<_> = parsed.collect();
    for (session, head) in &parsed {
        black_box(counted_payment(black_box(&payment)));
        black_box(counted_order(black_box(&order)));
        black_box(counted_parsed(black_box(session)));
        black_box(counted_parse(black_box(head)));
    }
}

// By these names callgrind is told what to count. Each does something of its own, or the compiler would make one of them.

#[inline(never)]
#[unsafe(no_mangle)]
fn counted_payment(session: &Session) -> usize {
    resolve(session)
}

#[inline(never)]
#[unsafe(no_mangle)]
fn counted_order(session: &Session) -> usize {
    resolve(session) + black_box(1)
}

#[inline(never)]
#[unsafe(no_mangle)]
fn counted_parsed(session: &Session) -> usize {
    resolve(session) + black_box(2)
}

#[inline(never)]
#[unsafe(no_mangle)]
fn counted_parse(url: &str) -> bool {
    Url::parse(url).is_ok()
}

fn resolve(session: &Session) -> usize {
    let late =
        Late { organization_name: None, payment_id: Some("123456789"), status: Some("approved"), error_code: None };
    let params = match session.id.kind() {
        Kind::Order => ReturnParams::Order {
            payment_id: late.payment_id,
            status: late.status,
            external_reference: session.external_reference(),
            order_id: session.id,
        },
        kind => ReturnParams::None(kind),
    };
    let settings = ReturnUrls::<Template>::default();
    let decision = decide(&Question {
        kind: session.id.kind(),
        outcome: Outcome::Success,
        urls: &|Position { slot, level }| match level {
            Level::Settings => settings.get(slot).map(Template::view),
            Level::Request => session.return_url(slot),
        },
        precedence: Precedence::SettingsFirst,
        values: &Root::at_resolve(session.id, &session.merchant_id, session.body(), late),
        params,
        signing: Signing::Off,
        policy: Policy { mode: Mode::Production, allowed_origins: &[], app_schemes: &[] },
        auto_return: AutoReturn::Approved,
        delay: Duration::from_secs(5),
    });
    decision.redirect.expect("a redirect").url.as_str().len()
}

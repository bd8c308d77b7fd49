//! Builds valid sessions and merchants for tests of stores, without the use cases. Every session is another one.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use uuid::Uuid;
use waypost::{
    model::{
        Ending, Fingerprint, Idempotency, IdempotencyKey, Kind, Merchant, MerchantId, Notice, NoticeCode, Outcome,
        Precedence, Session, SessionId, Timestamp,
    },
    redirect::{Mode, OriginPattern, Template},
};

/// When everything is created, unless a test says otherwise.
pub const CREATED: Timestamp = Timestamp::from_micros(1_790_000_000_123_456);
/// When every session expires, unless a test says otherwise.
pub const EXPIRES: Timestamp = Timestamp::from_micros(1_790_000_900_123_456);

/// A session to be built.
#[derive(Debug, Clone)]
pub struct Draft {
    kind: Kind,
    merchant: MerchantId,
    key: Option<Idempotency>,
    metadata: Value,
    expires: Timestamp,
}

/// A checkout of merchant `m1` without a key.
pub fn draft() -> Draft {
    Draft { kind: Kind::Checkout, merchant: merchant_id("m1"), key: None, metadata: json!({}), expires: EXPIRES }
}

impl Draft {
    /// Of that kind.
    pub fn kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// Of that merchant.
    pub fn of(self, merchant: &str) -> Self {
        Self { merchant: merchant_id(merchant), ..self }
    }

    /// Created with that key; `content` stands for what was sent.
    pub fn key(self, key: &str, content: u8) -> Self {
        let key = idempotency_key(key);
        Self { key: Some(Idempotency { key, fingerprint: Fingerprint([content; 32]) }), ..self }
    }

    /// With that metadata.
    pub fn metadata(self, metadata: Value) -> Self {
        Self { metadata, ..self }
    }

    /// Expiring then.
    pub fn expires(self, expires: Timestamp) -> Self {
        Self { expires, ..self }
    }

    /// The session, with an id of its own.
    pub fn build(&self) -> Session {
        self.build_as(next_id(self.kind))
    }

    /// The session with that id.
    pub fn build_as(&self, id: SessionId) -> Session {
        let url = "https://shop.example/back?ref={{metadata.ref}}&c={CHECKOUT_SESSION_ID}&e={ERROR_CODE}";
        let mut body = match self.kind {
            Kind::Checkout => json!({
                "customer": { "email": "buyer@example.com" },
                "redirect_urls": { "success": url, "failure": "https://shop.example/sorry" },
                "shopping_cart": { "line_items": [{ "name": "Hat", "price": 2500, "unit_qty": 1 }] },
            }),
            Kind::Order => json!({
                "type": "online",
                "total_amount": "1000.00",
                "external_reference": "ext_ref_1234",
                "checkout_pro": { "back_urls": { "success": url, "pending": url }, "auto_return": "all" },
            }),
            Kind::Payment => json!({
                "customer_email": "buyer@example.com",
                "items": [{ "type": "deposit", "price": "50", "currency": "USD" }],
                "redirect_url": url,
            }),
        };
        body["metadata"] = self.metadata.clone();
        let Value::Object(body) = body else { unreachable!("an object was written") };
        let session = Session::open(id, self.merchant.clone(), &body, self.key.as_ref(), CREATED, self.expires);
        let notice =
            Notice { code: NoticeCode::NoUrl, field: "redirect_urls.cancel".into(), description: "no URL".into() };
        session.expect("a session").with_notices(&[notice])
    }
}

/// An id that nothing else in this process has.
pub fn next_id(kind: Kind) -> SessionId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    // Like version 7: the high bits grow with time, the low bits look random. Other processes have other ids.
    let low = next.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (u64::from(std::process::id()) << 32);
    SessionId::new(kind, Uuid::from_u64_pair(0x0190_0000_0000_7000 + (next >> 4), low))
}

/// That text as a merchant id.
pub fn merchant_id(text: &str) -> MerchantId {
    text.parse().expect("a merchant id")
}

/// That text as an idempotency key.
pub fn idempotency_key(text: &str) -> IdempotencyKey {
    IdempotencyKey::try_from(Box::from(text)).expect("an idempotency key")
}

/// A report with nothing but an outcome.
pub fn ending(outcome: Outcome) -> Ending {
    Ending { outcome, payment_id: None, status: None, error_code: None }
}

/// The next state of a session after a report at `now`; the report must change something.
pub fn recorded(session: &Session, outcome: Outcome, now: Timestamp) -> Session {
    session.record(ending(outcome), now).expect("the report changes something")
}

/// A state of a merchant in which every field is set; equal arguments give equal states.
pub fn merchant(id: &str, version: u64) -> Merchant {
    let mut merchant = Merchant::default_for(merchant_id(id));
    merchant.name = format!("Shop \"№{version}\" \\ Ünïcode").into();
    let url = |text: &str| Some(Template::compile(text).expect("a template"));
    merchant.return_urls.set(Outcome::Success, url(&format!("https://shop.example/{version}/{{{{id}}}}")));
    merchant.return_urls.set(Outcome::Expired, url("myapp://back?e={ERROR_CODE}"));
    merchant.precedence = Precedence::RequestFirst;
    merchant.auto_return_delay = Duration::from_millis(1_500);
    let origin = |text| OriginPattern::parse(text, Mode::Sandbox).expect("an origin");
    merchant.allowed_origins =
        vec![origin("https://shop.example"), origin("https://*.example.org"), origin("http://localhost:3000")];
    merchant.app_schemes = vec!["myapp".parse().expect("a scheme")];
    merchant.sign_returns = true;
    merchant.update_time = Some(CREATED.plus(Duration::from_micros(version)));
    merchant.version = version;
    merchant
}

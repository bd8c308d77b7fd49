//! One buyer's way through one checkout, order or payment.

use super::{
    BodyRef, IdempotencyKey, Kind, MerchantId, Notice, Outcome, ReturnUrls, Root, SessionId, Timestamp,
    content::Content, limits,
};
use crate::redirect::{AutoReturn, InvalidTemplate, Template, TemplateRef};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// A session. What the create call said never changes; [`Session::record`] makes a new one with another ending.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Its id, which says its kind.
    pub id: SessionId,
    /// The merchant that it belongs to.
    pub merchant_id: MerchantId,
    /// When an order's page goes on by itself; from the body.
    pub auto_return: AutoReturn,
    /// What the create call said and was told, to be read by [`Session::body`] and its neighbours.
    pub content: Content,
    /// When it was created.
    pub create_time: Timestamp,
    /// When it was created or its ending was last recorded. See [`Session::update_time_at`].
    pub update_time: Timestamp,
    /// When it expires if it is open until then.
    pub expire_time: Timestamp,
    /// How it ended, as recorded; `None` while nothing is. See [`Session::ending_at`].
    pub ending: Option<Ending>,
    /// Counts the states of the session from 1; a store replaces a state only by the one that was made from it.
    pub version: u64,
}

/// How a session ended, as a caller reported it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// In one word.
    pub outcome: Outcome,
    /// The provider's id of the payment.
    pub payment_id: Option<CompactString>,
    /// The provider's own word for the state.
    pub status: Option<CompactString>,
    /// The provider's code of what went wrong.
    pub error_code: Option<CompactString>,
}

impl Ending {
    /// That outcome, with nothing known about it.
    pub const fn bare(outcome: Outcome) -> Self {
        Self { outcome, payment_id: None, status: None, error_code: None }
    }

    /// This report, with what it leaves out taken from an earlier one.
    ///
    /// What is left out stays when the outcome stays. When a pending payment settles, its `payment_id` stays too: it is
    /// the same payment. Otherwise nothing of an earlier attempt is taken over.
    #[must_use]
    pub fn after(self, before: Option<&Self>) -> Self {
        let kept = before.filter(|before| before.outcome == self.outcome || before.outcome == Outcome::Pending);
        let same = kept.filter(|before| before.outcome == self.outcome);
        Self {
            outcome: self.outcome,
            payment_id: self.payment_id.or_else(|| kept?.payment_id.clone()),
            status: self.status.or_else(|| same?.status.clone()),
            error_code: self.error_code.or_else(|| same?.error_code.clone()),
        }
    }
}

/// What makes a create call safe to repeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// The caller's name for the call.
    pub key: IdempotencyKey,
    /// Stands for what was sent.
    pub fingerprint: Fingerprint,
}

/// A SHA-256 of the deterministic encoding of a create request without its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub [u8; 32]);

impl Kind {
    /// Where the body has its return URLs: an object of slots for checkouts and orders, one URL for payments.
    const fn return_urls_path(self) -> &'static [&'static str] {
        match self {
            Self::Checkout => &["redirect_urls"],
            Self::Order => &["checkout_pro", "back_urls"],
            Self::Payment => &["redirect_url"],
        }
    }

    /// The proto path of the field that fills a slot.
    pub fn return_url_field(self, slot: Outcome) -> String {
        let path = self.return_urls_path().join(".");
        match self {
            Self::Checkout | Self::Order => format!("{path}.{}", slot.as_str()),
            Self::Payment => path,
        }
    }

    /// The return URLs of a body, as they are written. A payment's single URL fills every slot.
    pub fn return_urls(self, body: &Map<String, Value>) -> ReturnUrls<&str> {
        let mut urls = ReturnUrls::default();
        let Some((first, rest)) = self.return_urls_path().split_first() else { return urls };
        let found = rest.iter().try_fold(body.get(*first), |value, name| value.map(|value| value.get(name)));
        for slot in Outcome::ALL {
            urls.set(
                slot,
                match found.flatten() {
                    Some(Value::String(url)) => Some(url.as_str()),
                    Some(slots) => slots.get(slot.as_str()).and_then(Value::as_str),
                    None => None,
                },
            );
        }
        urls
    }

    /// When the page of a body's order goes on by itself; `None` when the body does not say, or says neither.
    pub fn auto_return(self, body: &Map<String, Value>) -> Option<AutoReturn> {
        let word = body.get("checkout_pro")?.get("auto_return")?.as_str()?;
        AutoReturn::ALL.into_iter().find(|auto_return| auto_return.as_str() == word)
    }
}

impl Session {
    /// A session as it is created at `create_time` with that body, whose return URLs can be compiled: open, and before
    /// [`Session::with_notices`].
    pub fn open(
        id: SessionId,
        merchant_id: MerchantId,
        body: &Map<String, Value>,
        idempotency: Option<&Idempotency>,
        create_time: Timestamp,
        expire_time: Timestamp,
    ) -> Result<Self, InvalidTemplate> {
        let kind = id.kind();
        let mut return_urls = ReturnUrls::default();
        let root = Root::at_create(id, &merchant_id, body);
        for (slot, url) in kind.return_urls(body).iter() {
            return_urls.set(slot, Some(Template::compile(url)?.bind(&root)));
        }
        let reference = body.get("external_reference").and_then(Value::as_str).filter(|_| kind == Kind::Order);
        // A map with string keys always has a JSON text.
        let text = serde_json::to_string(body).expect("a JSON object has a text");
        Ok(Self {
            id,
            auto_return: kind.auto_return(body).unwrap_or_default(),
            content: Content::pack(&return_urls, reference, idempotency, &text),
            merchant_id,
            create_time,
            update_time: create_time,
            expire_time,
            ending: None,
            version: 1,
        })
    }

    /// The session with what its caller was told at create, in the little memory that it is kept in.
    #[must_use]
    pub fn with_notices(self, notices: &[Notice]) -> Self {
        Self { content: self.content.with_notices(notices), ..self }
    }

    /// The create request's body.
    pub fn body(&self) -> BodyRef<'_> {
        self.content.body()
    }

    /// The return URL in the body for that slot, with all the values bound that were known at create.
    pub fn return_url(&self, slot: Outcome) -> Option<TemplateRef<'_>> {
        self.content.return_url(slot)
    }

    /// An order's external reference; from the body.
    pub fn external_reference(&self) -> Option<&str> {
        self.content.external_reference()
    }

    /// The key of the create call.
    pub fn key(&self) -> Option<&str> {
        self.content.key()
    }

    /// What was sent with the key.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.content.fingerprint()
    }

    /// What the caller was told at create.
    pub fn notices(&self) -> Vec<Notice> {
        self.content.notices()
    }

    /// Bytes of memory that it takes, about.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.content.bytes()
    }

    /// How it has ended at that time: as recorded, or expired by itself; `None` while it is open.
    pub fn ending_at(&self, now: Timestamp) -> Option<Cow<'_, Ending>> {
        let recorded = self.ending.as_ref().map(Cow::Borrowed);
        recorded.or_else(|| (now >= self.expire_time).then_some(Cow::Owned(Ending::bare(Outcome::Expired))))
    }

    /// When it last changed, seen from that time: its expiry is a change.
    pub fn update_time_at(&self, now: Timestamp) -> Timestamp {
        if self.ending.is_none() && now >= self.expire_time { self.expire_time } else { self.update_time }
    }

    /// The session after a report of how it ended; `None` when the report changes nothing.
    ///
    /// Success is final. [`Ending::after`] says what a report may leave out.
    #[must_use]
    pub fn record(&self, report: Ending, now: Timestamp) -> Option<Self> {
        let before = self.ending_at(now);
        if let Some(Ending { outcome: Outcome::Success, .. }) = before.as_deref() {
            return None;
        }
        let ending = report.after(before.as_deref());
        if before.as_deref() == Some(&ending) {
            return None;
        }
        // A clock that was set back makes nothing older than what it changes.
        let update_time = now.max(self.update_time);
        Some(Self { ending: Some(ending), update_time, version: self.version + 1, ..self.clone() })
    }

    /// The session as the create call answered it.
    #[must_use]
    pub fn as_created(&self) -> Self {
        Self { ending: None, update_time: self.create_time, version: 1, ..self.clone() }
    }

    /// When it is over, from which its retention counts: at its recorded end, else at its expiry. A pending one waits
    /// on, [`limits::PENDING_WAIT`] after it was recorded.
    pub fn over_at(&self) -> Timestamp {
        match &self.ending {
            None => self.expire_time,
            Some(ending) if ending.outcome == Outcome::Pending => self.update_time.plus(limits::PENDING_WAIT),
            Some(_) => self.update_time,
        }
    }
}

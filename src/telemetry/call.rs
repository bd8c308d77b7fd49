//! What the log says about a call, or about a request of a page: its ids, whom it is about, and who made it.
//!
//! While one is polled, what is known about it stands in a place of its thread, where whoever learns more adds it:
//! authentication the caller, a use case the session and its merchant. Where no line will be written there are no notes,
//! and adding to them costs a look at an empty place.

use super::{trace_context::TraceContext, traces};
use crate::model::{MerchantId, SessionId};
use compact_str::CompactString;
use http::HeaderValue;
use std::{
    cell::{Cell, RefCell},
    time::Duration,
};
use tracing::Level;

/// The target of the lines about calls, for `--log`.
pub const TARGET: &str = "waypost::calls";

/// The target of the lines about pages.
pub const PAGES_TARGET: &str = "waypost::pages";

/// The header in which a caller gives its request an id, and is answered it.
pub const REQUEST_ID: http::HeaderName = http::HeaderName::from_static("x-request-id");

/// Bytes of an id that a caller gives. Longer ones than any common tracer makes.
const REQUEST_ID_BYTES: usize = 128;

/// What is known about a call.
#[derive(Debug)]
pub struct Notes {
    /// The id that was answered.
    pub request_id: HeaderValue,
    /// The trace that the call is part of.
    pub trace: Option<TraceContext>,
    session: Option<SessionId>,
    merchant: Option<MerchantId>,
    caller: Option<CompactString>,
    /// Whether what is learnt from now on is about a part of the call only.
    complete: bool,
}

thread_local! {
    static CURRENT: RefCell<Option<Box<Notes>>> = const { RefCell::new(None) };
}

impl Notes {
    /// Of a call that has begun.
    pub const fn new(request_id: HeaderValue, trace: Option<TraceContext>) -> Self {
        Self { request_id, trace, session: None, merchant: None, caller: None, complete: false }
    }

    /// Nothing more is added: a stream may go on to be about many.
    pub const fn complete(&mut self) {
        self.complete = true;
    }

    /// Ends the call: exports its span and writes its line.
    pub fn end(&self, level: Level, method: &'static str, code: &'static str, took: Duration) {
        // Health is no part of a trace.
        let exported = (level == Level::INFO).then(|| traces::export(self, method, code, took)).flatten();
        if is_logged(level) {
            let trace_id = self.trace.as_ref().map(TraceContext::trace_id).or(exported.as_deref());
            self.log(level, method, code, took, trace_id);
        }
    }

    /// Ends the request of a page: writes its line. The route stands for the URL, which is secret.
    pub fn end_page(&self, level: Level, route: &'static str, status: u16, took: Duration) {
        let duration_us = microseconds(took);
        let request_id = self.request_id.to_str().ok();
        let trace_id = self.trace.as_ref().map(TraceContext::trace_id);
        let session_id = self.session.map(tracing::field::display);
        let merchant_id = self.merchant.as_ref().map(MerchantId::as_str);
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(
                    target: PAGES_TARGET,
                    $level,
                    route,
                    status,
                    duration_us,
                    request_id,
                    trace_id,
                    session_id,
                    merchant_id,
                    "page"
                )
            };
        }
        if level == Level::DEBUG { line!(Level::DEBUG) } else { line!(Level::INFO) }
    }

    /// What is known, by the names of spans' attributes.
    #[cfg(feature = "otel")]
    pub(super) fn said(&self) -> [(&'static str, Option<String>); 4] {
        [
            ("waypost.request_id", self.request_id.to_str().ok().map(str::to_owned)),
            ("waypost.session_id", self.session.map(|id| id.to_string())),
            ("waypost.merchant_id", self.merchant.as_ref().map(|id| id.as_str().to_owned())),
            ("waypost.caller", self.caller.as_ref().map(ToString::to_string)),
        ]
    }

    fn log(&self, level: Level, method: &str, code: &str, took: Duration, trace_id: Option<&str>) {
        let duration_us = microseconds(took);
        let request_id = self.request_id.to_str().ok();
        let session_id = self.session.map(tracing::field::display);
        let merchant_id = self.merchant.as_ref().map(MerchantId::as_str);
        let caller = self.caller.as_deref();
        // The level of an event is fixed where it stands.
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(
                    target: TARGET,
                    $level,
                    method,
                    code,
                    duration_us,
                    request_id,
                    trace_id,
                    session_id,
                    merchant_id,
                    caller,
                    "call"
                )
            };
        }
        if level == Level::DEBUG { line!(Level::DEBUG) } else { line!(Level::INFO) }
    }
}

fn microseconds(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// Whether pages of that level have a line.
pub fn is_page_logged(level: Level) -> bool {
    if level == Level::DEBUG {
        tracing::enabled!(target: PAGES_TARGET, Level::DEBUG)
    } else {
        tracing::enabled!(target: PAGES_TARGET, Level::INFO)
    }
}

/// Whether anybody wants to know of calls of that level.
pub fn is_wanted(level: Level) -> bool {
    is_logged(level) || level == Level::INFO && traces::is_on()
}

fn is_logged(level: Level) -> bool {
    if level == Level::DEBUG {
        tracing::enabled!(target: TARGET, Level::DEBUG)
    } else {
        tracing::enabled!(target: TARGET, Level::INFO)
    }
}

/// Does something while these notes can be added to.
pub fn noting<T>(notes: &mut Option<Box<Notes>>, does: impl FnOnce() -> T) -> T {
    if notes.is_none() {
        return does();
    }
    // Also after a panic: the call's notes are not to be those of the next one on this thread.
    struct Lent<'n>(&'n mut Option<Box<Notes>>);
    impl Drop for Lent<'_> {
        fn drop(&mut self) {
            *self.0 = CURRENT.take();
        }
    }
    CURRENT.set(notes.take());
    let _lent = Lent(notes);
    does()
}

/// The call is about that session.
pub fn about_session(id: SessionId) {
    note(|notes| notes.session = Some(id));
}

/// The call is about that merchant.
pub fn about_merchant(id: &MerchantId) {
    note(|notes| notes.merchant = Some(id.clone()));
}

/// The call is made with the credential of that name.
pub fn made_by(name: &str) {
    note(|notes| notes.caller = Some(name.into()));
}

/// The id of the call that is polled, for other lines that lead to its own; `None` where it has none.
pub fn request_id() -> Option<String> {
    CURRENT.with_borrow(|current| Some(current.as_ref()?.request_id.to_str().ok()?.to_owned()))
}

fn note(add: impl FnOnce(&mut Notes)) {
    CURRENT.with_borrow_mut(|current| {
        if let Some(notes) = current
            && !notes.complete
        {
            add(notes);
        }
    });
}

/// The id that a caller gave, if it is one that may stand in a log: letters, digits and a few signs.
pub fn given_request_id(value: Option<&HeaderValue>) -> Option<HeaderValue> {
    let value = value?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    let bytes = value.as_bytes();
    let is_sane = (1..=REQUEST_ID_BYTES).contains(&bytes.len()) && bytes.iter().all(is_plain);
    is_sane.then(|| unindexed(value.clone()))
}

/// A new id: 32 hexadecimal digits that nobody had before, as far as chance goes.
pub fn new_request_id() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let number = (u128::from(random()) << 64) | u128::from(random());
    let text: [u8; 32] = std::array::from_fn(|at| DIGITS[(number >> (124 - 4 * at)) as usize & 15]);
    unindexed(HeaderValue::from_bytes(&text).expect("hexadecimal digits"))
}

/// Every id is another one, so that compressing them would only push what is repeated out of the table.
fn unindexed(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// `SplitMix64`, begun anew in each thread: ids need to differ, not to be secret.
fn random() -> u64 {
    thread_local! { static STATE: Cell<u64> = const { Cell::new(0) } }
    STATE.with(|state| {
        if state.get() == 0 {
            let mut seed = [0; 8];
            // Without the system's randomness an address of this thread has to do.
            if getrandom::fill(&mut seed).is_err() {
                seed = (std::ptr::from_ref(state) as usize as u64).to_ne_bytes();
            }
            state.set(u64::from_ne_bytes(seed) | 1);
        }
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_request_id_is_taken_only_if_it_may_stand_in_a_log() {
        let long = "a".repeat(REQUEST_ID_BYTES);
        for (given, taken) in [
            ("01986132-e354-7676-9b4a-fc8dd5c5253e", true),
            ("Root=1-67891233-abcdef012345678912345678", true),
            (long.as_str(), true),
            (&format!("{long}a"), false),
            ("", false),
            ("two words", false),
            ("a\"b", false),
            ("a\tb", false),
            ("{{id}}", false),
        ] {
            let given = HeaderValue::from_bytes(given.as_bytes()).unwrap();
            assert_eq!(given_request_id(Some(&given)).is_some(), taken, "{given:?}");
        }
        assert!(given_request_id(Some(&HeaderValue::from_bytes(b"caf\xc3\xa9").unwrap())).is_none());
        assert!(given_request_id(None).is_none());
    }

    #[test]
    fn new_ids_differ_from_each_other_in_one_thread_and_in_several() {
        let ids = || (0..1_000).map(|_| new_request_id()).collect::<Vec<_>>();
        let other = std::thread::spawn(ids).join().unwrap();
        let all: HashSet<_> = ids().into_iter().chain(other).collect();
        assert_eq!(all.len(), 2_000);
        assert!(all.iter().all(|id| id.len() == 32 && given_request_id(Some(id)).is_some()));
    }

    #[test]
    fn notes_are_added_to_the_call_that_is_polled_and_to_no_other() {
        let id: SessionId = "invoice_01986132-e354-7676-9b4a-fc8dd5c5253e".parse().unwrap();
        let notes = || Some(Box::new(Notes::new(new_request_id(), None)));
        let (mut first, mut second) = (notes(), notes());
        noting(&mut first, || about_session(id));
        about_merchant(&"nobody".parse().unwrap());
        noting(&mut second, || made_by("shop"));
        let broken =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| noting(&mut first, || panic!("a fault"))));
        assert!(broken.is_err() && request_id().is_none());
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!((first.session, first.caller, first.merchant), (Some(id), None, None));
        assert_eq!((second.session, second.caller.as_deref()), (None, Some("shop")));
    }
}

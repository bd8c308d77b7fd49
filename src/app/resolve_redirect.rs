//! `ResolveRedirect`: load, perhaps wait, and ask the core (SPEC 4 to 8).

use super::{App, Error, Seen, Signer};
use crate::{
    model::{Ending, Kind, Late, Level, Merchant, Outcome, Root, Session, SessionId, Tenants, Timestamp},
    redirect::{
        Candidate, Claims, Decision, Mode, Position, Question, Refusal, ReturnParams, Seal, Signing, Template, decide,
    },
    store::{Loaded, StoreError},
    telemetry::metrics::{self, Shed},
};
use compact_str::CompactString;
use std::{borrow::Cow, sync::Arc, time::Duration};
use tokio::time::Instant;

/// What a caller asks.
#[derive(Debug, Clone)]
pub struct ResolveQuery {
    /// Whose buyer is to be sent on.
    pub session_id: SessionId,
    /// The outcome to answer for; `None` for the recorded one.
    pub outcome: Option<Outcome>,
    /// Stands in for the recorded one in this answer.
    pub payment_id: Option<CompactString>,
    /// Stands in for the recorded one in this answer.
    pub status: Option<CompactString>,
    /// Stands in for the recorded one in this answer.
    pub error_code: Option<CompactString>,
    /// How long to wait for an outcome when none is recorded.
    pub wait: Duration,
    /// When the answer must be on its way; waiting ends before.
    pub deadline: Option<Instant>,
    /// Whether to list what was looked at.
    pub explain: Explain,
    /// Whether the caller's word about the outcome is signed.
    pub vouching: Vouching,
}

/// Whether a caller who names an outcome is believed where the answer is signed: whoever reads the token takes it for
/// proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vouching {
    /// Only what is recorded is signed.
    Forbidden,
    /// What the caller names is signed, recorded or not.
    Allowed,
}

/// Whether to list what was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Explain {
    /// Only the decision.
    No,
    /// Every candidate and its fate.
    Candidates,
}

/// A decision, and the outcome that it is for.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The outcome that was answered for.
    pub outcome: Outcome,
    /// Where the buyer goes.
    pub decision: Decision,
    /// What was looked at, when that was asked.
    pub candidates: Vec<Candidate>,
}

/// A decision, and what it was decided from.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The decision.
    pub answer: Answer,
    /// The session, as it was seen.
    pub seen: Seen,
    /// Its merchant.
    pub merchant: Arc<Merchant>,
}

impl ResolveQuery {
    /// Asks for the recorded outcome, and waits that long for one.
    pub const fn recorded(session_id: SessionId, wait: Duration) -> Self {
        Self {
            session_id,
            outcome: None,
            payment_id: None,
            status: None,
            error_code: None,
            wait,
            deadline: None,
            explain: Explain::No,
            vouching: Vouching::Forbidden,
        }
    }

    /// Whether an outcome is waited for when none is recorded.
    pub const fn waits(&self) -> bool {
        self.outcome.is_none() && !self.wait.is_zero()
    }
}

/// Calls and pages that wait for an outcome at once. Half of the calls that the server takes at once, so that buyers who
/// wait, each for up to 30 s, never close the door for those whose answer is known. No merchant's buyers take all of them.
pub(super) const MAX_WAITING: usize = 2_048;

/// What is left of a call's time for sending the answer, once waiting ends.
const TIME_TO_ANSWER: Duration = Duration::from_millis(50);

impl App {
    /// Decides where the buyer goes. Writes nothing.
    pub async fn resolve_redirect(&self, query: &ResolveQuery, tenants: &Tenants) -> Result<Answer, Error> {
        Ok(self.resolve_with_session(query, tenants).await?.answer)
    }

    /// The same at once. `None` where [`App::resolve_redirect`] may have to wait: for the store, or for an outcome.
    pub fn resolve_redirect_at_once(&self, query: &ResolveQuery, tenants: &Tenants) -> Option<Result<Answer, Error>> {
        if query.waits() {
            return None;
        }
        let loaded = self.load_at_once(query.session_id, tenants)?;
        Some(loaded.and_then(|loaded| self.resolve_loaded(query, loaded)).map(|resolved| resolved.answer))
    }

    /// The same as [`App::resolve_redirect`], with what it was decided from.
    pub async fn resolve_with_session(&self, query: &ResolveQuery, tenants: &Tenants) -> Result<Resolved, Error> {
        let loaded = if query.waits() {
            // In memory of its own, which is not carried about by the many that do not wait.
            Box::pin(self.load_ended(query, tenants)).await?
        } else {
            self.load_counted(query.session_id, tenants).await?
        };
        self.resolve_loaded(query, loaded)
    }

    /// The decision of [`App::resolve_redirect`], once there is something to decide from.
    fn resolve_loaded(&self, query: &ResolveQuery, Loaded { session, merchant }: Loaded) -> Result<Resolved, Error> {
        let now = self.clock.now();
        let answer = {
            let recorded = session.ending_at(now);
            let ending = ending_in_question(query, recorded.as_deref());
            if query.vouching == Vouching::Forbidden && merchant.sign_returns && ending != unasked(recorded.as_deref())
            {
                return Err(Error::MayNotVouch);
            }
            answer(&session, &merchant, self.circumstances(now, Seal::Signature), &ending, query.explain)
        };
        metrics::decided(session.id.kind(), answer.outcome, &answer.decision);
        // A buyer stands before a page without a button, and only whoever runs this server can mend it.
        if answer.decision.refusal == Some(Refusal::NoSigningKeys) {
            tracing::error!(session_id = %session.id, merchant_id = %session.merchant_id, "a return was to be signed, and there is no --signing-key-file");
        }
        Ok(Resolved { answer, seen: Seen { session, now }, merchant })
    }

    /// Loads a session once an outcome is recorded, or when waiting for one is over.
    async fn load_ended(&self, query: &ResolveQuery, tenants: &Tenants) -> Result<Loaded, Error> {
        let mut until = Instant::now() + query.wait;
        if let Some(deadline) = query.deadline {
            until = until.min(deadline.checked_sub(TIME_TO_ANSWER).unwrap_or(deadline));
        }
        // Before the first look, so that no change between look and wait is missed.
        let mut changes = self.store.changes(query.session_id);
        let mut loaded = self.load_counted(query.session_id, tenants).await?;
        let mut place = None;
        loop {
            let now = self.clock.now();
            if loaded.session.ending_at(now).is_some() {
                return Ok(loaded);
            }
            if place.is_none() {
                let merchant = &loaded.session.merchant_id;
                place = Some(self.waiting.take(Some(merchant)).ok_or_else(too_many_waiting)?);
            }
            // Running out of time is an end too, and nobody announces it.
            let until = until.min(Instant::now() + now.until(loaded.session.expire_time));
            let out_of_time = tokio::time::timeout_at(until, changes.changed()).await.is_err();
            match self.load(query.session_id, tenants).await {
                // Not looked at is no news, and there is time to look again.
                Err(Error::Store(StoreError::Overloaded)) if !out_of_time => changes.put_off(),
                looked => {
                    loaded = looked?;
                    changes.looked();
                }
            }
            if out_of_time {
                return Ok(loaded);
            }
        }
    }
}

fn too_many_waiting() -> Error {
    Shed::Waiting.count();
    Error::TooManyWaiting
}

/// The ending to answer for: the one asked about, else the recorded one, else that the buyer left.
fn ending_in_question<'s>(query: &ResolveQuery, recorded: Option<&'s Ending>) -> Cow<'s, Ending> {
    let ResolveQuery { outcome, payment_id, status, error_code, .. } = query;
    // What is asked by nearly all, and needs no copy.
    if outcome.is_none() && [payment_id, status, error_code].into_iter().all(Option::is_none) {
        return unasked(recorded);
    }
    let outcome = outcome.or(recorded.map(|recorded| recorded.outcome)).unwrap_or(Outcome::Cancel);
    let [payment_id, status, error_code] = [payment_id, status, error_code].map(Option::clone);
    Cow::Owned(Ending { outcome, payment_id, status, error_code }.after(recorded))
}

/// The ending to answer for when a query names nothing.
fn unasked(recorded: Option<&Ending>) -> Cow<'_, Ending> {
    recorded.map_or(Cow::Owned(Ending::bare(Outcome::Cancel)), Cow::Borrowed)
}

/// What an answer depends on besides the session, its merchant and the ending.
#[derive(Clone, Copy)]
pub(super) struct Circumstances<'a> {
    /// Which hosts are reachable.
    pub(super) mode: Mode,
    /// Who signs, if anybody can.
    pub(super) signer: Option<&'a Signer>,
    /// How a signed answer is sealed.
    pub(super) seal: Seal,
    /// The time of the answer.
    pub(super) now: Timestamp,
}

/// Puts the question of one session and ending to the core.
pub(super) fn answer(
    session: &Session,
    merchant: &Merchant,
    circumstances: Circumstances<'_>,
    ending: &Ending,
    explain: Explain,
) -> Answer {
    with_question(session, merchant, circumstances, ending, |question| {
        let decision = decide(question);
        let candidates = match explain {
            Explain::No => Vec::new(),
            Explain::Candidates => question.explain(&decision),
        };
        Answer { outcome: ending.outcome, decision, candidates }
    })
}

/// Makes the question of one session and ending.
pub(super) fn with_question<T>(
    session: &Session,
    merchant: &Merchant,
    circumstances: Circumstances<'_>,
    ending: &Ending,
    ask: impl FnOnce(&Question<'_, Root<'_>>) -> T,
) -> T {
    let payment_id = ending.payment_id.as_deref();
    let status = ending.status.as_deref().or(ending.outcome.default_status());
    let late =
        Late { organization_name: Some(&merchant.name), payment_id, status, error_code: ending.error_code.as_deref() };
    let params = match session.id.kind() {
        kind @ (Kind::Checkout | Kind::Payment) => ReturnParams::None(kind),
        Kind::Order => {
            let external_reference = session.external_reference();
            ReturnParams::Order { payment_id, status, external_reference, order_id: session.id }
        }
    };
    let signer = circumstances.signer.filter(|_| merchant.sign_returns);
    // Of this one answer: the next one may be made with other keys.
    let signed = signer.map(|signer| {
        let claims = Claims {
            payment_id: payment_id.map(Cow::Borrowed),
            status: status.map(Cow::Borrowed),
            ..signer.claims(session, ending.outcome, circumstances.now)
        };
        (claims, signer.keys())
    });
    let signing = match &signed {
        Some((claims, keys)) => Signing::On { claims, keys, seal: circumstances.seal },
        None if merchant.sign_returns => Signing::NoKeys,
        None => Signing::Off,
    };
    ask(&Question {
        kind: session.id.kind(),
        outcome: ending.outcome,
        urls: &|Position { slot, level }| match level {
            Level::Settings => merchant.return_urls.get(slot).map(Template::view),
            Level::Request => session.return_url(slot),
        },
        precedence: merchant.precedence,
        values: &Root::at_resolve(session.id, &session.merchant_id, session.body(), late),
        params,
        signing,
        policy: merchant.policy(circumstances.mode),
        auto_return: session.auto_return,
        delay: merchant.auto_return_delay,
    })
}

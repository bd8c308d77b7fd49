//! One of the buyers that the load consists of: makes one call after the other.

use crate::proto::v1::{
    CreatePaymentRequest, Outcome, PaymentItem, RecordOutcomeRequest, ResolveRedirectRequest,
    redirect_service_client::RedirectServiceClient, resolve_redirects_response,
};
use prost::Message;
use serde::{Deserialize, Serialize};
use std::rc::Rc;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

/// Which calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    Create,
    Record,
    Resolve,
    Mixed,
    Stream,
}

impl Work {
    /// Whether sessions have to exist before.
    pub const fn needs_sessions(self) -> bool {
        matches!(self, Self::Record | Self::Resolve | Self::Stream)
    }

    /// As it is typed.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Record => "record",
            Self::Resolve => "resolve",
            Self::Mixed => "mixed",
            Self::Stream => "stream",
        }
    }
}

/// A connection, and who speaks on it.
#[derive(Clone)]
pub struct Line {
    pub client: RedirectServiceClient<Channel>,
    pub secret: Option<MetadataValue<Ascii>>,
    pub merchant_id: Rc<str>,
}

impl Line {
    /// A request that shows the secret.
    pub fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(secret) = &self.secret {
            request.metadata_mut().insert("authorization", secret.clone());
        }
        request
    }

    /// Creates a payment with five placeholders in its URL, and says its id.
    pub async fn create(&mut self) -> Result<String, Status> {
        let text = |text: &str| prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(text.into())) };
        let metadata = [("order", "A 17"), ("campaign name", "spring")];
        let request = self.request(CreatePaymentRequest {
            merchant_id: self.merchant_id.as_ref().into(),
            // Not for longer than a run and a look at what it left.
            ttl: Some(prost_types::Duration { seconds: 60 * 60, nanos: 0 }),
            customer_email: "bench@example.com".into(),
            items: vec![PaymentItem { r#type: "PAYMENT_INTENT".into(), price: "50".into(), currency: "USD".into() }],
            metadata: Some(prost_types::Struct { fields: metadata.map(|(key, value)| (key.to_owned(), text(value))).into() }),
            redirect_url: "https://shop.example.com/paid?id={{id}}&order={{metadata.order}}&from={{metadata[campaign name]}}&item={{items[0].type}}&payment={{payment_id}}".into(),
            ..CreatePaymentRequest::default()
        });
        let created = self.client.create_payment(request).await?.into_inner();
        created.session.map(|session| session.session_id).ok_or_else(|| Status::internal("the answer has no session"))
    }

    /// Records an outcome.
    pub async fn record(&mut self, session_id: &str, outcome: Outcome) -> Result<(), Status> {
        let request = self.request(RecordOutcomeRequest {
            session_id: session_id.into(),
            outcome: outcome.into(),
            payment_id: "123456789".into(),
            ..RecordOutcomeRequest::default()
        });
        self.client.record_outcome(request).await.map(drop)
    }

    async fn resolve(&mut self, session_id: &str) -> Result<(), Status> {
        let request = self.request(resolve(session_id));
        self.client.resolve_redirect(request).await.map(drop)
    }
}

/// The question where that session's buyer goes.
pub fn resolve(session_id: &str) -> ResolveRedirectRequest {
    ResolveRedirectRequest { session_id: session_id.into(), ..ResolveRedirectRequest::default() }
}

/// What an answer of a stream says, as the unary call would have.
pub fn result(answer: Option<resolve_redirects_response::Answer>) -> Result<(), Status> {
    match answer {
        Some(resolve_redirects_response::Answer::Redirect(_)) => Ok(()),
        Some(resolve_redirects_response::Answer::Error(error)) => {
            let details = error.encode_to_vec();
            Err(Status::with_details(error.code.into(), error.message, details.into()))
        }
        None => Err(Status::internal("the answer has neither a redirect nor an error")),
    }
}

/// One of many who call at the same time.
pub struct Buyer {
    line: Line,
    work: Work,
    walk: Walk,
    /// In [`Work::Mixed`], the session whose life goes on, and how many of its calls were made.
    life: (String, usize),
}

impl Buyer {
    /// The buyer of that number.
    pub const fn new(line: Line, work: Work, walk: Walk) -> Self {
        Self { line, work, walk, life: (String::new(), 0) }
    }

    /// Makes the next call.
    pub async fn call(&mut self) -> Result<(), Status> {
        match self.work {
            Work::Create => self.line.create().await.map(drop),
            Work::Record => {
                let (session, round) = self.walk.next();
                // Another one each time the walk comes by, so that each call writes.
                let outcomes = [Outcome::Failure, Outcome::Cancel, Outcome::Pending];
                self.line.record(&session, outcomes[round % outcomes.len()]).await
            }
            Work::Resolve | Work::Stream => {
                let (session, _) = self.walk.next();
                self.line.resolve(&session).await
            }
            Work::Mixed => self.live().await,
        }
    }

    async fn live(&mut self) -> Result<(), Status> {
        let Self { line, life: (session, step), .. } = self;
        let made = match *step {
            0 => line.create().await.map(|created| *session = created),
            1 => line.record(session, Outcome::Success).await,
            _ => line.resolve(session).await,
        };
        // What fails before there is a session begins anew.
        *step = if made.is_err() && *step == 0 { 0 } else { (*step + 1) % 4 };
        made
    }
}

/// A way through all sessions in an order that no cache guesses.
#[derive(Clone)]
pub struct Walk {
    sessions: Rc<[String]>,
    at: usize,
    made: usize,
    share: usize,
}

/// A prime, so that steps of this length come by every session unless there are a multiple of it.
const STRIDE: usize = 6_151;

impl Walk {
    /// That of the walker of this number; each of `walkers` has sessions of its own when there are enough.
    pub fn new(sessions: Rc<[String]>, number: usize, walkers: usize) -> Self {
        let length = sessions.len().max(1);
        let share = (length / walkers).max(1);
        Self { sessions, at: number * share % length, made: 0, share }
    }

    /// The next session, and how often the walk was through before.
    pub fn next(&mut self) -> (String, usize) {
        // A share that is a multiple of the stride is walked through in order.
        let stride = if self.share.is_multiple_of(STRIDE) { 1 } else { STRIDE };
        let (step, round) = (self.made * stride % self.share, self.made / self.share);
        self.made += 1;
        (self.sessions[(self.at + step) % self.sessions.len()].clone(), round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn walkers_come_by_every_session_once_a_round_and_never_meet() {
        for (sessions, walkers) in [(1_000, 4), (6_151, 1), (12_302, 2), (7, 7)] {
            let all: Rc<[String]> = (0..sessions).map(|number| number.to_string()).collect();
            let mut seen = BTreeSet::new();
            for number in 0..walkers {
                let mut walk = Walk::new(Rc::clone(&all), number, walkers);
                for _ in 0..sessions / walkers {
                    let (session, round) = walk.next();
                    assert_eq!(round, 0);
                    assert!(seen.insert(session));
                }
                assert_eq!(walk.next().1, 1);
            }
            assert_eq!(seen.len(), sessions / walkers * walkers);
        }
    }
}

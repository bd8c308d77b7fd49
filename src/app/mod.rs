//! The use cases, one file each, shared by both ways in: gRPC and the buyers' pages.
//!
//! A use case loads, asks the pure core, and saves. It knows neither the wire nor which store it speaks to. It is told
//! for which merchants it acts ([`Tenants`]), and what belongs to others is not there.

mod create_session;
mod fair_places;
mod get_session;
mod merchant_rate;
mod merchant_settings;
mod notices;
mod preview_redirects;
mod record_outcome;
mod remove_over;
mod resolve_redirect;
mod signer;
mod verify_return;
mod watch_session;

pub use create_session::{CreatedSession, Draft};
pub use fair_places::{FairPlace, FairPlaces};
pub use merchant_rate::MerchantRate;
pub use merchant_settings::{Effect, MerchantChange};
pub use preview_redirects::{Preview, PreviewSource};
pub use record_outcome::Recorded;
pub use remove_over::Unswept;
pub use resolve_redirect::{Answer, Explain, ResolveQuery, Resolved, Vouching};
pub use signer::{InvalidIssuer, Issuer, Signer};
pub use verify_return::{Judged, Returned};
pub use watch_session::{Seen, SessionWatch, State};

use merchant_rate::payer;
use resolve_redirect::{Circumstances, MAX_WAITING};

use crate::{
    model::{MerchantId, Tenants, Timestamp, Violations},
    redirect::{Mode, Seal, SigningKeys},
    store::{Measured, Store, StoreError},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// What the use cases work with.
#[derive(Clone)]
pub struct App {
    store: Measured,
    mode: Mode,
    clock: Clock,
    signer: Option<Arc<Signer>>,
    /// Places of calls that wait for an outcome.
    waiting: FairPlaces<MerchantId>,
    rate: Option<Arc<MerchantRate>>,
}

impl App {
    /// Use cases on that store. No return can be signed.
    pub fn new(store: Arc<dyn Store>, mode: Mode, clock: Clock) -> Self {
        let store = Measured::new(store);
        Self { store, mode, clock, signer: None, waiting: FairPlaces::new(MAX_WAITING), rate: None }
    }

    /// Signs the returns of merchants who ask for it.
    #[must_use]
    pub fn signing(self, signer: Signer) -> Self {
        Self { signer: Some(signer.into()), ..self }
    }

    /// Lets each merchant make so many calls.
    #[must_use]
    pub fn limiting(self, rate: MerchantRate) -> Self {
        Self { rate: Some(rate.into()), ..self }
    }

    /// Counts a call that names a merchant.
    fn count(&self, named: &MerchantId, tenants: &Tenants) -> Result<(), Error> {
        let Some(rate) = &self.rate else { return Ok(()) };
        payer(tenants, named).map_or(Ok(()), |merchant| rate.count(merchant))
    }

    /// The keys of signed returns; `None` when no return can be signed.
    pub fn signing_keys(&self) -> Option<Arc<SigningKeys>> {
        self.signer.as_ref().map(|signer| signer.keys())
    }

    fn circumstances(&self, now: Timestamp, seal: Seal) -> Circumstances<'_> {
        Circumstances { mode: self.mode, signer: self.signer.as_deref(), seal, now }
    }

    /// Whether this machine itself is allowed in return URLs.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Where it all is kept.
    pub const fn store(&self) -> &Measured {
        &self.store
    }
}

/// Says what time it is.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that stands still until it is set, in microseconds since 1970. For tests of what takes days.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    fn now(&self) -> Timestamp {
        match self {
            Self::System => SystemTime::now().into(),
            Self::Manual(micros) => Timestamp::from_micros(micros.load(Ordering::SeqCst)),
        }
    }
}

/// Why a use case failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is wrong, and this is all that is.
    #[error("the request has {} invalid field(s)", .0.as_slice().len())]
    Invalid(Violations),
    /// The idempotency key stands for other content.
    #[error("the idempotency key was used before with other content")]
    KeyReused,
    /// There is no such session.
    #[error("there is no such session")]
    SessionNotFound,
    /// The caller does not act for the merchant that it names. Nothing was looked up.
    #[error("the caller does not act for the merchant")]
    OtherMerchant,
    /// The caller named an outcome that is not recorded, may not vouch for it, and the answer would be signed.
    #[error("the caller may not vouch for an outcome")]
    MayNotVouch,
    /// The merchant is not in the state that the caller read.
    #[error("the etag is not that of the merchant now")]
    EtagMismatch,
    /// Returns were to be signed, and there are no keys for it.
    #[error("there are no keys to sign returns with")]
    NoSigningKeys,
    /// As many calls wait for an outcome as may, and this one would have had to.
    #[error("more calls wait for an outcome than the server takes")]
    TooManyWaiting,
    /// The merchant has made as many calls as it may, and may make the next one after that time.
    #[error("the merchant has made as many calls as it may")]
    RateLimited(Duration),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

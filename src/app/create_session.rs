//! `CreateCheckout`, `CreateOrder`, `CreatePayment`: three bodies, one way to create (SPEC 3).

use super::{App, Error, notices};
use crate::{
    model::{
        Idempotency, Kind, Merchant, MerchantId, Notice, Outcome, ReturnUrls, Rule, Session, SessionId, Tenants,
        Timestamp, Violations, limits,
    },
    redirect::{Policy, Seal, Template},
    store::Created,
    telemetry::call,
};
use serde_json::{Map, Value};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// A create request whose fields were read one by one. What was wrong with them stands in the [`Violations`] that come
/// with it.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The merchant; `None` when its id is wrong.
    pub merchant_id: Option<MerchantId>,
    /// Which create call it is.
    pub kind: Kind,
    /// What makes the call safe to repeat.
    pub idempotency: Option<Idempotency>,
    /// How long the session stays open; `None` for its kind's default.
    pub ttl: Option<Duration>,
    /// The provider's body and `metadata`, by proto names.
    pub body: Map<String, Value>,
}

/// The answer to a create call.
#[derive(Debug, Clone)]
pub struct CreatedSession {
    /// The session as it was created.
    pub session: Arc<Session>,
    /// Whether it was created by an earlier call with the same key.
    pub replayed: bool,
    /// The time of the answer.
    pub now: Timestamp,
}

impl App {
    /// Creates a session, or returns the first response to the same idempotency key.
    pub async fn create_session(
        &self,
        draft: Draft,
        violations: Violations,
        tenants: &Tenants,
    ) -> Result<CreatedSession, Error> {
        let well_formed = violations.is_empty();
        let idempotency = draft.idempotency.clone();
        match self.prepare(draft, violations, tenants).await {
            Ok(Prepared { session, notices, .. }) => {
                let session = session.with_notices(&notices);
                match self.store.create(session.clone()).await? {
                    Created::New => {
                        call::about_session(session.id);
                        Ok(self.created(session))
                    }
                    Created::Before(first) => {
                        call::about_session(first.id);
                        Ok(self.replayed(&first))
                    }
                    Created::KeyReused => Err(Error::KeyReused),
                }
            }
            // The settings may have become stricter since the first call; a repeated one gets its answer all the same.
            Err((Error::Invalid(violations), Some((merchant_id, kind)))) if well_formed => {
                let Some(Idempotency { key, fingerprint }) = idempotency else {
                    return Err(Error::Invalid(violations));
                };
                match self.store.session_by_key(&merchant_id, kind, &key).await? {
                    Some(first) if first.fingerprint() == Some(fingerprint) => Ok(self.replayed(&first)),
                    Some(_) => Err(Error::KeyReused),
                    None => Err(Error::Invalid(violations)),
                }
            }
            Err((error, _)) => Err(error),
        }
    }

    fn created(&self, session: Session) -> CreatedSession {
        CreatedSession { session: session.into(), replayed: false, now: self.clock.now() }
    }

    /// The first response: the session before anything was recorded or ran out.
    fn replayed(&self, first: &Session) -> CreatedSession {
        CreatedSession { session: first.as_created().into(), replayed: true, now: first.create_time }
    }

    /// Checks a draft against its merchant's settings and makes the session that it describes, saving nothing.
    pub(super) async fn prepare(
        &self,
        draft: Draft,
        mut violations: Violations,
        tenants: &Tenants,
    ) -> Result<Prepared, (Error, Option<(MerchantId, Kind)>)> {
        let Draft { merchant_id, kind, idempotency, ttl, body } = draft;
        let Some(merchant_id) = merchant_id else {
            // Whose settings hold is unknown; what is wrong with the URLs by themselves is said all the same.
            let unknown = Policy { mode: self.mode, allowed_origins: &[], app_schemes: &[] };
            compile_return_urls(kind, &body, &unknown, &mut violations);
            return Err((Error::Invalid(violations), None));
        };
        let merchant = self.settings(&merchant_id, tenants).await.map_err(|error| (error, None))?;
        let templates = compile_return_urls(kind, &body, &merchant.policy(self.mode), &mut violations);
        check_auto_return(kind, &body, &merchant, &mut violations);
        if !violations.is_empty() {
            return Err((Error::Invalid(violations), Some((merchant_id, kind))));
        }
        let now = self.clock.now();
        let expire_time = now.plus(ttl.unwrap_or(kind.default_ttl()));
        let id = SessionId::new(kind, Uuid::now_v7());
        match Session::open(id, merchant_id, &body, idempotency.as_ref(), now, expire_time) {
            Ok(session) => {
                let circumstances = self.circumstances(now, Seal::Specimen);
                let notices = notices::notices(&session, &templates, &merchant, circumstances);
                Ok(Prepared { session, merchant, notices })
            }
            Err(_) => unreachable!("every return URL was compiled above"),
        }
    }
}

/// A session that could be created.
pub(super) struct Prepared {
    pub(super) session: Session,
    pub(super) merchant: Arc<Merchant>,
    pub(super) notices: Vec<Notice>,
}

/// Compiles and checks every return URL of a body, unbound.
fn compile_return_urls(
    kind: Kind,
    body: &Map<String, Value>,
    policy: &Policy<'_>,
    violations: &mut Violations,
) -> ReturnUrls<Template> {
    let mut templates: ReturnUrls<Template> = ReturnUrls::default();
    let mut seen: Option<&str> = None;
    for (slot, text) in kind.return_urls(body).iter() {
        // A payment's single URL fills every slot, and is reported once.
        if kind == Kind::Payment && seen.replace(text).is_some() {
            templates.set(slot, templates.get(Outcome::Success).cloned());
            continue;
        }
        templates.set(slot, compile_template(text, kind.return_url_field(slot), kind, policy, violations));
    }
    templates
}

/// Compiles and checks one return URL, or adds what is wrong with it under that field.
pub(super) fn compile_template(
    text: &str,
    field: String,
    kind: Kind,
    policy: &Policy<'_>,
    violations: &mut Violations,
) -> Option<Template> {
    let template = violations.take(field.clone(), Template::compile(text))?;
    violations.take(field, policy.check_template(&template, kind.added_params()))?;
    Some(template)
}

/// Mercado Pago's `invalid_auto_return`: set explicitly, it needs a success URL on one of the levels.
fn check_auto_return(kind: Kind, body: &Map<String, Value>, merchant: &Merchant, violations: &mut Violations) {
    let in_request = kind.return_urls(body).get(Outcome::Success).is_some();
    let in_settings = merchant.return_urls.get(Outcome::Success).is_some();
    if kind.auto_return(body).is_some() && !in_request && !in_settings {
        violations.add_rule(
            Rule::AutoReturnNeedsSuccessUrl,
            "checkout_pro.auto_return",
            "needs a success URL: give checkout_pro.back_urls.success, set one in the merchant's settings, or leave \
             auto_return out",
        );
    }
}

impl Kind {
    /// How long a session stays open unless the request says otherwise (Clover's figure for checkouts).
    const fn default_ttl(self) -> Duration {
        match self {
            Self::Checkout => limits::CHECKOUT_TTL,
            Self::Order | Self::Payment => limits::ORDER_TTL,
        }
    }
}

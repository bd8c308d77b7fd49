//! `GetMerchant` and `UpdateMerchant` (SPEC 12).

use super::{App, Error, create_session::compile_template};
use crate::{
    model::{Kind, Merchant, MerchantId, Outcome, Precedence, Tenants, Violations},
    redirect::{AppScheme, OriginPattern, Template},
    store::Replaced,
    telemetry::call,
};
use std::{sync::Arc, time::Duration};

/// What is to change: `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct MerchantChange {
    /// The state that the caller read; `None` for whatever stands.
    pub etag: Option<String>,
    /// The name.
    pub name: Option<Box<str>>,
    /// Slots to fill, or to empty with an empty text.
    pub return_urls: Vec<(Outcome, Box<str>)>,
    /// Which level comes first.
    pub precedence: Option<Precedence>,
    /// How long a delayed redirect waits.
    pub auto_return_delay: Option<Duration>,
    /// The whole list of origins.
    pub allowed_origins: Option<Vec<OriginPattern>>,
    /// The whole list of schemes.
    pub app_schemes: Option<Vec<AppScheme>>,
    /// Whether return URLs carry a token.
    pub sign_returns: Option<bool>,
}

/// What a change is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is saved.
    Save,
    /// It is checked like one that is saved, and nothing is written.
    Check,
}

impl App {
    /// A merchant's settings; the defaults when it was never written, and to whoever does not act for it.
    pub async fn get_merchant(&self, id: MerchantId, tenants: &Tenants) -> Result<Arc<Merchant>, Error> {
        self.count(&id, tenants)?;
        match self.settings(&id, tenants).await {
            Err(Error::OtherMerchant) => Ok(Merchant::default_for(id).into()),
            settings => settings,
        }
    }

    /// The settings that hold for a merchant: the one way in which use cases come to them. The store is not even asked
    /// about the merchants of others, so that the time of the answer says nothing about them either.
    pub(super) async fn settings(&self, id: &MerchantId, tenants: &Tenants) -> Result<Arc<Merchant>, Error> {
        call::about_merchant(id);
        if !tenants.include(id) {
            return Err(Error::OtherMerchant);
        }
        Ok(self.store.merchant(id).await?.unwrap_or_else(|| Merchant::default_for(id.clone()).into()))
    }

    /// Changes a merchant's settings. What is wrong with the change's own fields stands in `violations`, and `id` is
    /// `None` when it is wrong; what is wrong with the settings as a whole is added here. A change that is only checked
    /// gives the settings as they would be, with the version and time of those that stand.
    pub async fn update_merchant(
        &self,
        id: Option<MerchantId>,
        change: MerchantChange,
        violations: Violations,
        effect: Effect,
        tenants: &Tenants,
    ) -> Result<Arc<Merchant>, Error> {
        let Some(id) = id else {
            // Whose settings change is unknown; what is wrong with the change by itself is said all the same.
            let nobody = Merchant::default_for(MerchantId::nobody());
            return Err(self
                .changed(&nobody, &change, violations)
                .err()
                .unwrap_or(Error::Invalid(Violations::default())));
        };
        self.count(&id, tenants)?;
        loop {
            let before = self.settings(&id, tenants).await?;
            if change.etag.as_ref().is_some_and(|etag| *etag != before.etag()) {
                return Err(Error::EtagMismatch);
            }
            let changed = self.changed(&before, &change, violations.clone())?;
            if changed == *before {
                if effect == Effect::Check {
                    return Ok(before);
                }
                // As of outcomes: whoever wrote it may never have been answered.
                let kept = self.store.merchant_durably(&id).await?;
                if kept.is_none_or(|kept| kept.version == before.version) {
                    return Ok(before);
                }
                continue;
            }
            // Said now to whoever changes it, and not later to every buyer by a page without a button. It stays where it
            // is set already: this server may be the one that was started wrongly.
            if changed.sign_returns && !before.sign_returns && self.signer.is_none() {
                return Err(Error::NoSigningKeys);
            }
            if effect == Effect::Check {
                return Ok(changed.into());
            }
            let after = Merchant { version: before.version + 1, update_time: Some(self.clock.now()), ..changed };
            match self.store.replace_merchant(after.clone()).await? {
                Replaced::Done => return Ok(after.into()),
                // Another change came in between: this one is made again on top of it, or refused by its etag.
                Replaced::Stale => {}
            }
        }
    }

    /// The settings after the change, all of them checked: a URL that stays must fit a list that changes.
    fn changed(
        &self,
        before: &Merchant,
        change: &MerchantChange,
        mut violations: Violations,
    ) -> Result<Merchant, Error> {
        let mut after = before.clone();
        let change = change.clone();
        let lists_change = change.allowed_origins.is_some() || change.app_schemes.is_some();
        after.name = change.name.unwrap_or(after.name);
        after.precedence = change.precedence.unwrap_or(after.precedence);
        after.auto_return_delay = change.auto_return_delay.unwrap_or(after.auto_return_delay);
        after.allowed_origins = change.allowed_origins.unwrap_or(after.allowed_origins);
        after.app_schemes = change.app_schemes.unwrap_or(after.app_schemes);
        after.sign_returns = change.sign_returns.unwrap_or(after.sign_returns);
        for slot in Outcome::ALL {
            match change.return_urls.iter().find(|(changed, _)| *changed == slot) {
                Some((_, text)) => {
                    let text = Some(&**text).filter(|text| !text.is_empty());
                    let template = text.and_then(|text| self.compile_setting(slot, text, &after, &mut violations));
                    after.return_urls.set(slot, template);
                }
                // What was accepted stays, whatever this server's mode is now; but a list cannot leave it outside.
                None if lists_change => self.check_kept(slot, &after, &mut violations),
                None => {}
            }
        }
        if violations.is_empty() { Ok(after) } else { Err(Error::Invalid(violations)) }
    }

    /// Says so when a URL that stays would be refused from now on.
    fn check_kept(&self, slot: Outcome, after: &Merchant, violations: &mut Violations) {
        let Some(kept) = after.return_urls.get(slot) else { return };
        if let Err(refusal) = after.policy(self.mode).check_template(kept, Kind::Order.added_params()) {
            violations.add(
                format!("merchant.return_urls.{}", slot.as_str()),
                format!("is saved already and would be refused, as it {refusal}; or change it in the same call"),
            );
        }
    }

    /// One URL of the settings. Any kind of session may use it, so it is held to the rules of the strictest, the order.
    fn compile_setting(
        &self,
        slot: Outcome,
        text: &str,
        after: &Merchant,
        violations: &mut Violations,
    ) -> Option<Template> {
        let field = format!("merchant.return_urls.{}", slot.as_str());
        compile_template(text, field, Kind::Order, &after.policy(self.mode), violations)
    }
}

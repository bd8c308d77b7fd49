//! `VerifyReturn`: what a return URL that came back is worth (SPEC 10).

use super::{App, Error};
use crate::{
    model::{MerchantId, Session, Tenants, Timestamp},
    redirect::Verified,
};
use std::{ops::Deref, sync::Arc};

/// What a buyer came back with.
#[derive(Debug, Clone)]
pub enum Returned {
    /// The URL, whole or from its path on.
    Url(String),
    /// The token alone; empty when there is none.
    Token(String),
}

/// A verdict, and how its session stands.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The verdict, and the claims where they may be believed.
    pub verified: Verified,
    /// The session that the claims name, unless it was removed.
    pub session: Option<Arc<Session>>,
    /// The time of the verdict.
    pub now: Timestamp,
}

impl App {
    /// Judges what came back to that merchant. A token is not used up, and a bad one is no error. To whoever does not
    /// act for the merchant its session is not there; the verdict is no secret, as the keys for it are public.
    pub async fn verify_return(
        &self,
        merchant_id: &MerchantId,
        returned: &Returned,
        tenants: &Tenants,
    ) -> Result<Judged, Error> {
        self.count(merchant_id, tenants)?;
        let now = self.clock.now();
        let keys = self.signing_keys();
        let keys = keys.as_deref().map(Deref::deref);
        let verified = match returned {
            Returned::Url(url) => Verified::judge_url(url, keys, merchant_id, now),
            Returned::Token(token) => Verified::judge(token, keys, merchant_id, now),
        };
        let id = verified.claims.as_ref().and_then(|claims| claims.session_id.parse().ok());
        let session = match id {
            Some(id) => match self.load(id, tenants).await {
                Ok(loaded) => Some(loaded.session),
                Err(Error::SessionNotFound) => None,
                Err(error) => return Err(error),
            },
            None => None,
        };
        // A signature of ours over another merchant's session does not occur; if it did, it would show nothing.
        let session = session.filter(|session| session.merchant_id == *merchant_id);
        Ok(Judged { verified, session, now })
    }
}

//! Somebody who has shown a credential that stands.

use super::{Scope, Scopes};
use crate::model::{Tenants, Timestamp};
use std::{
    future::{Future, pending},
    time::SystemTime,
};
use tokio::{sync::watch, time::sleep};

/// Who calls, and what they may do.
#[derive(Debug)]
pub struct Caller {
    pub(super) name: Box<str>,
    pub(super) tenants: Tenants,
    pub(super) scopes: Scopes,
    pub(super) expire_time: Option<Timestamp>,
    /// Closed when the credential is changed or taken away.
    pub(super) stands: watch::Receiver<()>,
}

impl Caller {
    /// The credential's name, for logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The merchants that the caller acts for.
    pub const fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    /// Whether the caller may do calls of that kind.
    pub const fn may(&self, scope: Scope) -> bool {
        self.scopes.hold(scope)
    }

    /// Whether the credential had run out at that time.
    pub(super) fn expired_at(&self, now: Timestamp) -> bool {
        self.expire_time.is_some_and(|end| now >= end)
    }

    /// Ready once the credential does not stand any more: what lasts must end with it.
    pub fn revoked(&self) -> impl Future<Output = ()> + Send + use<> {
        let (mut stands, expire_time) = (self.stands.clone(), self.expire_time);
        async move {
            let expired = async {
                match expire_time {
                    Some(end) => sleep(Timestamp::from(SystemTime::now()).until(end)).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                // Nothing is ever sent: only the end is heard.
                _ = stands.changed() => {}
                () = expired => {}
            }
        }
    }
}

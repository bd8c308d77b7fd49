//! The credentials in force, as calls ask for them.

use super::{Caller, Entry, Problems, Proof, SecretDigest, limits};
use crate::{
    model::Timestamp,
    server::{PeerName, PeerNames},
    telemetry::metrics::CREDENTIALS_EXPIRE_TIME,
};
use std::{fs::File, io::Read, path::Path, sync::Arc, time::SystemTime};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use tokio::sync::watch;

/// All credentials of a deployment at one time.
#[derive(Debug, Default)]
pub struct Credentials(Vec<Arc<Credential>>);

/// One of them.
#[derive(Debug)]
struct Credential {
    entry: Entry,
    caller: Arc<Caller>,
    /// Dropped with the last version of the file that has this entry, which [`Caller::revoked`] hears.
    _stands: watch::Sender<()>,
}

impl Credentials {
    /// Reads a credentials file. What stands unchanged in `before` stays the same credential.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the file, each problem with its line.
    pub fn open(path: &Path, before: Option<&Self>) -> Result<Self, String> {
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(limits::FILE_BYTES + 1).read_to_string(&mut text))
            .map_err(|error| error.to_string())?;
        if text.len() as u64 > limits::FILE_BYTES {
            return Err(format!("is larger than {} bytes", limits::FILE_BYTES));
        }
        let read = Self::read(&text, before).map_err(|problems| problems.to_string())?;
        read.tell_expiry();
        Ok(read)
    }

    /// Reads the text of a credentials file.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn read(text: &str, before: Option<&Self>) -> Result<Self, Problems> {
        let entries = Entry::read_all(text)?;
        let before = before.map(|before| before.0.as_slice()).unwrap_or_default();
        let kept = |entry: &Entry| before.iter().find(|credential| credential.entry == *entry).cloned();
        let credential = |entry: Entry| kept(&entry).unwrap_or_else(|| Arc::new(Credential::new(entry)));
        Ok(Self(entries.into_iter().map(credential).collect()))
    }

    /// The caller whose secret it is. Every credential is compared with, in a time that does not depend on how near the
    /// secret comes to any of them.
    pub fn by_secret(&self, sent: &[u8]) -> Option<&Arc<Caller>> {
        let digest = SecretDigest::of(sent)?;
        let mut found = u32::MAX;
        for (at, credential) in (0..).zip(&self.0) {
            if let Proof::Secret(kept) = &credential.entry.proof {
                found.conditional_assign(&at, kept.ct_eq(&digest));
            }
        }
        self.standing(usize::try_from(found).ok()?)
    }

    /// The caller whose certificate it is; the first in the file when it names several.
    pub fn by_certificate(&self, names: &PeerNames) -> Option<&Arc<Caller>> {
        let named = |name: &PeerName| names.as_slice().contains(name);
        let at = self.0.iter().position(|credential| match &credential.entry.proof {
            Proof::Certificate(name) => named(name),
            Proof::Secret(_) => false,
        });
        self.standing(at?)
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none, and nobody may call.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn standing(&self, at: usize) -> Option<&Arc<Caller>> {
        let caller = &self.0.get(at)?.caller;
        // Asking for the time costs as much as comparing with one credential.
        let expired = caller.expire_time.is_some() && caller.expired_at(SystemTime::now().into());
        (!expired).then_some(caller)
    }

    /// Callers are not told that their credential has expired, so the log tells, and a metric when the next one will.
    fn tell_expiry(&self) {
        let now = Timestamp::from(SystemTime::now());
        let callers = self.0.iter().map(|credential| &credential.caller);
        let (expired, standing): (Vec<_>, Vec<_>) = callers.partition(|caller| caller.expired_at(now));
        for caller in expired {
            tracing::warn!(credential = caller.name(), "a credential has expired");
        }
        let next = standing.into_iter().filter_map(|caller| caller.expire_time).min();
        CREDENTIALS_EXPIRE_TIME.set([], next.map(SystemTime::from));
    }
}

impl Credential {
    fn new(entry: Entry) -> Self {
        let (sender, stands) = watch::channel(());
        let Entry { name, tenants, scopes, expire_time, .. } = entry.clone();
        let caller = Caller { name, tenants, scopes, expire_time, stands };
        Self { entry, caller: Arc::new(caller), _stands: sender }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callers::{Scope, Secret};
    use futures_util::FutureExt;
    use std::time::Duration;

    fn entry(name: &str, secret: &str, rest: &str) -> String {
        let digest = SecretDigest::of(secret.as_bytes()).unwrap();
        format!("[[credential]]\nname = '{name}'\nsha256 = '{digest}'\nmerchants = 'all'\nscopes = ['read']\n{rest}\n")
    }

    #[test]
    fn a_secret_finds_its_own_caller_and_nothing_else_finds_one() {
        let names = ["first", "second", "last"];
        let text: String = names.map(|name| entry(name, &format!("secret of {name}"), "")).concat();
        let credentials = Credentials::read(&text, None).unwrap();
        for name in names {
            let caller = credentials.by_secret(format!("secret of {name}").as_bytes()).unwrap();
            assert_eq!(caller.name(), name);
            assert!(caller.may(Scope::Read) && !caller.may(Scope::Create));
        }
        for sent in ["", "secret of", "secret of nobody", "SECRET OF FIRST", Secret::generate().unwrap().reveal()] {
            assert!(credentials.by_secret(sent.as_bytes()).is_none(), "{sent}");
        }
    }

    #[test]
    fn an_expired_credential_is_none() {
        let text =
            entry("old", "a", "expires = 2020-01-01T00:00:00Z") + &entry("new", "b", "expires = 2999-01-01T00:00:00Z");
        let credentials = Credentials::read(&text, None).unwrap();
        assert!(credentials.by_secret(b"a").is_none());
        assert_eq!(credentials.by_secret(b"b").unwrap().name(), "new");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_is_revoked_when_its_entry_is_changed_or_gone_and_by_time_and_not_otherwise() {
        let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(60);
        let soon = format!("expires = {soon}");
        let text = entry("stays", "a", "") + &entry("goes", "b", "") + &entry("expires", "c", &soon);
        let before = Credentials::read(&text, None).unwrap();
        let revoked = |secret: &[u8]| before.by_secret(secret).unwrap().revoked();
        let (mut stays, goes, expires) = (Box::pin(revoked(b"a")), revoked(b"b"), revoked(b"c"));
        let after =
            Credentials::read(&(entry("stays", "a", "") + &entry("expires", "c", &soon)), Some(&before)).unwrap();
        drop(before);
        assert_eq!(goes.now_or_never(), Some(()));
        tokio::time::timeout(Duration::from_secs(61), expires).await.expect("it expires in a minute");
        assert_eq!(stays.as_mut().now_or_never(), None);
        drop(Credentials::read(&entry("renamed", "a", ""), Some(&after)).unwrap());
        drop(after);
        assert_eq!(stays.now_or_never(), Some(()));
    }
}

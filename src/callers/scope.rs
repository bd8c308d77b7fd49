//! What a caller may do, whoever the merchant is.

use std::{fmt, str::FromStr};

/// One kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Creates sessions, and previews those that are not created.
    Create,
    /// Records how sessions ended.
    Record,
    /// Reads sessions and settings, and asks where buyers go.
    Read,
    /// Reads and changes merchants' settings.
    Merchant,
}

/// Some of the scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scope {
    /// All of them. A scope that is added here is part of [`Scopes::ADMIN`].
    pub const ALL: [Self; 4] = [Self::Create, Self::Record, Self::Read, Self::Merchant];

    /// Its name, in the credentials file and in errors.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Record => "record",
            Self::Read => "read",
            Self::Merchant => "merchant",
        }
    }
}

impl Scopes {
    /// Everything: the name `admin`.
    pub const ADMIN: Self = Self(u8::MAX);

    /// Whether the scope is one of these.
    pub const fn hold(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    /// These and those.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }
}

impl From<Scope> for Scopes {
    fn from(scope: Scope) -> Self {
        Self(1 << scope as u8)
    }
}

/// Reads one name, `admin` for all of them.
impl FromStr for Scopes {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        if text == "admin" {
            return Ok(Self::ADMIN);
        }
        Scope::ALL.into_iter().find(|scope| scope.as_str() == text).map(Self::from).ok_or(UnknownScope)
    }
}

/// The names, as the credentials file has them.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ADMIN {
            return f.write_str("\"admin\"");
        }
        let held: Vec<_> =
            Scope::ALL.iter().filter(|scope| self.hold(**scope)).map(|s| format!("{:?}", s.as_str())).collect();
        f.write_str(&held.join(", "))
    }
}

/// The text is not the name of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a scope: write create, record, read, merchant or admin")]
pub struct UnknownScope;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_scope_and_admin_is_every_one() {
        for scope in Scope::ALL {
            let scopes: Scopes = scope.as_str().parse().unwrap();
            for other in Scope::ALL {
                assert_eq!(scopes.hold(other), scope == other);
            }
            assert!("admin".parse::<Scopes>().unwrap().hold(scope));
            assert!(!Scopes::default().hold(scope));
        }
        assert_eq!("Read".parse::<Scopes>(), Err(UnknownScope));
    }
}

//! Whose data a call may touch.

use super::MerchantId;
use std::sync::Arc;

/// The merchants that somebody acts for. Every use case that reads or writes a merchant's data asks for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenants {
    /// All of them: the deployment itself, or a caller that is trusted with everything.
    All,
    /// These and no others, in order.
    Only(Arc<[MerchantId]>),
}

impl Tenants {
    /// These merchants and no others.
    pub fn only(merchants: impl IntoIterator<Item = MerchantId>) -> Self {
        let mut merchants: Vec<_> = merchants.into_iter().collect();
        merchants.sort_unstable();
        Self::Only(merchants.into())
    }

    /// The merchant, if it is a single one.
    pub fn only_one(&self) -> Option<&MerchantId> {
        match self {
            Self::Only(merchants) if let [one] = &**merchants => Some(one),
            Self::All | Self::Only(_) => None,
        }
    }

    /// Whether that merchant is one of them.
    pub fn include(&self, merchant: &MerchantId) -> bool {
        match self {
            Self::All => true,
            Self::Only(merchants) => merchants.binary_search(merchant).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merchant_is_a_tenant_by_its_exact_id() {
        let id = |text: &str| text.parse::<MerchantId>().unwrap();
        let tenants = Tenants::only(["m2", "m1", "M3"].map(id));
        for (merchant, included) in [("m1", true), ("m2", true), ("M3", true), ("m3", false), ("m", false)] {
            assert_eq!(tenants.include(&id(merchant)), included, "{merchant}");
            assert!(Tenants::All.include(&id(merchant)));
        }
        assert!(!tenants.include(&MerchantId::nobody()));
    }
}

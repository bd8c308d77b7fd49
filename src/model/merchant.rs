//! The owner of settings and sessions.

use super::{MerchantId, Precedence, ReturnUrls, Timestamp, limits};
use crate::redirect::{AppScheme, Mode, OriginPattern, Policy, Template};
use std::time::Duration;

/// What a merchant set once for all its sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct Merchant {
    /// The caller's own id of the merchant.
    pub id: MerchantId,
    /// The name that buyers read; empty when there is none.
    pub name: Box<str>,
    /// The return URLs for every session.
    pub return_urls: ReturnUrls<Template>,
    /// Which level's URL comes first.
    pub precedence: Precedence,
    /// How long the page of a delayed redirect waits.
    pub auto_return_delay: Duration,
    /// The only origins of web URLs; empty for every one.
    pub allowed_origins: Vec<OriginPattern>,
    /// The schemes of deep links.
    pub app_schemes: Vec<AppScheme>,
    /// Whether return URLs carry a token that proves what they say.
    pub sign_returns: bool,
    /// When it was last changed; `None` when it was never written.
    pub update_time: Option<Timestamp>,
    /// Counts the changes; 0 when it was never written.
    pub version: u64,
}

impl Merchant {
    /// A merchant that was never written.
    pub fn default_for(id: MerchantId) -> Self {
        Self {
            id,
            name: "".into(),
            return_urls: ReturnUrls::default(),
            precedence: Precedence::default(),
            auto_return_delay: limits::AUTO_RETURN_DELAY_DEFAULT,
            allowed_origins: Vec::new(),
            app_schemes: Vec::new(),
            sign_returns: false,
            update_time: None,
            version: 0,
        }
    }

    /// Stands for this state in a caller's next update.
    pub fn etag(&self) -> String {
        format!("v{}", self.version)
    }

    /// What the merchant's URLs are checked against.
    pub fn policy(&self, mode: Mode) -> Policy<'_> {
        Policy { mode, allowed_origins: &self.allowed_origins, app_schemes: &self.app_schemes }
    }
}

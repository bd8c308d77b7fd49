//! What a caller should know about a request that was accepted all the same.

use serde::{Deserialize, Serialize};

/// One thing to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What kind of thing.
    pub code: NoticeCode,
    /// The proto path of the field that it is about.
    pub field: Box<str>,
    /// In words, with what to do about it.
    pub description: Box<str>,
}

/// The kinds of notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeCode {
    /// The settings have a URL for this slot and come first.
    OverriddenBySettings,
    /// No URL serves this outcome.
    NoUrl,
    /// A placeholder names nothing that the session has.
    UnknownPlaceholder,
    /// A value in the URL looks personal.
    PersonalData,
    /// Filled with the session's values the URL is refused.
    UrlRefused,
}

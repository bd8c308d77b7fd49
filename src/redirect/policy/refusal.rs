//! Why a URL is not accepted.

use super::{super::template::Hint, AppScheme};
use crate::model::limits;

/// Why a URL is not accepted, and what to write instead. The text follows the name of the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No text.
    #[error("is empty: write an https URL, or leave the field out")]
    Empty,
    /// Longer than a filled URL may be.
    #[error("is longer than {} bytes when filled", limits::URL_FILLED_BYTES)]
    TooLong,
    /// No `scheme://`.
    #[error("is not an absolute URL: write it with its scheme and host, such as `https://shop.example.com/paid`")]
    NotAbsolute,
    /// Unencrypted.
    #[error(
        "is not encrypted: write `https://` (`http` is accepted only to localhost, 127.0.0.1 and [::1] by a server started with --sandbox)"
    )]
    Http,
    /// A scheme that is never accepted.
    #[error("has a scheme that is never accepted: write `https://`")]
    Scheme,
    /// A scheme in another spelling.
    #[error("has its scheme in upper case: write `{lower}://`")]
    SchemeCase {
        /// The scheme as it is written.
        lower: String,
    },
    /// A deep link of another form.
    #[error("is a deep link without `//`: write `{scheme}://` and then its path")]
    AppWithoutAuthority {
        /// The scheme.
        scheme: Box<str>,
    },
    /// A scheme that the merchant has not named.
    #[error("has a scheme that the merchant's app_schemes does not name: write `https://`, or add `{}` to app_schemes for deep links", .scheme.as_str())]
    UnknownScheme {
        /// The scheme.
        scheme: AppScheme,
    },
    /// A placeholder where a value could change who is spoken to.
    #[error(
        "has a placeholder in its scheme, user info, host or port: placeholders may stand in the path, the query and the fragment only"
    )]
    PlaceholderInAuthority,
    /// A character that URLs do not have, or that browsers change.
    #[error("has the character {found:?}: {}", Hint(.canonical.as_deref(), "percent-encode it; a path is separated by `/`"))]
    Character {
        /// The character.
        found: char,
        /// The URL as a browser writes it.
        canonical: Option<Box<str>>,
    },
    /// `%` without two hexadecimal digits.
    #[error("has a `%` that is not followed by two hexadecimal digits: write `%25` for a percent sign")]
    MalformedPercent,
    /// NUL.
    #[error("has a NUL character (`%00`): leave it out")]
    Nul,
    /// `user:password@`.
    #[error("has user info before the host (`@`): leave it out; write an `@` in the path or query as `%40`")]
    UserInfo,
    /// `.` or `..` as a path segment, in any spelling.
    #[error("has a dot segment (`.` or `..`, plain or encoded) in its path: write the path that is meant")]
    DotSegment,
    /// An encoded slash that a value could make a dot segment of.
    #[error("has `%2F` or `%5C` and a placeholder in one path segment: write `/` between segments")]
    EncodedSlash,
    /// Not a URL.
    #[error("is not a URL ({error}): write it as `https://shop.example.com/paid`")]
    Unparsable {
        /// What the parser says.
        error: url::ParseError,
    },
    /// An address instead of a name.
    #[error("has an IP address as its host: write a DNS name")]
    IpAddress,
    /// Not a public DNS name.
    #[error(
        "has a host that is not a DNS name of at least two labels: write it as `shop.example.com`, without a trailing dot, each label at most 63 letters, digits, - or _, and the last one not a number"
    )]
    Host,
    /// Another spelling of what a browser would make of it.
    #[error("is not written the way a browser writes it: {}", Hint(.canonical.as_deref(), "use a lower-case host (a Unicode one as its A-label), no default port, and percent-encode what URLs do not allow"))]
    NotCanonical {
        /// How a browser writes it.
        canonical: Option<Box<str>>,
    },
    /// Not on the merchant's list.
    #[error(
        "has the origin `{origin}`, which the merchant's allowed_origins does not have: write one of those, or add it there"
    )]
    OriginNotAllowed {
        /// The origin.
        origin: String,
    },
    /// The merchant's returns are signed, and nobody can sign.
    #[error(
        "cannot be signed, as the merchant's sign_returns asks, because this server has no signing keys: start it with \
         --signing-key-file, or clear sign_returns"
    )]
    NoSigningKeys,
    /// A parameter that Waypost adds.
    #[error("has the parameter `{name}` in its query, which Waypost adds itself: leave it out or rename it")]
    ReservedName {
        /// The name.
        name: &'static str,
    },
    /// `{` or `}` in the path, outside of placeholders: browsers percent-encode them there.
    #[error(
        "has a brace in its path that belongs to no placeholder: write `{{{{name}}}}` for a placeholder, or percent-encode it"
    )]
    Brace,
}

impl Refusal {
    /// A word for each reason, in the order of [`Refusal::number`].
    pub const WORDS: [&str; 23] = [
        "empty",
        "too_long",
        "not_absolute",
        "http",
        "scheme",
        "scheme_case",
        "app_without_authority",
        "unknown_scheme",
        "placeholder_in_authority",
        "character",
        "malformed_percent",
        "nul",
        "user_info",
        "dot_segment",
        "encoded_slash",
        "unparsable",
        "ip_address",
        "host",
        "not_canonical",
        "origin_not_allowed",
        "no_signing_keys",
        "reserved_name",
        "brace",
    ];

    /// The place of its word among all.
    pub const fn number(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::TooLong => 1,
            Self::NotAbsolute => 2,
            Self::Http => 3,
            Self::Scheme => 4,
            Self::SchemeCase { .. } => 5,
            Self::AppWithoutAuthority { .. } => 6,
            Self::UnknownScheme { .. } => 7,
            Self::PlaceholderInAuthority => 8,
            Self::Character { .. } => 9,
            Self::MalformedPercent => 10,
            Self::Nul => 11,
            Self::UserInfo => 12,
            Self::DotSegment => 13,
            Self::EncodedSlash => 14,
            Self::Unparsable { .. } => 15,
            Self::IpAddress => 16,
            Self::Host => 17,
            Self::NotCanonical { .. } => 18,
            Self::OriginNotAllowed { .. } => 19,
            Self::NoSigningKeys => 20,
            Self::ReservedName { .. } => 21,
            Self::Brace => 22,
        }
    }
}

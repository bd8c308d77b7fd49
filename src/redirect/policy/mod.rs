//! Which URLs are accepted (SPEC 6). A URL is refused, never repaired.
//!
//! The same examination runs twice: on a template when it is saved, with its placeholders standing for themselves, and
//! on the complete URL before it is answered. It relies on the `url` crate for the WHATWG rules that browsers follow,
//! and accepts only what that crate would write the same way: then every browser reads the URL as we do.
//!
//! [`Policy`] has the rules in their order; the other files have what one rule needs.

mod app_scheme;
mod dot_segment;
mod host;
mod origin;
mod refusal;
mod scan;

pub use app_scheme::{AppScheme, InvalidScheme};
pub use origin::{InvalidOrigin, OriginPattern};
pub use refusal::Refusal;

use super::{
    params::Complete,
    parsed,
    template::{Filled, Template, escapes},
};
use crate::model::{Kind, limits};
use dot_segment::{DotSegments, has_dot_segment, has_placeholder_beside_encoded_slash, stand_in};
use host::{check_host, is_loopback};
use memchr::{memchr, memchr_iter};
use scan::{Marks, Parts};
use std::{iter, ops::Range, str::FromStr};
use url::{Url, form_urlencoded};

/// Which hosts are reachable from where the buyer's browser runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// `https` to DNS names only.
    #[default]
    Production,
    /// Also `http` and `https` to this machine itself, so that a developer's own site can be tried.
    Sandbox,
}

/// What a merchant's URLs are checked against.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'m> {
    /// Whether this machine itself is allowed.
    pub mode: Mode,
    /// The only origins allowed for `http` and `https`; empty for every one.
    pub allowed_origins: &'m [OriginPattern],
    /// The schemes allowed for deep links.
    pub app_schemes: &'m [AppScheme],
}

/// A complete URL that was accepted. Nothing else is ever sent to a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedUrl(String);

impl CheckedUrl {
    /// The URL as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a browser opens it by itself; otherwise it is a deep link into an app.
    pub fn is_web(&self) -> bool {
        // An app's scheme is neither of these.
        self.0.starts_with("https://") || self.0.starts_with("http://")
    }
}

impl From<CheckedUrl> for String {
    fn from(url: CheckedUrl) -> Self {
        url.0
    }
}

/// Bytes of a URL that an error suggests.
const SUGGESTION_BYTES: usize = 200;

/// Stands for a placeholder while a URL is written as a browser writes it, with its number behind it and this once more.
const MARK: &str = "xplaceholderx";

/// What to write instead of a text that cannot be a template, if anything is known.
pub(super) fn suggestion(text: &str) -> Option<Box<str>> {
    let (mut placeholders, mut from) = (Vec::new(), 0);
    while let Some(open) = text[from..].find("{{").map(|at| from + at)
        && let Some(close) = text[open..].find("}}").map(|at| open + at + "}}".len())
    {
        placeholders.push(open..close);
        from = close;
    }
    let policy = Policy { mode: Mode::Production, allowed_origins: &[], app_schemes: &[] };
    policy.suggest(text, &placeholders, &[])
}

impl Policy<'_> {
    /// Examines a template, its placeholders standing for themselves. `reserved` are the parameter names that will be
    /// added to the URL and that its own query may therefore not hold.
    pub fn check_template(&self, template: &Template, reserved: &[&'static str]) -> Result<(), Refusal> {
        let Filled { text, unresolved, known } = template.as_filled();
        self.examine(&text, &unresolved, DotSegments::Written, known, reserved, 0)
    }

    /// Examines a complete URL.
    pub(super) fn check(&self, complete: Complete) -> Result<CheckedUrl, Refusal> {
        let Complete { filled: Filled { text, unresolved, known }, reserved, added } = complete;
        if text.len() > limits::URL_FILLED_BYTES {
            return Err(Refusal::TooLong);
        }
        self.examine(&text, &unresolved, DotSegments::Filled, known, reserved, added)?;
        Ok(CheckedUrl(text))
    }

    /// The rules, in the order in which their messages are most useful. The query's last `added` bytes are Waypost's own
    /// parameters.
    fn examine(
        &self,
        text: &str,
        placeholders: &[Range<usize>],
        dot_segments: DotSegments,
        known: Known,
        reserved: &[&'static str],
        added: usize,
    ) -> Result<(), Refusal> {
        if text.is_empty() {
            return Err(Refusal::Empty);
        }
        let Some((scheme, after)) = split_scheme(text) else { return Err(self.refuse_without_authority(text)) };
        let authority_from = scheme.len() + "://".len();
        let path_from = authority_from + Parts::of(after, Parts::ENDS_AUTHORITY).bytes;
        if placeholders.iter().any(|range| range.start < path_from) {
            return Err(Refusal::PlaceholderInAuthority);
        }
        if dot_segments == DotSegments::Written && has_placeholder_beside_encoded_slash(text, placeholders) {
            return Err(Refusal::EncodedSlash);
        }
        refuse_written(text, placeholders)?;
        let hint = || self.suggest(text, placeholders, reserved);
        let text = stand_in(text, placeholders);
        let marks = Marks::of(&text);
        if marks.has(Marks::UNACCEPTABLE)
            && let Some(found) = text.chars().find(|c| !('!'..='~').contains(c) || *c == '\\')
        {
            return Err(Refusal::Character { found, canonical: hint() });
        }
        if marks.has(Marks::PERCENT) {
            let mut has_nul = false;
            for escape in escapes(&text) {
                has_nul |= escape.ok_or(Refusal::MalformedPercent)? == *b"00";
            }
            if has_nul {
                return Err(Refusal::Nul);
            }
        }
        if marks.has(Marks::AT) && text[authority_from..path_from].contains('@') {
            return Err(Refusal::UserInfo);
        }
        let scheme = self.scheme(scheme)?;
        let path = Parts::of(&text[path_from..], Parts::ENDS_PATH);
        let (head, tail) = text.split_at(path_from + path.bytes);
        if path.seen & Parts::MAY_BE_DOT != 0 && has_dot_segment(&head[path_from..], dot_segments) {
            return Err(Refusal::DotSegment);
        }
        // Browsers differ: newer ones percent-encode it in a path.
        if path.seen & Parts::CARET != 0 {
            return Err(Refusal::Character { found: '^', canonical: None });
        }
        if path.seen & Parts::BRACE != 0 {
            return Err(Refusal::Brace);
        }
        let url = parsed::parse(head).map_err(|error| Refusal::Unparsable { error })?;
        if let Scheme::Web = scheme {
            self.check_host(&url, known)?;
        }
        let canonical = is_canonical(&url, head, path_from)
            && (!marks.has(Marks::ENCODED_IN_TAIL) || is_canonical_tail(tail, scheme));
        // The whole is as canonical as its parts; see the test of this.
        debug_assert_eq!(canonical, Url::parse(&text).is_ok_and(|url| is_canonical(&url, &text, path_from)), "{text}");
        if !canonical {
            return Err(Refusal::NotCanonical { canonical: hint() });
        }
        if let Scheme::Web = scheme
            && !self.allowed_origins.is_empty()
            && !self.allowed_origins.iter().any(|pattern| pattern.matches(&url))
        {
            return Err(Refusal::OriginNotAllowed { origin: url.origin().ascii_serialization() });
        }
        let names = || {
            let query = tail.strip_prefix('?').unwrap_or_default().as_bytes();
            let own = query[..memchr(b'#', query).unwrap_or(query.len())].len().saturating_sub(added);
            check_names(&query[..own], marks, reserved)
        };
        known.or_else(Known::FREE_NAMES, names)
    }

    /// The URL as a browser writes it, its placeholders as they are, when that is another text and one that is accepted.
    fn suggest(&self, text: &str, placeholders: &[Range<usize>], reserved: &[&'static str]) -> Option<Box<str>> {
        let mark = |number: usize| format!("{MARK}{number}{MARK}");
        let (mut marked, mut from) = (String::new(), 0);
        for (number, range) in placeholders.iter().enumerate() {
            marked += &text[from..range.start];
            marked += &mark(number);
            from = range.end;
        }
        marked += &text[from..];
        let url = Url::parse(&marked).ok()?;
        let suggested = url.as_str();
        // Braces that are left belong to no placeholder, and a browser would encode them.
        if suggested == marked || marked.contains('{') || text.to_ascii_lowercase().contains(MARK) {
            return None;
        }
        let written = placeholders.iter().enumerate().fold(suggested.to_owned(), |written, (number, range)| {
            written.replacen(&mark(number), &text[range.clone()], 1)
        });
        // Long ones would fill the header that errors travel in.
        let fits = written.len() <= SUGGESTION_BYTES;
        let accepted = || self.check_template(&Template::compile(&written).ok()?, reserved).ok();
        (fits && accepted().is_some()).then(|| written.into())
    }

    fn scheme(&self, scheme: &str) -> Result<Scheme, Refusal> {
        match (scheme, self.mode) {
            ("https", _) | ("http", Mode::Sandbox) => Ok(Scheme::Web),
            ("http", Mode::Production) => Err(Refusal::Http),
            _ if self.names(scheme) => Ok(Scheme::App),
            _ => {
                let lower = scheme.to_ascii_lowercase();
                let known = lower == "https" || self.names(&lower);
                Err(if known && lower != scheme { Refusal::SchemeCase { lower } } else { refuse_scheme(scheme) })
            }
        }
    }

    fn names(&self, scheme: &str) -> bool {
        self.app_schemes.iter().any(|allowed| allowed.as_str() == scheme)
    }

    fn refuse_without_authority(&self, text: &str) -> Refusal {
        match text.split_once(':') {
            Some(("https" | "http", _)) | None => Refusal::NotAbsolute,
            Some((scheme, _)) => match self.scheme(scheme) {
                Ok(_) => Refusal::AppWithoutAuthority { scheme: scheme.into() },
                Err(refusal) => refusal,
            },
        }
    }

    fn check_host(&self, url: &Url, known: Known) -> Result<(), Refusal> {
        if self.mode == Mode::Sandbox && is_loopback(url) {
            return Ok(());
        }
        // Unencrypted only ever to the machine itself.
        if url.scheme() == "http" {
            return Err(Refusal::Http);
        }
        known.or_else(Known::SOUND_HOST, || check_host(url.host()))
    }
}

/// What the rules say of a template's own text, whatever it is filled with: no value holds a delimiter of URLs, so that
/// the URL has the same scheme, the same host and the same parameter names. The rest is examined in the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known(u8);

impl Known {
    /// To be examined.
    pub(super) const NOTHING: Self = Self(0);
    /// The host is a DNS name as [`check_host`] asks for.
    const SOUND_HOST: Self = Self(1);
    /// No parameter's name is one that Waypost adds, of whatever kind the session is.
    const FREE_NAMES: Self = Self(2);

    /// What is known of a text of which `is_literal` tells where no value will stand.
    pub(super) fn of(text: &str, is_literal: impl Fn(Range<usize>) -> bool) -> Self {
        let sound_host = || {
            let (scheme, after) = split_scheme(text)?;
            let authority_to = text.len() - after.len() + Parts::of(after, Parts::ENDS_AUTHORITY).bytes;
            let url = Url::parse(&text[..authority_to]).ok()?;
            let sound = is_canonical(&url, &text[..authority_to], authority_to) && check_host(url.host()).is_ok();
            (sound && !scheme.is_empty() && is_literal(0..authority_to)).then_some(Self::SOUND_HOST)
        };
        let free_names = || {
            let Some(query_from) = text.find('?').map(|at| at + 1) else { return Some(Self::FREE_NAMES) };
            let query = text[query_from..].split('#').next()?;
            let mut from = query_from;
            for pair in query.split('&') {
                let name = pair.split('=').next()?;
                let added = Kind::ALL.iter().any(|kind| kind.added_params().contains(&name));
                if added || name.contains('%') || !is_literal(from..from + name.len()) {
                    return None;
                }
                from += pair.len() + "&".len();
            }
            Some(Self::FREE_NAMES)
        };
        Self(sound_host().map_or(0, Self::as_byte) | free_names().map_or(0, Self::as_byte))
    }

    /// From what [`Known::as_byte`] gave.
    pub(super) const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    pub(super) const fn as_byte(self) -> u8 {
        self.0
    }

    /// Examines what is not known. The debug build examines it all the same.
    fn or_else(self, what: Self, examine: impl Fn() -> Result<(), Refusal>) -> Result<(), Refusal> {
        if self.0 & what.0 == 0 {
            return examine();
        }
        debug_assert_eq!(examine(), Ok(()), "{self:?}");
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
enum Scheme {
    Web,
    App,
}

fn refuse_scheme(scheme: &str) -> Refusal {
    match AppScheme::from_str(scheme) {
        Ok(scheme) => Refusal::UnknownScheme { scheme },
        Err(_) => Refusal::Scheme,
    }
}

/// Refuses a placeholder that would itself be what no URL may have, should it stay as it is written.
fn refuse_written(text: &str, placeholders: &[Range<usize>]) -> Result<(), Refusal> {
    let is_in_path = |at: usize| !text[..at].contains(['?', '#']);
    for range in placeholders {
        let written = &text[range.clone()];
        if written.contains("%00") {
            return Err(Refusal::Nul);
        }
        if is_in_path(range.start) && has_dot_segment(written, DotSegments::Written) {
            return Err(Refusal::DotSegment);
        }
    }
    Ok(())
}

/// Whether the text is what the `url` crate writes for it; an empty path may stay empty.
fn is_canonical(url: &Url, text: &str, path_from: usize) -> bool {
    let written = url.as_str();
    if written == text {
        return true;
    }
    let (head, tail) = text.split_at(path_from);
    !tail.starts_with('/') && written.strip_prefix(head).and_then(|rest| rest.strip_prefix('/')) == Some(tail)
}

/// The same for what follows the path, the query and the fragment. Nothing in it means anything to the parser but the
/// first `#`, so that it need not be parsed: it is written as it is unless it holds what browsers percent-encode.
fn is_canonical_tail(tail: &str, scheme: Scheme) -> bool {
    let fragment_from = tail.bytes().position(|byte| byte == b'#').unwrap_or(tail.len());
    let (query, fragment) = tail.split_at(fragment_from);
    let plain = |byte: u8| !matches!(byte, b'"' | b'<' | b'>');
    query.bytes().all(|byte| plain(byte) && (byte != b'\'' || matches!(scheme, Scheme::App)))
        && fragment.bytes().all(|byte| plain(byte) && byte != b'`')
}

/// What stands before the first `://`, and what behind it.
#[inline]
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    // As nearly every URL begins.
    if let Some(after) = text.strip_prefix("https://") {
        return Some(("https", after));
    }
    let colon = text.bytes().position(|byte| byte == b':')?;
    match text[colon..].strip_prefix("://") {
        Some(after) => Some((&text[..colon], after)),
        None => text.split_once("://"),
    }
}

/// Refuses a query of the merchant's own that holds a reserved name.
fn check_names(query: &[u8], marks: Marks, reserved: &[&'static str]) -> Result<(), Refusal> {
    let mut pairs = iter::once(0).chain(memchr_iter(b'&', query).map(|at| at + 1)).map(|from| &query[from..]);
    let held = pairs.find_map(|from| reserved.iter().find(|name| begins_with_name(from, name, marks)));
    held.map_or(Ok(()), |name| Err(Refusal::ReservedName { name }))
}

/// Whether servers read that name in what begins with a parameter.
fn begins_with_name(query: &[u8], name: &str, marks: Marks) -> bool {
    match query.strip_prefix(name.as_bytes()) {
        Some([] | [b'=' | b'&', ..]) => true,
        _ if !marks.has(Marks::PERCENT) => false,
        _ => {
            // An encoded name has its first escape within the name's length.
            let encoded = query.iter().take(name.len()).any(|byte| *byte == b'%');
            let mut pair = query.split(|byte| *byte == b'&').take(usize::from(encoded));
            pair.any(|pair| form_urlencoded::parse(pair).next().is_some_and(|(read, _)| read == name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // The debug build asks the parser about every whole URL that is examined; this looks where it hurts.
        #[test]
        fn what_follows_the_path_is_canonical_when_the_parser_writes_it_so(tail in "[?#]([!-\\[\\]-~]|[\"'<>`#?&%]){0,12}") {
            for (scheme, head) in [(Scheme::Web, "https://a.example.com/p"), (Scheme::App, "com.example.app://h/p")] {
                let whole = format!("{head}{tail}");
                let written_so = Url::parse(&whole).is_ok_and(|url| url.as_str() == whole);
                prop_assert_eq!(is_canonical_tail(&tail, scheme), written_so, "{}", whole);
            }
        }
    }

    proptest! {
        // The debug build examines what is known all the same, for every URL; this looks at what must not be known.
        #[test]
        fn a_name_that_a_value_could_complete_is_not_known(name in "[a-z]{0,4}", rest in "[a-z]{0,4}", late in "status|payment_id", before in "(a=1&){0,20}") {
            for url in [format!("?{name}{{{{{late}}}}}{rest}=1"), format!("?{before}{name}{{{{{late}}}}}"), "?st%61tus".into(), "?a&order_id".into()] {
                let known = Template::compile(&format!("https://a.example.com/{url}")).expect("a template").view().known();
                prop_assert_eq!(known, Known::SOUND_HOST, "{}", url);
            }
            let url = format!("https://a.example.com/?{name}x={{{{{late}}}}}#{rest}");
            let known = Template::compile(&url).expect("a template").view().known();
            prop_assert_eq!(known, Known(Known::SOUND_HOST.0 | Known::FREE_NAMES.0), "{}", url);
        }
    }

    #[test]
    fn a_host_that_is_not_sound_or_not_whole_is_not_known() {
        for host in [
            "a",
            "a.b.",
            "a..b",
            "a.1",
            "127.0.0.1",
            "[::1]",
            "A.example.com",
            "a.b:443",
            "a!.b",
            "{{status}}.a.b",
            "a.b{{status}}",
        ] {
            for end in ["", "/", "/p?a=1", "?a", "#a"] {
                let template = Template::compile(&format!("https://{host}{end}")).expect("a template");
                assert_eq!(template.view().known(), Known::FREE_NAMES, "{host}{end}");
            }
        }
    }

    #[test]
    fn every_byte_that_may_follow_the_path_is_judged_as_the_parser_judges_it() {
        for byte in b'!'..=b'~' {
            for mark in ["?", "#", "?a#", "#a?"] {
                let tail = format!("{mark}{}z", char::from(byte));
                let whole = format!("https://a.example.com/{tail}");
                let written_so = Url::parse(&whole).is_ok_and(|url| url.as_str() == whole);
                assert_eq!(is_canonical_tail(&tail, Scheme::Web), written_so, "{whole}");
            }
        }
    }
}

//! Which URLs are accepted (SPEC 6). A URL is refused, never repaired.
//!
//! The same examination runs twice: on a template when it is saved, with its placeholders standing for themselves, and
//! on the complete URL before it is answered. It relies on the `url` crate for the WHATWG rules that browsers follow,
//! and accepts only what that crate would write the same way: then every browser reads the URL as we do.

use super::{
    params::Complete,
    parsed,
    template::{Filled, Hint, Template, escapes},
};
use crate::model::{Kind, limits};
use memchr::{memchr, memchr_iter};
use std::{borrow::Cow, fmt, iter, ops::Range, str::FromStr};
use url::{Host, Url, form_urlencoded};

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

/// What to write instead of a text that cannot be a template, if anything is known.
pub(super) fn suggestion(text: &str) -> Option<Box<str>> {
    Policy { mode: Mode::Production, allowed_origins: &[], app_schemes: &[] }.suggest(text, &[])
}

/// How far a path is decoded before dot segments are looked for.
#[derive(Clone, Copy, PartialEq)]
enum DotSegments {
    /// In a text that somebody wrote: in every spelling, an encoded slash included.
    Written,
    /// In a URL that values were filled into: there an encoded slash is part of a value, and servers keep it so.
    Filled,
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
        let text = stand_in(text, placeholders);
        let hint = || if placeholders.is_empty() { self.suggest(&text, reserved) } else { None };
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

    /// The URL as a browser writes it, when that is another text and one that is accepted.
    fn suggest(&self, text: &str, reserved: &[&'static str]) -> Option<Box<str>> {
        let url = Url::parse(text).ok()?;
        let suggested = url.as_str();
        // Long ones would fill the header that errors travel in; braces are placeholders, which a browser would encode.
        let fits = suggested.len() <= SUGGESTION_BYTES && suggested != text && !text.contains('{');
        let accepted = || self.examine(suggested, &[], DotSegments::Written, Known::NOTHING, reserved, 0).is_ok();
        (fits && accepted()).then(|| suggested.into())
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

/// Puts a letter in the place of each placeholder: what the URL is when they are filled with something harmless.
fn stand_in<'t>(text: &'t str, placeholders: &[Range<usize>]) -> Cow<'t, str> {
    if placeholders.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut standing = String::with_capacity(text.len());
    let mut from = 0;
    for range in placeholders {
        standing.push_str(&text[from..range.start]);
        standing.push('x');
        from = range.end;
    }
    standing.push_str(&text[from..]);
    Cow::Owned(standing)
}

fn is_loopback(url: &Url) -> bool {
    matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

fn check_host(host: Option<Host<&str>>) -> Result<(), Refusal> {
    let name = match host {
        Some(Host::Domain(name)) => name,
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => return Err(Refusal::IpAddress),
        None => return Err(Refusal::Host),
    };
    // RFC 1035, section 2.3.4; the WHATWG rules leave these to the resolver, and let through characters that no DNS
    // name of a web site has. Underscores do occur.
    let (mut letters, mut labels, mut label_len, mut label_from) = (true, 1, 0, 0);
    for (at, byte) in name.bytes().enumerate() {
        letters &= LETTERS_OF_HOSTS[usize::from(byte)];
        if byte != b'.' {
            label_len += 1;
        } else if matches!(label_len, 1..=LABEL_BYTES) {
            (labels, label_len, label_from) = (labels + 1, 0, at + 1);
        } else {
            return Err(Refusal::Host);
        }
    }
    // The last label, which is empty when the name ends with a dot.
    let lengths = name.len() <= HOST_BYTES && matches!(label_len, 1..=LABEL_BYTES);
    let numeric = || name.as_bytes()[label_from..].iter().all(u8::is_ascii_digit);
    if letters && labels >= 2 && lengths && !numeric() { Ok(()) } else { Err(Refusal::Host) }
}

const LABEL_BYTES: usize = 63;
const HOST_BYTES: usize = 253;

/// The bytes of DNS names of web sites, the dot included.
const LETTERS_OF_HOSTS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'_' | b'.');
        byte += 1;
    }
    table
};

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

/// Which of the bytes that need a second look occur in a text: none, in nearly every one.
#[derive(Clone, Copy)]
struct Marks(u8);

impl Marks {
    /// Outside of printable ASCII, or a backslash.
    const UNACCEPTABLE: u8 = 1;
    const PERCENT: u8 = 2;
    /// What browsers percent-encode somewhere behind the path.
    const ENCODED_IN_TAIL: u8 = 4;
    const AT: u8 = 8;

    /// The mark of a byte.
    const fn of_byte(byte: u8) -> u8 {
        match byte {
            b'\\' => Self::UNACCEPTABLE,
            b'%' => Self::PERCENT,
            b'"' | b'\'' | b'`' | b'<' | b'>' => Self::ENCODED_IN_TAIL,
            b'@' => Self::AT,
            b'!'..=b'~' => 0,
            _ => Self::UNACCEPTABLE,
        }
    }

    fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let by_byte = || Self(bytes.iter().fold(0, |seen, byte| seen | Self::of_byte(*byte)));
        let Some(last) = bytes.last_chunk() else { return by_byte() };
        let mut found = Found::default();
        bytes.as_chunks().0.iter().for_each(|block| found.add(block));
        // Has some bytes of the one before once more.
        found.add(last);
        match (found.rare == [0; BLOCK], found.percent == [0; BLOCK]) {
            (true, true) => Self(0),
            (true, false) => Self(Self::PERCENT),
            _ => by_byte(),
        }
    }

    const fn has(self, mark: u8) -> bool {
        self.0 & mark != 0
    }
}

/// Bytes that processors look at together.
const BLOCK: usize = 16;

/// What was found in blocks of a text, for each place in a block: zero for nothing.
#[derive(Default)]
struct Found {
    rare: [u8; BLOCK],
    percent: [u8; BLOCK],
}

impl Found {
    /// Looks for bytes that differ in one bit together, which takes `^` for one of them, too.
    #[inline]
    fn add(&mut self, block: &[u8; BLOCK]) {
        for (at, byte) in block.iter().copied().enumerate() {
            let pair = byte & !2;
            let rare = (pair == b'<') | (pair == b'\\') | (byte & !0x20 == b'@') | (byte == b'"') | (byte == b'\'');
            let beyond_printable = byte.wrapping_sub(b'!').saturating_sub(b'~' - b'!');
            self.rare[at] |= u8::from(rare) | beyond_printable;
            self.percent[at] |= u8::from(byte == b'%');
        }
    }
}

/// The part of a URL that a text begins with, and what occurs in it.
struct Parts {
    bytes: usize,
    seen: u8,
}

impl Parts {
    const ENDS_AUTHORITY: u8 = 1;
    const ENDS_PATH: u8 = 2;
    /// Part of what may be read as a dot.
    const MAY_BE_DOT: u8 = 4;
    const CARET: u8 = 8;

    const TABLE: [u8; 256] = {
        let mut table = [0; 256];
        table[b'/' as usize] = Self::ENDS_AUTHORITY;
        table[b'\\' as usize] = Self::ENDS_AUTHORITY;
        table[b'?' as usize] = Self::ENDS_AUTHORITY | Self::ENDS_PATH;
        table[b'#' as usize] = Self::ENDS_AUTHORITY | Self::ENDS_PATH;
        table[b'.' as usize] = Self::MAY_BE_DOT;
        table[b'%' as usize] = Self::MAY_BE_DOT;
        table[b'^' as usize] = Self::CARET;
        table
    };

    /// Goes to the first byte that ends the part, or to the end of the text.
    fn of(text: &str, end: u8) -> Self {
        let mut seen = 0;
        for (at, byte) in text.bytes().enumerate() {
            let byte = Self::TABLE[usize::from(byte)];
            if byte & end != 0 {
                return Self { bytes: at, seen };
            }
            seen |= byte;
        }
        Self { bytes: text.len(), seen }
    }
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

fn has_dot_segment(path: &str, reach: DotSegments) -> bool {
    let is_dot = |part: &[u8]| matches!(part.split(|byte| *byte == b';').next(), Some(b"." | b".."));
    path.split('/').any(|segment| {
        let separates = |byte: &u8| *byte == b'\\' || (*byte == b'/' && reach == DotSegments::Written);
        decode_fully(segment).split(separates).any(is_dot)
    })
}

/// Whether a placeholder and an encoded slash share a segment: `..` as the value would make a segment of its own of it,
/// for servers that decode before they split.
fn has_placeholder_beside_encoded_slash(text: &str, placeholders: &[Range<usize>]) -> bool {
    let path_to = text.find(['?', '#']).unwrap_or(text.len());
    placeholders.iter().filter(|range| range.start < path_to).any(|range| {
        let from = text[..range.start].rfind('/').map_or(0, |slash| slash + 1);
        let to = text[range.end..path_to].find('/').map_or(path_to, |slash| range.end + slash);
        let segment = stand_in(&text[from..to], &within(placeholders, from, to)).into_owned();
        decode_fully(&segment).iter().any(|byte| matches!(byte, b'/' | b'\\'))
    })
}

fn within(placeholders: &[Range<usize>], from: usize, to: usize) -> Vec<Range<usize>> {
    let inside = |range: &&Range<usize>| from <= range.start && range.end <= to;
    placeholders.iter().filter(inside).map(|range| range.start - from..range.end - from).collect()
}

/// Decodes until nothing changes, so that no number of encodings hides anything. In one pass: what completes an escape,
/// decoded or not, is decoded at once.
fn decode_fully(segment: &str) -> Vec<u8> {
    let mut decoded: Vec<u8> = Vec::with_capacity(segment.len());
    for byte in segment.bytes() {
        decoded.push(byte);
        while let [.., b'%', high, low] = decoded[..]
            && let (Some(high), Some(low)) = (char::from(high).to_digit(16), char::from(low).to_digit(16))
            && let Ok(byte) = u8::try_from(high * 16 + low)
        {
            decoded.truncate(decoded.len() - 3);
            decoded.push(byte);
        }
    }
    decoded
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

/// An entry of `allowed_origins`: a scheme, a host or `*.` and a domain, and perhaps a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPattern {
    scheme: Box<str>,
    host: Box<str>,
    port: Option<u16>,
    hosts: Hosts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hosts {
    Exactly,
    Below,
}

impl OriginPattern {
    /// Reads an entry.
    pub fn parse(text: &str, mode: Mode) -> Result<Self, InvalidOrigin> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidOrigin)?;
        let (hosts, rest) = match rest.strip_prefix("*.") {
            Some(rest) => (Hosts::Below, rest),
            None => (Hosts::Exactly, rest),
        };
        let url = Url::parse(&format!("{scheme}://{rest}")).map_err(|_| InvalidOrigin)?;
        // Whatever is more than an origin, or spelt another way, shows in the comparison.
        if url.as_str().strip_suffix('/') != Some(&format!("{scheme}://{rest}")) || url.path() != "/" {
            return Err(InvalidOrigin);
        }
        let loopback = mode == Mode::Sandbox && is_loopback(&url) && hosts == Hosts::Exactly;
        let secure = url.scheme() == "https" && check_host(url.host()).is_ok();
        let web = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
        if !web || !(loopback || secure) {
            return Err(InvalidOrigin);
        }
        let host = url.host_str().ok_or(InvalidOrigin)?;
        Ok(Self { scheme: scheme.into(), host: host.into(), port: url.port(), hosts })
    }

    fn matches(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let host_matches = match self.hosts {
            Hosts::Exactly => host == &*self.host,
            Hosts::Below => host.strip_suffix(&*self.host).is_some_and(|below| below.len() > 1 && below.ends_with('.')),
        };
        host_matches && url.scheme() == &*self.scheme && url.port() == self.port
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = match self.hosts {
            Hosts::Exactly => "",
            Hosts::Below => "*.",
        };
        write!(f, "{}://{below}{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The text is not an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not an origin: write `https://`, a lower-case DNS name of at least two labels (or `*.` and such a name) and, \
     when it is not 443, the port, without path or trailing slash: `https://shop.example.com`, `https://*.example.com`"
)]
pub struct InvalidOrigin;

/// The scheme of a merchant's own app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppScheme(Box<str>);

/// Schemes that a browser or an operating system acts on by itself: a buyer sent to one would run or open something
/// that is not the merchant's app.
const ACTED_ON: &[&str] = &[
    "about",
    "acap",
    "afp",
    "android-app",
    "applescript",
    "blob",
    "brave",
    "callto",
    "chrome",
    "chrome-devtools",
    "chrome-error",
    "chrome-extension",
    "chrome-search",
    "chrome-untrusted",
    "cid",
    "cifs",
    "content",
    "data",
    "dav",
    "davs",
    "devtools",
    "dns",
    "edge",
    "facetime",
    "facetime-audio",
    "feed",
    "file",
    "filesystem",
    "firefox",
    "ftp",
    "ftps",
    "geo",
    "googlechrome",
    "googlechromes",
    "gopher",
    "help",
    "hcp",
    "http",
    "https",
    "im",
    "imap",
    "intent",
    "ipfs",
    "ipns",
    "irc",
    "itms",
    "itms-apps",
    "itms-appss",
    "itms-services",
    "itmss",
    "jar",
    "jnlp",
    "javascript",
    "ldap",
    "ldaps",
    "livescript",
    "macappstore",
    "macappstores",
    "magnet",
    "mailto",
    "maps",
    "market",
    "mhtml",
    "microsoft-edge",
    "mid",
    "mms",
    "mocha",
    "moz-extension",
    "news",
    "nfs",
    "nntp",
    "opera",
    "pop",
    "prefs",
    "rdp",
    "res",
    "resource",
    "rtsp",
    "safari-extension",
    "safari-web-extension",
    "search",
    "search-ms",
    "sftp",
    "shell",
    "shortcuts",
    "sip",
    "sips",
    "skype",
    "smb",
    "sms",
    "smsto",
    "snews",
    "ssh",
    "tel",
    "telprompt",
    "telnet",
    "urn",
    "vbs",
    "vbscript",
    "vivaldi",
    "vscode",
    "vscode-insiders",
    "view-source",
    "vnc",
    "webcal",
    "ws",
    "wss",
    "wyciwyg",
    "x-apple.systempreferences",
    "x-man-page",
    "x-safari-http",
    "x-safari-https",
    "xmpp",
    "x-javascript",
    "wtai",
    "openpgp4fpr",
    "matrix",
    "jscript",
    "isolated-app",
    "ircs",
    "ethereum",
    "chrome-native",
    "bitcoin",
];

impl AppScheme {
    /// The scheme, lower case, without the colon.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AppScheme {
    type Err = InvalidScheme;

    fn from_str(text: &str) -> Result<Self, InvalidScheme> {
        let form = text.len() <= limits::APP_SCHEME_BYTES
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte));
        if !form {
            Err(InvalidScheme::Form)
        } else if ACTED_ON.contains(&text) || ["ms-", "web+", "ext+"].iter().any(|prefix| text.starts_with(prefix)) {
            Err(InvalidScheme::ActedOn)
        } else {
            Ok(Self(text.into()))
        }
    }
}

/// Why a text is not the scheme of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScheme {
    /// Not a scheme, or not in its one spelling.
    #[error("is not a scheme: write a lower-case letter, then up to {} of a-z 0-9 + - . without the colon, such as `com.example.shop`", limits::APP_SCHEME_BYTES - 1)]
    Form,
    /// A browser or operating system acts on it.
    #[error(
        "is a scheme that browsers or operating systems act on by themselves: write the scheme of the merchant's own app, such as `com.example.shop`"
    )]
    ActedOn,
}

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
}

impl Refusal {
    /// A word for each reason, in the order of [`Refusal::number`].
    pub const WORDS: [&str; 22] = [
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
        #[test]
        fn the_marks_of_a_text_are_those_of_its_bytes(plain in "[a-z/?&=]{0,40}", odd in "\\PC{0,3}", at in 0..41_usize) {
            let (before, after) = plain.split_at(at.min(plain.len()));
            let text = format!("{before}{odd}{after}");
            prop_assert_eq!(Marks::of(&text).0, text.bytes().fold(0, |seen, byte| seen | Marks::of_byte(byte)), "{}", text);
        }

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
    fn the_mark_of_every_byte_is_found_wherever_it_stands() {
        for byte in (0..128_u8).map(char::from) {
            let mark = Marks::of_byte(byte as u8);
            // Less than a block of bytes, and more.
            for (len, at) in [(0, 0), (5, 2), (16, 0), (16, 16), (40, 1), (40, 17), (40, 40)] {
                let text = format!("{}{byte}{}", "a".repeat(at), "a".repeat(len - at));
                assert_eq!(Marks::of(&text).0, mark, "{text:?}");
                assert_eq!(Marks::of(&format!("{text}{byte}")).0, mark, "{text:?} and once more");
            }
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

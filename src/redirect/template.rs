//! Return URL templates: text with placeholders (SPEC 5).
//!
//! [`Template::compile`] reads a text once; [`Template::bind`] fills what is known when the session is created, so that
//! [`Template::render`] has little left to do while the buyer waits. This file knows where placeholders are and how
//! values are written; whether the URL is acceptable is [`super::policy`]'s question.

use crate::model::limits;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::{borrow::Cow, fmt, ops::Range};

/// Everything but RFC 3986 *unreserved*: a value written so cannot leave its place in the URL.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A compiled return URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: Box<str>,
    pieces: Box<[Piece]>,
}

/// A part of a template's text. The pieces follow each other without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    end: u32,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    /// Stands in the URL as it is.
    Literal,
    /// To be filled.
    Placeholder(Box<[Step]>),
    /// A placeholder that is known to name nothing: stands in the URL as it is, and is reported.
    Unresolved,
}

/// One step of a placeholder's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into an object.
    Name(Box<str>),
    /// Into an array, or into an object whose key is that number.
    Index(u32),
}

/// A placeholder as it stands in a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placeholder<'t> {
    /// As it is written, braces included.
    pub written: &'t str,
    /// What it names.
    pub path: &'t [Step],
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<'v> {
    /// A value, as text; empty for `null`.
    Text(Cow<'v, str>),
    /// Nothing, or an object or array, which have no text.
    Nothing,
    /// Something that is known only when the URL is resolved.
    Later,
}

/// The values that placeholders name.
pub trait Values {
    /// Follows a path from the root.
    fn find(&self, path: &[Step]) -> Found<'_>;
}

/// A template with its placeholders filled. Not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    pub(super) text: String,
    /// Where in `text` placeholders stand that name nothing, in order.
    pub(super) unresolved: Vec<Range<usize>>,
}

impl Template {
    /// Reads a template. The text must be one that [`super::Policy::check_template`] can judge: printable ASCII, within
    /// the length limit, every placeholder well formed.
    pub fn compile(text: &str) -> Result<Self, InvalidTemplate> {
        if text.len() > limits::URL_WRITTEN_BYTES {
            return Err(InvalidTemplate::TooLong { bytes: text.len() });
        }
        if let Some(at) = text.bytes().position(|byte| !(b' '..=b'~').contains(&byte)) {
            return Err(InvalidTemplate::NotAscii { at, canonical: super::policy::suggestion(text) });
        }
        let mut pieces = Vec::new();
        let mut literal_from = 0;
        let mut placeholders = 0;
        let mut at = 0;
        while at < text.len() {
            let Some((path, len)) = placeholder_at(text, at)? else {
                at += 1;
                continue;
            };
            placeholders += 1;
            if at > literal_from {
                pieces.push(Piece::new(at, Content::Literal));
            }
            at += len;
            literal_from = at;
            pieces.push(Piece::new(at, Content::Placeholder(path)));
        }
        if placeholders > limits::PLACEHOLDERS {
            return Err(InvalidTemplate::TooManyPlaceholders { placeholders });
        }
        if text.len() > literal_from {
            pieces.push(Piece::new(text.len(), Content::Literal));
        }
        Ok(Self { text: text.into(), pieces: pieces.into() })
    }

    /// The text that it was compiled from, or what [`Template::bind`] has made of it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The placeholders that are still to be filled, in order.
    pub fn placeholders(&self) -> impl Iterator<Item = Placeholder<'_>> {
        self.parts().filter_map(|(range, content)| match content {
            Content::Placeholder(path) => Some(Placeholder { written: &self.text[range], path }),
            Content::Literal | Content::Unresolved => None,
        })
    }

    /// Fills what these values know for good, and leaves what they say comes later.
    ///
    /// Binding and then rendering gives what rendering at once gives. A result longer than any URL may be is not kept:
    /// then the template stays as it is, and [`Template::render`] finds the same fault.
    pub fn bind(&self, values: &impl Values) -> Self {
        let mut text = String::with_capacity(self.text.len());
        let mut pieces: Vec<Piece> = Vec::with_capacity(self.pieces.len());
        for (range, content) in self.parts() {
            let written = &self.text[range];
            let content = match content {
                Content::Placeholder(path) => match values.find(path) {
                    Found::Text(value) => {
                        push_encoded(&mut text, &value);
                        Content::Literal
                    }
                    Found::Nothing => {
                        text.push_str(written);
                        Content::Unresolved
                    }
                    Found::Later => {
                        text.push_str(written);
                        content.clone()
                    }
                },
                Content::Literal | Content::Unresolved => {
                    text.push_str(written);
                    content.clone()
                }
            };
            match pieces.last_mut() {
                Some(last) if last.content == Content::Literal && content == Content::Literal => {
                    last.end = offset(text.len())
                }
                _ => pieces.push(Piece::new(text.len(), content)),
            }
            if text.len() > limits::URL_FILLED_BYTES {
                return self.clone();
            }
        }
        Self { text: text.into(), pieces: pieces.into() }
    }

    /// Fills every placeholder. What names nothing stays as it is written, byte for byte; every byte of a value outside
    /// *unreserved* is percent-encoded. One pass: what a value contains is never expanded again.
    pub fn render(&self, values: &impl Values) -> Filled {
        // Room for what `params` adds, so that the common URL is written into one allocation.
        let mut text = String::with_capacity(self.text.len() + 160);
        let mut unresolved = Vec::new();
        for (range, content) in self.parts() {
            let written = &self.text[range];
            let found = match content {
                Content::Literal => {
                    text.push_str(written);
                    continue;
                }
                Content::Placeholder(path) => values.find(path),
                Content::Unresolved => Found::Nothing,
            };
            match found {
                Found::Text(value) => push_encoded(&mut text, &value),
                // Nothing comes after a render, so what is not known now is not there.
                Found::Nothing | Found::Later => {
                    unresolved.push(text.len()..text.len() + written.len());
                    text.push_str(written);
                }
            }
            // Too long to be accepted already: what follows is not worth the work.
            if text.len() > limits::URL_FILLED_BYTES {
                break;
            }
        }
        Filled { text, unresolved }
    }

    /// Bytes of what [`Template::render`] would give if there were no limit.
    pub(super) fn rendered_len(&self, values: &impl Values) -> usize {
        let len = |(range, content): (Range<usize>, &Content)| match content {
            Content::Placeholder(path) => match values.find(path) {
                Found::Text(value) => encoded_len(&value),
                Found::Nothing | Found::Later => range.len(),
            },
            Content::Literal | Content::Unresolved => range.len(),
        };
        self.parts().map(len).sum()
    }

    /// The template as a URL whose placeholders stand for themselves, for the checks before there are values.
    pub(super) fn as_filled(&self) -> Filled {
        let unresolved =
            self.parts().filter(|(_, content)| **content != Content::Literal).map(|(range, _)| range).collect();
        Filled { text: self.text.to_string(), unresolved }
    }

    fn parts(&self) -> impl Iterator<Item = (Range<usize>, &Content)> {
        let mut start = 0;
        self.pieces.iter().map(move |piece| {
            let range = start..piece.end as usize;
            start = range.end;
            (range, &piece.content)
        })
    }
}

impl Piece {
    fn new(end: usize, content: Content) -> Self {
        Self { end: offset(end), content }
    }
}

impl Filled {
    /// The text, placeholders that name nothing included.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The placeholders that name nothing, as they are written.
    pub fn unresolved(&self) -> impl Iterator<Item = &str> {
        self.unresolved.iter().map(|range| &self.text[range.clone()])
    }
}

/// Writes a value so that it stays where it is put.
pub(super) fn encode(value: &str) -> impl Iterator<Item = &str> {
    utf8_percent_encode(value, RESERVED)
}

/// Bytes of a value once it is written.
pub(super) fn encoded_len(value: &str) -> usize {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    value.bytes().map(|byte| if unreserved(byte) { 1 } else { "%XX".len() }).sum()
}

/// Adds a value, or as much of it as makes the URL too long for sure: values may be far longer than URLs.
fn push_encoded(text: &mut String, value: &str) {
    for part in encode(value) {
        text.push_str(part);
        if text.len() > limits::URL_FILLED_BYTES {
            return;
        }
    }
}

/// Templates and what is made of them are far shorter than 4 GiB: see [`limits`].
fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a template is shorter than 4 GiB")
}

/// A placeholder's path, and the bytes that it was read from.
type Read = (Box<[Step]>, usize);

/// The placeholder that begins at `at`; `None` when none begins there.
fn placeholder_at(text: &str, at: usize) -> Result<Option<Read>, InvalidTemplate> {
    let rest = &text[at..];
    let Some(first) = brace(rest, Brace::Open) else { return Ok(None) };
    let Some(second) = brace(&rest[first..], Brace::Open) else {
        return Ok(provider_placeholder(&rest[first..]).map(|(path, len)| (path, first + len)));
    };
    let inner_from = first + second;
    let mut inner_to = inner_from;
    loop {
        let tail = &rest[inner_to..];
        if tail.is_empty() {
            return Err(InvalidTemplate::NotClosed { at });
        }
        if let Some(close) = brace(tail, Brace::Close)
            && let Some(second_close) = brace(&tail[close..], Brace::Close)
        {
            let path = path(&rest[inner_from..inner_to], at)?;
            return Ok(Some((path, inner_to + close + second_close)));
        }
        if brace(tail, Brace::Open).is_some() {
            return Err(InvalidTemplate::Nested { at });
        }
        if brace(tail, Brace::Close).is_some() {
            return Err(InvalidTemplate::NotClosed { at });
        }
        inner_to += 1;
    }
}

/// `CHECKOUT_SESSION_ID}` or `ERROR_CODE}`: Clover's placeholders, which work everywhere.
fn provider_placeholder(rest: &str) -> Option<Read> {
    [("CHECKOUT_SESSION_ID", "id"), ("ERROR_CODE", "error_code")].into_iter().find_map(|(name, field)| {
        let close = brace(rest.strip_prefix(name)?, Brace::Close)?;
        Some((Box::from([Step::Name(field.into())]), name.len() + close))
    })
}

#[derive(Clone, Copy)]
enum Brace {
    Open,
    Close,
}

/// The length of a brace at the start of `text`, raw or percent-encoded.
fn brace(text: &str, which: Brace) -> Option<usize> {
    let (raw, encoded) = match which {
        Brace::Open => (b'{', *b"%7b"),
        Brace::Close => (b'}', *b"%7d"),
    };
    let bytes = text.as_bytes();
    if bytes.first() == Some(&raw) {
        Some(1)
    } else if bytes.get(..3).is_some_and(|three| three.eq_ignore_ascii_case(&encoded)) {
        Some(3)
    } else {
        None
    }
}

/// Reads what stands between the braces of the placeholder at `at`.
fn path(written: &str, at: usize) -> Result<Box<[Step]>, InvalidTemplate> {
    // These would change the URL's structure if the placeholder stayed as it is written.
    if let Some(found) = written.chars().find(|c| "/\\?#&=;<>".contains(*c)) {
        return Err(InvalidTemplate::RawDelimiter { at, found });
    }
    if !well_formed_percent(written) {
        return Err(InvalidTemplate::Path { at });
    }
    let decoded = percent_decode_str(written).decode_utf8().map_err(|_| InvalidTemplate::Path { at })?;
    let mut rest = decoded.trim();
    if rest.is_empty() {
        return Err(InvalidTemplate::EmptyPath { at });
    }
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, tail) = step(rest, if steps.is_empty() { Place::First } else { Place::Later })
            .ok_or(InvalidTemplate::Path { at })?;
        steps.push(step);
        rest = tail;
    }
    if steps.len() > limits::DEPTH {
        Err(InvalidTemplate::TooDeep { at, depth: steps.len() })
    } else {
        Ok(steps.into())
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    First,
    Later,
}

/// Reads the first step of `rest`: `name`, `.name` or `[key]`.
fn step(rest: &str, place: Place) -> Option<(Step, &str)> {
    if let Some(after) = rest.strip_prefix('[') {
        for quote in ['"', '\''] {
            if let Some(quoted) = after.strip_prefix(quote) {
                let (key, tail) = quoted.split_once(quote)?;
                return Some((Step::Name(key.into()), tail.strip_prefix(']')?));
            }
        }
        let (key, tail) = after.split_once(']')?;
        let key = key.trim();
        if key.is_empty() || key.contains('[') {
            return None;
        }
        // Only the plain spelling of a number is an index; `[007]` is a key.
        let index = key.parse().ok().filter(|index: &u32| index.to_string() == key);
        return Some((index.map_or_else(|| Step::Name(key.into()), Step::Index), tail));
    }
    let after = match (place, rest.strip_prefix('.')) {
        (Place::First, _) => rest,
        (Place::Later, Some(after)) => after,
        (Place::Later, None) => return None,
    };
    let end = after.find(['.', '[', ']']).unwrap_or(after.len());
    let (name, tail) = after.split_at(end);
    let name = name.trim();
    if name.is_empty() || tail.starts_with(']') { None } else { Some((Step::Name(name.into()), tail)) }
}

/// Whether every `%` begins an escape of two hexadecimal digits.
pub(super) fn well_formed_percent(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().all(|(at, byte)| {
        *byte != b'%' || bytes.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Why a text is not a template. Positions are byte offsets, counted from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// Longer than a return URL may be written.
    #[error("is {bytes} bytes long: write at most {}", limits::URL_WRITTEN_BYTES)]
    TooLong {
        /// The length.
        bytes: usize,
    },
    /// A control character or one outside ASCII.
    #[error("has a character at position {at} that is not printable ASCII: {}", Hint(.canonical.as_deref(), "percent-encode it; write a Unicode host as its A-label (`xn--...`)"))]
    NotAscii {
        /// Where.
        at: usize,
        /// The URL as a browser writes it.
        canonical: Option<Box<str>>,
    },
    /// No end.
    #[error("has a placeholder at position {at} without its end: write `}}}}` behind the path")]
    NotClosed {
        /// Where the placeholder begins.
        at: usize,
    },
    /// A brace inside a placeholder.
    #[error(
        "has a brace inside the placeholder at position {at}: placeholders cannot be nested; write one path between `{{{{` and `}}}}`"
    )]
    Nested {
        /// Where the placeholder begins.
        at: usize,
    },
    /// Nothing between the braces.
    #[error(
        "has a placeholder at position {at} that names nothing: write a path between the braces, for example `{{{{id}}}}`"
    )]
    EmptyPath {
        /// Where the placeholder begins.
        at: usize,
    },
    /// Not a path.
    #[error(
        "has a placeholder at position {at} whose path cannot be read: write names joined by dots, `[key with spaces]` or `[0]`"
    )]
    Path {
        /// Where the placeholder begins.
        at: usize,
    },
    /// A delimiter of URLs inside a placeholder.
    #[error("has `{found}` inside the placeholder at position {at}: write it percent-encoded, `%{:02X}`", *.found as u32)]
    RawDelimiter {
        /// Where the placeholder begins.
        at: usize,
        /// The character.
        found: char,
    },
    /// A path of too many steps.
    #[error("has a placeholder at position {at} that is {depth} names deep: write at most {}", limits::DEPTH)]
    TooDeep {
        /// Where the placeholder begins.
        at: usize,
        /// Its depth.
        depth: usize,
    },
    /// More placeholders than allowed.
    #[error("has {placeholders} placeholders: write at most {}", limits::PLACEHOLDERS)]
    TooManyPlaceholders {
        /// How many.
        placeholders: usize,
    },
}

/// "write `https://...`" when it is known what to write, else general advice.
pub(super) struct Hint<'a>(pub Option<&'a str>, pub &'static str);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(url) => write!(f, "write `{url}`"),
            None => f.write_str(self.1),
        }
    }
}

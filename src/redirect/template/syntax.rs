//! How placeholders are written, and what is wrong with a text that is no template.

use super::packed::{Step, push_step};
use crate::model::limits;
use memchr::memchr_iter;
use percent_encoding::percent_decode_str;
use std::fmt;

/// The bytes of a placeholder's [`Path`](super::Path), and the number of those that it was read from.
pub(super) type Read = (Vec<u8>, usize);

/// The placeholder that begins at `at`; `None` when none begins there.
pub(super) fn placeholder_at(text: &str, at: usize) -> Result<Option<Read>, InvalidTemplate> {
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
        let mut path = Vec::new();
        push_step(&mut path, Step::Name(field));
        Some((path, name.len() + close))
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
fn path(written: &str, at: usize) -> Result<Vec<u8>, InvalidTemplate> {
    // These would change the URL's structure if the placeholder stayed as it is written.
    if let Some(found) = written.chars().find(|c| "/\\?#&=;<>".contains(*c)) {
        return Err(InvalidTemplate::RawDelimiter { at, found });
    }
    if !escapes(written).all(|escape| escape.is_some()) {
        return Err(InvalidTemplate::Path { at });
    }
    let decoded = percent_decode_str(written).decode_utf8().map_err(|_| InvalidTemplate::Path { at })?;
    let mut rest = decoded.trim();
    if rest.is_empty() {
        return Err(InvalidTemplate::EmptyPath { at });
    }
    let mut path = Vec::new();
    let mut depth = 0;
    while !rest.is_empty() {
        let place = if depth == 0 { Place::First } else { Place::Later };
        let (step, tail) = step(rest, place).ok_or(InvalidTemplate::Path { at })?;
        push_step(&mut path, step);
        depth += 1;
        rest = tail;
    }
    if depth > limits::DEPTH { Err(InvalidTemplate::TooDeep { at, depth }) } else { Ok(path) }
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    First,
    Later,
}

/// Reads the first step of `rest`: `name`, `.name` or `[key]`.
fn step(rest: &str, place: Place) -> Option<(Step<'_>, &str)> {
    if let Some(after) = rest.strip_prefix('[') {
        for quote in ['"', '\''] {
            if let Some(quoted) = after.trim_start().strip_prefix(quote) {
                let (key, tail) = quoted.split_once(quote)?;
                return Some((Step::Name(key), tail.trim_start().strip_prefix(']')?));
            }
        }
        let (key, tail) = after.split_once(']')?;
        let key = key.trim();
        if key.is_empty() || key.contains('[') {
            return None;
        }
        // Only the plain spelling of a number is an index; `[007]` is a key.
        let index = key.parse().ok().filter(|index: &u32| index.to_string() == key);
        return Some((index.map_or(Step::Name(key), Step::Index), tail));
    }
    let after = match (place, rest.strip_prefix('.')) {
        (Place::First, _) => rest,
        (Place::Later, Some(after)) => after,
        (Place::Later, None) => return None,
    };
    let end = after.find(['.', '[', ']']).unwrap_or(after.len());
    let (name, tail) = after.split_at(end);
    let name = name.trim();
    if name.is_empty() || tail.starts_with(']') { None } else { Some((Step::Name(name), tail)) }
}

/// For each `%` the two hexadecimal digits of the escape that it begins, or `None` if it begins none.
pub(in crate::redirect) fn escapes(text: &str) -> impl Iterator<Item = Option<[u8; 2]>> {
    let digits = |at: usize| text.as_bytes()[at + 1..].first_chunk().copied();
    memchr_iter(b'%', text.as_bytes()).map(move |at| digits(at).filter(|two| two.iter().all(u8::is_ascii_hexdigit)))
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
pub(in crate::redirect) struct Hint<'a>(pub Option<&'a str>, pub &'static str);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(url) => write!(f, "write `{url}`"),
            None => f.write_str(self.1),
        }
    }
}

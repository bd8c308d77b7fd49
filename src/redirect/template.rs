//! Return URL templates: text with placeholders (SPEC 5).
//!
//! [`Template::compile`] reads a text once; [`Template::bind`] fills what is known when the session is created, so
//! that [`TemplateRef::render`] has little left to do while the buyer waits. This file knows where placeholders are and how
//! values are written; whether the URL is acceptable is [`super::policy`]'s question.

use super::policy::Known;
use crate::model::limits;
use memchr::memchr_iter;
use percent_encoding::{percent_decode_str, percent_encode_byte};
use std::{borrow::Cow, fmt, ops::Range};

/// A compiled return URL, in one piece of memory: there are millions of sessions, and each has some.
///
/// It holds, one behind the other: the number of pieces, what is [`Known`], the length of the paths; then the
/// pieces, the paths of the placeholders, the text. Everything is read through [`TemplateRef`].
#[derive(Clone, PartialEq, Eq)]
pub struct Template(Box<[u8]>);

/// A [`Template`], wherever its bytes are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TemplateRef<'t>(&'t [u8]);

/// Where a template's bytes have what.
struct Layout<'t> {
    known: Known,
    /// For each piece where its text ends in two bytes, what it is in one, where its path ends in two. The pieces follow
    /// each other without gaps.
    pieces: &'t [[u8; PIECE_BYTES]],
    paths: &'t [u8],
    text: &'t str,
}

const PIECE_BYTES: usize = 5;

/// What a part of a template's text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece<'t> {
    /// Stands in the URL as it is.
    Literal,
    /// To be filled.
    Placeholder(Path<'t>),
    /// A placeholder that is known to name nothing: stands in the URL as it is, and is reported.
    Unresolved,
}

/// What a placeholder names: steps, one behind the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Path<'t>(&'t [u8]);

/// One step of a placeholder's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'t> {
    /// Into an object.
    Name(&'t str),
    /// Into an array, or into an object whose key is that number.
    Index(u32),
}

/// A placeholder as it stands in a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placeholder<'t> {
    /// As it is written, braces included.
    pub written: &'t str,
    /// What it names.
    pub path: Path<'t>,
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
    fn find(&self, path: Path<'_>) -> Found<'_>;
}

/// A template with its placeholders filled. Not checked yet.
#[derive(Debug, Clone)]
pub struct Filled {
    pub(super) text: String,
    /// Where in `text` placeholders stand that name nothing, in order.
    pub(super) unresolved: Vec<Range<usize>>,
    /// What the check need not ask again.
    pub(super) known: Known,
}

/// Of two that are equal more may be known of the one whose values were bound earlier.
impl PartialEq for Filled {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, &self.unresolved) == (&other.text, &other.unresolved)
    }
}

impl Eq for Filled {}

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
        let mut written = Writer::default();
        let mut literal_from = 0;
        let mut placeholders = 0;
        let mut at = 0;
        while at < text.len() {
            let Some((path, len)) = placeholder_at(text, at)? else {
                at += 1;
                continue;
            };
            placeholders += 1;
            written.push(&text[literal_from..at], Piece::Literal);
            written.push(&text[at..at + len], Piece::Placeholder(Path(&path)));
            at += len;
            literal_from = at;
        }
        if placeholders > limits::PLACEHOLDERS {
            return Err(InvalidTemplate::TooManyPlaceholders { placeholders });
        }
        written.push(&text[literal_from..], Piece::Literal);
        Ok(written.finish())
    }

    /// The template, to be read.
    pub fn view(&self) -> TemplateRef<'_> {
        TemplateRef(&self.0)
    }

    /// Its bytes, from which [`TemplateRef::of_bytes`] reads it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text that it was compiled from.
    pub fn as_str(&self) -> &str {
        self.view().as_str()
    }

    /// The placeholders that are still to be filled, in order.
    pub fn placeholders(&self) -> impl Iterator<Item = Placeholder<'_>> {
        self.view().layout().parts().filter_map(|(written, piece)| match piece {
            Piece::Placeholder(path) => Some(Placeholder { written, path }),
            Piece::Literal | Piece::Unresolved => None,
        })
    }

    /// Fills what these values know for good, and leaves what they say comes later.
    ///
    /// Binding and then rendering gives what rendering at once gives. A result longer than any URL may be is not kept:
    /// then the template stays as it is, and [`TemplateRef::render`] finds the same fault.
    pub fn bind(&self, values: &impl Values) -> Self {
        let mut bound = Writer::default();
        let mut value_written = String::new();
        for (written, piece) in self.view().layout().parts() {
            match piece {
                Piece::Placeholder(path) => match values.find(path) {
                    Found::Text(value) => {
                        value_written.clear();
                        push_encoded(&mut value_written, &value);
                        bound.push(&value_written, Piece::Literal);
                    }
                    Found::Nothing => bound.push(written, Piece::Unresolved),
                    Found::Later => bound.push(written, piece),
                },
                Piece::Literal | Piece::Unresolved => bound.push(written, piece),
            }
            if bound.text.len() > limits::URL_FILLED_BYTES {
                return self.clone();
            }
        }
        bound.finish()
    }

    /// The template as a URL whose placeholders stand for themselves, for the checks before there are values.
    pub(super) fn as_filled(&self) -> Filled {
        let mut start = 0;
        let mut unresolved = Vec::new();
        let layout = self.view().layout();
        for (written, piece) in layout.parts() {
            let end = start + written.len();
            if piece != Piece::Literal {
                unresolved.push(start..end);
            }
            start = end;
        }
        // As somebody wrote it, it is examined from end to end.
        Filled { text: layout.text.to_owned(), unresolved, known: Known::NOTHING }
    }
}

impl<'t> TemplateRef<'t> {
    /// The template whose [`Template::as_bytes`] these are.
    pub const fn of_bytes(bytes: &'t [u8]) -> Self {
        Self(bytes)
    }

    fn layout(self) -> Layout<'t> {
        let read = || {
            let ([count, known, paths_len @ ..], rest) = self.0.split_first_chunk::<HEAD_BYTES>()?;
            let (pieces, rest) = rest.split_at_checked(usize::from(*count) * PIECE_BYTES)?;
            let (paths, text) = rest.split_at_checked(u16::from_le_bytes(*paths_len).into())?;
            let known = Known::from_byte(*known);
            Some(Layout { known, pieces: pieces.as_chunks().0, paths, text: str::from_utf8(text).ok()? })
        };
        read().expect("the bytes of a template are kept as they were written")
    }

    /// What is known of its URLs beforehand.
    #[cfg(test)]
    pub(super) fn known(self) -> Known {
        self.layout().known
    }

    /// The text that it was compiled from, or what [`Template::bind`] has made of it.
    pub fn as_str(self) -> &'t str {
        self.layout().text
    }

    /// Fills every placeholder. What names nothing stays as it is written, byte for byte; every byte of a value outside
    /// *unreserved* is percent-encoded. One pass: what a value contains is never expanded again.
    pub fn render(self, values: &impl Values) -> Filled {
        // Room for what `params` adds, so that the common URL is written into one allocation.
        let layout = self.layout();
        let mut text = String::with_capacity(layout.text.len() + 160);
        let mut unresolved = Vec::new();
        for (written, piece) in layout.parts() {
            let found = match piece {
                Piece::Literal => {
                    text.push_str(written);
                    continue;
                }
                Piece::Placeholder(path) => values.find(path),
                Piece::Unresolved => Found::Nothing,
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
        Filled { text, unresolved, known: layout.known }
    }

    /// Bytes of what [`TemplateRef::render`] would give if there were no limit.
    pub(super) fn rendered_len(self, values: &impl Values) -> usize {
        let len = |(written, piece): (&str, Piece<'_>)| match piece {
            Piece::Placeholder(path) => match values.find(path) {
                Found::Text(value) => encoded_len(&value),
                Found::Nothing | Found::Later => written.len(),
            },
            Piece::Literal | Piece::Unresolved => written.len(),
        };
        self.layout().parts().map(len).sum()
    }
}

impl<'t> Layout<'t> {
    /// The pieces with their text.
    fn parts(&self) -> impl Iterator<Item = (&'t str, Piece<'t>)> + use<'t> {
        let Self { pieces, paths, text, .. } = *self;
        let (mut text_from, mut path_from) = (0, 0);
        pieces.iter().map(move |&[text_low, text_high, tag, path_low, path_high]| {
            let written = text_from..usize::from(u16::from_le_bytes([text_low, text_high]));
            let path = path_from..usize::from(u16::from_le_bytes([path_low, path_high]));
            (text_from, path_from) = (written.end, path.end);
            let piece = match tag {
                LITERAL => Piece::Literal,
                UNRESOLVED => Piece::Unresolved,
                _ => Piece::Placeholder(Path(&paths[path])),
            };
            (&text[written], piece)
        })
    }
}

const HEAD_BYTES: usize = 4;

const LITERAL: u8 = 0;
const PLACEHOLDER: u8 = 1;
const UNRESOLVED: u8 = 2;

/// Writes a template's parts, one after the other.
#[derive(Default)]
struct Writer {
    pieces: Vec<[u8; PIECE_BYTES]>,
    paths: Vec<u8>,
    text: String,
}

impl Writer {
    fn push(&mut self, written: &str, piece: Piece<'_>) {
        if written.is_empty() {
            return;
        }
        self.text.push_str(written);
        let tag = match piece {
            Piece::Literal => LITERAL,
            Piece::Placeholder(path) => {
                self.paths.extend(path.0);
                PLACEHOLDER
            }
            Piece::Unresolved => UNRESOLVED,
        };
        if tag == LITERAL && self.pieces.last().is_some_and(|[_, _, last, ..]| *last == LITERAL) {
            self.pieces.pop();
        }
        let ([text_low, text_high], [path_low, path_high]) = (offset(self.text.len()), offset(self.paths.len()));
        self.pieces.push([text_low, text_high, tag, path_low, path_high]);
    }

    fn finish(self) -> Template {
        let known = Known::of(&self.text, |part| self.is_literal(part));
        let Self { pieces, paths, text } = self;
        // Two for each placeholder and one more at most: see [`limits`].
        let count = u8::try_from(pieces.len()).expect("a template has less than 256 pieces");
        let [low, high] = offset(paths.len());
        let head: [u8; HEAD_BYTES] = [count, known.as_byte(), low, high];
        Template([&head, pieces.as_flattened(), &paths, text.as_bytes()].concat().into())
    }

    /// Whether no placeholder stands within that part of the text.
    fn is_literal(&self, part: Range<usize>) -> bool {
        let mut from = 0;
        self.pieces.iter().all(|&[low, high, tag, ..]| {
            let piece = from..usize::from(u16::from_le_bytes([low, high]));
            from = piece.end;
            // One that stands where an empty name does begins there.
            tag == LITERAL || piece.end <= part.start || piece.start > part.end
        })
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

impl fmt::Debug for TemplateRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.layout().parts()).finish()
    }
}

impl<'t> Path<'t> {
    /// Its steps, from the root.
    pub fn steps(self) -> Steps<'t> {
        Steps(self.0)
    }
}

impl fmt::Debug for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.steps()).finish()
    }
}

/// The steps of a [`Path`], or what is left of them.
#[derive(Debug, Clone)]
pub struct Steps<'t>(&'t [u8]);

impl<'t> Iterator for Steps<'t> {
    type Item = Step<'t>;

    fn next(&mut self) -> Option<Step<'t>> {
        let (tag, rest) = self.0.split_first()?;
        let step = match *tag {
            INDEX => {
                let (index, rest) = rest.split_first_chunk()?;
                self.0 = rest;
                Step::Index(u32::from_le_bytes(*index))
            }
            FREQUENT_NAME => {
                let (number, rest) = rest.split_first()?;
                self.0 = rest;
                Step::Name(FREQUENT[usize::from(*number)])
            }
            _ => {
                let (len, rest) = rest.split_first_chunk()?;
                let (name, rest) = rest.split_at_checked(u16::from_le_bytes(*len).into())?;
                self.0 = rest;
                Step::Name(str::from_utf8(name).ok()?)
            }
        };
        Some(step)
    }
}

const NAME: u8 = 0;
const INDEX: u8 = 1;
/// Behind it stands the number of a name in [`FREQUENT`].
const FREQUENT_NAME: u8 = 2;

/// Names that need not be written out.
const FREQUENT: [&str; 8] =
    ["payment_id", "status", "error_code", "id", "organization", "name", "metadata", "external_reference"];

fn push_step(path: &mut Vec<u8>, step: Step<'_>) {
    match step {
        Step::Name(name) => match FREQUENT.iter().position(|frequent| *frequent == name) {
            Some(number) => path.extend([FREQUENT_NAME, number as u8]),
            None => {
                path.push(NAME);
                path.extend(offset(name.len()));
                path.extend(name.as_bytes());
            }
        },
        Step::Index(index) => {
            path.push(INDEX);
            path.extend(index.to_le_bytes());
        }
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

/// RFC 3986 *unreserved*: a value with nothing else in it cannot leave its place in the URL.
const UNRESERVED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    table
};

/// Bytes of a value once it is written.
pub(super) fn encoded_len(value: &str) -> usize {
    value.bytes().map(|byte| if UNRESERVED[usize::from(byte)] { 1 } else { "%XX".len() }).sum()
}

/// Writes a value so that it stays where it is put, or as much of it as makes the URL too long for sure: values may be
/// far longer than URLs.
pub(super) fn push_encoded(text: &mut String, value: &str) {
    // Most values have nothing to encode.
    if value.bytes().fold(true, |all, byte| all & UNRESERVED[usize::from(byte)]) {
        return text.push_str(value);
    }
    push_parts_encoded(text, value);
}

#[inline(never)]
fn push_parts_encoded(text: &mut String, value: &str) {
    let mut rest = value;
    while text.len() <= limits::URL_FILLED_BYTES {
        let plain = rest.bytes().position(|byte| !UNRESERVED[usize::from(byte)]).unwrap_or(rest.len());
        let (unreserved, from) = rest.split_at(plain);
        text.push_str(unreserved);
        if from.is_empty() {
            return;
        }
        let encoded = from.bytes().position(|byte| UNRESERVED[usize::from(byte)]).unwrap_or(from.len());
        let (reserved, from) = from.split_at(encoded);
        text.extend(reserved.bytes().map(percent_encode_byte));
        rest = from;
    }
}

/// Templates and what is made of them are far shorter than 64 KiB: see [`limits`].
fn offset(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).expect("a template is shorter than 64 KiB").to_le_bytes()
}

/// The bytes of a placeholder's [`Path`], and the number of those that it was read from.
type Read = (Vec<u8>, usize);

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
            if let Some(quoted) = after.strip_prefix(quote) {
                let (key, tail) = quoted.split_once(quote)?;
                return Some((Step::Name(key), tail.strip_prefix(']')?));
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
pub(super) fn escapes(text: &str) -> impl Iterator<Item = Option<[u8; 2]>> {
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
pub(super) struct Hint<'a>(pub Option<&'a str>, pub &'static str);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(url) => write!(f, "write `{url}`"),
            None => f.write_str(self.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

    /// Whatever a placeholder names.
    struct Always(String);

    impl Values for Always {
        fn find(&self, _: Path<'_>) -> Found<'_> {
            Found::Text(self.0.as_str().into())
        }
    }

    #[test]
    fn a_url_is_not_cut_to_the_greatest_length() {
        let template = Template::compile("https://shop.example/?a={{metadata.a}}&b=1").unwrap();
        let before = "https://shop.example/?a=".len();
        for more in [0, 1] {
            let value = "v".repeat(limits::URL_FILLED_BYTES - before - "&b=1".len() + more);
            let text = template.view().render(&Always(value)).text;
            assert_eq!(text.len(), limits::URL_FILLED_BYTES + more);
        }
        // With what comes after the value, it is too long, also when it is not yet without.
        let value = Always("v".repeat(limits::URL_FILLED_BYTES - before));
        assert!(template.view().render(&value).text.len() > limits::URL_FILLED_BYTES);
        let value = Always(format!("{} ", "v".repeat(limits::URL_FILLED_BYTES - before)));
        assert!(template.view().render(&value).text.len() > limits::URL_FILLED_BYTES);
    }

    /// Knows `a`, and what will be known of `metadata`.
    struct Partly;

    impl Values for Partly {
        fn find(&self, path: Path<'_>) -> Found<'_> {
            match path.steps().next() {
                Some(Step::Name("a")) => Found::Text("1".into()),
                Some(Step::Name("metadata")) => Found::Later,
                _ => Found::Nothing,
            }
        }
    }

    #[test]
    fn the_placeholders_are_those_that_are_still_to_be_filled() {
        let template = Template::compile("https://shop.example/?a={{a}}&b={{b}}&c={{metadata.c}}").unwrap();
        let written = |template: &Template| {
            let placeholders = template.placeholders().map(|placeholder| placeholder.written.to_owned());
            placeholders.collect::<Vec<_>>()
        };
        assert_eq!(written(&template), ["{{a}}", "{{b}}", "{{metadata.c}}"]);
        let bound = template.bind(&Partly);
        assert_eq!(bound.as_str(), "https://shop.example/?a=1&b={{b}}&c={{metadata.c}}");
        // Nothing will ever be known of `b`.
        assert_eq!(written(&bound), ["{{metadata.c}}"]);
    }

    proptest! {
        #[test]
        fn values_are_encoded_as_the_percent_encoding_crate_does(value in any::<String>(), ascii in "[ -~]{0,20}") {
            for value in [value, ascii] {
                let mut text = String::from("x");
                push_encoded(&mut text, &value);
                prop_assert_eq!(&text[1..], utf8_percent_encode(&value, RESERVED).to_string());
                prop_assert_eq!(text.len() - 1, encoded_len(&value));
            }
        }
    }
}

//! How a template is kept, in one piece of memory: there are millions of sessions, and each has some.
//!
//! One behind the other: the number of pieces, what is [`Known`], the length of the paths; then the pieces, the paths of the
//! placeholders, the text.

use super::super::policy::Known;
use std::{fmt, ops::Range};

/// Where a template's bytes have what.
pub(super) struct Layout<'t> {
    pub(super) known: Known,
    /// For each piece where its text ends in two bytes, what it is in one, where its path ends in two. The pieces follow
    /// each other without gaps.
    pieces: &'t [[u8; PIECE_BYTES]],
    paths: &'t [u8],
    pub(super) text: &'t str,
}

const PIECE_BYTES: usize = 5;

/// What a part of a template's text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    /// Stands in the URL as it is.
    Literal,
    /// To be filled.
    Placeholder(Path<'t>),
    /// A placeholder that is known to name nothing: stands in the URL as it is, and is reported.
    Unresolved,
}

/// What a placeholder names: steps, one behind the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Path<'t>(pub(super) &'t [u8]);

/// One step of a placeholder's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'t> {
    /// Into an object.
    Name(&'t str),
    /// Into an array, or into an object whose key is that number.
    Index(u32),
}

impl<'t> Layout<'t> {
    /// Finds them in what [`Writer::finish`] gave.
    pub(super) fn of_bytes(bytes: &'t [u8]) -> Self {
        let read = || {
            let ([count, known, paths_len @ ..], rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
            let (pieces, rest) = rest.split_at_checked(usize::from(*count) * PIECE_BYTES)?;
            let (paths, text) = rest.split_at_checked(u16::from_le_bytes(*paths_len).into())?;
            let known = Known::from_byte(*known);
            Some(Self { known, pieces: pieces.as_chunks().0, paths, text: str::from_utf8(text).ok()? })
        };
        read().expect("the bytes of a template are kept as they were written")
    }

    /// The pieces with their text.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&'t str, Piece<'t>)> + use<'t> {
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
pub(super) struct Writer {
    pieces: Vec<[u8; PIECE_BYTES]>,
    paths: Vec<u8>,
    pub(super) text: String,
}

impl Writer {
    pub(super) fn push(&mut self, written: &str, piece: Piece<'_>) {
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

    pub(super) fn finish(self) -> Box<[u8]> {
        let known = Known::of(&self.text, |part| self.is_literal(part));
        let Self { pieces, paths, text } = self;
        // Two for each placeholder and one more at most: see [`limits`].
        let count = u8::try_from(pieces.len()).expect("a template has less than 256 pieces");
        let [low, high] = offset(paths.len());
        let head: [u8; HEAD_BYTES] = [count, known.as_byte(), low, high];
        [&head, pieces.as_flattened(), &paths, text.as_bytes()].concat().into()
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

pub(super) fn push_step(path: &mut Vec<u8>, step: Step<'_>) {
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

/// Templates and what is made of them are far shorter than 64 KiB: see [`crate::model::limits`].
fn offset(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).expect("a template is shorter than 64 KiB").to_le_bytes()
}

//! Return URL templates: text with placeholders (SPEC 5).
//!
//! [`Template::compile`] reads a text once; [`Template::bind`] fills what is known when the session is created, so
//! that [`TemplateRef::render`] has little left to do while the buyer waits. Whether the URL is acceptable is
//! [`super::policy`]'s question.

mod encode;
mod packed;
mod syntax;

pub(super) use encode::{encoded_len, push_encoded};
pub use packed::{Path, Step, Steps};
pub use syntax::InvalidTemplate;
pub(super) use syntax::{Hint, escapes};

use super::policy::Known;
use crate::model::limits;
use packed::{Layout, Piece, Writer};
use std::{borrow::Cow, fmt, ops::Range};
use syntax::placeholder_at;

/// A compiled return URL. Everything of it is read through [`TemplateRef`].
#[derive(Clone, PartialEq, Eq)]
pub struct Template(Box<[u8]>);

/// A [`Template`], wherever its bytes are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TemplateRef<'t>(&'t [u8]);

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
        Ok(Self(written.finish()))
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
        Self(bound.finish())
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
        Layout::of_bytes(self.0)
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

#[cfg(test)]
mod tests {
    use super::*;

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
}

//! Path segments that browsers or servers read as `.` or `..`, in whatever spelling.

use std::{borrow::Cow, ops::Range};

/// How far a path is decoded before dot segments are looked for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum DotSegments {
    /// In a text that somebody wrote: in every spelling, an encoded slash included.
    Written,
    /// In a URL that values were filled into: there an encoded slash is part of a value, and servers keep it so.
    Filled,
}

pub(super) fn has_dot_segment(path: &str, reach: DotSegments) -> bool {
    let is_dot = |part: &[u8]| matches!(part.split(|byte| *byte == b';').next(), Some(b"." | b".."));
    path.split('/').any(|segment| {
        let separates = |byte: &u8| *byte == b'\\' || (*byte == b'/' && reach == DotSegments::Written);
        decode_fully(segment).split(separates).any(is_dot)
    })
}

/// Whether a placeholder and an encoded slash share a segment: `..` as the value would make a segment of its own of it,
/// for servers that decode before they split.
pub(super) fn has_placeholder_beside_encoded_slash(text: &str, placeholders: &[Range<usize>]) -> bool {
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

/// Puts a letter in the place of each placeholder: what the URL is when they are filled with something harmless.
pub(super) fn stand_in<'t>(text: &'t str, placeholders: &[Range<usize>]) -> Cow<'t, str> {
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

//! How values are written into a URL.

use crate::model::limits;
use percent_encoding::percent_encode_byte;

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
pub(in crate::redirect) fn encoded_len(value: &str) -> usize {
    value.bytes().map(|byte| if UNRESERVED[usize::from(byte)] { 1 } else { "%XX".len() }).sum()
}

/// Writes a value so that it stays where it is put, or as much of it as makes the URL too long for sure: values may be
/// far longer than URLs.
pub(in crate::redirect) fn push_encoded(text: &mut String, value: &str) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

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

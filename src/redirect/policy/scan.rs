//! What bytes a URL holds, looked at before anything is parsed.

/// Which of the bytes that need a second look occur in a text: none, in nearly every one.
#[derive(Clone, Copy)]
pub(super) struct Marks(u8);

impl Marks {
    /// Outside of printable ASCII, or a backslash.
    pub(super) const UNACCEPTABLE: u8 = 1;
    pub(super) const PERCENT: u8 = 2;
    /// What browsers percent-encode somewhere behind the path.
    pub(super) const ENCODED_IN_TAIL: u8 = 4;
    pub(super) const AT: u8 = 8;

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

    pub(super) fn of(text: &str) -> Self {
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

    pub(super) const fn has(self, mark: u8) -> bool {
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
pub(super) struct Parts {
    pub(super) bytes: usize,
    pub(super) seen: u8,
}

impl Parts {
    pub(super) const ENDS_AUTHORITY: u8 = 1;
    pub(super) const ENDS_PATH: u8 = 2;
    /// Part of what may be read as a dot.
    pub(super) const MAY_BE_DOT: u8 = 4;
    pub(super) const CARET: u8 = 8;
    pub(super) const BRACE: u8 = 16;

    const TABLE: [u8; 256] = {
        let mut table = [0; 256];
        table[b'/' as usize] = Self::ENDS_AUTHORITY;
        table[b'\\' as usize] = Self::ENDS_AUTHORITY;
        table[b'?' as usize] = Self::ENDS_AUTHORITY | Self::ENDS_PATH;
        table[b'#' as usize] = Self::ENDS_AUTHORITY | Self::ENDS_PATH;
        table[b'.' as usize] = Self::MAY_BE_DOT;
        table[b'%' as usize] = Self::MAY_BE_DOT;
        table[b'^' as usize] = Self::CARET;
        table[b'{' as usize] = Self::BRACE;
        table[b'}' as usize] = Self::BRACE;
        table
    };

    /// Goes to the first byte that ends the part, or to the end of the text.
    pub(super) fn of(text: &str, end: u8) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_marks_of_a_text_are_those_of_its_bytes(plain in "[a-z/?&=]{0,40}", odd in "\\PC{0,3}", at in 0..41_usize) {
            let (before, after) = plain.split_at(at.min(plain.len()));
            let text = format!("{before}{odd}{after}");
            prop_assert_eq!(Marks::of(&text).0, text.bytes().fold(0, |seen, byte| seen | Marks::of_byte(byte)), "{}", text);
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
}

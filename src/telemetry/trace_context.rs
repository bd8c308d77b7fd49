//! The `traceparent` header (W3C Trace Context, level 1): which trace a call is part of.

use http::HeaderValue;

/// The header.
pub const TRACEPARENT: http::HeaderName = http::HeaderName::from_static("traceparent");

/// `00-` 32 hexadecimal digits `-` 16 of them `-` 2 of them.
const BYTES: usize = 55;

/// A trace, and the caller's part in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext([u8; BYTES]);

impl TraceContext {
    /// Reads the header. A malformed one is as good as none, as the specification has it.
    pub fn read(value: &HeaderValue) -> Option<Self> {
        let bytes = value.as_bytes();
        let head: [u8; BYTES] = *bytes.first_chunk()?;
        // Later versions may have more after a dash; version `ff` is none, and version 0 has nothing more.
        let known = match (&head[..2], bytes.get(BYTES)) {
            (b"ff", _) => false,
            (b"00", rest) => rest.is_none(),
            (_, rest) => rest.is_none_or(|next| *next == b'-'),
        };
        let is_dash = |at: usize| matches!(at, 2 | 35 | 52);
        let well_formed = head.iter().enumerate().all(|(at, byte)| match is_dash(at) {
            true => *byte == b'-',
            false => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
        let is_set = |digits: &[u8]| digits.iter().any(|digit| *digit != b'0');
        (known && well_formed && is_set(&head[3..35]) && is_set(&head[36..52])).then_some(Self(head))
    }

    /// The trace's id, 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        self.text(3, 35)
    }

    /// The id of the caller's span, 16 hexadecimal digits.
    pub fn parent_id(&self) -> &str {
        self.text(36, 52)
    }

    /// Whether the caller records the trace.
    pub fn is_sampled(&self) -> bool {
        u8::from_str_radix(self.text(53, 55), 16).is_ok_and(|flags| flags & 1 == 1)
    }

    fn text(&self, from: usize, to: usize) -> &str {
        str::from_utf8(&self.0[from..to]).expect("ASCII, as it was read")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<TraceContext> {
        TraceContext::read(&HeaderValue::from_str(text).unwrap())
    }

    #[test]
    fn a_traceparent_names_its_trace_and_its_parent() {
        // The example of the specification.
        let context = read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.parent_id(), "00f067aa0ba902b7");
        assert!(context.is_sampled());
        assert!(!read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00").unwrap().is_sampled());
        assert!(read("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes").is_some());
    }

    #[test]
    fn a_malformed_traceparent_is_none() {
        for text in [
            "",
            "00",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}

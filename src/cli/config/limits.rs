//! What is read of a configuration, and how much is said about it.

/// Bytes of a configuration file: a thousand times what all options take, and nothing to wait for or to run out of memory
/// by when another file is named by a slip.
pub const FILE_BYTES: u64 = 1024 * 1024;

/// Problems that are told one by one: as many as anybody reads. A file that is something else altogether has problems
/// without end.
pub const PROBLEMS: usize = 50;

/// Characters of an unknown key that are repeated: longer than any key, and short enough for a line.
pub const KEY_CHARS: usize = 64;

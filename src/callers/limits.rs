//! Every maximum of credentials, in one place, each with its reason.

/// Bytes of the credentials file: what its other limits allow, and no more than is read in a moment.
pub const FILE_BYTES: u64 = 1024 * 1024;

/// Credentials in the file. Every call compares with all of them, 20 ns each; a deployment has some dozens.
pub const CREDENTIALS: usize = 1_000;

/// Characters of a credential's name, which stands in logs.
pub const NAME_CHARACTERS: usize = 64;

/// Merchants of one credential. Who acts for more is trusted with all.
pub const MERCHANTS: usize = 1_000;

/// Bytes of a client certificate's identity: the longest SPIFFE id.
pub const IDENTITY_BYTES: usize = 2_048;

/// Scopes that one credential may name: every one of them, and `admin`.
pub const SCOPES: usize = 5;

/// Bytes of a wrong value that are repeated when it is told: enough to find it on its line.
pub const VALUE_SHOWN: usize = 64;

/// Bytes of a secret as it is sent: ours have 46, those of other makers some hundred. Longer ones are not even hashed,
/// as hashing is the one thing that somebody without a credential can make us do.
pub const SECRET_BYTES: usize = 512;

/// Problems of a credentials file that are told, each on its line. Whoever has more has another kind of file.
pub const PROBLEMS: usize = 100;

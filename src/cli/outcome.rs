//! Outcomes, as they are typed and as they are read.

use crate::proto::v1;
use clap::ValueEnum;

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Outcome {
    /// The buyer paid.
    Success,
    /// A payment was attempted and not completed.
    Failure,
    /// The buyer left before paying.
    Cancel,
    /// The payment settles later.
    Pending,
    /// The session's time ran out.
    Expired,
}

impl Outcome {
    /// As it goes over the wire.
    pub fn to_proto(self) -> i32 {
        match self {
            Self::Success => v1::Outcome::Success,
            Self::Failure => v1::Outcome::Failure,
            Self::Cancel => v1::Outcome::Cancel,
            Self::Pending => v1::Outcome::Pending,
            Self::Expired => v1::Outcome::Expired,
        }
        .into()
    }
}

/// The word for an outcome that came over the wire; `open` for none.
pub fn word(number: i32) -> String {
    match v1::Outcome::try_from(number) {
        Ok(v1::Outcome::Unspecified) => "open".into(),
        Ok(v1::Outcome::Success) => "success".into(),
        Ok(v1::Outcome::Failure) => "failure".into(),
        Ok(v1::Outcome::Cancel) => "cancel".into(),
        Ok(v1::Outcome::Pending) => "pending".into(),
        Ok(v1::Outcome::Expired) => "expired".into(),
        // A server that is newer than this command.
        Err(_) => format!("outcome number {number}"),
    }
}

//! The pure core: where the buyer goes, decided from what is given and nothing else.
//!
//! Read in this order, which is the order of the data: [`mod@select`] finds the template, [`template`] fills it, [`params`]
//! adds what the provider adds, and the [`token`] that says so under a signature of [`signing_keys`]; [`policy`] checks
//! the complete URL, as the parser reads it or has [`parsed`] it before, `decide` says what the browser does. Each stage
//! takes the output type of the one before: only `policy` makes a [`CheckedUrl`], and only a [`CheckedUrl`] is
//! answered.
//!
//! No I/O, no clock, no randomness, no `async`, no logging; no state but what [`parsed`] remembers, on which no answer
//! depends.

mod decide;
mod params;
mod parsed;
mod policy;
mod select;
mod signing_keys;
mod template;
mod token;

pub use decide::{AutoReturn, Candidate, Decision, Delivery, Fate, Question, Redirect, decide};
pub use params::ReturnParams;
pub use policy::{AppScheme, CheckedUrl, InvalidOrigin, InvalidScheme, Mode, OriginPattern, Policy, Refusal};
pub use select::{Position, Selection, select, slots};
pub use signing_keys::{
    InvalidJwks, InvalidSigningKey, InvalidSigningKeys, SigningKey, SigningKeys, VerifyingKeys, to_pem,
};
pub use template::{Filled, Found, InvalidTemplate, Path, Placeholder, Step, Steps, Template, TemplateRef, Values};
pub use token::{Claims, Seal, Signing, Verdict, Verified};

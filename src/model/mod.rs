//! The nouns: ids, outcomes, sessions, merchants, amounts and the limits on all of them.
//!
//! Pure: no I/O, no clock, no randomness, no `async`, no logging. Times and ids are arguments. Values are checked when
//! they are made, so what holds a [`MerchantId`] or an [`Amount`] need not check it again.

mod amount;
mod content;
mod ids;
pub mod limits;
mod merchant;
mod notice;
mod outcome;
mod return_urls;
mod session;
mod tenants;
mod timestamp;
mod values;
mod violation;

pub use amount::{Amount, Currency};
pub use content::{BodyRef, Content};
pub use ids::{IdempotencyKey, MerchantId, SessionId};
pub use merchant::Merchant;
pub use notice::{Notice, NoticeCode};
pub use outcome::{Kind, Outcome};
pub use return_urls::{Level, Precedence, ReturnUrls};
pub use session::{Ending, Fingerprint, Idempotency, Session};
pub use tenants::Tenants;
pub use timestamp::Timestamp;
pub use values::{Fields, Late, Root};
pub use violation::{Rule, Violation, Violations};

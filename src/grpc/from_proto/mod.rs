//! From the wire to types that cannot be wrong. Every field is looked at, so that all violations come at once; a
//! violation's field is the proto path within the request.

mod create;
mod field;
mod merchant;
mod session;

pub use create::{checkout, order, payment};
pub use merchant::{get_merchant, update_merchant};
pub use session::{preview, record, resolve, resolve_of_many, session_id, verify};

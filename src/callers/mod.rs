//! Who may call, and what each of them may do: the credentials of a deployment.
//!
//! A credential is a [`Secret`], of which only the SHA-256 is kept, or a name in a client certificate; a file says to
//! which [`Caller`] it belongs, for which merchants and which [`Scopes`]. [`Credentials`] reads that file, all of its
//! problems at once, and finds the caller of a call. What a method asks of its caller stands in [`crate::grpc::auth`];
//! whose data a use case touches is [`Tenants`](crate::model::Tenants).
//!
//! It knows no wire, and no secret ever leaves it in a text.

mod caller;
mod credentials;
mod credentials_file;
pub mod limits;
mod scope;
mod secret;

pub use caller::Caller;
pub use credentials::Credentials;
pub use credentials_file::{Entry, InvalidIdentity, InvalidName, InvalidTime, Problem, Problems, Proof, name, time};
pub use scope::{Scope, Scopes, UnknownScope};
pub use secret::{InvalidDigest, Secret, SecretDigest};

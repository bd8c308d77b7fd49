//! What every call passes on its way to its service, outermost first.
//!
//! None of them allocates for a call that goes well, except that [`authenticate`], when it is on, gives it its caller. All
//! of them are always ready: they refuse rather than wait.
pub mod authenticate;
pub mod deadline;
pub mod foreign;
pub mod observe;
pub mod panic;
pub mod shed;

use futures_util::future::{Either, Ready, ready};
use std::convert::Infallible;
use tonic::{Status, body::Body};

/// An answer as HTTP sees it.
pub type Response = http::Response<Body>;

/// The future of a layer that either answers by itself or lets the call go on as `F`.
pub type Passed<F> = Either<Ready<Result<Response, Infallible>>, F>;

fn refuse<F>(status: Status) -> Passed<F> {
    Either::Left(ready(Ok(status.into_http())))
}

//! What stands for the traces when it is built without the feature `otel`: nothing is exported.

use super::call::Notes;
use std::time::Duration;

pub(super) const fn start() -> Result<(), String> {
    Ok(())
}

pub(super) const fn is_on() -> bool {
    false
}

pub(super) const fn export(_: &Notes, _: &'static str, _: &'static str, _: Duration) -> Option<String> {
    None
}

pub(super) const fn finish() {}

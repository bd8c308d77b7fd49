//! The thread on which all I/O with the database happens.
//!
//! The server has a runtime per core, and a connection's task lives on the runtime that opened it: connections opened
//! there would die with the first worker that ends, under the calls of all others. This runtime belongs to the store.

use super::super::StoreError;
use std::{io, panic::resume_unwind};
use tokio::runtime::{Builder, Runtime};

/// A runtime of one thread.
#[derive(Debug)]
pub(super) struct IoThread {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl IoThread {
    pub(super) fn start() -> io::Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("waypost-postgres").enable_all().build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Does that work there, and waits for it here. When the caller goes away the work is still finished: what was
    /// sent to the database happens anyway, and its connection is then fit for the next call.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let stopped = || StoreError::Unavailable("the store is closed".to_owned());
        let runtime = self.runtime.as_ref().ok_or_else(stopped)?;
        runtime.spawn(work).await.map_err(|error| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => stopped(),
        })
    }
}

impl Drop for IoThread {
    fn drop(&mut self) {
        // Waiting for the thread is not allowed where stores are dropped: inside another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

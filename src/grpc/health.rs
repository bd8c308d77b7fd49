//! The health that `grpc.health.v1` reports: one state for the server, under its empty name and each service's.

use crate::{
    proto::v1::{merchant_service_server, redirect_service_server},
    server::Announce,
};
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

/// Every name that can be asked for. The empty one stands for the whole server.
const NAMES: [&str; 3] = [redirect_service_server::SERVICE_NAME, merchant_service_server::SERVICE_NAME, ""];

/// Sets what health checks answer.
#[derive(Clone, Debug)]
pub struct Health {
    reporter: HealthReporter,
}

impl Health {
    /// Of a server that is not ready yet.
    pub async fn starting() -> Self {
        let health = Self { reporter: HealthReporter::new() };
        health.set(ServingStatus::NotServing).await;
        health
    }

    /// Answers `SERVING` on every name.
    pub async fn serving(&self) {
        self.set(ServingStatus::Serving).await;
    }

    /// Answers `NOT_SERVING` on every name, to checks and to watchers.
    pub async fn not_serving(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    /// Ends every `Watch`. After this no name is known any more; the process is about to end.
    pub async fn end_streams(&self) {
        // Removing a name drops its sender, and the streams that listen to it end.
        let mut reporter = self.reporter.clone();
        for name in NAMES {
            reporter.clear_service_status(name).await;
        }
    }

    /// The service that answers checks.
    pub fn server(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    async fn set(&self, status: ServingStatus) {
        for name in NAMES {
            self.reporter.set_service_status(name, status).await;
        }
    }
}

impl Announce for Health {
    async fn not_serving(&self) {
        Self::not_serving(self).await;
    }

    async fn end_streams(&self) {
        Self::end_streams(self).await;
    }
}

//! `waypost.v1.MerchantService`: each method reads the request, calls one use case, and writes the answer.

use super::{auth, from_proto, status::to_status, to_proto};
use crate::{
    app::{App, Effect, Error},
    proto::v1::{self, merchant_service_server::MerchantService},
};
use tonic::{Request, Response, Status};

/// The service.
#[derive(Clone)]
pub struct Merchants {
    app: App,
}

impl Merchants {
    /// The service on those use cases.
    pub const fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl MerchantService for Merchants {
    async fn get_merchant(
        &self,
        request: Request<v1::GetMerchantRequest>,
    ) -> Result<Response<v1::GetMerchantResponse>, Status> {
        let tenants = auth::tenants(&request);
        let id = from_proto::get_merchant(request.into_inner()).map_err(Error::Invalid).map_err(to_status)?;
        let merchant = self.app.get_merchant(id, &tenants).await.map_err(to_status)?;
        Ok(Response::new(v1::GetMerchantResponse { merchant: Some(to_proto::merchant(&merchant)) }))
    }

    async fn update_merchant(
        &self,
        request: Request<v1::UpdateMerchantRequest>,
    ) -> Result<Response<v1::UpdateMerchantResponse>, Status> {
        let tenants = auth::tenants(&request);
        let request = request.into_inner();
        let effect = if request.validate_only { Effect::Check } else { Effect::Save };
        let (id, change, violations) = from_proto::update_merchant(request, self.app.mode());
        let merchant = self.app.update_merchant(id, change, violations, effect, &tenants).await.map_err(to_status)?;
        Ok(Response::new(v1::UpdateMerchantResponse { merchant: Some(to_proto::merchant(&merchant)) }))
    }
}

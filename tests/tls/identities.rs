//! Whom a client certificate names, and what that allows.

use crate::{
    certificates::Authority,
    served::{Peer, Peers, Served, etag},
};
use sha2::{Digest, Sha256};
use tonic::{Code, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt;
use waypost::{
    proto::v1::{Merchant, UpdateMerchantRequest, merchant_service_client::MerchantServiceClient},
    server::Limits,
};

const CREDENTIALS: &str = r#"
[[credential]]
name = "checkout"
identity = "spiffe://example.org/checkout"
merchants = ["m1"]
scopes = ["read"]

[[credential]]
name = "operator"
identity = "dns:Operator.internal"
merchants = "all"
scopes = ["admin"]

[[credential]]
name = "gone"
identity = "dns:gone.internal"
merchants = "all"
scopes = ["admin"]
expires = 2020-01-01T00:00:00Z
"#;

struct World {
    ours: Authority,
    served: Served,
}

impl World {
    fn new() -> Self {
        let ours = Authority::new("ours");
        let hex: String = Sha256::digest("a-secret").iter().map(|byte| format!("{byte:02x}")).collect();
        let bearer = format!("[[credential]]\nname = 'b'\nsha256 = '{hex}'\nmerchants = 'all'\nscopes = ['admin']\n");
        let credentials = format!("{CREDENTIALS}\n{bearer}");
        let served = Served::start(&ours.server(), &Peers::Known(&ours, &credentials), Limits::default());
        Self { ours, served }
    }

    async fn channel(&self, uris: &[&str], names: &[&str]) -> Channel {
        let peer = Peer::showing(&self.ours, &self.ours.client(uris, names));
        peer.channel(self.served.addr).await.expect("connected")
    }
}

fn reason(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().map(|info| info.reason).unwrap_or_default())
}

async fn rename(channel: &Channel, merchant: &str) -> Result<(), Status> {
    let merchant = Merchant { merchant_id: merchant.into(), name: "New".into(), ..Merchant::default() };
    let request = UpdateMerchantRequest { merchant: Some(merchant), ..UpdateMerchantRequest::default() };
    MerchantServiceClient::new(channel.clone()).update_merchant(request).await.map(drop)
}

#[tokio::test]
async fn a_name_in_the_certificate_allows_what_its_entry_says_and_no_more() {
    let world = World::new();
    let checkout = world.channel(&["spiffe://example.org/checkout"], &[]).await;
    assert_eq!(etag(&checkout, None).await.expect("it may read"), "v0");
    let refused = rename(&checkout, "m1").await.unwrap_err();
    assert_eq!(reason(&refused), (Code::PermissionDenied, "PERMISSION_DENIED".into()));
    // Host names have no case.
    let operator = world.channel(&["https://unknown.example"], &["other.internal", "OPERATOR.internal"]).await;
    rename(&operator, "m1").await.expect("it may do everything");
    assert_eq!(etag(&checkout, None).await.expect("it may read"), "v1");
}

#[tokio::test]
async fn a_certificate_that_no_entry_names_is_no_credential() {
    let world = World::new();
    let authenticated = (Code::Unauthenticated, "UNAUTHENTICATED".to_owned());
    for (uris, names) in [
        (vec![], vec!["nobody.internal"]),
        (vec!["spiffe://example.org/checkout/2"], vec![]),
        (vec!["spiffe://example.org/Checkout"], vec![]),
        // A SPIFFE certificate has one URI; which of two would it be?
        (vec!["spiffe://example.org/checkout", "spiffe://example.org/other"], vec![]),
        (vec![], vec!["*.internal"]),
        (vec![], vec!["gone.internal"]),
        (vec![], vec![]),
    ] {
        let channel = world.channel(&uris, &names).await;
        assert_eq!(reason(&etag(&channel, None).await.unwrap_err()), authenticated, "{uris:?} {names:?}");
        // It may still ask for the health, or show a secret.
        HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.expect("health is open");
        assert_eq!(etag(&channel, Some("a-secret")).await.expect("a valid secret"), "v0");
    }
}

#[tokio::test]
async fn a_wrong_secret_is_not_made_good_by_a_certificate_and_a_right_one_comes_before_it() {
    let world = World::new();
    let checkout = world.channel(&["spiffe://example.org/checkout"], &[]).await;
    let refused = etag(&checkout, Some("another-secret")).await.unwrap_err();
    assert_eq!(reason(&refused).0, Code::Unauthenticated);
    assert_eq!(etag(&checkout, Some("a-secret")).await.expect("a valid secret"), "v0");
}

#[tokio::test]
async fn without_a_certificate_of_the_authority_nobody_gets_a_connection() {
    let world = World::new();
    let theirs = Authority::new("theirs");
    let stranger = theirs.client(&["spiffe://example.org/checkout"], &[]);
    let expired = world.ours.expired_client("spiffe://example.org/checkout");
    let [stranger, expired] = [stranger, expired].map(|certificate| Peer::showing(&world.ours, &certificate));
    for peer in [Peer::trusting(&world.ours), stranger, expired] {
        // In TLS 1.3 a client hears of its refusal only when it reads.
        let refused = async {
            let channel = peer.channel(world.served.addr).await.map_err(|error| format!("{error:?}"))?;
            etag(&channel, Some("a-secret")).await.map_err(|status| format!("{status:?}"))
        };
        let told = refused.await.expect_err("refused");
        assert!(!told.contains("UNAUTHENTICATED"), "it came as far as a call: {told}");
    }
}

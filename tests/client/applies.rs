//! `waypost merchant apply` while somebody else changes what it read.

use crate::faulty::{Fault, FaultyServer};
use std::process::Command;
use waypost::{
    client::Client,
    proto::v1::{GetMerchantRequest, Merchant, UpdateMerchantRequest},
};

async fn name_of(client: &Client, merchant_id: &str) -> String {
    let request = GetMerchantRequest { merchant_id: merchant_id.into() };
    client.get_merchant(request).await.unwrap().merchant.unwrap().name
}

#[tokio::test]
async fn a_change_in_between_is_noticed_and_what_was_applied_is_told() {
    let server = FaultyServer::start();
    let client = server.client();
    let other = client.clone();
    let meanwhile = async move {
        let merchant = Merchant { merchant_id: "two".into(), name: "Somebody else's".into(), ..Merchant::default() };
        let request = UpdateMerchantRequest { merchant: Some(merchant), ..UpdateMerchantRequest::default() };
        other.update_merchant(request).await.unwrap();
    };
    // Three merchants are read and checked; before the first of them is written, the second one changes.
    server.fail((0..6).map(|_| Fault::None));
    server.fail([Fault::After(Box::pin(meanwhile))]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("merchants.toml");
    let entry = |id: &str| format!("[[merchant]]\nmerchant_id = \"{id}\"\nname = \"Ours\"\n");
    std::fs::write(&file, ["one", "two", "three"].map(entry).concat()).unwrap();
    let mut apply = Command::new(env!("CARGO_BIN_EXE_waypost"));
    apply.env_clear().args(["merchant", "apply", "--server", &server.addr.to_string(), "-f"]).arg(&file);
    let ran = tokio::task::spawn_blocking(move || apply.output().unwrap()).await.unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    for line in ["merchant two: ", "ETAG_MISMATCH", "applied before it: one\n", "not applied: two three\n"] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    assert_eq!(name_of(&client, "one").await, "Ours");
    assert_eq!(name_of(&client, "two").await, "Somebody else's");
    assert_eq!(name_of(&client, "three").await, "");
}

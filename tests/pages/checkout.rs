//! The sandbox's checkout: each button records its outcome and leads to the buyer's page.

use super::served::Served;
use serde_json::json;
use waypost::{
    model::{Kind, Outcome, Tenants},
    redirect::Mode,
};

#[tokio::test]
async fn each_button_records_its_outcome_and_leads_to_the_buyers_page() {
    let served = Served::start(Mode::Sandbox);
    for kind in Kind::ALL {
        for (button, outcome) in [
            ("pay", Outcome::Success),
            ("decline", Outcome::Failure),
            ("later", Outcome::Pending),
            ("leave", Outcome::Cancel),
            ("report", Outcome::Success),
        ] {
            let id = served.create(kind, json!({})).await;
            let checkout = served.checkout(id);
            let pressed = served.post(&checkout, &format!("button={button}")).await;
            assert_eq!((pressed.status, pressed.header("location")), (303, &*format!("{checkout}/done")));
            let (session, now) = served.app.get_session(id, &Tenants::All).await.expect("the session");
            assert_eq!(session.ending_at(now).expect("an end").outcome, outcome);
            let done = served.get(pressed.header("location")).await;
            assert_eq!(done.header("refresh"), format!("0;url={}", served.page(id)));
            // Again, and nothing changes.
            served.post(&checkout, &format!("button={button}")).await;
            assert_eq!(
                served.app.get_session(id, &Tenants::All).await.expect("the session").0.version,
                session.version
            );
        }
    }
}

#[tokio::test]
async fn a_payment_at_a_shop_is_reported_later() {
    let served = Served::start(Mode::Sandbox);
    let id = served.create(Kind::Order, json!({})).await;
    let buttons = |body: &str| -> Vec<String> {
        body.split("value=\"").skip(1).map(|rest| rest.split('"').next().unwrap_or_default().to_owned()).collect()
    };
    let checkout = served.checkout(id);
    assert_eq!(buttons(&served.get(&checkout).await.body), ["pay", "decline", "later", "leave"]);
    served.post(&checkout, "button=later").await;
    assert_eq!(buttons(&served.get(&checkout).await.body), ["report", "decline"]);
    assert!(served.get(&served.page(id)).await.body.contains(&format!("href=\"{checkout}\"")));
    served.post(&checkout, "button=report").await;
    assert_eq!(buttons(&served.get(&checkout).await.body), Vec::<String>::new());
    // Success is final.
    served.post(&checkout, "button=decline").await;
    assert!(served.get(&served.page(id)).await.body.contains("<h1>Payment complete</h1>"));
}

#[tokio::test]
async fn outside_of_the_sandbox_no_page_tells_of_a_checkout() {
    let served = Served::start(Mode::Production);
    let id = served.ended(Kind::Order, json!({}), Outcome::Pending).await;
    assert_eq!(served.links.checkout_url(id), None);
    assert!(!served.get(&served.page(id)).await.body.contains("andbox"));
}

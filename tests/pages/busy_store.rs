//! What a buyer sees while the store is asked for more than it can do.

use super::{
    awkward::Awkward,
    served::{KEY, Served},
};
use serde_json::json;
use std::sync::Arc;
use waypost::{
    model::{Kind, Outcome},
    redirect::Mode,
};

#[tokio::test]
async fn the_browser_comes_again_by_itself_and_then_goes_on() {
    let store = Arc::new(Awkward::new());
    let served = Served::start_on(Mode::Production, Arc::clone(&store) as _, KEY);
    let body = json!({"redirect_urls": {"success": "https://shop.example.com/paid"}});
    let id = served.ended(Kind::Checkout, body, Outcome::Success).await;
    store.set_busy(true);
    let answer = served.get(&served.page(id)).await;
    assert_eq!(answer.status, 503);
    assert_eq!((answer.header("refresh"), answer.header("retry-after")), ("5", "5"));
    assert!(answer.text().contains("Please try again"), "{}", answer.text());
    store.set_busy(false);
    let answer = served.get(&served.page(id)).await;
    assert_eq!((answer.status, answer.header("location")), (303, "https://shop.example.com/paid"));
}

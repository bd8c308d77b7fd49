//! What callers wrote stands in pages as text, and every answer has its headers.

use super::served::Served;
use serde_json::json;
use waypost::{
    app::MerchantChange,
    model::{Ending, Kind, Outcome, Tenants},
    redirect::Mode,
};

const HOSTILE: [&str; 6] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</title></style><svg/onload=alert(1)>",
    "{{7*7}} {% include \"x\" %} &lt;b&gt; &#x27;",
    "\u{202e}gnp.exe \u{2066}\u{0000}\u{feff}",
];

#[tokio::test]
async fn hostile_values_show_as_text_only() {
    let served = Served::start(Mode::Sandbox);
    for hostile in HOSTILE {
        served.merchant(MerchantChange { name: Some(hostile.into()), ..Default::default() }).await;
        let long = hostile.repeat(10_000 / hostile.len() + 1);
        for kind in Kind::ALL {
            let body = match kind {
                Kind::Checkout => {
                    json!({"shopping_cart": {"line_items": [{"name": hostile, "note": long, "price": 1, "unit_qty": 1}]}, "metadata": {hostile: long}})
                }
                Kind::Order => json!({"external_reference": hostile, "metadata": {hostile: long}}),
                Kind::Payment => {
                    json!({"items": [{"type": long, "price": "1", "currency": "USD"}], "metadata": {hostile: long}})
                }
            };
            let id = served.create(kind, body).await;
            let ending = Ending { payment_id: Some(long.as_str().into()), ..Ending::bare(Outcome::Pending) };
            served.app.record_outcome(id, ending, &Tenants::All).await.expect("recorded");
            for path in [served.page(id), served.checkout(id)] {
                let answer = served.get(&path).await;
                assert_eq!(answer.status, 200);
                let tags: Vec<&str> =
                    answer.body.split('<').skip(1).map(|tag| tag.split(['>', ' ', '/']).next().unwrap_or("")).collect();
                for tag in ["img", "b"] {
                    assert!(!tags.contains(&tag), "{hostile}");
                }
                // Ours are the mark and the one script, which stand in every pending page.
                let ours = usize::from(path.starts_with("/r/"));
                assert_eq!(answer.body.matches("<script").count(), ours, "{hostile}");
                assert_eq!(answer.body.matches("<svg").count(), ours, "{hostile}");
                assert_eq!(answer.body.matches("</title").count(), 1, "{hostile}");
                assert!(!answer.body.contains("onmouseover='"), "{hostile}");
            }
        }
    }
}

#[tokio::test]
async fn the_stand_in_shop_shows_parameters_as_text() {
    let served = Served::start(Mode::Sandbox);
    let answer = served.get("/shop/%3Cscript%3E?%3Cscript%3E=%3Cimg+src%3Dx%3E&b").await;
    assert_eq!(answer.status, 200);
    assert!(!answer.body.contains("<script") && !answer.body.contains("<img"));
}

#[tokio::test]
async fn every_answer_has_the_headers_that_keep_a_page_to_itself() {
    let served = Served::start(Mode::Sandbox);
    let url = "https://shop.example.com/";
    let paid = served.ended(Kind::Payment, json!({"redirect_url": url}), Outcome::Success).await;
    let order = json!({"checkout_pro": {"back_urls": {"success": url}}});
    let counting = served.ended(Kind::Order, order, Outcome::Success).await;
    let pending = served.ended(Kind::Payment, json!({}), Outcome::Pending).await;
    let strict = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";
    let answers = [
        (303, strict.to_owned(), served.get(&served.page(paid)).await),
        (404, strict.to_owned(), served.get("/r/x").await),
        (404, strict.to_owned(), served.get("/").await),
        (405, strict.to_owned(), served.post(&served.page(paid), "").await),
        (200, strict.to_owned(), served.get("/shop").await),
        (200, strict.replace("form-action 'none'", "form-action 'self'"), served.get(&served.checkout(paid)).await),
        (400, strict.to_owned(), served.post(&served.checkout(paid), "button=burn").await),
        (400, strict.to_owned(), served.post(&served.checkout(paid), &"x".repeat(2_000)).await),
        (303, strict.to_owned(), served.post(&served.checkout(paid), "button=pay").await),
        (
            200,
            strict.replace("img-src 'self'", "img-src 'self'; script-src 'self'; connect-src 'self'"),
            served.get(&served.page(pending)).await,
        ),
        (
            200,
            // The hash of `:root{--seconds:5}`.
            strict.replace("style-src 'self'", "style-src 'self' 'sha256-HASH'"),
            served.get(&served.page(counting)).await,
        ),
    ];
    for (status, policy, answer) in answers {
        assert_eq!(answer.status, status);
        let said = answer.header("content-security-policy");
        let said = match (said.split_once("'sha256-"), policy.contains("HASH")) {
            (Some((before, after)), true) => {
                format!("{before}'sha256-HASH'{}", after.split_once('\'').expect("closed").1)
            }
            _ => said.to_owned(),
        };
        assert_eq!(said, policy);
        for (name, value) in [
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("x-robots-tag", "noindex, nofollow"),
        ] {
            assert_eq!(answer.header(name), value, "{status} {name}");
        }
    }
}

#[tokio::test]
async fn assets_of_this_version_are_kept_and_nothing_comes_from_anybody_else() {
    let served = Served::start(Mode::Production);
    let pending = served.ended(Kind::Payment, json!({}), Outcome::Pending).await;
    let page = served.get(&served.page(pending)).await;
    assert!(
        !page.body.contains("http://") && !page.body.contains("https://") && !page.body.contains("//"),
        "{}",
        page.body
    );
    let mut links = page.body.split("\"/assets/").skip(1).map(|rest| rest.split('"').next().expect("closed"));
    assert_eq!(links.clone().count(), 3);
    for link in &mut links {
        let asset = served.get(&format!("/assets/{link}")).await;
        assert_eq!(asset.header("cache-control"), "public, max-age=31536000, immutable");
        let (name, _) = link.split_once('?').expect("a version");
        for other in [format!("/assets/{name}"), format!("/assets/{name}?v=0"), format!("/assets/{name}?x={link}")] {
            assert_eq!(served.get(&other).await.header("cache-control"), "no-store");
        }
    }
}

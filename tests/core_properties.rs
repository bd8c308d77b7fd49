//! The pure core over whole input spaces: selection enumerated, templates and the URL check with random and hostile
//! values.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use url::Url;
use uuid::Uuid;
use waypost::{
    model::{Kind, Late, Level, MerchantId, Outcome, Precedence, ReturnUrls, Root, SessionId},
    redirect::{
        AutoReturn, Decision, Delivery, Mode, Policy, Position, Question, ReturnParams, Signing, Template, decide,
        select,
    },
};

const OPEN: Policy<'static> = Policy { mode: Mode::Production, allowed_origins: &[], app_schemes: &[] };

/// The table of SPEC 4, as it stands there: kind (`*` for any), outcome, slots tried.
const TABLE: &str = "
    *        success  success
    *        failure  failure
    *        pending  pending
    checkout cancel   cancel
    payment  cancel   cancel
    order    cancel   cancel failure
    checkout expired  expired cancel
    payment  expired  expired cancel
    order    expired  expired cancel failure
";

/// Where the table says that the URL is: the slot's name and whose it is.
fn first_by_the_table(present: u32, kind: Kind, outcome: Outcome, settings_first: bool) -> Option<String> {
    let row = TABLE.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|row| {
        matches!(row[..], [row_kind, row_outcome, ..] if (row_kind == "*" || row_kind == kind.as_str()) && row_outcome == outcome.as_str())
    });
    let words = ["success", "failure", "cancel", "pending", "expired"];
    for slot in &row.expect("a row for every kind and outcome")[2..] {
        let slot_number = words.iter().position(|word| word == slot).expect("a slot");
        let settings = present & (1 << slot_number) != 0;
        let request = present & (1 << (slot_number + words.len())) != 0;
        let levels = if settings_first {
            [(settings, "settings"), (request, "request")]
        } else {
            [(request, "request"), (settings, "settings")]
        };
        if let Some((_, level)) = levels.into_iter().find(|(present, _)| *present) {
            return Some(format!("{level} {slot}"));
        }
    }
    None
}

#[test]
fn selection_is_the_table_for_every_subset_of_levels_and_slots_every_kind_and_outcome() {
    let mut cases = 0;
    for present in 0..1_u32 << (2 * Outcome::ALL.len()) {
        let (mut settings, mut request) = (ReturnUrls::default(), ReturnUrls::default());
        for (bit, slot) in Outcome::ALL.into_iter().enumerate() {
            settings.set(slot, (present & (1 << bit) != 0).then(|| format!("settings {}", slot.as_str())));
            request.set(
                slot,
                (present & (1 << (bit + Outcome::ALL.len())) != 0).then(|| format!("request {}", slot.as_str())),
            );
        }
        for kind in Kind::ALL {
            for outcome in Outcome::ALL {
                for precedence in Precedence::ALL {
                    let urls = |position: Position| position.level.of(&settings, &request).get(position.slot).cloned();
                    let selected = select(kind, outcome, precedence, urls).map(|found| found.value);
                    let expected = first_by_the_table(present, kind, outcome, precedence == Precedence::SettingsFirst);
                    assert_eq!(selected, expected, "{present:010b} {kind:?} {outcome:?} {precedence:?}");
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(cases, 1_024 * 3 * 5 * 2);
}

#[test]
fn delivery_is_the_table_for_every_kind_outcome_auto_return_and_delay() {
    for kind in Kind::ALL {
        for outcome in Outcome::ALL {
            for auto_return in AutoReturn::ALL {
                for delay_s in [0, 5, 40] {
                    let decision =
                        ask(&Asked { kind, outcome, auto_return, delay_s, ..Asked::new("https://a.example.com/") });
                    let delivery = decision.redirect.expect("a redirect").delivery;
                    let by_itself = outcome == Outcome::Success || auto_return == AutoReturn::All;
                    match (kind, by_itself, delay_s) {
                        (Kind::Order, true, 1..) => {
                            assert_eq!(delivery, Delivery::After(std::time::Duration::from_secs(delay_s)))
                        }
                        (Kind::Order, false, _) => assert_eq!(delivery, Delivery::Button),
                        _ => assert_eq!(delivery, Delivery::Now),
                    }
                }
            }
        }
    }
}

struct Asked<'a> {
    kind: Kind,
    outcome: Outcome,
    auto_return: AutoReturn,
    delay_s: u64,
    url: &'a str,
    body: Value,
    late: &'a str,
}

impl<'a> Asked<'a> {
    fn new(url: &'a str) -> Self {
        let (kind, outcome) = (Kind::Payment, Outcome::Success);
        Self { kind, outcome, auto_return: AutoReturn::Approved, delay_s: 5, url, body: json!({}), late: "late" }
    }
}

fn ask(asked: &Asked<'_>) -> Decision {
    let id = SessionId::new(asked.kind, Uuid::from_u128(7));
    let merchant_id: MerchantId = "m".parse().expect("a merchant id");
    let Value::Object(body) = &asked.body else { panic!("a body is an object") };
    let late = Late {
        organization_name: Some(asked.late),
        payment_id: Some(asked.late),
        status: Some(asked.late),
        error_code: Some(asked.late),
    };
    let mut request = ReturnUrls::default();
    let template = Template::compile(asked.url).expect("a template");
    OPEN.check_template(&template, asked.kind.added_params()).expect("an accepted template");
    request.set(asked.outcome, Some(template.bind(&Root::at_create(id, &merchant_id, body))));
    decide(&Question {
        kind: asked.kind,
        outcome: asked.outcome,
        urls: &|Position { slot, level }| {
            (level == Level::Request).then(|| request.get(slot)).flatten().map(Template::view)
        },
        precedence: Precedence::SettingsFirst,
        values: &Root::at_resolve(id, &merchant_id, body, late),
        params: match asked.kind {
            Kind::Order => ReturnParams::Order {
                payment_id: Some(asked.late),
                status: Some(asked.late),
                external_reference: Some(asked.late),
                order_id: id,
            },
            kind => ReturnParams::None(kind),
        },
        signing: Signing::Off,
        policy: OPEN,
        auto_return: asked.auto_return,
        delay: std::time::Duration::from_secs(asked.delay_s),
    })
}

/// Values that try to leave their place, and any others.
fn hostile() -> impl Strategy<Value = String> {
    let tricks = prop::sample::select(vec![
        "",
        ".",
        "..",
        "../",
        "..%2f",
        "..\\",
        "%2e%2e",
        "/",
        "//evil.example",
        "\\\\evil.example",
        "?a=1",
        "&b=2",
        "#f",
        "@evil.example",
        ":80",
        "%",
        "%00",
        "\0",
        "\t",
        "\n",
        "\r\nLocation: x",
        " ",
        "+",
        ";",
        "=",
        "{{id}}",
        "{ERROR_CODE}",
        "%7B%7Bid%7D%7D",
        "}}",
        "{{",
        "javascript:alert(1)",
        "https://evil.example",
        "é",
        "\u{202e}",
        "\u{ff0e}\u{ff0e}",
        "\u{2028}",
        "'",
        "\"",
        "<script>",
        "[::1]",
        "xn--",
        "null",
    ]);
    prop_oneof![
        tricks.clone().prop_map(str::to_owned),
        prop::collection::vec(tricks, 0..4).prop_map(|parts| parts.concat()),
        any::<String>(),
        "\\PC{0,40}",
    ]
}

/// What of a URL no value may change: scheme, host, port, path segments, parameter names, whether there is a fragment.
fn shape(url: &Url) -> (String, Option<String>, Option<u16>, usize, Vec<String>, bool) {
    (
        url.scheme().to_owned(),
        url.host_str().map(str::to_owned),
        url.port(),
        url.path_segments().map_or(0, Iterator::count),
        url.query_pairs().map(|(name, _)| name.into_owned()).collect(),
        url.fragment().is_some(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_value_however_hostile_changes_the_shape_of_the_url_and_it_comes_back_unchanged(
        path in hostile(), query in hostile(), fragment in hostile(), late in hostile(), order in any::<bool>(),
    ) {
        let template = "https://shop.example.com:8443/o/{{metadata.path}}/x?a={{metadata.query}}&b={{payment_id}}#{{metadata.fragment}}";
        let harmless = Asked { body: json!({"metadata": {"path": "p", "query": "q", "fragment": "f"}}), ..Asked::new(template) };
        let kind = if order { Kind::Order } else { Kind::Payment };
        let body = json!({"metadata": {"path": path, "query": query, "fragment": fragment}});
        let decision = ask(&Asked { kind, body, late: &late, ..Asked::new(template) });
        let reference = ask(&Asked { kind, ..harmless });
        let reference = Url::parse(reference.redirect.expect("an accepted URL").url.as_str()).expect("a URL");
        // Refused is safe: the buyer stays on the hosted page.
        if let Some(redirect) = decision.redirect {
            let text = redirect.url.as_str();
            let url = Url::parse(text).expect("a URL");
            prop_assert_eq!(shape(&url), shape(&reference));
            prop_assert_eq!(url.as_str(), text, "accepted is a fixed point");
            let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().expect("UTF-8").into_owned();
            let segments: Vec<String> = url.path_segments().expect("segments").map(decode).collect();
            prop_assert_eq!(&segments[1], &path);
            let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            prop_assert_eq!(&pairs[0].1, &query);
            prop_assert_eq!(&pairs[1].1, &late);
            prop_assert_eq!(decode(url.fragment().expect("a fragment")), fragment);
        } else {
            let segment_is_dots = |value: &str| value.contains('.') || value.contains("%2e");
            prop_assert!(segment_is_dots(&path) || [&path, &query, &fragment, &late].iter().any(|value| value.contains('\0')) || path.len() + query.len() + fragment.len() + late.len() > 300,
                "only dot segments, NUL and length refuse: {:?}", decision.refusal);
        }
    }

    #[test]
    fn what_is_accepted_is_a_fixed_point_of_the_url_crate_with_a_dns_host(text in url_like()) {
        let Ok(template) = Template::compile(&text) else { return Ok(()) };
        if OPEN.check_template(&template, &[]).is_err() || template.placeholders().next().is_some() {
            return Ok(());
        }
        let url = Url::parse(&text).expect("a URL");
        let with_path = url.as_str().strip_prefix("https://").expect("https");
        let given = text.strip_prefix("https://").expect("https, in lower case");
        let authority = given.find(['/', '?', '#']).unwrap_or(given.len());
        let expected = if given[authority..].starts_with('/') { given.to_owned() } else { format!("{}/{}", &given[..authority], &given[authority..]) };
        prop_assert_eq!(with_path, expected);
        prop_assert!(url.domain().is_some_and(|domain| domain.contains('.') && !domain.ends_with('.')));
        prop_assert!(url.username().is_empty() && url.password().is_none());
        prop_assert!(!text.contains(['\\', '\t', '\n', '\r', ' ', '@']) || !text[..8 + authority].contains('@'));
        prop_assert!(url.path_segments().expect("segments").all(|segment| !matches!(segment, "." | "..")));
    }

    #[test]
    fn binding_and_then_rendering_is_rendering_at_once(
        values in prop::collection::btree_map("[a-c]", hostile(), 0..4), template in "[a-z{}%7BD.\\[\\]]{0,60}", late in hostile(),
    ) {
        let Ok(template) = Template::compile(&template) else { return Ok(()) };
        let merchant_id: MerchantId = "m".parse().expect("a merchant id");
        let id = SessionId::new(Kind::Order, Uuid::nil());
        let body: Map<String, Value> = values.into_iter().map(|(name, value)| (name, value.into())).collect();
        let all = Late { organization_name: None, payment_id: Some(&late), status: Some(&late), error_code: None };
        let resolved = Root::at_resolve(id, &merchant_id, &body, all);
        let bound = template.bind(&Root::at_create(id, &merchant_id, &body));
        let (late, once) = (bound.view().render(&resolved), template.view().render(&resolved));
        prop_assert_eq!(late.as_str(), once.as_str());
        prop_assert!(late.unresolved().eq(once.unresolved()));
        // They are compared as wholes elsewhere.
        prop_assert_eq!(&late, &once);
        prop_assert_ne!(late, Template::compile("another").expect("a template").view().render(&resolved));
    }

    #[test]
    fn nothing_panics_on_any_text(text in any::<String>(), like in url_like()) {
        for text in [text, like] {
            if let Ok(template) = Template::compile(&text) {
                let _ = OPEN.check_template(&template, Kind::Order.added_params());
            }
        }
    }
}

/// Texts that are often nearly acceptable URLs.
fn url_like() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "https:",
        "HTTPS:",
        "http:",
        "//",
        "/",
        "\\",
        "a",
        "example",
        ".com",
        ".",
        "..",
        "shop.example.com",
        "EXAMPLE.com",
        "bücher.example",
        "xn--bcher-kva.example",
        "127.0.0.1",
        "0x7f.1",
        "2130706433",
        "[::1]",
        "localhost",
        "user@",
        "user:pass@",
        ":443",
        ":8443",
        ":",
        "?",
        "#",
        "&",
        "=",
        "%2e",
        "%2E%2e",
        "%252e",
        "%00",
        "%zz",
        "%",
        "{{id}}",
        "{{",
        "}}",
        "%7B%7Bid%7D%7D",
        ";",
        "'",
        "\"",
        "<",
        ">",
        "|",
        "^",
        "`",
        " ",
        "\t",
        "\u{0}",
        "é",
        "\u{3002}",
        "\u{ff0e}",
        "-",
        "_",
        "~",
        "status=1",
    ]);
    (any::<bool>(), prop::collection::vec(part, 0..8)).prop_map(|(prefixed, parts)| {
        let rest = parts.concat();
        if prefixed { format!("https://shop.example.com{rest}") } else { format!("https://{rest}") }
    })
}

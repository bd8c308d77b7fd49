//! Any text as a template, filled with any values: nothing panics, binding changes no answer, and no value leaves its
//! place.
#![no_main]

use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use serde_json::{Map, Value};
use uuid::Uuid;
use waypost::{
    model::{Kind, Late, MerchantId, Root, SessionId},
    redirect::Template,
};

#[derive(Debug, Arbitrary)]
struct Input<'i> {
    template: &'i str,
    values: [(&'i str, &'i str); 3],
    number: f64,
    late: Option<&'i str>,
}

fuzz_target!(|input: Input<'_>| {
    let Ok(template) = Template::compile(input.template) else { return };
    assert_eq!(template.as_str(), input.template);
    let id = SessionId::new(Kind::Order, Uuid::nil());
    let merchant_id: MerchantId = "m".parse().expect("a merchant id");
    let mut body: Map<String, Value> =
        input.values.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
    body.insert("n".to_owned(), input.number.into());
    body.insert("a".to_owned(), vec![Value::from(input.values[0].1), Value::Null].into());
    let late = Late { organization_name: input.late, payment_id: input.late, status: None, error_code: input.late };
    let resolved = Root::at_resolve(id, &merchant_id, &body, late);

    let filled = template.view().render(&resolved);
    let bound = template.bind(&Root::at_create(id, &merchant_id, &body));
    // A result that is too long for a URL is cut where that is known; what it would have been nobody sees.
    if filled.as_str().len() <= 4_096 && bound.as_str().len() <= 4_096 {
        assert_eq!(bound.view().render(&resolved), filled);
    }

    // What a template has of the characters that give a URL its structure is all that the URL has.
    let structure = |text: &str| text.chars().filter(|c| ":/?#[]@!$&'()*+,;=\\".contains(*c)).collect::<String>();
    let mut written = input.template.to_owned();
    for placeholder in template.placeholders() {
        if !filled.unresolved().any(|unresolved| unresolved == placeholder.written) {
            written = written.replacen(placeholder.written, "", 1);
        }
    }
    if filled.as_str().len() <= 4_096 {
        assert_eq!(structure(&written), structure(filled.as_str()));
    }
});

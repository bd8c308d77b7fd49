//! Proto JSON, both ways: the canonical mapping of protobuf messages to JSON.

use crate::proto::FILE_DESCRIPTOR_SET;
use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use std::sync::LazyLock;

static DESCRIPTORS: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the build wrote valid descriptors"));

fn descriptor<M: Name>() -> MessageDescriptor {
    DESCRIPTORS.get_message_by_name(&M::full_name()).expect("the descriptors have every generated message")
}

/// The message as indented JSON, names in camel case; fields that have their default are left out.
///
/// # Errors
///
/// When the server sent what JSON has no form for, such as a time after the year 9999.
pub fn write<M: Message + Name>(message: &M) -> Result<String, serde_json::Error> {
    let mut dynamic = DynamicMessage::new(descriptor::<M>());
    dynamic.transcode_from(message).expect("a message is one of its own type");
    serde_json::to_string_pretty(&dynamic)
}

/// A message from JSON. Names may be in camel case or as the proto has them; one that the message does not have is an
/// error that tells the line.
pub fn read<M: Message + Name + Default>(text: &str) -> Result<M, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    let dynamic = DynamicMessage::deserialize(descriptor::<M>(), &mut json).map_err(|error| {
        let advice = if error.to_string().contains("parse duration") { "; write seconds, such as `900s`" } else { "" };
        format!("{error}{advice}")
    })?;
    json.end().map_err(|error| error.to_string())?;
    // JSON may be nested more deeply than protobuf's own encoding.
    dynamic.transcode_to().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1;
    use expect_test::{Expect, expect};

    fn check(text: &str, expected: &Expect) {
        expected.assert_debug_eq(&read::<v1::LineItem>(text).map(|item| (item.name, item.price, item.unit_qty)));
    }

    #[test]
    fn names_are_taken_in_both_spellings_and_numbers_as_texts_too() {
        check(
            r#"{"name":"a","price":"500","unit_qty":1}"#,
            &expect![[r#"
            Ok(
                (
                    "a",
                    500,
                    1,
                ),
            )
        "#]],
        );
        check(
            r#"{"unitQty":2}"#,
            &expect![[r#"
            Ok(
                (
                    "",
                    0,
                    2,
                ),
            )
        "#]],
        );
    }

    #[test]
    fn what_is_not_of_the_message_is_named_with_its_place() {
        check(
            "{\n  \"qty\": 1\n}",
            &expect![[r#"
            Err(
                "unrecognized field name 'qty' at line 2 column 7",
            )
        "#]],
        );
        check(
            r#"{"unitQty":"many"}"#,
            &expect![[r#"
            Err(
                "invalid digit found in string at line 1 column 17",
            )
        "#]],
        );
        check(
            "{} {}",
            &expect![[r#"
            Err(
                "trailing characters at line 1 column 4",
            )
        "#]],
        );
        check(
            "",
            &expect![[r#"
            Err(
                "EOF while parsing a value at line 1 column 0",
            )
        "#]],
        );
    }

    #[test]
    fn metadata_that_no_message_can_carry_is_an_error() {
        let deep = format!(r#"{{"metadata":{{"a":{}1{}}}}}"#, "[".repeat(60), "]".repeat(60));
        assert!(read::<v1::CreatePaymentRequest>(&deep).is_err());
    }
}

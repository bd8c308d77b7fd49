//! The reference in docs/ is what the protos say: `UPDATE_EXPECT=1 cargo test --test reference` writes it again.

use expect_test::{ExpectFile, expect_file};
use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto, ServiceDescriptorProto, field_descriptor_proto::Type,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write,
    fs,
    path::Path,
};
use waypost::proto::FILE_DESCRIPTOR_SET;

const PACKAGE: &str = ".waypost.v1.";

/// The numbers of fields in descriptors, of which the paths of comments are made.
mod path {
    pub const MESSAGE: i32 = 4;
    pub const ENUM: i32 = 5;
    pub const SERVICE: i32 = 6;
    pub const FIELD: i32 = 2;
    pub const METHOD: i32 = 2;
    pub const VALUE: i32 = 2;
    /// An enum within a message.
    pub const ENUM_WITHIN: i32 = 4;
}

#[test]
fn the_api_reference_is_what_the_protos_say() {
    expect_file!["../docs/api.md"].assert_eq(&Protos::read().reference());
}

#[test]
fn the_reasons_of_errors_are_what_their_proto_says() {
    let (file, expected) = ("docs/troubleshooting.md", expect_file!["../docs/troubleshooting.md"]);
    assert_section(file, &expected, &Protos::read().reasons());
}

/// Compares what stands between the marks of a document that is written by hand otherwise.
fn assert_section(file: &str, expected: &ExpectFile, section: &str) {
    const BEGIN: &str = "<!-- What follows is written by `UPDATE_EXPECT=1 cargo test --test reference`. -->\n";
    const END: &str = "<!-- The end of what is written. -->\n";
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("a document");
    let (before, rest) = text.split_once(BEGIN).expect("the mark before the section");
    let (_, after) = rest.split_once(END).expect("the mark after the section");
    expected.assert_eq(&format!("{before}{BEGIN}\n{section}\n{END}{after}"));
}

/// A thing, its comment, and the things that it is made of with theirs.
type Described<'p, T, P> = (T, &'p str, Vec<(P, &'p str)>);

/// The descriptors of our package, with the comments by the path of what they are about.
struct Protos {
    files: Vec<(FileDescriptorProto, HashMap<Vec<i32>, String>)>,
}

impl Protos {
    fn read() -> Self {
        let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("descriptors");
        let ours = set.file.into_iter().filter(|file| file.package() == "waypost.v1");
        let files = ours.map(|file| {
            let info = file.source_code_info.clone().expect("with comments");
            let comments = info.location.into_iter().filter_map(|location| {
                let comment = location.leading_comments.as_deref()?;
                let lines: Vec<&str> = comment.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
                Some((location.path, lines.join("\n").trim().to_owned()))
            });
            (file.clone(), comments.collect())
        });
        Self { files: files.collect() }
    }

    fn reference(&self) -> String {
        let mut out = String::from(
            "# API reference\n\n\
             Package `waypost.v1`: every call and field with its meaning, bounds, default and errors. Written from the comments in\n\
             [proto/waypost/v1](../proto/waypost/v1) by `UPDATE_EXPECT=1 cargo test --test reference`; the reasons of errors are in\n\
             [troubleshooting.md](troubleshooting.md).\n",
        );
        let messages = self.messages();
        let mut shown = BTreeSet::new();
        for (service, comment, methods) in self.services() {
            write!(out, "\n## {}\n\n{comment}\n", service.name()).expect("text");
            for (method, comment) in methods {
                write!(out, "\n### {}\n\n{}\n\n{comment}\n", method.name(), signature(method)).expect("text");
                for (title, name) in [("Request", method.input_type()), ("Response", method.output_type())] {
                    let name = name.trim_start_matches(PACKAGE);
                    let (message, comment, fields) = &messages[name];
                    if shown.insert(message.name().to_owned()) {
                        let comment = if comment.is_empty() { String::new() } else { format!("{comment}\n\n") };
                        write!(out, "\n**{title}** `{name}`\n\n{comment}{fields}").expect("text");
                    }
                }
            }
        }
        out.push_str("\n## Messages\n");
        for (name, (_, comment, fields)) in messages.iter().filter(|(name, _)| !shown.contains(**name)) {
            write!(out, "\n### {name}\n\n{comment}\n\n{fields}").expect("text");
        }
        out.push_str("\n## Enums\n");
        for (name, comment, values) in self.enums() {
            if name == "ErrorReason" {
                continue;
            }
            write!(out, "\n### {name}\n\n{comment}\n\n").expect("text");
            for (name, comment) in values {
                writeln!(out, "- `{name}`: {}", in_list(comment)).expect("text");
            }
        }
        out
    }

    fn reasons(&self) -> String {
        let (_, _, values) = self.enums().into_iter().find(|(name, ..)| name == "ErrorReason").expect("it is there");
        let mut summary = String::from("| reason | gRPC code | send it again? |\n|---|---|---|\n");
        let mut details = String::new();
        for (name, comment) in values.into_iter().skip(1) {
            let reason = name.trim_start_matches("ERROR_REASON_");
            let (code, meaning) =
                comment.strip_prefix('`').and_then(|rest| rest.split_once("`. ")).unwrap_or_else(|| {
                    panic!("the comment of {name} begins with the code of the call's status, in backquotes")
                });
            let again = if meaning.contains("`google.rpc.RetryInfo`") {
                "yes, after the `RetryInfo`'s time"
            } else {
                "not unchanged"
            };
            writeln!(summary, "| [`{reason}`](#{}) | `{code}` | {again} |", reason.to_lowercase()).expect("text");
            write!(details, "\n### {reason}\n\n`{code}`. {meaning}\n").expect("text");
        }
        summary + &details
    }

    fn services(&self) -> Vec<Described<'_, &ServiceDescriptorProto, &MethodDescriptorProto>> {
        let mut found = Vec::new();
        for (file, comments) in &self.files {
            for (n, service) in (0..).zip(&file.service) {
                let methods = (0..).zip(&service.method);
                let methods = methods.map(|(m, method)| {
                    (method, comment(comments, &[path::SERVICE, n, path::METHOD, m], method.name()))
                });
                found.push((service, comment(comments, &[path::SERVICE, n], service.name()), methods.collect()));
            }
        }
        // The one that everybody begins with.
        found.sort_by_key(|(service, ..)| service.name() != "RedirectService");
        found
    }

    /// By name: its descriptor, its comment, and the list of its fields.
    fn messages(&self) -> BTreeMap<&str, (&DescriptorProto, &str, String)> {
        let mut found = BTreeMap::new();
        for (file, comments) in &self.files {
            for (n, message) in (0..).zip(&file.message_type) {
                let mut fields = String::new();
                for (m, field) in (0..).zip(&message.field) {
                    let said = comment(comments, &[path::MESSAGE, n, path::FIELD, m], field.name());
                    writeln!(fields, "- `{}` ({}): {}", field.name(), kind(field), in_list(said)).expect("text");
                }
                if fields.is_empty() {
                    fields.push_str("No fields.\n");
                }
                found.insert(message.name(), (message, comment(comments, &[path::MESSAGE, n], message.name()), fields));
            }
        }
        found
    }

    /// By name, those within messages too: the comment, and the values with theirs.
    fn enums(&self) -> Vec<Described<'_, String, String>> {
        let mut found = Vec::new();
        for (file, comments) in &self.files {
            let mut add = |name: String, one: &'_ EnumDescriptorProto, at: &[i32]| {
                let values = (0..).zip(&one.value).map(|(n, value)| {
                    let at = [at, &[path::VALUE, n]].concat();
                    (value.name().to_owned(), comment(comments, &at, value.name()))
                });
                let values: Vec<_> = values.collect();
                found.push((name, comment(comments, at, one.name()), values));
            };
            for (n, one) in (0..).zip(&file.enum_type) {
                add(one.name().to_owned(), one, &[path::ENUM, n]);
            }
            for (n, message) in (0..).zip(&file.message_type) {
                // None of ours has any; when one comes, this says so.
                let maps_apart =
                    message.nested_type.iter().all(|nested| nested.options.as_ref().is_some_and(|o| o.map_entry()));
                assert!(maps_apart, "messages within messages are not shown: {}", message.name());
                for (m, one) in (0..).zip(&message.enum_type) {
                    let name = format!("{}.{}", message.name(), one.name());
                    add(name, one, &[path::MESSAGE, n, path::ENUM_WITHIN, m]);
                }
            }
        }
        found.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        found
    }
}

/// The comment at that path, which everything has.
fn comment<'c>(comments: &'c HashMap<Vec<i32>, String>, path: &[i32], name: &str) -> &'c str {
    comments.get(path).unwrap_or_else(|| panic!("{name} has no comment in its proto"))
}

/// As an item of a list goes on after its first line.
fn in_list(comment: &str) -> String {
    comment.replace('\n', "\n  ").replace("\n  \n", "\n\n")
}

fn signature(method: &MethodDescriptorProto) -> String {
    let stream = |is: bool| if is { "stream of " } else { "" };
    let (takes, answers) = (stream(method.client_streaming()), stream(method.server_streaming()));
    let name = |name: &str| name.trim_start_matches(PACKAGE).to_owned();
    format!("{takes}`{}` → {answers}`{}`", name(method.input_type()), name(method.output_type()))
}

/// The type of a field as a reader sees it.
fn kind(field: &FieldDescriptorProto) -> String {
    let name = match field.r#type() {
        Type::Message | Type::Enum => {
            let name = field.type_name();
            match name.strip_prefix(PACKAGE) {
                Some(ours) if ours.ends_with("Request") => format!("`{ours}`"),
                Some(ours) => format!("[`{ours}`](#{})", ours.to_lowercase().replace('.', "")),
                None => format!("`{}`", name.trim_start_matches('.')),
            }
        }
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    match field.label() {
        prost_types::field_descriptor_proto::Label::Repeated => format!("list of {name}"),
        _ if field.proto3_optional() => format!("optional {name}"),
        _ => name,
    }
}

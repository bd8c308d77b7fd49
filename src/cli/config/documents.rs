//! What documents say about the options: made out of the definitions, and compared with the documents by the tests here.
//! `UPDATE_EXPECT=1 cargo test --lib documents` writes them anew.

use super::{
    definition::{self, Definition, Kind},
    print::scalar,
    schema,
};
use expect_test::{ExpectFile, expect_file};
use std::fs;

/// The whole table, as `docs/configuration.md` has it.
fn reference() -> String {
    let mut text = String::new();
    let mut group = "";
    let all = definition::all();
    for definition in &all {
        if definition.group() != group {
            group = definition.group();
            text += &format!("\n### {group}\n\n| flag | variable | key | default | |\n|---|---|---|---|---|\n");
        }
        let (flag, variable, key) = (definition.flag(), definition.variable(), &definition.key);
        let (meaning, default) = (cell(&definition.meaning().0), default(definition));
        text += &format!("| `{flag}` | `{variable}` | `{key}` | {default} | {meaning} |\n");
    }
    text
}

/// The short table, as the readme has it.
fn overview() -> String {
    let rows = definition::all().into_iter().map(|definition| {
        let (meaning, _) = definition.meaning();
        let (flag, default) = (definition.flag(), default(&definition));
        format!("| `{flag}` | {default} | {} |\n", cell(first_sentence(&meaning)))
    });
    format!("| option | default | |\n|---|---|---|\n{}", rows.collect::<String>())
}

/// A file in which every option stands, commented out, with its default and what it means.
fn sample() -> String {
    let mut text = "\
# Options of `waypost serve --config FILE`. Those that are set here to something hold when nothing else is said; take the
# `#` away to change one. An environment variable comes before this file, and a flag before both.
# docs/configuration.md explains it, and `waypost config check --config FILE` finds what is wrong.
"
    .to_owned();
    let mut group = "";
    let all = definition::all();
    for definition in &all {
        if definition.group() != group {
            group = definition.group();
            text += &format!("\n\n# {group}\n");
        }
        let (meaning, in_words) = definition.meaning();
        let in_words = in_words.map(|default| format!(" Without it: {default}.")).unwrap_or_default();
        text +=
            &format!("\n{}#{} = {}\n", comment(&format!("{meaning}.{in_words}")), definition.key, value(definition));
    }
    text
}

/// The default as TOML, or what could stand there.
fn value(definition: &Definition) -> String {
    let default = definition.defaults().first().map(|default| default.to_string_lossy().into_owned());
    match (definition.kind(), default) {
        (Kind::Switch, _) => "false".into(),
        (kind, Some(default)) => scalar(kind, &default),
        (Kind::Number { min }, None) => min.to_string(),
        (Kind::Text, None) => match definition.choices().first() {
            Some(choice) => scalar(Kind::Text, choice),
            None => scalar(Kind::Text, definition.placeholder()),
        },
        (Kind::List, None) => format!("[{}]", scalar(Kind::Text, definition.placeholder())),
    }
}

fn comment(text: &str) -> String {
    const WIDTH: usize = 118;
    let mut lines = vec![String::from("#")];
    for word in text.split(' ') {
        if lines.last().is_some_and(|line| line.len() + 1 + word.len() > WIDTH) {
            lines.push("#".into());
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}

fn default(definition: &Definition) -> String {
    match (definition.kind(), definition.defaults().first(), definition.meaning().1) {
        (Kind::Switch, _, _) => "off".into(),
        (_, Some(default), _) => format!("`{}`", default.to_string_lossy()),
        (_, None, Some(in_words)) => cell(&in_words),
        (_, None, None) => "none".into(),
    }
}

/// As it can stand in a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn first_sentence(text: &str) -> &str {
    let ends = text.match_indices(". ").map(|(at, _)| at);
    let mut ends = ends.filter(|at| text[at + 2..].starts_with(|next: char| next.is_uppercase()));
    ends.next().map_or(text, |end| &text[..end])
}

/// Puts the text between the two marks of a document.
fn check(document: &str, text: &str, expected: &ExpectFile) {
    const BEGIN: &str = "<!-- options: made by src/cli/config/documents.rs -->\n";
    const END: &str = "<!-- end of options -->";
    let path = format!("{}/{document}", env!("CARGO_MANIFEST_DIR"));
    let written = fs::read_to_string(path).unwrap();
    let (before, rest) = written.split_once(BEGIN).unwrap_or_else(|| panic!("{document} lacks {BEGIN}"));
    let (_, after) = rest.split_once(END).unwrap_or_else(|| panic!("{document} lacks {END}"));
    expected.assert_eq(&format!("{before}{BEGIN}{text}{END}{after}"));
}

#[test]
fn the_reference_has_every_option_as_it_is_defined() {
    check("docs/configuration.md", &reference(), &expect_file!["../../../docs/configuration.md"]);
}

#[test]
fn the_readme_has_every_option_as_it_is_defined() {
    check("README.md", &overview(), &expect_file!["../../../README.md"]);
}

#[test]
fn the_sample_file_has_every_option_as_it_is_defined() {
    expect_file!["../../../docs/waypost.toml"].assert_eq(&sample());
}

#[test]
fn the_schema_has_every_option_as_it_is_defined() {
    let schema = format!("{:#}\n", schema::of(&definition::all()));
    expect_file!["../../../docs/waypost.schema.json"].assert_eq(&schema);
}

#[test]
fn every_option_has_a_flag_a_variable_of_the_same_name_a_meaning_and_a_group() {
    for definition in definition::all() {
        let key = &definition.key;
        assert!(!key.is_empty(), "{}: lacks `long`", definition.id());
        assert_eq!(definition.variable(), format!("WAYPOST_{}", key.to_uppercase()), "{key}: `env` has to be that");
        assert!(definition.help().len() > 20, "{key}: lacks a comment that says what it means");
        assert!(
            !definition.group().is_empty(),
            "{key}: lacks a group: `help_heading`, or `next_help_heading` of a struct"
        );
        assert!(!definition.is_required(), "{key}: is required, but a server starts without any option");
        let takes_a_value = definition.kind() != Kind::Switch;
        assert!(!takes_a_value || !definition.placeholder().is_empty(), "{key}: lacks `value_name`");
        // Kubernetes sets these in every pod beside a service named `waypost`.
        let variable = definition.variable();
        for taken in ["WAYPOST_PORT", "WAYPOST_SERVICE_"] {
            assert!(!variable.starts_with(taken), "{variable} is what Kubernetes says of a service named waypost");
        }
    }
}

#[test]
fn every_default_is_a_value_that_its_option_takes() {
    for definition in definition::all() {
        let (key, defaults) = (&definition.key, definition.defaults());
        assert!(defaults.is_empty() || definition.check(&defaults) == Ok(()), "{key}: {defaults:?}");
    }
}

//! What this binary leaves to another: styles, scripts and screenshots need a browser, which `tests/browser` walks the
//! pages with.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

#[test]
fn the_walk_in_chromium_is_left_to_scripts_test_which_always_runs_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = fs::read_to_string(root.join("scripts/test")).expect("the script");
    let lines: Vec<&str> = script.lines().map(str::trim).collect();
    let (main, _) = script.split_once("\n}\n").expect("its functions");
    let walks = |line: &str| line.trim().starts_with("within ") && line.ends_with(" test_browser");
    assert!(main.lines().any(walks), "it runs the walk whatever the environment says");
    assert!(lines.iter().any(|line| !line.starts_with('#') && line.ends_with(" tests/browser/run")));
    assert!(root.join("tests/browser/run").is_file());
    // Not by a macro, as the output of those is kept from whoever runs tests that pass.
    writeln!(io::stderr(), "SKIPPED: the pages in Chromium; scripts/test walks them").expect("standard error");
}

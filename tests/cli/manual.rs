//! What the binary tells of itself: completions for shells, and the manual.

use super::*;

/// What a program answers to a script; `None`, said aloud, when the program is not installed.
fn answer(program: &str, arguments: &[&str], script: &str) -> Option<Output> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = match command.spawn() {
        Ok(process) => process,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{program} is not installed, and CI skips nothing");
            println!("SKIPPED: {program} is not installed");
            return None;
        }
        Err(error) => panic!("{program}: {error}"),
    };
    process.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    Some(process.wait_with_output().unwrap())
}

fn completions(shell: &str) -> String {
    let ran = run(&["completions", shell]);
    assert_eq!(ran.code, Some(0), "{shell}");
    ran.stdout
}

/// The words of an answer without its descriptions.
fn words(output: &Output) -> Vec<String> {
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    let script = completions("bash");
    for (line, expected) in [
        ("waypost merch", vec!["merchant"]),
        ("waypost record order_1 can", vec!["cancel"]),
        ("waypost resolve --expl", vec!["--explain"]),
    ] {
        let typed: Vec<_> = line.split(' ').collect();
        let (at, current, previous) = (typed.len() - 1, typed[typed.len() - 1], typed[typed.len() - 2]);
        let asked = format!(
            "{script}\nCOMP_WORDS=({line}) COMP_CWORD={at}\n_waypost waypost {current} {previous}\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
        );
        let Some(output) = answer("bash", &["--norc"], &asked) else { return };
        assert_eq!(words(&output), expected, "{line}");
    }
}

#[test]
fn fish_completes_commands_and_values() {
    let dir = TempDir::new().unwrap();
    let script = file(&dir, "waypost.fish", &completions("fish"));
    for (line, expected) in [("waypost merch", vec!["merchant"]), ("waypost resolve x --outcome can", vec!["cancel"])] {
        let asked = format!("source {}; complete -C '{line}'", script.display());
        let Some(output) = answer("fish", &["--no-config", "-c", &asked], "") else { return };
        assert_eq!(words(&output), expected, "{line}");
    }
}

#[test]
fn the_scripts_of_the_other_shells_name_every_command_and_zsh_reads_its_own() {
    for shell in ["zsh", "elvish", "powershell"] {
        let script = completions(shell);
        for command in ["serve", "merchant", "healthcheck"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    let Some(output) = answer("zsh", &["-f", "-n"], &completions("zsh")) else { return };
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_command_has_its_page_and_the_same_version_makes_the_same_pages() {
    let (first, second) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut pages: Vec<Vec<(String, String)>> = Vec::new();
    for dir in [&first, &second] {
        let out = dir.path().join("share/man1");
        assert_eq!(run(&["man", "--out", text(&out)]).code, Some(0));
        let read =
            |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap());
        let mut found: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| read(entry.unwrap())).collect();
        found.sort();
        pages.push(found);
    }
    assert_eq!(pages[0], pages[1]);
    let named = |name: &str| pages[0].iter().find(|(file, _)| file == name).map(|(_, page)| page.as_str());
    let first = named("waypost.1").expect("the first page");
    let commands: Vec<_> = first.lines().filter_map(|line| line.strip_suffix("(1)")).collect();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        let file = format!("{}.1", command.replace('\\', ""));
        assert!(named(&file).is_some(), "{file}");
    }
    let page = named("waypost-merchant-set.1").expect("commands below commands have pages too");
    // What stands in the help text, each example on its line, and the variables.
    for said in ["WAYPOST_SERVER", ".SH EXAMPLES\n.nf\n", "CONNECTION", "SEE ALSO"] {
        assert!(page.contains(said), "{said}");
    }
    assert!(!pages[0].iter().any(|(name, _)| name.contains("help")));
}

#[test]
fn groff_sets_every_page_without_a_warning() {
    let dir = TempDir::new().unwrap();
    assert_eq!(run(&["man", "--out", text(dir.path())]).code, Some(0));
    for entry in fs::read_dir(dir.path()).unwrap() {
        let page = entry.unwrap().path();
        let Some(output) = answer("groff", &["-man", "-Tutf8", "-ww", "-z", text(&page)], "") else { return };
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn pages_that_cannot_be_written_are_told_with_their_place() {
    let dir = TempDir::new().unwrap();
    let taken = file(&dir, "taken", "");
    run(&["man", "--out", text(&taken)]).failed(1, "cannot write to");
}

//! The options of `waypost serve` from the command line, the environment and the file, as operators meet them.

use expect_test::{Expect, expect};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// A directory with a configuration file in it, in which commands run.
struct Place(TempDir);

impl Place {
    fn with(file: &str) -> Self {
        let place = Self(TempDir::new().unwrap());
        place.write("waypost.toml", file);
        place
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    /// The binary in that directory, without the tests' own environment.
    fn waypost(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
        command.env_clear().current_dir(self.0.path()).args(args);
        command
    }

    fn run(&self, args: &[&str], env: &[(&str, &str)]) -> Ran {
        let output = self.waypost(args).envs(env.iter().copied()).output().unwrap();
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn check(&self, args: &[&str], env: &[(&str, &str)]) -> Ran {
        self.run(&[&["config", "check", "--config", "waypost.toml"], args].concat(), env)
    }

    fn print(&self, args: &[&str], env: &[(&str, &str)]) -> String {
        let ran = self.run(&[&["config", "print", "--config", "waypost.toml"], args].concat(), env);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        ran.stdout
    }
}

/// What a command left behind.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn shows(&self, expected: &Expect) {
        expected.assert_eq(&format!("{}{}exit code {}\n", self.stdout, self.stderr, self.code.unwrap()));
    }
}

/// The line of that key, or of its being unset.
fn line<'t>(printed: &'t str, key: &str) -> &'t str {
    let begins = |line: &&str| line.trim_start_matches("# ").split(' ').next() == Some(key);
    printed.lines().find(begins).unwrap_or_else(|| panic!("{key} is missing in\n{printed}"))
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

mod precedence {
    use super::*;

    #[test]
    fn a_flag_comes_before_a_variable_and_that_before_the_file_and_that_before_the_default() {
        let place = Place::with("grace = '10s'\n\nlame_duck = '1s'\nretention = \"2d\"\n");
        let printed = place.print(&["--grace", "12s"], &[("WAYPOST_GRACE", "11s"), ("WAYPOST_LAME_DUCK", "2s")]);
        let held = ["grace", "lame_duck", "retention", "log"].map(|key| line(&printed, key)).join("\n");
        expect![[r#"
            grace = "12s"                             # --grace
            lame_duck = "2s"                          # WAYPOST_LAME_DUCK
            retention = "2d"                          # waypost.toml:4
            log = "info"                              # default"#]]
        .assert_eq(&held);
    }

    #[test]
    fn a_switch_that_is_on_in_the_file_can_be_switched_off() {
        let place = Place::with("sandbox = true\nmigrate = true");
        for (args, env, expected) in [
            (vec![], vec![], "true"),
            (vec![], vec![("WAYPOST_SANDBOX", "no")], "false"),
            (vec!["--sandbox=false"], vec![("WAYPOST_SANDBOX", "yes")], "false"),
            (vec!["--sandbox"], vec![("WAYPOST_SANDBOX", "no")], "true"),
        ] {
            let printed = place.print(&args, &env);
            assert!(line(&printed, "sandbox").starts_with(&format!("sandbox = {expected} ")), "{args:?} {env:?}");
            assert!(line(&printed, "migrate").starts_with("migrate = true "));
        }
    }

    #[test]
    fn the_file_may_be_named_by_the_environment() {
        let place = Place::with("workers = 3");
        let ran = place.run(&["config", "print"], &[("WAYPOST_CONFIG", "waypost.toml")]);
        assert_eq!(line(&ran.stdout, "workers").split_whitespace().last(), Some("waypost.toml:1"));
    }

    #[test]
    fn a_server_runs_with_what_the_file_says() {
        let place = Place::with(
            "grpc_addr = '127.0.0.1:0'\npage_addr = 'off'\nops_addr = 'off'\nstore = 'memory:'\nsandbox = true\nworkers = 1\nlog = 'warn'\n",
        );
        let mut command = place.waypost(&["serve", "--config", "waypost.toml"]);
        let mut server = Running(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
        // Kept, since it has more to say.
        let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
        let said: Vec<String> = lines.by_ref().map(Result::unwrap).take(3).collect();
        assert!(said[0].ends_with(" (sandbox)"), "{said:?}");
        let addr = said[1].trim().strip_prefix("gRPC").unwrap().trim();
        assert!(said[2].contains("memory:"), "{said:?}");
        let ran = place.run(&["healthcheck", "--server", addr], &[]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "serving\n"));
    }

    #[test]
    fn a_list_is_a_list_in_the_file_and_a_text_with_commas_elsewhere() {
        let place = Place::with("signing_key_file = ['a.pem', 'b.pem']");
        let printed = place.print(&[], &[]);
        assert!(
            line(&printed, "signing_key_file").starts_with("signing_key_file = [\"a.pem\", \"b.pem\"] "),
            "{printed}"
        );
        let printed = place.print(&[], &[("WAYPOST_SIGNING_KEY_FILE", "c.pem,d.pem")]);
        assert!(
            line(&printed, "signing_key_file").starts_with("signing_key_file = [\"c.pem\", \"d.pem\"] "),
            "{printed}"
        );
        let printed = place.print(&["--signing-key-file", "e.pem", "--signing-key-file", "f.pem"], &[]);
        assert!(
            line(&printed, "signing_key_file").starts_with("signing_key_file = [\"e.pem\", \"f.pem\"] "),
            "{printed}"
        );
    }
}

mod problems {
    use super::*;

    #[test]
    fn everything_that_is_wrong_is_told_at_once_with_its_place() {
        let place = Place::with(
            "grpc_adr = '0.0.0.0:1'\nretention = '1h'\nworkers = 0\nsandbox = 'maybe'\nlog-format = 'json'\nreflection = \
             'perhaps'\ntls_cert = 'a.crt'\npublic_url = ['https://a.example.com']\ngrace = 2026-01-01\n[pages]\naddr = \
             'off'\n",
        );
        let env = [("WAYPOST_LAME_DUCK", "soon"), ("WAYPOST_PAGE_TLS_KEY", "p.key"), ("WAYPOST_MIGRATE", "2")];
        let args = ["--grpc-addr", "localhost", "--page-addr", "off", "--log", "waypost=loud", "--issuer", "two words"];
        let checked = place.check(&args, &env);
        checked.shows(&expect![[r#"
            waypost: 16 problems with the options:
              waypost.toml:1: grpc_adr is no option: write grpc_addr
              waypost.toml:2: retention 1h: is below 24h: idempotency keys, which live with their sessions, are kept that long
              waypost.toml:3: workers 0: is no whole number from 1
              waypost.toml:4: sandbox maybe: is neither on nor off: write true or false
              waypost.toml:5: log-format is no option: write log_format
              waypost.toml:6: reflection perhaps: is none of its values: write on or off
              waypost.toml:7: tls_cert needs tls_key beside it
              waypost.toml:8: public_url takes one value, not a list
              waypost.toml:9: grace takes no date: write a text in quotes
              waypost.toml:10: pages is a table: write options above it, outside of tables
              WAYPOST_MIGRATE 2: is neither on nor off: write true or false
              WAYPOST_LAME_DUCK soon: expected number at 0: write a time such as 30s or 1h 30m
              WAYPOST_PAGE_TLS_KEY needs WAYPOST_PAGE_TLS_CERT beside it
              --grpc-addr localhost: invalid socket address syntax: write an address and a port, as 127.0.0.1:50051 is
              --issuer two words: is not an issuer: write 1 to 255 printable ASCII characters without spaces, quotes and backslashes, such as `https://pay.example.com`
              --log waypost=loud: error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5: write a level such as info, or a list such as warn,waypost=debug
            exit code 2
        "#]]);
        let serve = [&["serve", "--config", "waypost.toml"][..], &args].concat();
        let served = place.run(&serve, &env);
        assert_eq!((served.code, served.stderr), (checked.code, checked.stderr));
    }

    #[test]
    fn options_that_contradict_each_other_are_told_with_those_whose_value_is_wrong() {
        let place = Place::with("allow_unauthenticated = true\ncredentials_file = 'c.toml'\ngrace = 'soon'\n");
        let env = [("WAYPOST_TLS_CLIENT_CA", "ca.crt")];
        place.check(&["--signing-key-file", "k.pem", "--page-addr", "off"], &env).shows(&expect![[r#"
            waypost: 7 problems with the options:
              waypost.toml:2: credentials_file and allow_unauthenticated contradict each other: give one of them
              waypost.toml:2: credentials_file c.toml: No such file or directory (os error 2)
              waypost.toml:3: grace soon: expected number at 0: write a time such as 30s or 1h 30m
              WAYPOST_TLS_CLIENT_CA needs WAYPOST_TLS_KEY beside it
              WAYPOST_TLS_CLIENT_CA needs WAYPOST_TLS_CERT beside it
              --signing-key-file makes return tokens, which name who signed them, and without pages there is no public URL to name: give --issuer, such as https://pay.example.com
              --signing-key-file k.pem cannot be read: No such file or directory (os error 2)
            exit code 2
        "#]]);
        let open = ["--grpc-addr", "0.0.0.0:0", "--page-addr", "0.0.0.0:0"];
        Place::with("grace = '1 eternity'").check(&open, &[]).shows(&expect![[r#"
             WARN links to the buyers' pages end with this process and open on no other server: give --page-key-file
            waypost: 3 problems with the options:
              waypost.toml:1: grace 1 eternity: unknown time unit "eternity", supported units: ns, us/µs, ms, sec, min, hours, days, weeks, months, years (and few variations): write a time such as 30s or 1h 30m
              --grpc-addr 0.0.0.0:0 is reachable from other machines, and calls are not authenticated: give --credentials-file, listen on a loopback address, or give --allow-unauthenticated if the network lets only trusted callers through
              --page-addr 0.0.0.0:0 is no address that a browser can open: give --public-url, such as https://pay.example.com
            exit code 2
        "#]]);
    }

    #[test]
    fn what_comes_of_a_wrong_value_is_not_told_beside_it() {
        // The credentials would make it right.
        let place = Place::with("grpc_addr = '0.0.0.0:0'\ncredentials-file = 'c.toml'\n");
        place.run(&["serve", "--config", "waypost.toml"], &[]).shows(&expect![[r#"
            waypost: waypost.toml:2: credentials-file is no option: write credentials_file
            exit code 2
        "#]]);
    }

    #[test]
    fn a_check_reads_the_files_that_options_name_even_when_other_options_are_wrong() {
        let place = Place::with(
            "credentials_file = 'none.toml'\npage_key_file = 'page.key'\nsigning_key_file = ['none.pem', 'page.key']\n\
             tls_cert = 'page.key'\ntls_key = 'page.key'\npublic_url = 'https://pay.example.com'\n",
        );
        place.write("page.key", "secret-key\n");
        fs::set_permissions(place.0.path().join("page.key"), fs::Permissions::from_mode(0o600)).unwrap();
        let checked = place.check(&[], &[]);
        checked.shows(&expect![[r#"
            waypost: 5 problems with the options:
              waypost.toml:1: credentials_file none.toml: No such file or directory (os error 2)
              waypost.toml:2: page_key_file page.key has no key in line 1: write 32 bytes in base64 or hexadecimal digits, as `waypost keygen page` prints them
              waypost.toml:3: signing_key_file none.pem cannot be read: No such file or directory (os error 2)
              waypost.toml:3: signing_key_file page.key holds no key: write a private Ed25519 key in PKCS#8 PEM, as `waypost keygen signing` prints it
              waypost.toml:4: tls_cert page.key: holds no certificate
            exit code 1
        "#]]);
        let served = place.run(&["serve", "--config", "waypost.toml"], &[]);
        assert_eq!((served.code, served.stderr), (checked.code, checked.stderr));
        place.check(&[], &[("WAYPOST_WORKERS", "none")]).shows(&expect![[r#"
            waypost: 6 problems with the options:
              waypost.toml:1: credentials_file none.toml: No such file or directory (os error 2)
              waypost.toml:2: page_key_file page.key has no key in line 1: write 32 bytes in base64 or hexadecimal digits, as `waypost keygen page` prints them
              waypost.toml:3: signing_key_file none.pem cannot be read: No such file or directory (os error 2)
              waypost.toml:3: signing_key_file page.key holds no key: write a private Ed25519 key in PKCS#8 PEM, as `waypost keygen signing` prints it
              waypost.toml:4: tls_cert page.key: holds no certificate
              WAYPOST_WORKERS none: is no whole number from 1
            exit code 2
        "#]]);
    }

    #[test]
    fn a_file_that_is_none_is_told_with_its_line() {
        for (text, expected) in [
            (
                "grace = 30s\n",
                expect![[r#"
                waypost: waypost.toml:1: is no TOML: string values must be quoted, expected literal string
                exit code 2
            "#]],
            ),
            (
                "grace = '1s'\ngrace = '2s'\n",
                expect![[r#"
                waypost: waypost.toml:2: is no TOML: duplicate key
                exit code 2
            "#]],
            ),
            (
                "a = 1 b = 2\nc\n",
                expect![[r#"
                waypost: 3 problems with the options:
                  waypost.toml:1: is no TOML: unexpected key or value, expected newline, `#`
                  waypost.toml:1: is no TOML: string values must be quoted, expected literal string
                  waypost.toml:2: is no TOML: key with no value, expected `=`
                exit code 2
            "#]],
            ),
        ] {
            // That the file says nothing of credentials is not known.
            Place::with(text).check(&["--grpc-addr", "0.0.0.0:0", "--page-addr", "off"], &[]).shows(&expected);
        }
        let place = Place::with("");
        for (name, saying) in [
            ("none.toml", "waypost: none.toml cannot be read: No such file"),
            (".", "waypost: . cannot be read: Is a directory"),
            ("/dev/zero", "waypost: /dev/zero is larger than 1048576 bytes"),
        ] {
            let ran = place.run(&["config", "check", "--config", name, "--page-addr", "off"], &[]);
            assert_eq!(ran.code, Some(2));
            assert!(ran.stderr.starts_with(saying), "{}", ran.stderr);
        }
        place.write("large.toml", &" ".repeat(1024 * 1024 + 1));
        let ran = place.run(&["config", "check", "--config", "large.toml", "--page-addr", "off"], &[]);
        assert_eq!(ran.stderr, "waypost: large.toml is larger than 1048576 bytes: name another file\n");
    }

    #[test]
    fn a_file_that_is_something_else_altogether_is_not_told_line_by_line() {
        let many: String = (0..10_000).map(|at| format!("key_{at} = {at}\n")).collect();
        let ran = Place::with(&many).check(&["--page-addr", "off"], &[]);
        assert_eq!(ran.stderr.lines().count(), 52);
        assert!(ran.stderr.ends_with("  and 9950 more\n"), "{}", ran.stderr);
    }

    #[test]
    fn a_password_is_never_repeated() {
        let secret = "postgres://waypost:s3cret@db.internal/waypost?password=s3cret&sslmode=require";
        let wrong = "postgress://waypost:s3cret@db.internal/waypost";
        for (file, args, env) in [
            (format!("store = '{secret}'"), vec![], vec![]),
            (String::new(), vec!["--store", secret], vec![]),
            (String::new(), vec![], vec![("WAYPOST_STORE", secret)]),
        ] {
            let printed = Place::with(&file).print(&args, &env);
            assert!(line(&printed, "store").starts_with("store = \"postgres://db.internal/waypost?sslmode=require\" "));
            assert!(line(&printed, "store").ends_with("; user and password are left out"), "{printed}");
            assert!(!printed.contains("s3cret") && !printed.contains("waypost:"), "{printed}");
        }
        for file in [
            format!("store = '{wrong}'"),
            format!("store = ['{secret}']"),
            format!("store = {secret}"),
            format!("store = '{secret}\n"),
            format!("'{secret}' = 1"),
            format!("public_url = '{secret}'"),
        ] {
            let ran = Place::with(&file).check(&["--store", wrong], &[("WAYPOST_ISSUER", secret)]);
            assert_eq!(ran.code, Some(2), "{file}");
            assert!(!ran.stderr.contains("s3cret"), "{file}: {}", ran.stderr);
        }
        let help = Place::with("").run(&["serve", "--help"], &[("WAYPOST_STORE", secret)]);
        assert!(!help.stdout.contains("s3cret"), "{}", help.stdout);
    }

    #[test]
    fn a_file_with_a_password_is_warned_of_when_everybody_can_read_it() {
        let place = Place::with("store = 'postgres://waypost:s3cret@db.internal/waypost'\npage_addr = 'off'\n");
        let path = place.0.path().join("waypost.toml");
        for (mode, env, warned) in [
            (0o644, vec![], true),
            (0o640, vec![], false),
            // Then the file's does not hold, but it is there all the same.
            (0o644, vec![("WAYPOST_STORE", "memory:")], true),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let ran = place.check(&[], &env);
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "no problem found\n"));
            assert_eq!(ran.stderr.contains("`chmod 600` the file of --config"), warned, "{mode:o}: {}", ran.stderr);
        }
        place.write("waypost.toml", "store = 'redb:waypost.redb'\npage_addr = 'off'\n");
        assert_eq!(place.check(&[], &[]).stderr, "");
    }

    #[test]
    fn a_misspelt_level_is_no_module_of_which_alone_everything_is_logged() {
        let place = Place::with("page_addr = 'off'");
        for (log, code) in [("inof", 2), ("warn,waypost", 2), ("INFO", 0), ("off", 0), ("warn,waypost=debug", 0)] {
            assert_eq!(place.check(&["--log", log], &[]).code, Some(code), "{log}");
        }
        place.check(&["--log", "warn, inof"], &[]).shows(&expect![[r"
            waypost: --log warn, inof: has `inof`, which is no level: write a level such as info, or a list such as warn,waypost=debug
            exit code 2
        "]]);
    }

    #[test]
    fn a_wrong_value_in_the_file_is_told_although_another_place_comes_before_it() {
        let place = Place::with("grace = 'soon'\npage_addr = 'off'");
        let ran = place.check(&["--grace", "1s"], &[]);
        assert_eq!(ran.code, Some(2));
        assert!(ran.stderr.starts_with("waypost: waypost.toml:1: grace soon: "), "{}", ran.stderr);
        // Clap does not read a variable that a flag comes before.
        assert_eq!(place.run(&["config", "print", "--grace", "1s"], &[("WAYPOST_GRACE", "soon")]).code, Some(0));
    }

    #[test]
    fn other_commands_do_not_repeat_a_password_either() {
        let place = Place::with("");
        let (secret, wrong) = ("postgres://w:s3cret@db/w", "postgress://w:s3cret@db/w");
        for command in [&["migrate"][..], &["store", "check"], &["store", "export", "-"]] {
            let ran = place.run(&[command, &["--store", wrong]].concat(), &[]);
            assert_eq!(ran.code, Some(2));
            assert!(ran.stderr.starts_with("waypost: --store: is not a store: write"), "{}", ran.stderr);
            let help = place.run(&[command, &["--help"]].concat(), &[("WAYPOST_STORE", secret)]);
            assert!(help.stdout.contains("[env: WAYPOST_STORE]"), "{}", help.stdout);
            assert!(!format!("{ran:?}{help:?}").contains("s3cret"), "{ran:?} {help:?}");
        }
    }

    #[test]
    fn commands_for_the_store_read_the_file_as_the_server_does() {
        // What the server alone needs is not looked at together: there are no credentials for such an address.
        let place = Place::with("store = 'redb:of-the-file.redb'\ngrpc_addr = '0.0.0.0:50051'\n");
        let config = ["--config", "waypost.toml"];
        let check = |args: &[&str], env: &[(&str, &str)]| place.run(&[&["store", "check"], args].concat(), env);
        for (args, env, store) in [
            (&config[..], &[][..], "redb:of-the-file.redb"),
            (&[], &[("WAYPOST_CONFIG", "waypost.toml")], "redb:of-the-file.redb"),
            (&config, &[("WAYPOST_STORE", "redb:of-the-variable.redb")], "redb:of-the-variable.redb"),
            (
                &["--config", "waypost.toml", "--store", "redb:of-the-flag.redb"],
                &[("WAYPOST_STORE", "redb:of-the-variable.redb")],
                "redb:of-the-flag.redb",
            ),
            (&[], &[], "redb:waypost.redb"),
        ] {
            let ran = check(args, env);
            assert_eq!(ran.code, Some(1), "{ran:?}");
            assert!(ran.stderr.starts_with(&format!("waypost: --store {store}: ")), "{ran:?}");
        }
        let empty = place.run(&["store", "export", "none.jsonl", "--config", "waypost.toml"], &[]);
        assert!(empty.stderr.contains("redb:of-the-file.redb: there is no such file"), "{empty:?}");
        let no_database = place.run(&["migrate", "--config", "waypost.toml"], &[]);
        assert_eq!(no_database.code, Some(2));
        no_database.shows(&expect![[r"
            waypost: --store redb:of-the-file.redb: only a database is migrated: name it with --store postgres://..., WAYPOST_STORE or the file of --config
            exit code 2
        "]]);
    }

    #[test]
    fn commands_for_the_store_say_of_a_wrong_file_what_the_server_says() {
        let place = Place::with("stor = 'redb:waypost.redb'\nstore = 'postgress://w:s3cret@db/w'\ngrace = 'soon'\n");
        let server = place.run(&["serve", "--config", "waypost.toml"], &[]);
        assert_eq!(server.code, Some(2));
        assert!(server.stderr.starts_with("waypost: 3 problems with the options:"), "{server:?}");
        for command in [&["migrate"][..], &["store", "check"], &["store", "export", "-"], &["store", "import", "-"]] {
            let ran = place.run(&[command, &["--config", "waypost.toml"]].concat(), &[]);
            assert_eq!((ran.code, ran.stderr.as_str()), (Some(2), server.stderr.as_str()));
            let ran = place.run(&[command, &["--config", "absent.toml"]].concat(), &[]);
            assert_eq!(ran.code, Some(2));
            assert!(ran.stderr.starts_with("waypost: absent.toml "), "{ran:?}");
        }
    }

    #[test]
    fn a_flag_that_is_none_is_refused_with_the_nearest_one() {
        let ran = Place::with("").run(&["serve", "--grpc-adr", "127.0.0.1:0"], &[]);
        assert_eq!(ran.code, Some(2));
        assert!(ran.stderr.contains("a similar argument exists: '--grpc-addr'"), "{}", ran.stderr);
    }
}

mod documents {
    use super::*;

    #[test]
    fn what_is_printed_can_be_used_again() {
        let place = Place::with("grace = '10s'\nsandbox = true\nsigning_key_file = ['a.pem', 'b.pem']\nworkers = 2\n");
        let printed = place.print(&["--grpc-addr", "127.0.0.1:7"], &[("WAYPOST_ISSUER", "it's#me")]);
        place.write("again.toml", &printed);
        let again = place.run(&["config", "print", "--config", "again.toml"], &[]);
        let values = |text: &str| -> Vec<String> {
            text.lines().map(|line| line.split("  # ").next().unwrap().trim_end().to_owned()).collect()
        };
        assert_eq!(values(&again.stdout), values(&printed), "{}", again.stderr);
    }

    #[test]
    fn what_is_printed_is_what_the_schema_allows() {
        let schema: Value = serde_json::from_str(&Place::with("").run(&["config", "schema"], &[]).stdout).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["additionalProperties"], false);
        let place = Place::with("workers = 2\nsigning_key_file = ['a.pem']\nreflection = 'on'");
        let printed: toml::Table = toml::from_str(&place.print(&[], &[])).unwrap();
        assert!(printed.len() > 10);
        for (key, value) in printed {
            let property = &schema["properties"][&key];
            assert_eq!(property["type"], value.type_str(), "{key}");
            assert!(property["description"].as_str().unwrap().len() > 20, "{key}");
            if let Some(choices) = property["enum"].as_array() {
                assert!(choices.iter().any(|choice| choice.as_str() == value.as_str()), "{key}");
            }
        }
        let printed = place.print(&[], &[]);
        for key in schema["properties"].as_object().unwrap().keys() {
            line(&printed, key);
        }
    }

    /// The sample file with the options that have a default, in force.
    #[test]
    fn the_sample_file_says_what_holds_without_it() {
        let sample = include_str!("../docs/waypost.toml");
        let defaults = Place::with("").print(&[], &[]);
        let set = sample.lines().filter_map(|line| line.strip_prefix('#')).filter(|line| !line.starts_with([' ', '#']));
        let set: Vec<&str> = set.filter(|line| !line.is_empty()).collect();
        let is_default = |set: &&&str| !line(&defaults, set.split(' ').next().unwrap()).starts_with('#');
        let kept: String = set.iter().filter(is_default).map(|line| format!("{line}\n")).collect();
        let printed = Place::with(&kept).print(&[], &[]);
        let values = |text: &str| -> Vec<String> {
            text.lines().map(|line| line.split("  # ").next().unwrap().trim_end().to_owned()).collect()
        };
        assert_eq!(values(&printed), values(&defaults));
        // And each of the others is an option.
        for set in set {
            line(&defaults, set.split(' ').next().unwrap());
        }
        assert!(Place::with(sample).check(&["--page-addr", "off"], &[]).code == Some(0), "as it is, it says nothing");
    }

    #[test]
    fn the_help_text_has_its_options_in_groups_and_examples() {
        for args in [&["serve", "--help"][..], &["config", "print", "-h"], &["config", "check", "-h"]] {
            let help = Place::with("").run(args, &[]).stdout;
            let text = help.split_whitespace().collect::<Vec<_>>().join(" ");
            for group in ["Listeners:", "Store:", "Access:", "TLS:", "Pages:", "Signed returns:", "Stopping:", "Logs:"]
            {
                assert!(help.contains(&format!("\n{group}\n")), "{group} is missing in\n{help}");
            }
            for shown in
                ["Example", "[env: WAYPOST_GRPC_ADDR=]", "[default: 127.0.0.1:50051]", "[possible values: on, off]"]
            {
                assert!(text.contains(shown), "{shown} is missing in\n{help}");
            }
        }
    }
}

//! `waypost merchant apply`: settings as a file has them.

use super::*;

const TWO: &str = r#"# Two shops.
[[merchant]]
merchant_id = "books"
name = "Ana Books"
precedence = "request-first"
auto_return_delay = "3s"
allowed_origins = ["https://books.example.com"]

[merchant.return_urls]
success = "https://books.example.com/paid?s={CHECKOUT_SESSION_ID}"

[[merchant]]
merchant_id = "records"
name = "Bo Records"
"#;

fn apply(server: &Server, content: &str, more: &[&str]) -> Ran {
    let dir = TempDir::new().unwrap();
    let path = file(&dir, "merchants.toml", content);
    server.run(&[&["merchant", "apply", "-f", text(&path)], more].concat())
}

fn merchant(server: &Server, id: &str) -> Value {
    server.run(&["merchant", "get", id, "--json"]).json()["merchant"].clone()
}

#[test]
fn a_dry_run_shows_every_difference_and_changes_nothing() {
    let server = Server::start(&[]);
    server.run(&["merchant", "set", "books", "--name", "Old", "--cancel-url", "https://old.example.com/"]);
    let stands = merchant(&server, "books");
    apply(&server, TWO, &["--dry-run"]).check(&expect![[r#"
        books:
          name                  Old                        ->   Ana Books
          return_urls.success   none                       ->   https://books.example.com/paid?s={CHECKOUT_SESSION_ID}
          return_urls.cancel    https://old.example.com/   ->   none
          precedence            settings-first             ->   request-first
          auto_return_delay     5s                         ->   3s
          allowed_origins       none                       ->   https://books.example.com
        records (new):
          name   none   ->   Bo Records

        Dry run: 2 of 2 merchants would change; nothing was written.
        exit code 0
    "#]]);
    assert_eq!(merchant(&server, "books"), stands);
}

#[test]
fn a_file_is_applied_once_and_then_nothing_differs() {
    let server = Server::start(&[]);
    server.run(&["merchant", "set", "other", "--name", "Not in the file"]);
    let other = merchant(&server, "other");
    let first = apply(&server, TWO, &[]);
    assert!(first.stdout.ends_with("2 of 2 merchants changed.\n"), "{}", first.stdout);
    let books = merchant(&server, "books");
    assert_eq!(books["returnUrls"]["success"], "https://books.example.com/paid?s={CHECKOUT_SESSION_ID}");
    apply(&server, TWO, &[]).check(&expect![[r#"
        books: no change
        records: no change

        0 of 2 merchants changed.
        exit code 0
    "#]]);
    assert_eq!(merchant(&server, "books"), books, "not even the etag");
    assert_eq!(merchant(&server, "other"), other, "who is not in the file is not touched");
    // What an entry leaves out has its default.
    apply(&server, "[[merchant]]\nmerchant_id = \"books\"\n", &[]);
    assert_eq!(merchant(&server, "books")["returnUrls"], Value::Null);
}

#[test]
fn every_problem_of_the_form_is_told_at_once_with_its_line() {
    let server = Server::start(&[]);
    let wrong = r#"
[[merchant]]
merchant_id = "books"
nmae = "Ana"
precedence = "mine"
auto_return_delay = 5
sign_returns = "yes"
[merchant.return_urls]
sucess = "https://books.example.com/"
cancel = 7

[[merchant]]
name = ""

[[merchant]]
merchant_id = "books"

[shop]
"#;
    server.run_with_stdin(&["merchant", "apply", "-f", "-"], wrong).check(&expect![[r#"
        stderr: waypost: nothing was done: standard input is wrong
          line 4: "nmae" is not a key of a merchant: write merchant_id, name, return_urls, precedence, auto_return_delay, allowed_origins, app_schemes, sign_returns
          line 5: precedence is neither: write "settings-first" or "request-first"
          line 6: auto_return_delay is not a text: write a time such as "5s"
          line 7: sign_returns is neither: write true or false
          line 9: "sucess" is not a return URL: write success, failure, cancel, pending, expired
          line 10: return_urls.cancel is not a text: put it into quotes
          line 12: merchant_id is missing: write whose settings these are
          line 13: name is empty: leave it out for the default
          line 16: merchant_id "books" has an entry at line 2 already: write one for each merchant
          line 18: "shop" is not a key of this file: write [[merchant]]
        exit code 2
    "#]]);
    apply(&server, "[[merchant]]\nname = ", &[]).failed(2, "line 2: ");
    apply(&server, "", &[]).failed(2, "there is no merchant: write at least one [[merchant]]");
}

#[test]
fn every_problem_that_the_server_finds_is_told_at_once_and_nothing_is_applied() {
    let server = Server::start(&[]);
    let wrong = r#"[[merchant]]
merchant_id = "records"
name = "Good"

[[merchant]]
merchant_id = "books"
allowed_origins = ["https://books.example.com", "books"]
app_schemes = ["javascript"]
[merchant.return_urls]
success = "http://books.example.com/"
cancel = "https://books.example.com/{{"

[[merchant]]
merchant_id = "no spaces"

[[merchant]]
merchant_id = "signs"
sign_returns = true
"#;
    let ran = apply(&server, wrong, &[]);
    assert_eq!(ran.code, Some(2));
    for said in [
        "nothing was done: ",
        "line 7: allowed_origins[1] ",
        "line 8: app_schemes[0] ",
        "line 10: return_urls.success ",
        "line 11: return_urls.cancel ",
        "line 14: merchant_id ",
        "line 18: sign_returns ",
    ] {
        assert!(ran.stderr.contains(said), "{said}\n{}", ran.stderr);
    }
    assert_eq!(merchant(&server, "records")["etag"], "v0");
}

#[test]
fn a_file_may_come_by_standard_input() {
    let server = Server::start(&[]);
    let ran = server.run_with_stdin(&["merchant", "apply", "-f", "-"], TWO);
    assert!(ran.stdout.ends_with("2 of 2 merchants changed.\n"), "{}", ran.stdout);
}

//! Return URLs that must not be accepted, with what their error says to write instead; and their harmless neighbours.

use waypost::{
    model::Kind,
    redirect::{AppScheme, Mode, OriginPattern, Policy, Refusal, Template},
};

/// What is wrong with a URL of an order; `None` when it is accepted.
fn wrong(text: &str, mode: Mode) -> Option<String> {
    let schemes = ["com.example.shop".parse().expect("a scheme")];
    let policy = Policy { mode, allowed_origins: &[], app_schemes: &schemes };
    let template = match Template::compile(text) {
        Ok(template) => template,
        Err(error) => return Some(error.to_string()),
    };
    policy.check_template(&template, Kind::Order.added_params()).err().map(|refusal| refusal.to_string())
}

/// Each URL is refused with a text that has this in it.
fn refused(cases: &[(&str, &str)]) {
    for (url, says) in cases {
        for mode in [Mode::Production, Mode::Sandbox] {
            let wrong = wrong(url, mode).unwrap_or_else(|| panic!("accepted: {url}"));
            assert!(wrong.contains(says), "{url:?}\n  says      {wrong}\n  should say {says}");
        }
    }
}

#[test]
fn harmless_urls_are_accepted_as_they_are_written() {
    for url in [
        "https://www.merchant.com/",
        "https://www.merchant.com",
        "https://www.merchant.com?x=1",
        "https://www.merchant.com#top",
        "https://checkout-example.com/success?session_id={CHECKOUT_SESSION_ID}",
        "https://shop.example.com:8443/a/b;v=1/c.html?x=%20&x=&&y#f?g/h",
        "https://xn--bcher-kva.example/",
        "https://a-b_c.example.com/%C3%A9/~user/-._",
        "https://shop.example.com/a..b/...c/.well-known/x",
        "https://shop.example.com/{{id}}/{{metadata[a b]}}?q={{x}}#{{y}}",
        "https://shop.example.com/%7B%7Bid%7D%7D?q=%7BERROR_CODE%7D",
        "https://shop.example.com/?u=https://other.example/%2e%2e/&v=../x",
        "https://1.example.com/",
        "https://shop.example.com/?q=`x`",
        "com.example.shop://paid?q='x'",
        "com.example.shop://paid/{{id}}?x=1#f",
        "com.example.shop://paid",
    ] {
        assert_eq!(wrong(url, Mode::Production), None, "{url}");
    }
}

#[test]
fn only_https_and_named_app_schemes() {
    refused(&[
        ("http://shop.example.com/", "write `https://`"),
        ("HTTPS://shop.example.com/", "upper case: write `https://`"),
        ("javascript:alert(1)", "write `https://`"),
        ("javascript://shop.example.com/%0aalert(1)", "write `https://`"),
        ("data:text/html,x", "write `https://`"),
        ("vbscript:x", "write `https://`"),
        ("file:///etc/passwd", "write `https://`"),
        ("blob:https://shop.example.com/x", "write `https://`"),
        ("about:blank", "write `https://`"),
        ("intent://x#Intent;end", "write `https://`"),
        ("view-source:https://shop.example.com", "write `https://`"),
        ("ftp://shop.example.com/", "write `https://`"),
        ("ws://shop.example.com/", "write `https://`"),
        ("otherapp://paid", "add `otherapp` to app_schemes"),
        ("com.example.shop:paid", "write `com.example.shop://` and then its path"),
        ("com.example.shop:/paid", "write `com.example.shop://` and then its path"),
        ("COM.example.shop://paid", "write `com.example.shop://`"),
        ("OtherApp://paid", "never accepted"),
        ("//shop.example.com/", "absolute URL"),
        ("/paid", "absolute URL"),
        ("shop.example.com/paid", "absolute URL"),
        ("https:shop.example.com", "absolute URL"),
        ("https:/shop.example.com", "absolute URL"),
        ("https:\\\\shop.example.com", "absolute URL"),
        (" https://shop.example.com/", "write `https://"),
        ("https", "absolute URL"),
        ("\u{0}https://shop.example.com/", "not printable ASCII"),
    ]);
}

#[test]
fn the_host_is_a_dns_name_in_its_one_spelling() {
    refused(&[
        ("https://127.0.0.2/", "IP address"),
        ("https://2130706434/", "IP address"),
        ("https://0x7f.0.0.2/", "IP address"),
        ("https://0177.0.0.2/", "IP address"),
        ("https://127.2/", "IP address"),
        ("https://10.0.0.1:8443/", "IP address"),
        ("https://[::2]/", "IP address"),
        ("https://[::ffff:127.0.0.1]/", "IP address"),
        ("https://1.2.3.4.5/", "not a URL"),
        ("https://shop.example.123/", "not a URL"),
        ("https://intranet/", "two labels"),
        ("https://shop.example.com./", "two labels"),
        ("https://shop..example.com/", "two labels"),
        ("https://.example.com/", "two labels"),
        ("https:///paid", "two labels"),
        ("https://", "not a URL"),
        ("https://?x", "not a URL"),
        ("https://Shop.Example.com/", "write `https://shop.example.com/`"),
        ("https://shop.example.com:443/", "write `https://shop.example.com/`"),
        ("https://shop.example.com:/", "write `https://shop.example.com/`"),
        ("https://shop.example.com:08443/", "write `https://shop.example.com:8443/`"),
        ("https://shop.example.com:99999/", "not a URL"),
        ("https://sh%6fp.example.com/", "write `https://shop.example.com/`"),
        ("https://b\u{fc}cher.example/", "write `https://xn--bcher-kva.example/`"),
        ("https://shop.example\u{3002}com/", "write `https://shop.example.com/`"),
        ("https://shop.example.com\u{ff0f}evil/", "not printable ASCII"),
        ("https://ex\u{ad}ample.com/", "write `https://example.com/`"),
        ("https://*.example.com/", "letters, digits"),
        ("https://shop!.example.com/", "letters, digits"),
        ("https://user@shop.example.com/", "user info"),
        ("https://user:password@shop.example.com/", "user info"),
        ("https://@shop.example.com/", "user info"),
        ("https://shop.example.com@evil.example/", "user info"),
        ("https://shop.example.com%40evil.example/", "not a URL"),
        ("https://shop.example.com\\@evil.example/", "write `https://shop.example.com/@evil.example/`"),
        (&format!("https://{}.example.com/", "a".repeat(64)), "63 letters"),
        (&format!("https://{}com/", "abcdefgh.".repeat(30)), "63 letters"),
    ]);
}

#[test]
fn a_host_may_be_as_long_as_dns_allows() {
    let label = |bytes: usize| "a".repeat(bytes);
    let longest = format!("{0}.{0}.{0}.{1}", label(63), label(61));
    assert_eq!(longest.len(), 253);
    assert_eq!(wrong(&format!("https://{longest}/"), Mode::Production), None);
    assert!(wrong(&format!("https://{longest}a/"), Mode::Production).is_some_and(|wrong| wrong.contains("DNS name")));
    assert_eq!(wrong(&format!("https://shop.{}/", label(63)), Mode::Production), None);
    assert!(wrong(&format!("https://shop.{}/", label(64)), Mode::Production).is_some());
}

#[test]
fn no_dot_segment_in_any_spelling() {
    for path in [
        "/./x",
        "/../x",
        "/..",
        "/.",
        "/a/../b",
        "/%2e/x",
        "/%2e%2e/x",
        "/.%2E/x",
        "/%2E./x",
        "/..;/x",
        "/..;a=b/x",
        "/.;/x",
        "/%2e%2e;/x",
        "/..%2fx",
        "/..%2Fx",
        "/x%2f..",
        "/..%5cx",
        "/x%5c..%5cy",
        "/%252e%252e/x",
        "/%25252e%25252e/x",
        "/..%252fx",
        "/..%255cx",
        "/%2e%2e%2f%2e%2e",
        "/..%3b/x",
    ] {
        let url = format!("https://shop.example.com{path}");
        let wrong = wrong(&url, Mode::Production).unwrap_or_else(|| panic!("accepted: {url}"));
        assert!(wrong.contains("dot segment"), "{url}: {wrong}");
    }
}

#[test]
fn a_placeholder_has_a_path_segment_without_encoded_slashes() {
    refused(&[
        ("https://shop.example.com/{{id}}%2fx", "write `/` between segments"),
        ("https://shop.example.com/x%2F{{id}}/y", "write `/` between segments"),
        ("https://shop.example.com/x%5c{{id}}", "write `/` between segments"),
        ("https://shop.example.com/x%252f{{id}}", "write `/` between segments"),
    ]);
    for url in [
        "https://shop.example.com/a%2Fb/{{id}}?x=%2F{{id}}",
        // What the placeholder itself holds is its key.
        "https://shop.example.com/{{metadata[a%2Fb]}}",
        "https://shop.example.com/a/{{metadata[a%2Fb]}}-{{metadata[%5C]}}.html/{{id}}?x",
    ] {
        assert_eq!(wrong(url, Mode::Production), None, "{url}");
    }
}

#[test]
fn what_an_error_suggests_is_accepted_and_another_text() {
    for url in [
        "https://shop.example.com/#a\\b",
        "https://shop.example.com/?a\\b",
        "https://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
        "https://user@b\u{fc}cher.example/",
        "http://shop.example.com/x y",
        "https://shop.example.com/\u{fc}?payment_id=1",
        "https://shop.example.com/\u{e9}{{id}}",
        "https://Shop.example.com/a/../b",
        "https://Shop.example.com:443/a b",
    ] {
        let said = wrong(url, Mode::Production).unwrap_or_else(|| panic!("accepted: {url}"));
        for suggested in
            said.split('`').skip(1).step_by(2).filter(|text| text.starts_with("https://") && text.len() > 8)
        {
            if suggested.starts_with("https://shop.example.com/paid") {
                continue;
            }
            assert_ne!(suggested, url);
            assert!(
                Template::compile(suggested)
                    .is_ok_and(|_| wrong(suggested, Mode::Production).is_none() || suggested.contains("payment_id")),
                "{url}: {said}"
            );
        }
    }
}

#[test]
fn an_error_suggests_no_url_that_is_longer_than_headers_take() {
    let url = |bytes: usize| format!("https://shop.example.com/ {}", "a".repeat(bytes));
    // The space becomes `%20`.
    let fits = 200 - "https://shop.example.com/%20".len();
    let said = |bytes: usize| wrong(&url(bytes), Mode::Production).expect("refused");
    assert!(said(fits).contains("write `https://shop.example.com/%20aaa"), "{}", said(fits));
    assert!(!said(fits + 1).contains("%20"), "{}", said(fits + 1));
}

#[test]
fn no_character_that_browsers_change() {
    refused(&[
        ("https://shop.example.com/a\\b", "has the character '\\\\': write `https://shop.example.com/a/b`"),
        ("https://shop.example.com/a b", "write `https://shop.example.com/a%20b`"),
        ("https://shop.example.com/a\tb", "not printable ASCII"),
        ("https://shop.example.com/a\nb", "not printable ASCII"),
        ("https://shop.example.com/a\r\nSet-Cookie: x", "not printable ASCII"),
        ("https://shop.example.com/a\u{0}b", "not printable ASCII"),
        ("https://shop.example.com/%00", "NUL"),
        ("https://shop.example.com/?x=%00", "NUL"),
        ("https://shop.example.com/?x=%00%41", "NUL"),
        ("https://shop.example.com/?x=%00%00", "NUL"),
        ("https://shop.example.com/?x=%00%zz", "two hexadecimal digits"),
        ("https://shop.example.com/%", "two hexadecimal digits"),
        ("https://shop.example.com/%zz", "two hexadecimal digits"),
        ("https://shop.example.com/?q=100%", "two hexadecimal digits"),
        ("https://shop.example.com/\u{e9}", "write `https://shop.example.com/%C3%A9`"),
        ("https://shop.example.com/?q=\"x\"", "write `https://shop.example.com/?q=%22x%22`"),
        ("https://shop.example.com/?q='x'", "write `https://shop.example.com/?q=%27x%27`"),
        ("https://shop.example.com/a^b", "percent-encode"),
        ("https://shop.example.com/<x>", "write `https://shop.example.com/%3Cx%3E`"),
        ("https://shop.example.com/{id}", "percent-encode"),
        ("", "empty"),
    ]);
}

#[test]
fn placeholders_that_stay_as_they_are_written_hide_nothing() {
    refused(&[
        ("https://shop.example.com/?x={{nope[a%00b]}}", "NUL"),
        ("https://shop.example.com/{{nope[a%00b]}}", "NUL"),
        ("https://shop.example.com/x/{{nope[%2f..%2f..%2fadmin]}}", "dot segment"),
        ("https://shop.example.com/x/{{nope[%5c..%5cadmin]}}", "dot segment"),
        ("https://shop.example.com/x/{{nope[%252f%252e%252e%252fadmin]}}", "dot segment"),
    ]);
    for url in [
        "https://shop.example.com/?x={{nope[%2f..%2f..%2fadmin]}}",
        "https://shop.example.com/{{metadata[a%2fb]}}/{{nope[..]}}",
    ] {
        assert_eq!(wrong(url, Mode::Production), None, "{url}");
    }
}

#[test]
fn placeholders_stand_where_a_value_can_do_no_harm() {
    refused(&[
        ("https://{{metadata.host}}/", "placeholders may stand in the path"),
        ("https://shop.{{metadata.tld}}/", "placeholders may stand in the path"),
        ("https://shop.example.com:{{metadata.port}}/", "placeholders may stand in the path"),
        ("https://shop.example.com{{metadata.path}}", "placeholders may stand in the path"),
        ("https://{{metadata.user}}@shop.example.com/", "placeholders may stand in the path"),
        ("{{metadata.scheme}}://shop.example.com/", "placeholders may stand in the path"),
        ("https://{CHECKOUT_SESSION_ID}.example.com/", "placeholders may stand in the path"),
        ("https://%7B%7Bid%7D%7D.example.com/", "placeholders may stand in the path"),
        ("com.example.shop://{{id}}/paid", "placeholders may stand in the path"),
        ("{{metadata.url}}", "absolute URL"),
    ]);
}

#[test]
fn placeholders_are_well_formed() {
    refused(&[
        ("https://shop.example.com/{{id", "position 25 without its end"),
        ("https://shop.example.com/%7B%7Bid", "position 25 without its end"),
        ("https://shop.example.com/{{id}", "position 25 without its end"),
        ("https://shop.example.com/?a={{}}", "position 28 that names nothing"),
        ("https://shop.example.com/?a={{  }}", "position 28 that names nothing"),
        ("https://shop.example.com/{{a{{b}}}}", "cannot be nested"),
        ("https://shop.example.com/{{{id}}}", "cannot be nested"),
        ("https://shop.example.com/{{a..b}}", "cannot be read"),
        ("https://shop.example.com/{{.a}}", "cannot be read"),
        ("https://shop.example.com/{{a.}}", "cannot be read"),
        ("https://shop.example.com/{{a[}}", "cannot be read"),
        ("https://shop.example.com/{{a[]}}", "cannot be read"),
        ("https://shop.example.com/{{a]}}", "cannot be read"),
        ("https://shop.example.com/{{a[0]b}}", "cannot be read"),
        ("https://shop.example.com/{{a[\"b]}}", "cannot be read"),
        ("https://shop.example.com/{{a%zz}}", "cannot be read"),
        ("https://shop.example.com/{{a[x/y]}}", "`%2F`"),
        ("https://shop.example.com/{{a[x?y]}}", "`%3F`"),
        ("https://shop.example.com/{{a[x#y]}}", "`%23`"),
        ("https://shop.example.com/?a={{a[x&payment_id=1]}}", "`%26`"),
        ("https://shop.example.com/{{a.b.c.d.e.f.g.h.i}}", "9 names deep: write at most 8"),
        (&format!("https://shop.example.com/{}", "{{a}}".repeat(33)), "33 placeholders: write at most 32"),
        (&format!("https://shop.example.com/{}", "a".repeat(2_048)), "write at most 2048"),
    ]);
    assert_eq!(wrong(&format!("https://shop.example.com/{}", "{{a}}".repeat(32)), Mode::Production), None);
    assert_eq!(wrong("https://shop.example.com/{{a.b.c.d.e.f.g.h}}", Mode::Production), None);
    assert_eq!(wrong(&format!("https://shop.example.com/{}", "a".repeat(2_023)), Mode::Production), None);
}

#[test]
fn names_that_are_added_are_reserved_in_every_spelling() {
    refused(&[
        ("https://shop.example.com/?payment_id=1", "`payment_id`"),
        ("https://shop.example.com/?a=1&status=2", "`status`"),
        ("https://shop.example.com/?external_reference", "`external_reference`"),
        ("https://shop.example.com/?order%5Fid=1", "`order_id`"),
        ("https://shop.example.com/?stat%75s={{status}}", "`status`"),
        ("https://shop.example.com/?return_token=x", "`return_token`"),
    ]);
    assert_eq!(wrong("https://shop.example.com/?Status=1&xstatus=2&u=status=3#status=4", Mode::Production), None);
}

#[test]
fn a_sandbox_takes_this_machine_itself_and_nothing_else() {
    for url in ["http://localhost/", "http://localhost:3000/x", "https://127.0.0.1:8443/", "http://[::1]:3000/"] {
        assert_eq!(wrong(url, Mode::Sandbox), None, "{url}");
        assert!(wrong(url, Mode::Production).is_some(), "{url}");
    }
    for url in [
        "http://localhost.example.com/",
        "http://127.0.0.2/",
        "http://127.1/",
        "http://0/",
        "http://[::]/",
        "http://shop.example.com/",
        "https://LOCALHOST/",
        "http://localhost./",
    ] {
        assert!(wrong(url, Mode::Sandbox).is_some(), "{url}");
    }
}

#[test]
fn origins_are_written_in_one_way() {
    for text in [
        "https://shop.example.com",
        "https://shop.example.com:8443",
        "https://*.example.com",
        "https://*.example.com:8443",
    ] {
        assert_eq!(OriginPattern::parse(text, Mode::Production).map(|origin| origin.to_string()).as_deref(), Ok(text));
    }
    for text in [
        "",
        "*",
        "https://*",
        "https://*.com",
        "https://*.",
        "shop.example.com",
        "http://shop.example.com",
        "https://shop.example.com/",
        "https://shop.example.com/p",
        "https://shop.example.com:443",
        "https://Shop.example.com",
        "https://user@shop.example.com",
        "https://127.0.0.1",
        "https://intranet",
        "https://*.*.example.com",
        "https://a.*.example.com",
        "https://shop.example.com?x",
        "https://shop.example.com#x",
        "ftp://shop.example.com",
        "com.example.shop://x",
        "https://b\u{fc}cher.example",
        "https://localhost:3000",
        "https://*.localhost",
        "https://:password@shop.example.com",
        "http://[::1]:3000",
        "null",
    ] {
        assert!(OriginPattern::parse(text, Mode::Production).is_err(), "{text}");
        let local = ["https://127.0.0.1", "https://localhost:3000", "http://[::1]:3000"].contains(&text);
        assert_eq!(OriginPattern::parse(text, Mode::Sandbox).is_ok(), local, "{text}");
    }
    assert!(OriginPattern::parse("http://localhost:3000", Mode::Sandbox).is_ok());
    assert!(OriginPattern::parse("https://*.localhost", Mode::Sandbox).is_err());
}

#[test]
fn app_schemes_are_never_ones_that_are_acted_on() {
    for scheme in ["com.example.shop", "myapp", "my-app+x.1"] {
        assert!(scheme.parse::<AppScheme>().is_ok(), "{scheme}");
    }
    for scheme in [
        "http",
        "https",
        "javascript",
        "data",
        "vbscript",
        "file",
        "blob",
        "about",
        "intent",
        "view-source",
        "mailto",
        "tel",
        "telprompt",
        "facetime-audio",
        "itms-appss",
        "cifs",
        "sms",
        "ms-msdt",
        "search-ms",
        "web+x",
        "",
        "1app",
        "MyApp",
        "my app",
        "app:",
        "app://",
        "-app",
        "app\u{e9}",
        &"a".repeat(65),
    ] {
        assert!(scheme.parse::<AppScheme>().is_err(), "{scheme}");
    }
}

/// The words stand in metrics: whoever watches `http` must not be told of `scheme`.
#[test]
fn every_refusal_is_counted_under_its_own_word() {
    let word = |refusal: Refusal| Refusal::WORDS[refusal.number()];
    for (url, expected) in [
        ("", "empty"),
        ("/paid", "not_absolute"),
        ("http://shop.example.com/", "http"),
        ("javascript://shop.example.com/", "scheme"),
        ("HTTPS://shop.example.com/", "scheme_case"),
        ("com.example.shop:paid", "app_without_authority"),
        ("otherapp://paid", "unknown_scheme"),
        ("https://{{id}}.example.com/", "placeholder_in_authority"),
        ("https://shop.example.com/a^b", "character"),
        ("https://shop.example.com/%00", "nul"),
        ("https://user@shop.example.com/", "user_info"),
        ("https://shop.example.com/../x", "dot_segment"),
        ("https://shop.example.com/{{id}}%2Fx", "encoded_slash"),
        ("https://shop.example.com:99999/", "unparsable"),
        ("https://127.0.0.2/", "ip_address"),
        ("https://intranet/", "host"),
        ("https://Shop.example.com/", "not_canonical"),
        ("https://other.example.com/", "origin_not_allowed"),
        ("https://shop.example.com/?status=1", "reserved_name"),
    ] {
        let origins = [OriginPattern::parse("https://shop.example.com", Mode::Production).expect("an origin")];
        let schemes = ["com.example.shop".parse().expect("a scheme")];
        let policy = Policy { mode: Mode::Production, allowed_origins: &origins, app_schemes: &schemes };
        let template = Template::compile(url).expect("a template");
        let refusal = policy.check_template(&template, Kind::Order.added_params()).expect_err(url);
        assert_eq!(word(refusal), expected, "{url}");
    }
    assert_eq!(word(Refusal::TooLong), "too_long");
    assert_eq!(word(Refusal::MalformedPercent), "malformed_percent");
    assert_eq!(word(Refusal::NoSigningKeys), "no_signing_keys");
}

#[test]
fn what_to_write_instead_keeps_the_placeholders_as_they_are() {
    refused(&[
        ("https://Shop.example.com/{{id}}", "write `https://shop.example.com/{{id}}`"),
        (
            "https://shop.example.com:443/r/{{id}}?x={ERROR_CODE}",
            "write `https://shop.example.com/r/{{id}}?x={ERROR_CODE}`",
        ),
        (
            "https://shop.example.com/%7B%7Bid%7D%7D/\"{{ metadata[a b] }}",
            "write `https://shop.example.com/%7B%7Bid%7D%7D/%22{{ metadata[a b] }}`",
        ),
        ("https://m\u{fc}nchen.example/{{id}}/{{id}}", "write `https://xn--mnchen-3ya.example/{{id}}/{{id}}`"),
        // Not what a browser would make of them.
        ("https://Shop.example.com/xplaceholderx0xplaceholderx/{{id}}", "use a lower-case host"),
        ("https://Shop.example.com/{id}/{{id}}", "brace in its path"),
        ("https://shop.example.com/a}b", "brace in its path"),
        ("https://XPLACEHOLDERX0XPLACEHOLDERX.example.com/{{id}}", "use a lower-case host"),
        ("https://Shop.example.com/{{id}}?status=1", "use a lower-case host"),
        ("https://{{id}}.b\u{fc}cher.example/", "percent-encode it; write a Unicode host"),
        ("https://shop.example/\u{fc}/%2F{{id}}", "percent-encode it; write a Unicode host"),
        ("https://shop.example/\u{fc}?x={{metadata.gr\u{f6}\u{df}e}}", "percent-encode it; write a Unicode host"),
        ("https://shop.example/\u{fc}?x={{a/b}}", "percent-encode it; write a Unicode host"),
    ]);
}

//! Any text as a return URL: what is accepted is one URL for everybody who reads it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use url::{Host, Url};
use waypost::{
    model::Kind,
    redirect::{AppScheme, Mode, OriginPattern, Policy, Template},
};

fuzz_target!(|input: (u8, &str)| {
    let (choice, text) = input;
    let schemes: [AppScheme; 1] = ["com.example.app".parse().expect("a scheme")];
    let origins = [OriginPattern::parse("https://*.example.com", Mode::Production).expect("an origin")];
    let policy = Policy {
        mode: if choice & 1 == 0 { Mode::Production } else { Mode::Sandbox },
        allowed_origins: if choice & 2 == 0 { &[] } else { &origins },
        app_schemes: if choice & 4 == 0 { &[] } else { &schemes },
    };
    let Ok(template) = Template::compile(text) else { return };
    if policy.check_template(&template, Kind::Order.added_params()).is_err() {
        return;
    }
    // The keys of placeholders may hold spaces.
    if template.placeholders().next().is_some() {
        return;
    }
    assert!(text.bytes().all(|byte| (b'!'..=b'~').contains(&byte) && byte != b'\\'));
    let url = Url::parse(text).expect("accepted is a URL");
    assert!(url.username().is_empty() && url.password().is_none());
    let written = url.as_str();
    let empty_path = written.len() == text.len() + 1 && url.path() == "/";
    assert!(written == text || empty_path, "{text} is written {written}");
    match url.scheme() {
        "com.example.app" => assert!(choice & 4 != 0),
        scheme => {
            let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) && choice & 1 == 1;
            assert!(scheme == "https" || (scheme == "http" && local));
            match url.host() {
                Some(Host::Domain(host)) => {
                    assert!(local || host.split('.').count() >= 2);
                    assert!(local || choice & 2 == 0 || host.ends_with(".example.com"));
                }
                _ => assert!(local),
            }
            assert!(url.path_segments().expect("segments").all(|segment| !matches!(segment, "." | "..")));
        }
    }
});

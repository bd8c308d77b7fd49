//! The schemes of deep links.

use crate::model::limits;
use std::str::FromStr;

/// The scheme of a merchant's own app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppScheme(Box<str>);

/// Schemes that a browser or an operating system acts on by itself: a buyer sent to one would run or open something
/// that is not the merchant's app.
const ACTED_ON: &[&str] = &[
    "about",
    "acap",
    "afp",
    "android-app",
    "applescript",
    "blob",
    "brave",
    "callto",
    "chrome",
    "chrome-devtools",
    "chrome-error",
    "chrome-extension",
    "chrome-search",
    "chrome-untrusted",
    "cid",
    "cifs",
    "content",
    "data",
    "dav",
    "davs",
    "devtools",
    "dns",
    "edge",
    "facetime",
    "facetime-audio",
    "feed",
    "file",
    "filesystem",
    "firefox",
    "ftp",
    "ftps",
    "geo",
    "googlechrome",
    "googlechromes",
    "gopher",
    "help",
    "hcp",
    "http",
    "https",
    "im",
    "imap",
    "intent",
    "ipfs",
    "ipns",
    "irc",
    "itms",
    "itms-apps",
    "itms-appss",
    "itms-services",
    "itmss",
    "jar",
    "jnlp",
    "javascript",
    "ldap",
    "ldaps",
    "livescript",
    "macappstore",
    "macappstores",
    "magnet",
    "mailto",
    "maps",
    "market",
    "mhtml",
    "microsoft-edge",
    "mid",
    "mms",
    "mocha",
    "moz-extension",
    "news",
    "nfs",
    "nntp",
    "opera",
    "pop",
    "prefs",
    "rdp",
    "res",
    "resource",
    "rtsp",
    "safari-extension",
    "safari-web-extension",
    "search",
    "search-ms",
    "sftp",
    "shell",
    "shortcuts",
    "sip",
    "sips",
    "skype",
    "smb",
    "sms",
    "smsto",
    "snews",
    "ssh",
    "tel",
    "telprompt",
    "telnet",
    "urn",
    "vbs",
    "vbscript",
    "vivaldi",
    "vscode",
    "vscode-insiders",
    "view-source",
    "vnc",
    "webcal",
    "ws",
    "wss",
    "wyciwyg",
    "x-apple.systempreferences",
    "x-man-page",
    "x-safari-http",
    "x-safari-https",
    "xmpp",
    "x-javascript",
    "wtai",
    "openpgp4fpr",
    "matrix",
    "jscript",
    "isolated-app",
    "ircs",
    "ethereum",
    "chrome-native",
    "bitcoin",
];

impl AppScheme {
    /// The scheme, lower case, without the colon.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AppScheme {
    type Err = InvalidScheme;

    fn from_str(text: &str) -> Result<Self, InvalidScheme> {
        let form = text.len() <= limits::APP_SCHEME_BYTES
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte));
        if !form {
            Err(InvalidScheme::Form)
        } else if ACTED_ON.contains(&text) || ["ms-", "web+", "ext+"].iter().any(|prefix| text.starts_with(prefix)) {
            Err(InvalidScheme::ActedOn)
        } else {
            Ok(Self(text.into()))
        }
    }
}

/// Why a text is not the scheme of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScheme {
    /// Not a scheme, or not in its one spelling.
    #[error("is not a scheme: write a lower-case letter, then up to {} of a-z 0-9 + - . without the colon, such as `com.example.shop`", limits::APP_SCHEME_BYTES - 1)]
    Form,
    /// A browser or operating system acts on it.
    #[error(
        "is a scheme that browsers or operating systems act on by themselves: write the scheme of the merchant's own app, such as `com.example.shop`"
    )]
    ActedOn,
}

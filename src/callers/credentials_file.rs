//! The credentials file, as operators write it:
//!
//! ```toml
//! [[credential]]
//! name = "checkout"                  # for logs
//! sha256 = "ba78..."                 # of the secret, as `waypost keygen credential` writes it; or instead of it
//! # identity = "spiffe://example.org/checkout"    what the client certificate names; or "dns:checkout.internal"
//! merchants = ["6CQXXXXXXXYE1"]      # or "all"
//! scopes = ["create", "read"]        # create, record, read, merchant, admin
//! expires = 2027-01-01T00:00:00Z     # optional
//! ```
//!
//! It is read as a whole, and everything that is wrong is told at once. A text of the file that may be a secret put into
//! the wrong place is never repeated.

use super::{Scopes, SecretDigest, limits, secret::may_be_secret};
use crate::{
    model::{MerchantId, Tenants, Timestamp},
    server::PeerName,
};
use std::{collections::HashMap, fmt, hash::Hash, ops::Range, str::FromStr, time::SystemTime};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// One credential, as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the credential is called in logs.
    pub name: Box<str>,
    /// How a caller shows that it is theirs.
    pub proof: Proof,
    /// The merchants that it acts for.
    pub tenants: Tenants,
    /// What it allows.
    pub scopes: Scopes,
    /// From when it is no credential any more.
    pub expire_time: Option<Timestamp>,
}

/// What a credential is recognised by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Proof {
    /// A secret, of which this is kept.
    Secret(SecretDigest),
    /// A name in the client's certificate.
    Certificate(PeerName),
}

/// What is wrong with a credentials file, in the order of its lines. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The first of them.
    pub first: Vec<Problem>,
    /// How many more there are.
    pub more: usize,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what to write instead.
    pub text: String,
}

/// The keys of an entry, in the order in which they are told.
const KEYS: [&str; 6] = ["name", "sha256", "identity", "merchants", "scopes", "expires"];

impl Entry {
    /// Reads the text of a file.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn read_all(text: &str) -> Result<Vec<Self>, Problems> {
        let (document, errors) = DeTable::parse_recoverable(text);
        let mut reading = Reading { text, problems: Vec::new() };
        for error in &errors {
            reading.problem(&error.span().unwrap_or_default(), error.message());
        }
        // What is made of a text that is no TOML says nothing about what its author meant.
        let entries = if errors.is_empty() { reading.document(document.get_ref()) } else { Vec::new() };
        if reading.problems.is_empty() { Ok(entries) } else { Err(reading.into_problems()) }
    }
}

/// Writes the entry as [`Entry::read_all`] reads it.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, proof, tenants, scopes, expire_time } = self;
        writeln!(f, "[[credential]]\nname = \"{name}\"")?;
        match proof {
            Proof::Secret(digest) => writeln!(f, "sha256 = \"{digest}\"")?,
            Proof::Certificate(PeerName::Uri(uri)) => writeln!(f, "identity = \"{uri}\"")?,
            Proof::Certificate(PeerName::Dns(name)) => writeln!(f, "identity = \"dns:{name}\"")?,
        }
        match tenants {
            Tenants::All => writeln!(f, "merchants = \"all\"")?,
            Tenants::Only(merchants) => {
                let quoted: Vec<_> = merchants.iter().map(|merchant| format!("\"{merchant}\"")).collect();
                writeln!(f, "merchants = [{}]", quoted.join(", "))?;
            }
        }
        write!(f, "scopes = [{scopes}]")?;
        match expire_time.and_then(|end| jiff::Timestamp::from_microsecond(end.as_micros()).ok()) {
            Some(end) => write!(f, "\nexpires = {end}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.first.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\n" };
            write!(f, "{separator}line {}: {}", problem.line, problem.text)?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

/// A file while it is read.
struct Reading<'t> {
    text: &'t str,
    /// Each with the byte at which it was found.
    problems: Vec<(usize, String)>,
}

type Value<'i> = Spanned<DeValue<'i>>;

impl Reading<'_> {
    fn problem(&mut self, at: &Range<usize>, text: impl fmt::Display) {
        self.problems.push((at.start.min(self.text.len()), text.to_string()));
    }

    /// In the order of the file. Lines are counted for those that are told only: a file that is something else altogether
    /// has problems without end.
    fn into_problems(mut self) -> Problems {
        self.problems.sort_by_key(|(at, _)| *at);
        let more = self.problems.len().saturating_sub(limits::PROBLEMS);
        let line = |at: usize| 1 + self.text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
        let told = self.problems.into_iter().take(limits::PROBLEMS);
        Problems { first: told.map(|(at, text)| Problem { line: line(at), text }).collect(), more }
    }

    /// The value, or the problem that it is none.
    fn take<T, E: fmt::Display>(&mut self, at: &Range<usize>, key: &str, value: Result<T, E>) -> Option<T> {
        value.map_err(|wrong| self.problem(at, format_args!("{key} {wrong}"))).ok()
    }

    fn document(&mut self, document: &DeTable<'_>) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (key, value) in document {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("credential", DeValue::Array(found)) => {
                    if found.len() > limits::CREDENTIALS {
                        let most = limits::CREDENTIALS;
                        self.problem(
                            &value.span(),
                            format_args!("has {} credentials: write at most {most}", found.len()),
                        );
                    }
                    entries
                        .extend(found.iter().take(limits::CREDENTIALS).map(|entry| (entry.span(), self.entry(entry))));
                }
                ("credential", _) => self.problem(&value.span(), "credential is not a list: write [[credential]]"),
                (other, _) => {
                    let other = shown(other);
                    self.problem(&key.span(), format_args!("{other} is not a key of this file: write [[credential]]"));
                }
            }
        }
        if entries.is_empty() && self.problems.is_empty() {
            // An empty file is more likely an accident than the wish that nobody may call.
            self.problem(&(0..0), "has no credential: write at least one [[credential]]");
        }
        let read: Vec<_> = entries.into_iter().filter_map(|(at, entry)| Some((at, entry?))).collect();
        self.refuse_repeated("name", &read, |entry| entry.name.clone());
        self.refuse_repeated("sha256 or identity", &read, |entry| entry.proof.clone());
        read.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Two entries with one secret would leave it open which of them counts.
    fn refuse_repeated<K: Hash + Eq>(&mut self, key: &str, read: &[(Range<usize>, Entry)], of: impl Fn(&Entry) -> K) {
        let mut first = HashMap::new();
        for (at, entry) in read {
            if let Some(name) = first.insert(of(entry), &entry.name) {
                self.problem(at, format_args!("{key} is that of {name:?} already: every credential has its own"));
            }
        }
    }

    fn entry(&mut self, value: &Value<'_>) -> Option<Entry> {
        let DeValue::Table(table) = value.get_ref() else {
            self.problem(&value.span(), "credential is not a table: write [[credential]] and its keys below");
            return None;
        };
        for key in table.keys().filter(|key| !KEYS.contains(&key.get_ref().as_ref())) {
            let name = shown(key.get_ref());
            self.problem(&key.span(), format_args!("{name} is not a key of a credential: write {}", KEYS.join(", ")));
        }
        let expires = table.get("expires");
        let expire_time = expires.and_then(|expires| {
            let read = expire_time(expires.get_ref());
            self.take(&expires.span(), "expires", read)
        });
        let of = value.span();
        // All of them are looked at before the first that is missing ends it.
        let (name, proof) = (self.name(table, &of), self.proof(table, &of));
        let (tenants, scopes) = (self.tenants(table, &of), self.scopes(table, &of));
        let all_well = expires.is_none() || expire_time.is_some();
        all_well.then_some(Entry { name: name?, proof: proof?, tenants: tenants?, scopes: scopes?, expire_time })
    }

    /// The value under a key that every entry has.
    fn needed<'v, 'i>(
        &mut self,
        table: &'v DeTable<'i>,
        of: &Range<usize>,
        key: &str,
        write: &str,
    ) -> Option<&'v Value<'i>> {
        let value = table.get(key);
        if value.is_none() {
            self.problem(of, format_args!("{key} is missing: write {write}"));
        }
        value
    }

    fn name(&mut self, table: &DeTable<'_>, of: &Range<usize>) -> Option<Box<str>> {
        let value = self.needed(table, of, "name", "what logs call the credential")?;
        let read = value.get_ref().as_str().ok_or(InvalidName).and_then(name);
        self.take(&value.span(), "name", read)
    }

    fn proof(&mut self, table: &DeTable<'_>, of: &Range<usize>) -> Option<Proof> {
        match (table.get("sha256"), table.get("identity")) {
            (Some(sha256), None) => {
                let read = sha256.get_ref().as_str().unwrap_or_default().parse();
                self.take(&sha256.span(), "sha256", read).map(Proof::Secret)
            }
            (None, Some(identity)) => {
                let read = identity.get_ref().as_str().ok_or(InvalidIdentity).and_then(identity_of);
                self.take(&identity.span(), "identity", read).map(Proof::Certificate)
            }
            (None, None) => {
                let write = "write what `waypost keygen credential` prints, or the identity of a client certificate";
                self.problem(of, format_args!("sha256 is missing: {write}"));
                None
            }
            (Some(_), Some(identity)) => {
                self.problem(&identity.span(), "identity stands beside sha256: write one credential for each");
                None
            }
        }
    }

    fn tenants(&mut self, table: &DeTable<'_>, of: &Range<usize>) -> Option<Tenants> {
        let value = self.needed(table, of, "merchants", "[\"id\", ...] or \"all\"")?;
        match value.get_ref() {
            DeValue::String(all) if all == "all" => Some(Tenants::All),
            DeValue::Array(ids) => {
                let merchants = self.list("merchants", value, ids, limits::MERCHANTS, MerchantId::from_str)?;
                Some(Tenants::only(merchants))
            }
            _ => {
                self.problem(&value.span(), "merchants is neither: write [\"id\", ...] or \"all\"");
                None
            }
        }
    }

    fn scopes(&mut self, table: &DeTable<'_>, of: &Range<usize>) -> Option<Scopes> {
        let write = "some of [\"create\", \"record\", \"read\", \"merchant\", \"admin\"]";
        let value = self.needed(table, of, "scopes", write)?;
        let Some(names) = value.get_ref().as_array() else {
            self.problem(&value.span(), format_args!("scopes is not a list: write {write}"));
            return None;
        };
        let scopes = self.list("scopes", value, names, limits::SCOPES, Scopes::from_str)?;
        Some(scopes.into_iter().fold(Scopes::default(), Scopes::and))
    }

    /// A list that is not empty; `None` when anything in it is wrong.
    fn list<T, E: fmt::Display>(
        &mut self,
        key: &str,
        of: &Value<'_>,
        values: &[Value<'_>],
        most: usize,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        if values.is_empty() || values.len() > most {
            let found = values.len();
            self.problem(&of.span(), format_args!("{key} has {found} entries: write at least 1 and at most {most}"));
            return None;
        }
        let read: Vec<_> = values
            .iter()
            .map(|value| match value.get_ref().as_str() {
                Some(text) => self.take(&value.span(), &format!("{key}: {}", shown(text)), read(text)),
                None => self.take(&value.span(), key, Err("has an entry that is not a text: put it into quotes")),
            })
            .collect();
        read.into_iter().collect()
    }
}

/// As much of a wrong text as finds it on its line, and nothing of what may be a secret.
fn shown(text: &str) -> String {
    if may_be_secret(text) {
        return "what may be a secret".into();
    }
    format!("{:?}", &text[..text.floor_char_boundary(limits::VALUE_SHOWN)])
}

/// Reads a credential's name. It stands in logs, where a secret in its place must not come to.
pub fn name(text: &str) -> Result<Box<str>, InvalidName> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let good = (1..=limits::NAME_CHARACTERS).contains(&text.len()) && text.chars().all(plain);
    (good && !may_be_secret(text)).then(|| text.into()).ok_or(InvalidName)
}

/// The text is not a credential's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a name: write 1 to 64 characters out of A-Z a-z 0-9 - _ . without `wp_` in front, as secrets have it")]
pub struct InvalidName;

/// Reads what a certificate names. Compared byte for byte, so it is only taken in the form that certificates have it.
fn identity_of(text: &str) -> Result<PeerName, InvalidIdentity> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if let Some(name) = text.strip_prefix("dns:") {
        let good = (1..=limits::IDENTITY_BYTES).contains(&name.len()) && name.chars().all(plain);
        return good.then(|| PeerName::Dns(name.to_ascii_lowercase().into())).ok_or(InvalidIdentity);
    }
    let path = text.strip_prefix("spiffe://").ok_or(InvalidIdentity)?;
    let good = text.len() <= limits::IDENTITY_BYTES && path.split('/').all(|part| !part.is_empty());
    (good && path.chars().all(|c| plain(c) || c == '/')).then(|| PeerName::Uri(text.into())).ok_or(InvalidIdentity)
}

/// The text is not the identity of a client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not an identity: write a SPIFFE id such as spiffe://example.org/checkout, or dns: and a host name")]
pub struct InvalidIdentity;

fn expire_time(value: &DeValue<'_>) -> Result<Timestamp, InvalidTime> {
    match value {
        DeValue::String(text) => time(text),
        DeValue::Datetime(datetime) => time(&datetime.to_string()),
        _ => Err(InvalidTime),
    }
}

/// Reads a time of RFC 3339.
pub fn time(text: &str) -> Result<Timestamp, InvalidTime> {
    let read: jiff::Timestamp = text.parse().map_err(|_| InvalidTime)?;
    Ok(SystemTime::from(read).into())
}

/// The text is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a time of RFC 3339: write it as 2027-01-01T00:00:00Z")]
pub struct InvalidTime;

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    const GOOD: &str = r#"
        # Who may call.
        [[credential]]
        name = "checkout"
        sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        merchants = ["m2", "m1"]
        scopes = ["create", "read"]
        expires = "2027-01-01T00:00:00+01:00"

        [[credential]]
        name = "operator"
        sha256 = "CA978112CA1BBDCAFAC231B39A23DC4DA786EFF8147C4E72B9807785AFEE48BB"
        merchants = "all"
        scopes = ["admin"]

        [[credential]]
        name = "by_uri"
        identity = "spiffe://example.org/ns/pay/sa/checkout"
        merchants = ["m1"]
        scopes = ["read"]

        [[credential]]
        name = "by_host"
        identity = "dns:Checkout.internal"
        merchants = ["m1"]
        scopes = ["read", "record"]
    "#;

    #[test]
    fn what_is_read_is_written_as_it_was_meant_and_read_again_the_same() {
        let entries = Entry::read_all(GOOD).unwrap();
        let written: String = entries.iter().map(|entry| format!("{entry}\n\n")).collect();
        expect![[r#"
            [[credential]]
            name = "checkout"
            sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
            merchants = ["m1", "m2"]
            scopes = ["create", "read"]
            expires = 2026-12-31T23:00:00Z

            [[credential]]
            name = "operator"
            sha256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
            merchants = "all"
            scopes = ["admin"]

            [[credential]]
            name = "by_uri"
            identity = "spiffe://example.org/ns/pay/sa/checkout"
            merchants = ["m1"]
            scopes = ["read"]

            [[credential]]
            name = "by_host"
            identity = "dns:checkout.internal"
            merchants = ["m1"]
            scopes = ["record", "read"]

        "#]]
        .assert_eq(&written);
        assert_eq!(Entry::read_all(&written).unwrap(), entries);
    }

    fn check(text: &str, expected: &Expect) {
        expected.assert_eq(&Entry::read_all(text).unwrap_err().to_string());
    }

    #[test]
    fn every_problem_is_told_at_once_with_its_line() {
        check(
            r#"
version = 1
[[credential]]
name = "check out"
sha256 = "wp_oops-this-is-the-secret"
merchants = ["m1", "a merchant", 7]
scopes = ["reed", "read"]
expires = 2027-01-01
colour = "blue"

[[credential]]
[[credential]]
name = 7
sha256 = 7
merchants = "m1"
scopes = "read"
expires = 7
[[credential]]
name = "both"
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
identity = "dns:a"
merchants = "all"
scopes = ["admin"]
[[credential]]
name = "nobody"
identity = "spiffe://example.org/a//b"
merchants = "all"
scopes = ["admin"]
[[credential]]
name = "empty"
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
merchants = []
scopes = []
"#,
            &expect![[r#"
                line 2: "version" is not a key of this file: write [[credential]]
                line 4: name is not a name: write 1 to 64 characters out of A-Z a-z 0-9 - _ . without `wp_` in front, as secrets have it
                line 5: sha256 is not a SHA-256: write the 64 hexadecimal digits of the secret's, never the secret itself
                line 6: merchants: "a merchant" is not a merchant id: write 1 to 64 characters out of A-Z a-z 0-9 . _ - : @
                line 6: merchants has an entry that is not a text: put it into quotes
                line 7: scopes: "reed" is not a scope: write create, record, read, merchant or admin
                line 8: expires is not a time of RFC 3339: write it as 2027-01-01T00:00:00Z
                line 9: "colour" is not a key of a credential: write name, sha256, identity, merchants, scopes, expires
                line 11: name is missing: write what logs call the credential
                line 11: sha256 is missing: write what `waypost keygen credential` prints, or the identity of a client certificate
                line 11: merchants is missing: write ["id", ...] or "all"
                line 11: scopes is missing: write some of ["create", "record", "read", "merchant", "admin"]
                line 13: name is not a name: write 1 to 64 characters out of A-Z a-z 0-9 - _ . without `wp_` in front, as secrets have it
                line 14: sha256 is not a SHA-256: write the 64 hexadecimal digits of the secret's, never the secret itself
                line 15: merchants is neither: write ["id", ...] or "all"
                line 16: scopes is not a list: write some of ["create", "record", "read", "merchant", "admin"]
                line 17: expires is not a time of RFC 3339: write it as 2027-01-01T00:00:00Z
                line 21: identity stands beside sha256: write one credential for each
                line 26: identity is not an identity: write a SPIFFE id such as spiffe://example.org/checkout, or dns: and a host name
                line 32: merchants has 0 entries: write at least 1 and at most 1000
                line 33: scopes has 0 entries: write at least 1 and at most 5"#]],
        );
    }

    #[test]
    fn what_two_entries_may_not_share_is_told_at_the_second() {
        let first = GOOD.split_once("[[credential]]").unwrap().1.split_once("[[credential]]").unwrap().0;
        check(
            &format!("[[credential]]{first}[[credential]]{first}"),
            &expect![[r#"
                line 8: name is that of "checkout" already: every credential has its own
                line 8: sha256 or identity is that of "checkout" already: every credential has its own"#]],
        );
    }

    #[test]
    fn an_identity_is_a_spiffe_id_or_a_host_name() {
        let uri = |text: &str| Ok(PeerName::Uri(text.into()));
        let dns = |text: &str| Ok(PeerName::Dns(text.into()));
        for (text, expected) in [
            ("spiffe://example.org/checkout", uri("spiffe://example.org/checkout")),
            ("spiffe://example.org", uri("spiffe://example.org")),
            ("dns:a.internal", dns("a.internal")),
            ("dns:A.Internal", dns("a.internal")),
            ("spiffe://", Err(InvalidIdentity)),
            ("spiffe://example.org/", Err(InvalidIdentity)),
            ("spiffe://example.org/a?b", Err(InvalidIdentity)),
            ("SPIFFE://example.org/a", Err(InvalidIdentity)),
            ("https://example.org/a", Err(InvalidIdentity)),
            ("dns:", Err(InvalidIdentity)),
            ("dns:*.internal", Err(InvalidIdentity)),
            ("dns:a internal", Err(InvalidIdentity)),
            ("checkout", Err(InvalidIdentity)),
            ("", Err(InvalidIdentity)),
        ] {
            assert_eq!(identity_of(text), expected, "{text}");
        }
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_refused_and_not_repeated() {
        let secret = "wp_7S3-TjvtPWyMM_Fs02aHHMLgTjjGuYEEoKEktpuHldk";
        let texts = [
            secret.to_owned(),
            format!("{secret} = 1"),
            format!("'{secret}'"),
            format!("[[credential]]\n{secret} = 1"),
            format!("[[credential]]\nname = '{secret}'"),
            format!("[[credential]]\nname = {secret}"),
            format!("[[credential]]\nsha256 = '{secret}'"),
            format!("[[credential]]\nidentity = '{secret}'"),
            format!("[[credential]]\nmerchants = '{secret}'\nscopes = ['{secret}']\nexpires = '{secret}'"),
            format!("[[{secret}]]\nname = 'a'"),
        ];
        for text in texts {
            let problems = Entry::read_all(&text).unwrap_err().to_string();
            assert!(!problems.contains("7S3"), "{problems}");
        }
    }

    #[test]
    fn a_file_that_is_no_toml_or_empty_is_refused() {
        check(
            "[[credential]]\nname = \"a\nscopes = [\n",
            &expect![[r#"
            line 2: invalid basic string, expected `"`
            line 3: unclosed array, expected `]`"#]],
        );
        check("# nobody\n", &expect!["line 1: has no credential: write at least one [[credential]]"]);
        check("credential = 'a'", &expect!["line 1: credential is not a list: write [[credential]]"]);
    }

    #[test]
    fn a_file_with_too_much_is_refused_and_not_all_of_it_is_told() {
        let many = "[[credential]]\n".repeat(limits::CREDENTIALS + 1);
        let text = Entry::read_all(&many).unwrap_err().to_string();
        assert!(text.starts_with("line 1: has 1001 credentials: write at most 1000"), "{text}");
        assert!(text.ends_with("more") && text.lines().count() == limits::PROBLEMS + 1, "{text}");
        // As large a file as is read, and nothing in it.
        let garbage = "=[\n\"".repeat(limits::FILE_BYTES as usize / 4);
        assert!(Entry::read_all(&garbage).is_err());
    }
}

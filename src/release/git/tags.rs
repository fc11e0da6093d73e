//! Annotated tags with their signatures, as bytes: who checks them is another question.

use super::WorkTree;
use crate::error::Result;
use git2::{ObjectType, Oid};
use jiff::Timestamp;

/// How the signature in a tag begins, by who made it; git looks for the last such line.
const SSH: &str = "-----BEGIN SSH SIGNATURE-----";
const OTHERS: &[&str] =
    &["-----BEGIN PGP SIGNATURE-----", "-----BEGIN PGP MESSAGE-----", "-----BEGIN SIGNED MESSAGE-----"];

/// A tag that points at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Its name, without `refs/tags/`.
    pub name: String,
    /// What is in its object.
    pub content: TagContent,
}

/// What is in a tag's object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagContent {
    /// There is none: the name points at the commit itself.
    Lightweight,
    /// It does not say of this commit what its name says, as when somebody gave a signed tag another name.
    Misnamed,
    /// It has no signature.
    Unsigned,
    /// Its signature is none of OpenSSH, such as GnuPG's.
    OtherSignature,
    /// It is signed by an OpenSSH key.
    Ssh {
        /// What is signed.
        payload: Vec<u8>,
        /// The armoured signature.
        signature: Vec<u8>,
        /// When it says that it was made.
        tagged_at: Option<Timestamp>,
    },
}

impl WorkTree {
    /// Returns the tags at a commit whose names `is_wanted` takes.
    ///
    /// # Errors
    /// `commit-unknown`: the tags cannot be read.
    pub fn tags_at(&self, commit: &str, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<Tag>> {
        let failed = |error| self.failed("read the tags", error);
        let store = self.repository.odb().map_err(failed)?;
        let mut tags = Vec::new();
        for reference in self.repository.references_glob("refs/tags/*").map_err(failed)? {
            let reference = reference.map_err(failed)?;
            let (Ok(name), Ok(peeled), Some(target)) =
                (reference.shorthand(), reference.peel_to_commit(), reference.target())
            else {
                continue;
            };
            if !is_wanted(name) || peeled.id().to_string() != commit {
                continue;
            }
            let object = store.read(target).map_err(failed)?;
            let content = match object.kind() {
                ObjectType::Tag => content(object.data(), name, peeled.id()),
                _ => TagContent::Lightweight,
            };
            tags.push(Tag { name: name.to_owned(), content });
        }
        tags.sort_by(|one, two| one.name.cmp(&two.name));
        Ok(tags)
    }
}

/// Takes the object of a tag apart.
fn content(object: &[u8], name: &str, commit: Oid) -> TagContent {
    let header = |key: &str| {
        let lines = object.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
        let line = lines.into_iter().find_map(|line| line.strip_prefix(key.as_bytes())?.strip_prefix(b" "));
        line.and_then(|line| std::str::from_utf8(line).ok())
    };
    let says = (header("object"), header("type"), header("tag"));
    if says != (Some(commit.to_string().as_str()), Some("commit"), Some(name)) {
        return TagContent::Misnamed;
    }
    let Some((at, is_ssh)) = last_signature(object) else { return TagContent::Unsigned };
    if !is_ssh {
        return TagContent::OtherSignature;
    }
    let (payload, signature) = object.split_at(at);
    let seconds = header("tagger").and_then(|tagger| tagger.rsplit(' ').nth(1)?.parse().ok());
    let tagged_at = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    TagContent::Ssh { payload: payload.to_vec(), signature: signature.to_vec(), tagged_at }
}

/// Finds the last line that begins a signature; says whether it is one of OpenSSH.
fn last_signature(object: &[u8]) -> Option<(usize, bool)> {
    let mut found = None;
    let mut at = 0;
    for line in object.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(SSH.as_bytes()) {
            found = Some((at, true));
        } else if OTHERS.iter().any(|begin| line.starts_with(begin.as_bytes())) {
            found = Some((at, false));
        }
        at += line.len();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_taken_for_what_it_says_and_not_for_how_it_is_called() {
        let commit = Oid::from_str(&"3f".repeat(20)).unwrap();
        let object = |name: &str, end: &str| {
            format!("object {commit}\ntype commit\ntag {name}\ntagger Ada <ada@x> 1763640000 +0100\n\nrelease\n{end}")
        };
        let of = |text: &str| content(text.as_bytes(), "v1.4.0", commit);
        assert_eq!(of(&object("v1.4.0", "")), TagContent::Unsigned);
        assert_eq!(of(&object("v1.3.0", "")), TagContent::Misnamed);
        assert_eq!(of(&object("v1.4.0", "").replace("type commit", "type tag")), TagContent::Misnamed);
        assert_eq!(
            content(object("v1.4.0", "").as_bytes(), "v1.4.0", Oid::from_str(&"aa".repeat(20)).unwrap()),
            TagContent::Misnamed
        );
        // A header in the message is none.
        assert_eq!(
            of(&object("v1.3.0", &format!("\nobject {commit}\ntype commit\ntag v1.4.0\n"))),
            TagContent::Misnamed
        );
        assert_eq!(of(&object("v1.4.0", "-----BEGIN PGP SIGNATURE-----\n")), TagContent::OtherSignature);
        let text = object("v1.4.0", "-----BEGIN SSH SIGNATURE-----\nAAAA\n");
        let TagContent::Ssh { payload, signature, tagged_at } = of(&text) else { panic!("signed") };
        assert_eq!([payload, signature.clone()].concat(), text.as_bytes());
        assert!(signature.starts_with(b"-----BEGIN SSH"));
        assert_eq!(tagged_at.unwrap().as_second(), 1_763_640_000);
        // What git takes for the signature is the last one.
        let text = object("v1.4.0", "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----BEGIN PGP SIGNATURE-----\n");
        assert_eq!(of(&text), TagContent::OtherSignature);
    }
}

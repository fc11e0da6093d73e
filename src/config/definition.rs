//! What the configuration says of a source, as a digest: a snapshot that was taken under another one is of another thing.

use super::{Expect, SourceConfig, SourceKind};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// What decides what is captured, how, and what it must look like. Who answers for it, in which runs and in which order it
/// comes, does not.
#[derive(Serialize)]
struct Definition<'a> {
    kind: &'a SourceKind,
    expect: &'a Expect,
}

impl SourceConfig {
    /// Returns the digest of what the configuration says of the source, `sha256:…`; of a secret that is kept elsewhere only
    /// where. `None` if it cannot be written down, as with paths that are no UTF-8: then it is like no other.
    pub fn definition(&self) -> Option<String> {
        let json = serde_json::to_vec(&Definition { kind: &self.kind, expect: &self.expect }).ok()?;
        Some(format!("sha256:{}", hex::encode(Sha256::digest(json))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    fn definition(source: &str) -> Option<String> {
        let text = format!("[[source]]\nname = \"uploads\"\n{source}");
        parse(&text, Path::new("holdpoint.toml")).unwrap().sources[0].definition()
    }

    #[test]
    fn what_is_captured_and_what_it_must_look_like_make_a_definition() {
        let files = "kind = \"files\"\npaths = [\"uploads\"]\n";
        let same = |more: &str| definition(files) == definition(&format!("{files}{more}"));
        assert!(definition(files).unwrap().starts_with("sha256:"));
        assert!(same("owner = \"ops\"\nrequired = false\nrestore_order = 3"));
        assert!(!same("exclude = [\"cache\"]"));
        assert!(!same("expect = { min_bytes = \"1KiB\" }"));
        assert_ne!(definition(files), definition("kind = \"files\"\npaths = [\"upload\", \"s\"]"));
        let database = |url: &str| definition(&format!("kind = \"postgres\"\nurl = {url}"));
        assert_ne!(database("{ env = \"A\" }"), database("{ env = \"B\" }"));
        assert_ne!(database("{ env = \"A\" }"), database("{ file = \"A\" }"));
        // Neither is there: no secret is resolved for it.
        assert_eq!(database("{ file = \"nowhere\" }"), database("{ file = \"nowhere\" }"));
    }

    #[test]
    fn what_cannot_be_written_down_has_none() {
        let text = "[[source]]\nname = \"uploads\"\nkind = \"files\"\npaths = [\"uploads\"]";
        let mut config = parse(text, Path::new("holdpoint.toml")).unwrap();
        let source = &mut config.sources[0];
        if let crate::config::SourceKind::Files(files) = &mut source.kind {
            files.paths = vec![OsStr::from_bytes(b"\xff").into()];
        }
        assert_eq!(source.definition(), None);
    }
}

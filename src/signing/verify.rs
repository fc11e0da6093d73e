//! Checking a signature.

use super::NAMESPACE;
use super::allowed::{AllowedSigners, Signer};
use jiff::Timestamp;
use ssh_key::{Algorithm, HashAlg, PublicKey, SshSig};
use std::fmt;

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// It is no signature over these bytes: something was altered.
    Invalid(String),
    /// It is one, by a key that may not sign.
    NotAllowed(String),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) | Self::NotAllowed(why) => f.write_str(why),
        }
    }
}

/// Checks that `signature` was made over `message`, for manifests, by a key that was allowed to at all of the times
/// `at`: when the message says that it was made, and now, so that a key that was withdrawn cannot date back.
///
/// # Errors
/// The [`Doubt`] about it.
pub fn verify(message: &[u8], signature: &[u8], signers: &AllowedSigners, at: &[Timestamp]) -> Result<Signer, Doubt> {
    verify_for(NAMESPACE, message, signature, signers, at)
}

/// Does what [`verify`] does for signatures of another namespace.
///
/// # Errors
/// The [`Doubt`] about it.
pub fn verify_for(
    namespace: &str,
    message: &[u8],
    signature: &[u8],
    signers: &AllowedSigners,
    at: &[Timestamp],
) -> Result<Signer, Doubt> {
    let signature = read(namespace, signature)?;
    let key = PublicKey::from(signature.public_key().clone());
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    // First of all: what follows says whose key it was.
    key.verify(namespace, message, &signature).map_err(|_| {
        let what = if namespace == NAMESPACE { "the manifest" } else { "what was signed" };
        Doubt::Invalid(format!("the signature is not over these bytes: {what} or the signature was altered"))
    })?;
    let mut objection = None;
    for entry in signers.of_key(signature.public_key()) {
        match at.iter().find_map(|at| entry.objection(namespace, *at)) {
            None => return Ok(Signer { principal: entry.principals.clone(), fingerprint }),
            Some(why) => objection = Some(why),
        }
    }
    Err(Doubt::NotAllowed(match objection {
        Some(why) => format!("the key {fingerprint} signed it, but {why}"),
        None => format!("the key {fingerprint} signed it, which is not among the allowed signers"),
    }))
}

/// Returns the fingerprint of the key that a signature claims to be by; nothing is checked.
pub fn fingerprint(signature: &[u8]) -> Option<String> {
    fingerprint_for(NAMESPACE, signature)
}

/// Does what [`fingerprint`] does for signatures of another namespace.
pub fn fingerprint_for(namespace: &str, signature: &[u8]) -> Option<String> {
    let signature = read(namespace, signature).ok()?;
    Some(PublicKey::from(signature.public_key().clone()).fingerprint(HashAlg::Sha256).to_string())
}

fn read(namespace: &str, signature: &[u8]) -> Result<SshSig, Doubt> {
    let invalid = |why: String| Doubt::Invalid(format!("the signature cannot be read: {why}"));
    let text = std::str::from_utf8(signature).map_err(|_| invalid("it is not text".to_owned()))?;
    let signature = SshSig::from_pem(text.trim_end()).map_err(|error| invalid(error.to_string()))?;
    if signature.namespace() != namespace {
        // Whoever made it said something about something else.
        return Err(Doubt::Invalid(format!(
            "the signature was made for {:?}, not for {namespace}",
            signature.namespace()
        )));
    }
    if signature.algorithm() != Algorithm::Ed25519 {
        return Err(invalid(format!("it is by {}, not by ssh-ed25519", signature.algorithm())));
    }
    Ok(signature)
}

#[cfg(test)]
mod tests {
    use super::super::key::tests::{key, public};
    use super::*;

    const MESSAGE: &[u8] = b"{\"state\": \"passed\"}\n";

    fn signers(lines: &str) -> AllowedSigners {
        AllowedSigners::parse(lines, "signers").unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_signature_counts_for_its_message_and_key_only() {
        let (ours, other) = (key(1), key(2));
        let signature = ours.sign(MESSAGE).unwrap();
        let now = [at("2026-11-21T00:00:00Z")];
        let allowed = signers(&format!("ci {}", public(&ours)));
        let signer = verify(MESSAGE, signature.as_bytes(), &allowed, &now).unwrap();
        assert_eq!(signer, Signer { principal: "ci".to_owned(), fingerprint: ours.fingerprint() });
        assert_eq!(fingerprint(signature.as_bytes()), Some(ours.fingerprint()));
        let strangers = signers(&format!("ci {}", public(&other)));
        assert!(matches!(verify(MESSAGE, signature.as_bytes(), &strangers, &now), Err(Doubt::NotAllowed(_))));
        for position in 0..MESSAGE.len() {
            let mut edited = MESSAGE.to_vec();
            edited[position] ^= 1;
            let verified = verify(&edited, signature.as_bytes(), &allowed, &now);
            assert!(matches!(verified, Err(Doubt::Invalid(_))), "{position}");
        }
        for edited in [&MESSAGE[..MESSAGE.len() - 1], b"", &[MESSAGE, b"\n"].concat()] {
            assert!(matches!(verify(edited, signature.as_bytes(), &allowed, &now), Err(Doubt::Invalid(_))));
        }
    }

    #[test]
    fn an_edited_signature_never_counts() {
        let ours = key(1);
        let signature = ours.sign(MESSAGE).unwrap().into_bytes();
        let now = [at("2026-11-21T00:00:00Z")];
        let allowed = signers(&format!("ci {}", public(&ours)));
        let signed = || SshSig::from_pem(std::str::from_utf8(&signature).unwrap().trim_end()).unwrap();
        for position in 0..signature.len() {
            let mut edited = signature.clone();
            edited[position] ^= 1;
            // An edit that leaves the same signature (the last bits of base64, a line's end) is none.
            let text = String::from_utf8_lossy(&edited).into_owned();
            let same = SshSig::from_pem(text.trim_end()).is_ok_and(|edited| edited == signed());
            assert_eq!(verify(MESSAGE, &edited, &allowed, &now).is_ok(), same, "{position}");
        }
        assert!(matches!(verify(MESSAGE, b"", &allowed, &now), Err(Doubt::Invalid(_))));
        assert!(matches!(verify(MESSAGE, b"\xff\xfe", &allowed, &now), Err(Doubt::Invalid(_))));
    }

    #[test]
    fn keys_are_rotated_by_their_times_and_limited_by_their_namespaces() {
        let (old, new) = (key(1), key(2));
        let allowed = signers(&format!(
            "ci valid-before=\"20261101Z\" {}\nci valid-after=\"20261025Z\" {}\ngit namespaces=\"git\" {}\n",
            public(&old),
            public(&new),
            public(&key(3)),
        ));
        let counts = |key: &super::super::SigningKey, times: &[&str]| {
            let times: Vec<_> = times.iter().map(|time| at(time)).collect();
            verify(MESSAGE, key.sign(MESSAGE).unwrap().as_bytes(), &allowed, &times)
        };
        assert!(counts(&old, &["2026-10-30T00:00:00Z"]).is_ok());
        assert!(counts(&new, &["2026-10-30T00:00:00Z"]).is_ok());
        let dated_back = counts(&old, &["2026-10-30T00:00:00Z", "2026-11-21T00:00:00Z"]).unwrap_err();
        assert!(dated_back.to_string().contains("valid only before 2026-11-01"), "{dated_back}");
        assert!(counts(&new, &["2026-10-01T00:00:00Z"]).unwrap_err().to_string().contains("valid only after"));
        let other = counts(&key(3), &["2026-11-21T00:00:00Z"]).unwrap_err();
        assert!(other.to_string().contains("namespace holdpoint@manifest"), "{other}");
    }
}

//! The key that signs.

use super::NAMESPACE;
use crate::error::{Error, ErrorCode, Result};
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey};
use std::fmt;

/// How the text of a private key begins.
const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";

/// An OpenSSH ed25519 private key without a passphrase.
#[derive(Clone)]
pub struct SigningKey(PrivateKey);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.fingerprint())
    }
}

impl SigningKey {
    /// Reads a key from the file that `given` names, or from `given` itself where that is the text of a key: CI systems
    /// have secrets of both kinds. `origin` says where it came from, for messages.
    ///
    /// # Errors
    /// `signing-key`: the file cannot be read, or holds no such key.
    pub fn read(given: &str, origin: &str) -> Result<Self> {
        let is_text = given.trim_start().starts_with("-----BEGIN");
        let text = if is_text {
            given.to_owned()
        } else {
            std::fs::read_to_string(given.trim()).map_err(|error| {
                // What was given may be half of a key: only what looks like a path is shown.
                let shown = if given.lines().count() == 1 && given.len() < 200 { given.trim() } else { "the file" };
                unusable(&format!("{origin}: cannot read {shown}")).caused_by(error)
            })?
        };
        // Lines that a pipeline's secret store wrapped, indented or ended its own way are still lines of a key.
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if lines.first() != Some(&BEGIN) {
            return Err(unusable(&format!("{origin}: this is not an OpenSSH private key")));
        }
        let key = PrivateKey::from_openssh(lines.join("\n") + "\n")
            .map_err(|error| unusable(&format!("{origin}: the private key cannot be read")).caused_by(error))?;
        if key.is_encrypted() {
            return Err(Error::new(ErrorCode::SigningKey, format!("{origin}: the private key has a passphrase"))
                .hint("nobody is there to type it: take one without (ssh-keygen -p -N '' -f FILE), kept as a secret of the CI system"));
        }
        if key.algorithm() != Algorithm::Ed25519 {
            let message = format!("{origin}: the private key is {}, not ssh-ed25519", key.algorithm());
            return Err(unusable(&message));
        }
        Ok(Self(key))
    }

    /// Signs a message; returns the armoured signature, as `ssh-keygen -Y sign` writes it.
    ///
    /// # Errors
    /// `internal`: the key does not sign.
    pub fn sign(&self, message: &[u8]) -> Result<String> {
        self.sign_for(NAMESPACE, message)
    }

    /// Does what [`SigningKey::sign`] does for another namespace.
    ///
    /// # Errors
    /// `internal`: the key does not sign.
    pub fn sign_for(&self, namespace: &str, message: &[u8]) -> Result<String> {
        let internal = |error| Error::new(ErrorCode::Internal, "the key does not sign").caused_by(error);
        let signature = self.0.sign(namespace, HashAlg::Sha512, message).map_err(internal)?;
        let mut armoured = signature.to_pem(LineEnding::LF).map_err(internal)?;
        if !armoured.ends_with('\n') {
            armoured.push('\n');
        }
        Ok(armoured)
    }

    /// Returns the fingerprint of the public key, `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }
}

fn unusable(message: &str) -> Error {
    Error::new(ErrorCode::SigningKey, message)
        .hint("make one by: ssh-keygen -t ed25519 -N '' -C holdpoint -f holdpoint-key; name the file, or give its text")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn key(seed: u8) -> SigningKey {
        let pair = ssh_key::private::Ed25519Keypair::from_seed(&[seed; 32]);
        SigningKey(PrivateKey::from(pair))
    }

    pub(in super::super) fn public(key: &SigningKey) -> String {
        key.0.public_key().to_openssh().unwrap()
    }

    fn text(key: &SigningKey) -> String {
        key.0.to_openssh(LineEnding::LF).unwrap().to_string()
    }

    #[test]
    fn a_key_is_read_from_text_however_it_was_wrapped_and_from_a_file() {
        let key = key(1);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, text(&key)).unwrap();
        let indented = format!("  {}\n\n", text(&key).replace('\n', "\r\n   "));
        for given in [text(&key), indented, path.display().to_string(), format!("{}\n", path.display())] {
            assert_eq!(SigningKey::read(&given, "HOLDPOINT_SIGNING_KEY").unwrap().fingerprint(), key.fingerprint());
        }
        assert!(!format!("{key:?}").contains("BEGIN"));
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_shown() {
        let half = text(&key(1)).lines().take(3).collect::<Vec<_>>().join("\n");
        let body = text(&key(1)).lines().nth(1).unwrap().to_owned();
        for given in
            [half.as_str(), "-----BEGIN RSA PRIVATE KEY-----\nabc", "/nowhere/key", "", &format!("{body}\n{body}")]
        {
            let error = SigningKey::read(given, "HOLDPOINT_SIGNING_KEY").unwrap_err();
            assert_eq!(error.code(), ErrorCode::SigningKey, "{given}");
            assert!(error.chain().contains("HOLDPOINT_SIGNING_KEY"), "{}", error.chain());
            assert!(!error.chain().contains(&body), "{}", error.chain());
        }
    }
}

//! Who vouches for a manifest: OpenSSH signatures over its bytes, and the keys that may make them.
//!
//! A signature is what `ssh-keygen -Y sign -n holdpoint@manifest` makes (OpenSSH's `PROTOCOL.sshsig`), and the allowed
//! signers are a file as `ssh-keygen(1)` describes it, so that stock `ssh-keygen -Y verify` checks a manifest with no
//! tool of ours. Keys are ed25519.

mod allowed;
mod key;
mod pattern;
mod verify;

pub use allowed::{AllowedSigners, Signer};
pub use key::SigningKey;
pub use verify::{Doubt, fingerprint, fingerprint_for, verify, verify_for};

/// What the signature of a manifest is for; one that was made for something else says nothing about a manifest.
pub const NAMESPACE: &str = "holdpoint@manifest";
/// What the signature of a person is for who approves of a release.
pub const APPROVAL: &str = "holdpoint@approval";
/// What the signature of a person is for who answers for an override.
pub const OVERRIDE: &str = "holdpoint@override";
/// What git signs commits and tags for.
pub const GIT: &str = "git";

//! Keys and allowed signers, made by stock `ssh-keygen`.

use super::environment::{command, must};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A directory with keys, outside of any checkout.
pub struct Keys {
    directory: TempDir,
}

impl Keys {
    /// Makes one key, `release`, which the file of the allowed signers names as `release@acme.example`.
    pub fn new() -> Self {
        let keys = Self { directory: TempDir::new().unwrap() };
        let public = keys.make("release");
        keys.allow(&format!("release@acme.example namespaces=\"holdpoint@manifest\" {public}\n"));
        keys
    }

    /// Makes another key; returns its public half, as a line of allowed signers ends.
    pub fn make(&self, name: &str) -> String {
        let path = self.path(name);
        let comment = format!("{name}@example.test");
        let mut keygen = command("ssh-keygen", self.directory.path());
        must(keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", &comment, "-f"]).arg(&path));
        std::fs::read_to_string(path.with_extension("pub")).unwrap().trim().to_owned()
    }

    /// Returns a private key, or another file beside it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns a path as text, for an environment variable.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes the file of the allowed signers.
    pub fn allow(&self, lines: &str) {
        std::fs::write(self.allowed(), lines).unwrap();
    }

    /// Returns the file of the allowed signers.
    pub fn allowed(&self) -> PathBuf {
        self.path("allowed_signers")
    }

    /// Signs a file by `ssh-keygen -Y sign`; the signature lies beside it.
    pub fn sign(&self, key: &str, namespace: &str, file: &Path) {
        let _ = std::fs::remove_file(format!("{}.sig", file.display()));
        let mut keygen = command("ssh-keygen", self.directory.path());
        must(keygen.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(self.path(key)).arg(file));
    }

    /// Says whether `ssh-keygen -Y verify` accepts the signature beside a file.
    pub fn verifies(&self, file: &Path) -> bool {
        let mut keygen = command("ssh-keygen", self.directory.path());
        keygen.args(["-Y", "verify", "-I", "release@acme.example", "-n", "holdpoint@manifest", "-f"]);
        keygen.arg(self.allowed()).arg("-s").arg(format!("{}.sig", file.display()));
        keygen.stdin(std::fs::File::open(file).unwrap());
        keygen.output().unwrap().status.success()
    }
}

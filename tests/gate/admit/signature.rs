//! Signatures, beside stock `ssh-keygen`.

use super::Deployment;
use crate::support::shop::Shop;
use holdpoint::signing::{AllowedSigners, Doubt, verify};
use jiff::Timestamp;

#[test]
fn ssh_keygen_accepts_our_signature_and_we_accept_its() {
    let deployment = Deployment::new();
    let folder = deployment.gate("1.4.0");
    let manifest = folder.join("manifest.json");
    assert!(deployment.keys.verifies(&manifest));
    assert!(deployment.keys.verifies(&deployment.shop.path().join("holdpoint-manifest.json")));
    let ours = std::fs::read(folder.join("manifest.json.sig")).unwrap();
    deployment.keys.sign("release", "holdpoint@manifest", &manifest);
    // Ed25519 signatures of one message by one key are the same, whoever makes them.
    assert_eq!(std::fs::read(folder.join("manifest.json.sig")).unwrap(), ours);
    deployment.admit("1.4.0", &[]).expect(0);
}

#[test]
fn a_signature_for_something_else_does_not_count() {
    let deployment = Deployment::new();
    let folder = deployment.gate("1.4.0");
    deployment.keys.sign("release", "git", &folder.join("manifest.json"));
    deployment.refused(deployment.admit("1.4.0", &[]), 16, "signature-invalid", "was made for \"git\"");
}

#[test]
fn edits_of_the_manifest_are_refused_wherever_they_are() {
    let deployment = Deployment::new();
    let folder = deployment.gate("1.4.0");
    let path = folder.join("manifest.json");
    let good = std::fs::read(&path).unwrap();
    let signature = std::fs::read(folder.join("manifest.json.sig")).unwrap();
    let signers = AllowedSigners::read(&deployment.keys.allowed()).unwrap();
    let verified = |bytes: &[u8]| verify(bytes, &signature, &signers, &[Timestamp::now()]);
    verified(&good).unwrap();
    // Every byte against the signature; some go the whole way through the deploy step.
    for at in 0..good.len() {
        let mut edited = good.clone();
        edited[at] ^= 1;
        assert!(matches!(verified(&edited), Err(Doubt::Invalid(_))), "{at}");
    }
    for at in (0..good.len()).step_by(good.len() / 12) {
        let mut edited = good.clone();
        edited[at] ^= 1;
        std::fs::write(&path, &edited).unwrap();
        let output = deployment.admit("1.4.0", &[]);
        assert_eq!(output.code, Some(16), "{at}: {}{}", output.stdout, output.stderr);
    }
    std::fs::write(&path, &good).unwrap();
    deployment.admit("1.4.0", &[]).expect(0);
}

#[test]
fn keys_are_rotated_without_a_gap() {
    let deployment = Deployment::new();
    let old = std::fs::read_to_string(deployment.keys.path("release.pub")).unwrap();
    let new = deployment.keys.make("next");
    deployment.gate("1.4.0");
    deployment.keys.allow(&format!("ops valid-before=\"20200101Z\" {old}ops {new}\n"));
    deployment.refused(deployment.admit("1.4.0", &[]), 16, "signer-unknown", "valid only before 2020-01-01");
    deployment.keys.allow(&format!("ops valid-before=\"29990101Z\" {old}ops {new}\n"));
    deployment.admit("1.4.0", &["--run", "a"]).expect(0);
    deployment.keys.allow(&format!("ops {new} what=\n"));
    deployment.admit("1.4.0", &["--run", "a"]).expect(16);
    deployment.keys.allow(&format!("ops no-such-option {new}\n"));
    deployment.admit("1.4.0", &["--run", "a"]).expect(2).says(&["allowed_signers:1", "no-such-option"]);
}

#[test]
fn without_a_key_the_gate_warns_and_leaves_no_old_signature() {
    let shop = Shop::new();
    shop.write("holdpoint-manifest.json.sig", "old");
    shop.gate("1.4.0", &["uploads", "--first"]).expect(0);
    assert!(!shop.path().join("holdpoint-manifest.json.sig").exists());
    assert!(shop.manifest()["decision"]["findings"].to_string().contains("\"unsigned\""));
}

#[test]
fn a_key_that_cannot_sign_ends_the_gate_before_it_begins() {
    let deployment = Deployment::new();
    let (shop, keys) = (&deployment.shop, &deployment.keys);
    let gate = |key: &str| {
        let mut command =
            shop.holdpoint().command(["gate", "uploads", "-e", "staging", "--release", "1.4.0", "--commit", "abcdef0"]);
        let output = command.env("HOLDPOINT_SIGNING_KEY", key).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    shop.configure("");
    let text = std::fs::read_to_string(keys.path("release")).unwrap();
    let body = text.lines().nth(1).unwrap();
    for bad in
        ["/nowhere", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----", &text[..120]]
    {
        let (code, stderr) = gate(bad);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("HOLDPOINT_SIGNING_KEY") && !stderr.contains(body), "{stderr}");
    }
    let (code, stderr) = gate(&text);
    assert_eq!(code, 0, "{stderr}");
    assert!(keys.verifies(&shop.path().join("holdpoint-manifest.json")));
}

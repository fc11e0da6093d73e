//! Ways around the gate: each ends at the deploy step, in words that name it.

use super::Deployment;
use crate::support::environment::{command, must};
use crate::support::git::Repository;
use crate::support::shop::COMMIT;
use crate::support::version_server::{Answer, VersionServer};
use std::path::Path;

const OTHER: &str = "0123456789abcdef0123456789abcdef01234567";

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    must(command("cp", to.parent().unwrap()).arg("-r").arg(from).arg(to));
}

#[test]
fn the_gates_step_was_deleted() {
    let deployment = Deployment::new();
    deployment.refused(deployment.admit("1.4.0", &[]), 16, "pass-missing", "skipped or deleted");
    deployment.gate("1.3.0");
    deployment.refused(deployment.admit_commit(OTHER, "2.0.0", &[]), 16, "pass-missing", "skipped or deleted");
}

#[test]
fn the_pipeline_went_on_after_a_refusal() {
    let deployment = Deployment::new();
    // Refused before it held the lease, and after.
    deployment.shop.gate("1.4.0", &["--first", "missing"]).expect(10);
    deployment.refused(deployment.admit("1.4.0", &[]), 16, "pass-refused", "the pipeline went on all the same");
    deployment.gate("1.4.0");
    deployment.shop.write("uploads/empty", "");
    deployment.shop.configure(
        "application = \"shop\"\n[[source]]\nname = \"uploads\"\nkind = \"files\"\npaths = [\"uploads\"]\n\
         expect = { min_bytes = \"1GiB\" }\n",
    );
    deployment.shop.gate("1.4.0", &["--first"]).expect(12);
    deployment.refused(deployment.admit("1.4.0", &[]), 16, "pass-refused", "the pipeline went on all the same");
}

#[test]
fn the_pass_is_old_or_a_clock_was_moved() {
    let deployment = Deployment::new();
    deployment.gate("1.4.0");
    let at = |offset: &str| {
        let holdpoint = deployment.shop.holdpoint();
        let plain = holdpoint.command(["admit", "-e", "staging", "--release", "1.4.0", "--commit", COMMIT]);
        let mut faked = command("faketime", holdpoint.home());
        faked.current_dir(deployment.shop.path()).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        faked.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = faked.args(["-m", "-f", offset]).arg(plain.get_program()).args(plain.get_args()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = at("+61m");
    assert!(code == 16 && text.contains("[pass-expired]") && text.contains("counts for 1h"), "{code}\n{text}");
    let (code, text) = at("-30m");
    assert!(code == 16 && text.contains("[pass-from-future]") && text.contains("clocks was moved"), "{code}\n{text}");
    let (code, text) = at("+59m");
    assert_eq!(code, 0, "{text}");
}

#[test]
fn the_pass_is_another_environments() {
    let deployment = Deployment::new();
    let folder = deployment.gate("1.4.0");
    let production = ["--environment", "production", "--release", "1.4.0", "--commit", COMMIT];
    let ask = || deployment.shop.run(&[&["admit"], &production[..]].concat());
    deployment.refused(ask(), 16, "pass-environment", "for one environment only");
    // Its record was copied to where the other one's are, with its signature, which is good.
    let id = folder.file_name().unwrap().to_str().unwrap();
    copy(&folder, &deployment.folder(id, "production"));
    deployment.refused(ask(), 16, "pass-environment", "is for shop in staging");
}

#[test]
fn the_manifest_was_edited() {
    let deployment = Deployment::new();
    let folder = deployment.gate("1.4.0");
    let path = folder.join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(COMMIT, OTHER)).unwrap();
    deployment.refused(
        deployment.admit_commit(OTHER, "1.4.0", &[]),
        16,
        "signature-invalid",
        "the manifest or the signature was altered",
    );
    std::fs::remove_file(folder.join("manifest.json.sig")).unwrap();
    deployment.refused(deployment.admit_commit(OTHER, "1.4.0", &[]), 16, "pass-unsigned", "has no signature");
}

#[test]
fn the_manifest_was_edited_and_signed_again_by_somebody_else() {
    let deployment = Deployment::new();
    let folder = deployment.gate("1.4.0");
    let path = folder.join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(COMMIT, OTHER)).unwrap();
    deployment.keys.make("stranger");
    deployment.keys.sign("stranger", "holdpoint@manifest", &path);
    deployment.refused(
        deployment.admit_commit(OTHER, "1.4.0", &[]),
        16,
        "signer-unknown",
        "not among the allowed signers",
    );
}

#[test]
fn the_snapshot_was_deleted() {
    for pack in [false, true] {
        let deployment = Deployment::new();
        deployment.gate("1.4.0");
        let repository = deployment.shop.repository("staging");
        let manifest = deployment.shop.manifest();
        let snapshot = manifest["sources"][0]["snapshot"]["id"].as_str().unwrap().to_owned();
        let files = if pack {
            let list = must(command("find", &repository).arg(repository.join("data")).args(["-type", "f"]));
            list.lines().map(std::path::PathBuf::from).collect()
        } else {
            vec![repository.join("snapshots").join(snapshot)]
        };
        assert!(!files.is_empty());
        for file in files {
            std::fs::remove_file(file).unwrap();
        }
        deployment.refused(deployment.admit("1.4.0", &[]), 16, "snapshot-gone", "rests on is gone");
    }
}

#[test]
fn the_pass_was_used_already() {
    let deployment = Deployment::new();
    let folder = deployment.gate("1.4.0");
    deployment.admit("1.4.0", &["--run", "first"]).expect(0);
    // The claim is over, by its time or because somebody removed it.
    std::fs::remove_file(deployment.shop.path().join(".holdpoint/store/shop/staging/claim.json")).unwrap();
    deployment.refused(deployment.admit("1.4.0", &["--run", "second"]), 16, "pass-used", "by first");
    deployment.refused(deployment.admit("1.4.0", &["--run", "first"]), 16, "pass-used", "by first");
    assert!(folder.join("events/admitted.json").exists());
}

#[test]
fn the_commit_was_amended_after_the_gate() {
    let deployment = Deployment::new();
    deployment.gate("1.4.0");
    deployment.refused(
        deployment.admit_commit(OTHER, "1.4.0", &[]),
        16,
        "pass-commit",
        "the commit was changed after the gate",
    );
    deployment.refused(deployment.admit("1.4.1", &[]), 16, "pass-version", "judged this commit as 1.4.0");
}

#[test]
fn another_commit_is_checked_out_than_the_pipeline_is_for() {
    let deployment = Deployment::with(|holdpoint| {
        let holdpoint = holdpoint.env("GITHUB_ACTIONS", "true").env("GITHUB_SHA", COMMIT);
        holdpoint.env("HOLDPOINT_STORE", "../store").password().env("HOLDPOINT_RELEASE", "1.4.0")
    });
    let shop = &deployment.shop;
    shop.run(&["gate", "-e", "staging", "--first"]).expect(0);
    shop.run(&["admit", "-e", "staging", "--run", "a"]).expect(0);
    Repository::new(shop.path()).commit("Amended");
    shop.run(&["admit", "-e", "staging", "--run", "a"]).expect(16).says(&["is checked out"]).refuses_in_words();
    shop.run(&["admit", "-e", "staging", "--run", "a", "--commit", "3f9c2ab1"]).expect(2);
}

#[test]
fn the_pass_is_used_in_a_copy_of_the_store() {
    let deployment = Deployment::new();
    deployment.gate("1.4.0");
    deployment.admit("1.4.0", &[]).expect(0);
    let shop = &deployment.shop;
    copy(&shop.path().join(".holdpoint"), &shop.beside("elsewhere/.holdpoint"));
    let ledger = shop.beside("elsewhere/.holdpoint/store/shop/staging");
    std::fs::remove_file(ledger.join("claim.json")).unwrap();
    let store = shop.beside("elsewhere/.holdpoint/store").display().to_string();
    let output = deployment.admit("1.4.0", &["--store", &store]).expect(16);
    assert!(output.stdout.contains("[pass-store]"), "{}", output.stdout);
}

#[test]
fn the_gate_was_run_again_and_refused_before_it_could_save() {
    let deployment = Deployment::new();
    deployment.gate("1.4.0");
    deployment.shop.gate("1.4.0", &["--first", "missing"]).expect(10);
    deployment.refused(deployment.admit("1.4.0", &[]), 16, "pass-refused", "the pipeline went on all the same");
}

#[test]
fn the_record_of_a_later_refusal_was_made_unreadable() {
    let deployment = Deployment::new();
    deployment.gate("1.4.0");
    deployment.shop.gate("1.4.0", &["--first", "missing"]).expect(10);
    let attempts = deployment.shop.path().join(".holdpoint/store/shop/staging/attempts");
    let record = must(command("find", &attempts).arg(&attempts).args(["-name", "*.json"]));
    std::fs::write(record.trim(), "{").unwrap();
    let output = deployment.admit("1.4.0", &[]).expect(16);
    assert!(output.stdout.contains("[ledger-damaged]"), "{}", output.stdout);
}

#[test]
fn another_release_was_deployed_since() {
    let deployment = Deployment::new();
    deployment.gate("1.4.0");
    let newer = deployment.gate("1.5.0");
    deployment.admit("1.5.0", &[]).expect(0);
    let id = newer.file_name().unwrap().to_str().unwrap();
    deployment.shop.run(&["reconcile", "-e", "staging", "--id", id, "--deployed", "1.5.0"]).expect(0);
    deployment.refused(deployment.admit("1.4.0", &[]), 16, "pass-overtaken", "was admitted since");
}

#[test]
fn the_configuration_or_the_deployed_version_changed_since() {
    let deployment = Deployment::new();
    let server = VersionServer::start([Answer::version("1.3.0"), Answer::version("1.3.1")]);
    let configure = |more: &str| {
        deployment.shop.configure(&format!(
            "application = \"shop\"\n[[source]]\nname = \"uploads\"\nkind = \"files\"\npaths = [\"uploads\"]\n\
             [environment.staging.deployed]\nkind = \"http\"\nurls = [\"{}\"]\nversion = \"/version\"\n{more}",
            server.url("/version")
        ));
    };
    configure("");
    deployment.shop.gate("1.4.0", &[]).expect(0);
    deployment.refused(deployment.admit("1.4.0", &[]), 15, "from-changed", "1.3.1");
    configure("# fewer sources\n");
    deployment.refused(deployment.admit("1.4.0", &[]), 16, "config-changed", "not the one that the gate ran with");
}

#[test]
fn the_allowed_signers_come_from_the_checkout() {
    let deployment = Deployment::new();
    deployment.gate("1.4.0");
    let allowed = std::fs::read(deployment.keys.allowed()).unwrap();
    deployment.shop.write("allowed_signers", allowed);
    let output = deployment.admit("1.4.0", &["--allowed-signers", "allowed_signers"]).expect(0);
    assert!(output.stdout.contains("[signers-in-checkout]"), "{}", output.stdout);
    let mut without = deployment.shop.holdpoint().command(["admit", "-e", "staging", "--release", "1.4.0"]);
    let output = without.args(["--commit", COMMIT]).env_remove("HOLDPOINT_ALLOWED_SIGNERS").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

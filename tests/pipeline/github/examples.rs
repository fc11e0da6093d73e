//! The example workflows, executed: what follows what, and what a refusal keeps from happening.

use super::action::node;
use crate::gate::shop::{Manifest, names};
use crate::support::environment::{command, must};
use crate::support::git::Repository;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A project that uses the examples: the application's repository, its store, and the server that it runs on.
struct Project {
    folder: TempDir,
    commit: String,
}

impl Project {
    /// Makes a project whose version 1.3.2 runs; `deploy` is what `deploy.sh` does.
    fn new(deploy: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let server = folder.path().join("server");
        fs::create_dir_all(server.join("uploads")).unwrap();
        fs::write(server.join("uploads/invoice.txt"), "one mug, 12.00 EUR\n").unwrap();
        fs::write(server.join("version"), "1.3.2\n").unwrap();
        let repository = Repository::new(create(folder.path().join("shop")));
        let configuration = format!(
            "application = \"shop\"\n\n[[source]]\nname = \"uploads\"\nkind = \"files\"\npaths = [\"{0}/uploads\"]\n\n\
             [environment.production.deployed]\nkind = \"file\"\npath = \"{0}/version\"\n",
            server.display()
        );
        repository.write("holdpoint.toml", configuration);
        let script = format!("#!/bin/bash\nserver='{}'\n{deploy}\n", server.display());
        repository.write("deploy.sh", script);
        fs::set_permissions(repository.path().join("deploy.sh"), PermissionsExt::from_mode(0o755)).unwrap();
        let commit = repository.commit("Sell mugs");
        repository.tag("v1.4.0");
        symlink(env!("CARGO_BIN_EXE_holdpoint"), create(folder.path().join("bin")).join("holdpoint")).unwrap();
        let mut keygen = command("ssh-keygen", folder.path());
        must(keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "ci", "-f"]).arg(folder.path().join("key")));
        Self { folder, commit }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs an example as it is, but for where the store is.
    fn run(&self, example: &str, inputs: &Value, edit: impl FnOnce(String) -> String) -> Pipeline {
        let text = fs::read_to_string(Path::new(ROOT).join("docs/ci/github").join(example)).unwrap();
        let store = self.path("store").display().to_string();
        assert!(text.contains("s3://acme-backups/holdpoint"));
        fs::write(self.path(example), edit(text.replace("s3://acme-backups/holdpoint", &store))).unwrap();
        let signer = format!("ci namespaces=\"holdpoint@manifest\" {}", self.read("key.pub"));
        let folder = self.path("runs");
        let _ = fs::remove_dir_all(&folder);
        let request = json!({
            "workflow": self.path(example), "uses": { "OWNER/holdpoint": ROOT }, "repository": self.path("shop"), "folder": folder,
            "secrets": { "HOLDPOINT_PASSWORD": "tr0ub4dor and 3", "HOLDPOINT_SIGNING_KEY": self.read("key") },
            "vars": { "HOLDPOINT_ALLOWED_SIGNERS": signer },
            "inputs": inputs,
            "github": {
                "server_url": "http://127.0.0.1:1", "repository": "acme/shop", "run_id": "7", "run_attempt": "1",
                "sha": self.commit, "ref": "refs/tags/v1.4.0", "ref_name": "v1.4.0", "ref_type": "tag", "actor": "ada", "event_name": "push",
            },
        });
        fs::write(self.path("request.json"), request.to_string()).unwrap();
        let mut node = node();
        node.arg(Path::new(ROOT).join("tests/pipeline/github/workflow.mjs")).arg(self.path("request.json"));
        let path = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect::<Vec<_>>();
        node.env("PATH", std::env::join_paths([self.path("bin")].into_iter().chain(path)).unwrap());
        node.env("HOME", create(self.path("home"))).stderr(File::create(self.path("stderr")).unwrap());
        let output = node.output().unwrap();
        assert!(output.status.success(), "{}", self.read("stderr"));
        Pipeline(serde_json::from_slice(&output.stdout).unwrap())
    }
}

fn create(folder: PathBuf) -> PathBuf {
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// What became of the jobs.
struct Pipeline(Value);

impl Pipeline {
    #[track_caller]
    fn expect(&self, results: &[(&str, &str)]) {
        let all = self.0.as_object().unwrap().iter();
        let got: Vec<_> = all.map(|(job, report)| (job.as_str(), report["result"].as_str().unwrap())).collect();
        assert_eq!(got, results, "{:#}", self.0);
    }

    fn log(&self, job: &str) -> String {
        self.0[job]["log"].to_string()
    }
}

#[test]
fn what_passes_is_admitted_deployed_and_reconciled() {
    let project = Project::new("echo \"${GITHUB_REF_NAME#v}\" >\"$server/version\"");
    let pipeline = project.run("deploy.yml", &json!({}), |text| text);
    pipeline.expect(&[("deploy", "success"), ("gate", "success"), ("reconcile", "success")]);
    assert_eq!(project.read("server/version"), "1.4.0\n");
    let kept = ["holdpoint-manifest.html", "holdpoint-manifest.json", "holdpoint-manifest.json.sig"];
    assert_eq!(names(&project.path("runs/artifacts/holdpoint-manifest")), kept);
    assert!(!pipeline.0.to_string().contains("tr0ub4dor"), "{:#}", pipeline.0);
    // Of this run's gate, whatever was gated since.
    let manifest = Manifest::read(&project.path("runs/artifacts/holdpoint-manifest/holdpoint-manifest.json"));
    let asked = format!("--id={}", manifest.0["id"].as_str().unwrap());
    assert!(pipeline.log("reconcile").contains(&asked), "{}", pipeline.log("reconcile"));
}

#[test]
fn what_is_refused_is_not_deployed() {
    let project = Project::new("touch \"$server/deployed\"");
    fs::remove_dir_all(project.path("server/uploads")).unwrap();
    let pipeline = project.run("deploy.yml", &json!({}), |text| text);
    pipeline.expect(&[("deploy", "skipped"), ("gate", "failure"), ("reconcile", "skipped")]);
    assert!(!project.path("server/deployed").exists());
    let manifest = Manifest::read(&project.path("runs/artifacts/holdpoint-manifest/holdpoint-manifest.json"));
    assert_eq!(manifest.state(), "refused");
}

#[test]
fn a_deploy_that_goes_around_the_gate_is_not_admitted() {
    let project = Project::new("touch \"$server/deployed\"");
    let pipeline = project.run("deploy.yml", &json!({}), |text| {
        let (before, gate) = text.split_once("  gate:\n").unwrap();
        let (_, deploy) = gate.split_once("  deploy:\n").unwrap();
        let deploy = deploy.replacen("    needs: gate\n", "", 1).replacen("needs: [gate, deploy]", "needs: deploy", 1);
        format!("{before}  deploy:\n{deploy}")
    });
    // What was not admitted was not deployed, so there is nothing to look at.
    pipeline.expect(&[("deploy", "failure"), ("reconcile", "skipped")]);
    assert!(!project.path("server/deployed").exists());
    assert!(pipeline.log("deploy").contains("do not deploy"));
}

#[test]
fn a_deploy_that_fails_is_looked_at() {
    let project = Project::new("exit 3");
    let pipeline = project.run("deploy.yml", &json!({}), |text| text.replace("--wait=5m", "--wait=0s"));
    pipeline.expect(&[("deploy", "failure"), ("gate", "success"), ("reconcile", "failure")]);
    assert!(pipeline.log("reconcile").contains("exit code 15"), "{}", pipeline.log("reconcile"));
}

#[test]
fn a_rollback_is_asked_for_by_hand() {
    let project = Project::new("");
    let writer = project.path("bin/holdpoint");
    fs::remove_file(&writer).unwrap();
    let script = "printf '%s\\n' \"$@\" >\"$ARGUMENTS\"; echo verdict=pass >>\"$GITHUB_OUTPUT\"";
    let script = script.replace("$ARGUMENTS", &project.path("arguments").display().to_string());
    fs::write(&writer, format!("#!/bin/bash\n{script}\n")).unwrap();
    fs::set_permissions(&writer, PermissionsExt::from_mode(0o755)).unwrap();
    let inputs = json!({ "id": "20261121T163255Z-1.4.0-3f135b79", "confirm": "production" });
    project.run("rollback.yml", &inputs, |text| text).expect(&[("rollback", "success")]);
    let signers = project.path("runs/rollback/temp/allowed_signers");
    let expected = [
        "rollback",
        "--environment=production",
        "--id=20261121T163255Z-1.4.0-3f135b79",
        "--yes=production",
        &format!("--allowed-signers={}", signers.display()),
    ];
    assert_eq!(project.read("arguments").lines().collect::<Vec<_>>(), expected);
}

//! The policy end to end: what `plan` shows, what the manifest records, and what a repository of several applications means.

use crate::support::environment::{command, must};
use crate::support::git::Repository;
use crate::support::holdpoint::{Holdpoint, Output};
use serde_json::Value;
use std::path::PathBuf;
use tempfile::TempDir;

const CONFIG: &str = r#"
application = "shop"

[[source]]
name = "orders"
kind = "files"
paths = ["orders"]
when_changed = ["migrations/**"]

[[source]]
name = "uploads"
kind = "files"
paths = ["uploads"]
when_changed = ["src/uploads/", "../../shared/**"]

[[source]]
name = "sessions"
kind = "files"
paths = ["sessions"]

[environment.staging]
tier = "low"
rpo = "2h"

[environment.production]
tier = "critical"

[environment.staging.deployed]
kind = "file"
path = "/dev/null"
regex = "(.+)"

[policy.patch]
scope = "changed"

[policy.patch.tier.critical]
scope = "full"

[policy.major]
scope = "full"
"#;

/// A repository of several applications, of which `apps/shop` is looked at.
struct World {
    directory: TempDir,
    git: Repository,
    holdpoint: Holdpoint,
    /// The commit that is deployed, of version 1.3.0.
    deployed: String,
}

impl World {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let top = directory.path().join("mono");
        std::fs::create_dir(&top).unwrap();
        let git = Repository::new(&top);
        let probe = directory.path().join("deployed.json");
        let config = CONFIG
            .replace(
                "path = \"/dev/null\"\nregex = \"(.+)\"",
                "path = \"PROBE\"\nversion = \"/version\"\ncommit = \"/commit\"",
            )
            .replace("PROBE", probe.to_str().unwrap());
        git.write("apps/shop/holdpoint.toml", config).write(".gitignore", ".holdpoint\nholdpoint-manifest.json*\n");
        for source in ["orders", "uploads", "sessions"] {
            git.write(&format!("apps/shop/{source}/data"), "data");
        }
        let deployed = git.commit("Release 1.3.0");
        let world = Self { holdpoint: Holdpoint::new(top.join("apps/shop")), git, directory, deployed };
        world.deploy("1.3.0", &world.deployed);
        // Something that can stand in.
        world.run(&["gate"]).expect(0);
        world
    }

    fn deploy(&self, version: &str, commit: &str) {
        let answer = format!("{{\"version\": \"{version}\", \"commit\": \"{commit}\"}}");
        std::fs::write(self.directory.path().join("deployed.json"), answer).unwrap();
    }

    fn commit(&self, path: &str) -> String {
        self.git.write(path, path).commit(path)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.holdpoint.run([arguments, &["-e", "staging", "--release", "1.3.1"]].concat())
    }

    fn plan(&self) -> Value {
        self.run(&["plan", "--format", "json"]).expect(0).json()
    }

    fn shop(&self) -> PathBuf {
        self.git.path().join("apps/shop")
    }
}

fn actions(plan: &Value) -> Vec<(&str, &str)> {
    let sources = plan["sources"].as_array().unwrap().iter();
    sources.map(|source| (source["name"].as_str().unwrap(), source["action"].as_str().unwrap())).collect()
}

fn codes(document: &Value) -> Vec<&str> {
    let findings = document["findings"].as_array().unwrap().iter();
    findings.map(|finding| finding["code"].as_str().unwrap()).collect()
}

#[test]
fn lines_count_from_the_configuration_in_a_repository_of_several_applications() {
    let world = World::new();
    let (capture, stand_in) = ("capture", "stand_in");
    for (path, orders, uploads) in [
        ("README.md", stand_in, stand_in),
        ("apps/web/src/uploads/x", stand_in, stand_in),
        ("shared/logo.png", stand_in, capture),
        ("apps/shop/src/uploads/x", stand_in, capture),
    ] {
        world.git.git(&["reset", "--quiet", "--hard", &world.deployed]);
        world.commit(path);
        let plan = world.plan();
        assert_eq!(
            actions(&plan),
            [("orders", orders), ("sessions", capture), ("uploads", uploads)],
            "{path} {plan:#}"
        );
        assert_eq!((&plan["severity"], &plan["changed_paths"][0]), (&"patch".into(), &path.into()));
        assert!(!codes(&plan).contains(&"changes-unknown"), "{plan:#}");
        let left = plan["sources"].as_array().unwrap().iter().find(|source| source["action"] == "stand_in").unwrap();
        assert_eq!(left["within_seconds"], 7200, "no older than rpo");
    }
    // A migration of the neighbour is looked at by the built-in rule, and by no source.
    world.git.git(&["reset", "--quiet", "--hard", &world.deployed]);
    world.commit("apps/web/migrations/7.sql");
    let plan = world.plan();
    assert_eq!((&plan["severity"], actions(&plan)[0]), (&"major".into(), ("orders", capture)));
    let why = plan["sources"][0]["why"].as_str().unwrap();
    assert!(why.starts_with("policy.major.scope: captured: "), "{why}");
}

#[test]
fn a_tier_and_the_command_line_make_it_capture() {
    let world = World::new();
    world.commit("README.md");
    let critical = ["plan", "--format", "json", "-e", "production", "--release", "1.3.1", "--from", "1.3.0"];
    let plan = world.holdpoint.run(critical).expect(0).json();
    assert!(actions(&plan).iter().all(|(_, action)| *action == "capture"), "{plan:#}");
    assert!(codes(&plan).contains(&"changes-unknown"), "nobody tells the commit: {plan:#}");
    world.git.write("apps/shop/more/data", "1");
    let plan = world.run(&["plan", "more", "--format", "json"]).expect(0).json();
    assert_eq!(actions(&plan)[0], ("more", "capture"));
}

#[test]
fn what_git_cannot_tell_is_said_and_captures_everything() {
    let world = World::new();
    world.commit("README.md");
    let everything = |plan: &Value, words: &str| {
        assert!(actions(plan).iter().all(|(_, action)| *action == "capture"), "{plan:#}");
        let findings = plan["findings"].as_array().unwrap();
        let finding = findings.iter().find(|finding| finding["code"] == "changes-unknown").unwrap();
        assert!(finding["message"].as_str().unwrap().contains(words), "{finding}");
        assert_eq!((&finding["level"], &plan["verdict"]), (&"warning".into(), &"pass".into()));
        assert!(plan["changes_unknown"][0].as_str().unwrap().contains(words));
    };
    world.deploy("1.3.0", "0123456789abcdef0123456789abcdef01234567");
    everything(&world.plan(), "git does not have the deployed commit, 0123456789ab");
    let head = world.git.head();
    world.git.git(&["reset", "--quiet", "--hard", &world.deployed]);
    world.commit("docs/x");
    world.deploy("1.3.0", &head);
    everything(&world.plan(), "is no ancestor of the one to deploy");
    // A checkout of a CI system.
    world.deploy("1.3.0", &world.deployed);
    let url = format!("file://{}", world.git.path().display());
    let clone = world.directory.path().join("clone");
    must(command("git", world.directory.path()).args(["clone", "--quiet", "--depth", "1", &url]).arg(&clone));
    let shallow = Holdpoint::new(clone.join("apps/shop"));
    let arguments = ["plan", "--format", "json", "-e", "staging", "--release", "1.3.1"];
    everything(&shallow.run(arguments).expect(0).json(), "this is a shallow clone");
}

#[test]
fn the_manifest_records_the_rules_and_plan_explains_them() {
    let world = World::new();
    world.commit("apps/shop/migrations/7.sql");
    world.run(&["gate"]).expect(0);
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(world.shop().join("holdpoint-manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["release"]["to"]["severity"], "major");
    assert_eq!(manifest["release"]["to"]["changed_paths"][0], "apps/shop/migrations/7.sql");
    let policy = &manifest["decision"]["policy"];
    let fired: Vec<_> = policy["rules_fired"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let scope = ["severity", "policy.builtin_raise.migrations", "policy.major.scope", "policy.patch.scope"];
    assert_eq!(fired[..scope.len()], scope, "{policy:#}");
    let rules = policy["rules"].as_array().unwrap();
    let raised = rules.iter().find(|rule| rule["name"] == "policy.builtin_raise.migrations").unwrap();
    assert_eq!(raised["outcome"], "raised to major: 1 path changed: apps/shop/migrations/7.sql");
    assert!(rules.iter().all(|rule| rule["fired"] == true), "what decided nothing is for `plan`: {policy:#}");

    let text = world.run(&["plan"]).expect(0).stdout;
    for line in [
        "severity: patch: only the patch number rises\n    from = 1.3.0\n    to = 1.3.1\n",
        "policy.builtin_raise.infrastructure: (none of the changed paths is meant)\n",
        "policy.patch.scope (orders): captured: apps/shop/migrations/7.sql changed\n",
    ] {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
    let text = world.run(&["plan", "--explain", "policy.patch.scope"]).expect(0).stdout;
    assert!(text.contains("Which sources are captured") && text.contains("when_changed = migrations/**"), "{text}");
    let text = world.run(&["plan", "--explain", "stream-empty"]).expect(0).stdout;
    assert!(text.contains("Typical causes:") && text.contains("nothing of it"), "{text}");
    world.deploy("1.3.0", "0123456789abcdef0123456789abcdef01234567");
    let json = world.run(&["plan", "--explain", "changes-unknown", "--format", "json"]).expect(0).json();
    assert_eq!(
        (&json["findings"][0]["code"], &json["rules"][0]["name"]),
        (&"changes-unknown".into(), &"changes".into())
    );
    assert!(json["meaning"].as_str().unwrap().contains("What to do next"));
    world.run(&["plan", "--explain", "changes-unknow"]).expect(2).says(&["did you mean changes-unknown?"]);
}

#[test]
fn a_line_that_leads_out_of_the_working_tree_is_refused() {
    let world = World::new();
    world.commit("README.md");
    let config = std::fs::read_to_string(world.shop().join("holdpoint.toml")).unwrap();
    world.git.write("apps/shop/holdpoint.toml", config.replace("../../shared/**", "../../../shared/**"));
    world.run(&["plan"]).expect(2).says(&["leads out of the git working tree"]).refuses_in_words();
}

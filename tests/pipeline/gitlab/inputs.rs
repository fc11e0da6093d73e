//! What pipeline authors give is data, whatever is in it.

use super::project::{Ended, FROM, Project};
use serde_json::json;

/// What a shell, YAML, an option parser or a here-document might take for more than text.
const HOSTILE: &[&str] = &[
    "$(touch pwned)",
    "`touch pwned`",
    "'; touch pwned; '",
    "\"; touch pwned; \"",
    "--html-out=pwned",
    "-e",
    "*",
    "~",
    "a b  c\t",
    "back\\slash\\n",
    "%0A::error::",
    "#{x} # no comment",
    "{{ x }}: [y",
    "ARGS",
    "PATHS",
    "SUMS",
    "größe",
    "!reference [.holdpoint, script]",
    "\u{1b}[31m",
];

/// Writes its arguments, each on a line of its own, with line ends within them made visible.
const RECORDER: &str = "#!/bin/sh\nfor argument; do printf '%s\\n' \"$argument\" | sed ':a;N;$!ba;s/\\n/<newline>/g'; done >\"$BESIDE/arguments\"\n";

/// Makes a project with inputs, as YAML that is JSON.
fn project(inputs: &serde_json::Value) -> Project {
    let pipeline = json!({
        "stages": ["deploy"],
        "include": [{ "local": "gitlab-template.yml", "inputs": inputs }],
        "deploy": { "extends": ".holdpoint:admit", "script": ["./deploy.sh"] },
    });
    Project::with(|project| {
        project.write(".gitlab-ci.yml", pipeline.to_string());
        project.program("record.sh", RECORDER);
    })
}

fn recorded(project: &Project) -> Vec<String> {
    let text = std::fs::read_to_string(project.beside("arguments")).expect("the binary did not run");
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
fn assert_harmless(project: &Project) {
    let folders = [project.path("pwned"), project.path(".gitlab-ci-local/builds/holdpoint:gate/pwned")];
    for path in folders {
        assert!(!path.exists(), "{} was made", path.display());
    }
}

#[test]
fn paths_and_arguments_are_one_a_line() {
    let lines = HOSTILE.join("\n\n");
    let project = project(&json!({
        "environment": "production",
        "binary": "record.sh",
        "paths": format!("{lines}\n"),
        "args": lines,
    }));
    project.run(&["holdpoint:gate"]).expect(true);
    let mut expected = vec!["gate", "--environment=production"];
    expected.extend(["--manifest-out=holdpoint-manifest.json", "--html-out=holdpoint-manifest.html"]);
    expected.extend(HOSTILE);
    expected.push("--");
    expected.extend(HOSTILE);
    assert_eq!(recorded(&project), expected);
    assert_harmless(&project);
}

#[test]
fn other_inputs_are_one_argument_each() {
    let all = HOSTILE.join("\n");
    let project = project(&json!({
        "environment": "production",
        "binary": "./record.sh",
        "release": all,
        "commit": HOSTILE[0],
        "config": HOSTILE[2],
        "store": HOSTILE[3],
        "timeout": HOSTILE[1],
    }));
    project.run(&["holdpoint:gate"]).expect(true);
    let expected = [
        "gate".to_owned(),
        "--environment=production".to_owned(),
        format!("--config={}", HOSTILE[2]),
        format!("--store={}", HOSTILE[3]),
        format!("--release={}", HOSTILE.join("<newline>")),
        format!("--commit={}", HOSTILE[0]),
        format!("--timeout={}", HOSTILE[1]),
        "--manifest-out=holdpoint-manifest.json".to_owned(),
        "--html-out=holdpoint-manifest.html".to_owned(),
        "--".to_owned(),
    ];
    assert_eq!(recorded(&project), expected);
    assert_harmless(&project);
}

/// Runs a pipeline with the real binary, which must refuse.
#[track_caller]
fn refused(inputs: &serde_json::Value) -> Ended {
    let project = project(inputs);
    let ended = project.run(&[]).expect(false);
    assert_harmless(&project);
    assert_eq!(project.deployed_with(), None);
    assert_eq!(project.running(), FROM);
    ended
}

#[test]
fn the_binary_refuses_what_it_cannot_take() {
    refused(&json!({ "environment": "production", "paths": "uploads", "release": HOSTILE[0] }))
        .says(&["FAIL 2", "do not deploy"]);
    refused(&json!({ "environment": "production", "binary": HOSTILE[0] })).says(&["names no program", "FAIL 2"]);
}

#[test]
fn inputs_are_held_to_what_they_may_be() {
    for inputs in [
        json!({}),
        json!({ "environment": "-e" }),
        json!({ "environment": "production", "holdpoint-version": "1.0.0;id" }),
        json!({ "environment": "production", "job-suffix": " x" }),
        json!({ "environment": "production", "artifacts-access": "everybody" }),
        json!({ "environment": "production", "timeout": 15 }),
    ] {
        refused(&inputs).says(&["input"]);
    }
}

#[test]
fn one_pipeline_deploys_to_several_environments() {
    let include = |environment: &str| {
        let suffix = format!(":{environment}");
        let deploy = format!("deploy:{environment}");
        let inputs =
            json!({ "environment": environment, "job-suffix": suffix, "deploy-job": deploy, "binary": "record.sh" });
        json!({ "local": "gitlab-template.yml", "inputs": inputs })
    };
    let deploy =
        |environment: &str| json!({ "extends": format!(".holdpoint:admit:{environment}"), "script": ["./deploy.sh"] });
    let pipeline = json!({
        "stages": ["deploy"],
        "include": [include("staging"), include("production")],
        "deploy:staging": deploy("staging"),
        "deploy:production": deploy("production"),
    });
    let project = Project::with(|project| {
        project.write(".gitlab-ci.yml", pipeline.to_string()).program("record.sh", RECORDER);
    });
    for environment in ["staging", "production"] {
        project.run(&[&format!("holdpoint:gate:{environment}")]).expect(true);
        assert_eq!(recorded(&project)[1], format!("--environment={environment}"));
    }
}

#[test]
fn a_deploy_to_another_environment_than_the_gate_was_for_is_refused() {
    let project = Project::with(|project| {
        project.replace(".gitlab-ci.yml", "    name: production\n", "    name: staging\n");
    });
    let ended = project.run(&[]).expect(false);
    ended.says(&["this job is for the environment staging, and the template for production", "FAIL 2"]);
    assert_eq!(project.deployed_with(), None);
}

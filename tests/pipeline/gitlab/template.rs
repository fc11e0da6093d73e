//! What can be said of the template without running it.

use super::tools::{here, python, read, yaml};
use crate::support::environment::{command, must};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// The header and the jobs.
fn template() -> (Value, Value) {
    let [header, jobs] = <[Value; 2]>::try_from(yaml(&here("gitlab-template.yml"))).expect("two documents");
    (header, jobs)
}

fn inputs(header: &Value) -> &Map<String, Value> {
    header["spec"]["inputs"].as_object().unwrap()
}

/// Puts the inputs into the jobs as GitLab does: a text that is one input and nothing else becomes its value.
fn interpolated(node: &Value, values: &Map<String, Value>) -> Value {
    let text = |text: &str| {
        let mut text = text.to_owned();
        for (name, value) in values {
            let block = format!("$[[ inputs.{name} ]]");
            if text == block {
                return value.clone();
            }
            text = text.replace(&block, value.as_str().unwrap_or(&value.to_string()));
        }
        assert!(!text.contains("$[["), "an input that is not declared: {text}");
        Value::from(text)
    };
    match node {
        Value::String(string) => text(string),
        Value::Array(items) => items.iter().map(|item| interpolated(item, values)).collect(),
        Value::Object(pairs) => {
            let key = |key: &str| text(key).as_str().unwrap().to_owned();
            Value::Object(pairs.iter().map(|(name, value)| (key(name), interpolated(value, values))).collect())
        }
        other => other.clone(),
    }
}

/// Returns the jobs with the defaults of all inputs.
fn jobs() -> Value {
    let (header, jobs) = template();
    let value = |spec: &Value| spec.get("default").cloned().unwrap_or_else(|| json!("production"));
    interpolated(&jobs, &inputs(&header).iter().map(|(name, spec)| (name.clone(), value(spec))).collect())
}

#[test]
fn every_input_says_what_it_is() {
    let (header, jobs) = template();
    let used = jobs.to_string();
    for (name, spec) in inputs(&header) {
        let known = ["description", "type", "default", "regex", "options"];
        let keys = spec.as_object().unwrap();
        assert!(keys.keys().all(|key| known.contains(&key.as_str())), "{name}: {keys:?}");
        assert!(!spec["description"].as_str().unwrap().is_empty(), "{name}");
        assert_eq!(spec["type"], "string", "{name}");
        assert!(used.contains(&format!("$[[ inputs.{name} ]]")), "{name} is not used");
        assert_eq!(spec.get("default").is_none(), name == "environment", "{name}");
        if let (Some(options), Some(default)) = (spec.get("options"), spec.get("default")) {
            assert!(options.as_array().unwrap().contains(default), "{name}");
        }
    }
    // Those of action.yml but `mode`, which is a job here.
    let shared = [
        "environment",
        "release",
        "commit",
        "paths",
        "config",
        "store",
        "timeout",
        "binary",
        "holdpoint-version",
        "args",
    ];
    for name in shared.iter().chain(&["stage", "deploy-job", "image"]) {
        assert!(inputs(&header).contains_key(*name), "{name}");
    }
}

#[test]
fn inputs_come_to_scripts_as_variables_alone() {
    fn scripts<'a>(node: &'a Value, inside: bool, found: &mut Vec<&'a str>) {
        match node {
            Value::String(text) if inside => found.push(text),
            Value::Array(items) => items.iter().for_each(|item| scripts(item, inside, found)),
            Value::Object(pairs) => {
                pairs.iter().for_each(|(key, value)| scripts(value, inside || key.ends_with("script"), found));
            }
            _ => {}
        }
    }
    let (_, jobs) = template();
    let mut found = Vec::new();
    scripts(&jobs, false, &mut found);
    assert!(found.len() >= 6, "{found:?}");
    for script in found {
        assert!(!script.contains("$[["), "an input stands in a script: {script}");
    }
}

#[test]
fn the_jobs_follow_the_schema_of_gitlab() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("jobs.json");
    std::fs::write(&file, jobs().to_string()).unwrap();
    let mut check = python(folder.path());
    check.args(["-m", "check_jsonschema", "--builtin-schema", "vendor.gitlab-ci"]);
    must(check.arg(file).arg(here("docs/ci/gitlab/.gitlab-ci.yml")).args(["--data-transform", "gitlab-ci"]));
}

#[test]
fn no_job_but_the_deploy_makes_a_deployment_or_can_be_interrupted() {
    let jobs = jobs();
    for (name, job) in jobs.as_object().unwrap() {
        let (base, action) = match name.as_str() {
            ".holdpoint" => {
                assert_eq!(job["interruptible"], false);
                assert_eq!(job["retry"], 0);
                assert_eq!(job["resource_group"], "production");
                continue;
            }
            ".holdpoint:admit" => (".holdpoint", Value::Null),
            "holdpoint:gate" => (".holdpoint", json!("prepare")),
            "holdpoint:reconcile" => (".holdpoint", json!("verify")),
            "holdpoint:rollback" => (".holdpoint", json!("access")),
            other => panic!("unknown job {other}"),
        };
        assert_eq!(job["extends"], base, "{name}");
        assert_eq!(job["environment"]["name"], "production", "{name}");
        assert_eq!(job["environment"]["action"], action, "{name}");
        for key in ["interruptible", "retry", "resource_group", "rules", "variables"] {
            assert!(job.get(key).is_none(), "{name} has {key} of its own");
        }
    }
    // GitLab never offers a job by hand that needs one that failed.
    assert_eq!(jobs["holdpoint:rollback"]["needs"], json!([{ "job": "holdpoint:gate", "artifacts": true }]));
    assert_eq!(jobs["holdpoint:gate"]["allow_failure"], false);
    assert_eq!(jobs["holdpoint:gate"]["artifacts"]["when"], "always");
}

/// The script of a job as a runner runs it: what comes before, and its own.
pub fn script(job: &str) -> String {
    let jobs = jobs();
    let base = jobs.get(job).unwrap();
    let before = base.get("before_script").unwrap_or(&jobs[".holdpoint"]["before_script"]);
    let own = base.get("script").and_then(Value::as_array).cloned().unwrap_or_default();
    let lines = before.as_array().unwrap().iter().chain(&own).map(|line| line.as_str().unwrap());
    lines.map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn the_scripts_are_sound_in_any_posix_shell() {
    let folder = TempDir::new().unwrap();
    for job in ["holdpoint:gate", ".holdpoint:admit", "holdpoint:reconcile", "holdpoint:rollback"] {
        let file = folder.path().join("script");
        std::fs::write(&file, script(job)).unwrap();
        let shellcheck = here("target/test-tools/python-ci/bin/shellcheck");
        must(command(shellcheck, folder.path()).args(["--shell=sh", "--severity=style"]).arg(&file));
        must(command("dash", folder.path()).arg("-n").arg(&file));
    }
    // It would see what is wrong.
    std::fs::write(folder.path().join("script"), "rm -r $1\n").unwrap();
    let shellcheck = here("target/test-tools/python-ci/bin/shellcheck");
    let mut check = command(shellcheck, folder.path());
    assert!(!check.args(["--shell=sh"]).arg(folder.path().join("script")).output().unwrap().status.success());
}

#[test]
fn the_template_has_checksums_where_a_release_puts_them() {
    let text = read("gitlab-template.yml");
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let begin = lines.iter().position(|line| *line == "# --- begin").expect("the first mark");
    let end = lines.iter().position(|line| *line == "# --- end").expect("the last mark");
    assert_eq!(lines.iter().filter(|line| line.starts_with("# --- ")).count(), 2);
    for line in &lines[begin + 1..end] {
        let (sum, name) = line.split_once("  ").expect("SUM  NAME");
        assert!(sum.len() == 64 && sum.chars().all(|digit| digit.is_ascii_hexdigit()), "{line}");
        assert!(name.starts_with("holdpoint-") && name.ends_with("-unknown-linux-musl.tar.gz"), "{line}");
    }
}

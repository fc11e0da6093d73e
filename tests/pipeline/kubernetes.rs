//! The hooks for Argo CD and Helm in `docs/ci/kubernetes/`.

use super::gitlab::tools::{here, yaml};
use crate::support::environment::{command, must};
use crate::support::holdpoint::Holdpoint;
use serde_json::{Map, Value, json};
use std::fs;
use tempfile::TempDir;

const SCHEMAS: &str = "target/test-tools/kubernetes-schemas/kubernetes_validate/kubernetes-json-schema";
const EXAMPLES: &[&str] = &["docs/ci/kubernetes/argocd.yml", "docs/ci/kubernetes/helm.yml"];

/// Returns the resources of an example of a kind.
fn resources(example: &str, kind: &str) -> Vec<Value> {
    yaml(&here(example)).into_iter().filter(|resource| resource["kind"] == kind).collect()
}

/// Returns the Job of an example, its pod and its container.
fn job(example: &str, name: &str) -> (Value, Value, Value) {
    let job = resources(example, "Job").into_iter().find(|job| job["metadata"]["name"] == name).expect("the job");
    let pod = job["spec"]["template"]["spec"].clone();
    let container = pod["containers"][0].clone();
    (job, pod, container)
}

fn arguments(container: &Value) -> Vec<String> {
    container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap().to_owned()).collect()
}

/// Returns the variables that have a value in the example.
fn variables(container: &Value) -> Map<String, Value> {
    let variables = container["env"].as_array().unwrap().iter();
    variables.map(|variable| (variable["name"].as_str().unwrap().to_owned(), variable["value"].clone())).collect()
}

#[test]
fn every_resource_follows_the_schema() {
    for version in ["v1.29.0-local-strict", "v1.37.0-local-strict"] {
        let definitions =
            fs::read(here(SCHEMAS).join(version).join("_definitions.json")).expect("scripts/test installs it");
        let mut schema: Value = serde_json::from_slice(&definitions).unwrap();
        for (kind, definition) in [
            ("ServiceAccount", "io.k8s.api.core.v1.ServiceAccount"),
            ("ConfigMap", "io.k8s.api.core.v1.ConfigMap"),
            ("Job", "io.k8s.api.batch.v1.Job"),
        ] {
            schema["$ref"] = json!(format!("#/$defs/{definition}"));
            let validator = jsonschema::draft202012::new(&schema).unwrap();
            for example in EXAMPLES {
                let found = resources(example, kind);
                assert!(!found.is_empty(), "{example} has no {kind}");
                for resource in found {
                    let errors: Vec<_> = validator.iter_errors(&resource).map(|error| error.to_string()).collect();
                    assert!(errors.is_empty(), "{example}, {version}: {errors:#?}");
                    let mut wrong = resource.clone();
                    wrong["metadata"]["annotation"] = json!({});
                    assert!(!validator.is_valid(&wrong), "the schema of {version} takes anything");
                }
            }
        }
    }
}

#[test]
fn there_is_nothing_but_the_jobs_and_what_they_need() {
    for example in EXAMPLES {
        let kinds: Vec<_> = yaml(&here(example)).iter().map(|resource| resource["kind"].clone()).collect();
        assert_eq!(kinds, ["ServiceAccount", "ConfigMap", "Job", "Job", "Job"], "{example}: no role, no secret");
        assert_eq!(resources(example, "ServiceAccount")[0]["automountServiceAccountToken"], false);
    }
}

#[test]
fn a_job_asks_once_and_outlives_the_deadline_of_the_binary() {
    for example in EXAMPLES {
        for (name, own) in [("gate", 15 * 60), ("admit", 15 * 60), ("reconcile", 5 * 60)] {
            let (job, pod, container) = job(example, &format!("holdpoint-{name}"));
            assert_eq!(job["spec"]["backoffLimit"], 0, "{example} {name}");
            assert_eq!(pod["restartPolicy"], "Never", "{example} {name}");
            assert!(job["spec"]["activeDeadlineSeconds"].as_u64().unwrap() >= own + 60, "{example} {name}");
            assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() >= 15, "{example} {name}");
            assert_eq!(container["command"], json!(["holdpoint"]), "{example} {name}: signals reach it");
            assert_eq!(arguments(&container)[0], name, "{example}");
        }
        let (_, _, gate) = job(example, "holdpoint-gate");
        assert!(arguments(&gate).contains(&"--timeout=15m".to_owned()));
        let (_, _, reconcile) = job(example, "holdpoint-reconcile");
        assert!(arguments(&reconcile).contains(&"--wait=5m".to_owned()));
    }
}

#[test]
fn a_pod_has_no_privilege_and_only_its_own_secrets() {
    for example in EXAMPLES {
        for (name, secrets) in [
            ("gate", &["holdpoint-store", "holdpoint-gate"][..]),
            ("admit", &["holdpoint-store", "holdpoint-admit"]),
            ("reconcile", &["holdpoint-store"]),
        ] {
            let (_, pod, container) = job(example, &format!("holdpoint-{name}"));
            assert_eq!(pod["serviceAccountName"], "holdpoint");
            assert_eq!(pod["automountServiceAccountToken"], false);
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert_eq!(context["capabilities"], json!({ "drop": ["ALL"] }));
            let volumes = pod["volumes"].as_array().unwrap();
            let mounted: Vec<_> = volumes.iter().filter_map(|volume| volume["secret"]["secretName"].as_str()).collect();
            assert_eq!(mounted, secrets, "{example} {name}");
            // 0440, for the group of the pod.
            for volume in volumes.iter().filter(|volume| volume.get("secret").is_some()) {
                assert_eq!(volume["secret"]["defaultMode"], 0o440, "{example} {name}");
            }
            for mount in container["volumeMounts"].as_array().unwrap() {
                assert_eq!(mount["readOnly"] == true, mount["name"] != "work", "{example} {name}: {mount}");
                assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{example} {name}: {mount}");
            }
            for (variable, value) in variables(&container) {
                let is_secret = variable.contains("PASSWORD") || variable.contains("KEY") || variable.ends_with("_URL");
                assert!(!is_secret || value.is_null() || value.as_str().unwrap().starts_with("/etc/"), "{variable}");
            }
        }
    }
}

#[test]
fn hooks_come_in_their_order() {
    let argocd = |name: &str| {
        let annotations = job(EXAMPLES[0], name).0["metadata"]["annotations"].clone();
        (annotations["argocd.argoproj.io/hook"].clone(), annotations["argocd.argoproj.io/sync-wave"].clone())
    };
    assert_eq!(argocd("holdpoint-gate"), (json!("PreSync"), json!("0")));
    assert_eq!(argocd("holdpoint-admit"), (json!("Sync"), json!("-1")));
    assert_eq!(argocd("holdpoint-reconcile"), (json!("PostSync"), json!("0")));
    let helm = |resource: &Value| {
        let annotations = &resource["metadata"]["annotations"];
        let weight: i32 = annotations["helm.sh/hook-weight"].as_str().unwrap().parse().unwrap();
        (annotations["helm.sh/hook"].as_str().unwrap().to_owned(), weight)
    };
    let hooks: Vec<_> = yaml(&here(EXAMPLES[1])).iter().map(helm).collect();
    assert!(hooks.is_sorted_by_key(|(_, weight)| *weight), "{hooks:?}");
    assert!(hooks[..4].iter().all(|(hook, _)| hook == "pre-install,pre-upgrade"), "{hooks:?}");
    assert_eq!(hooks[4].0, "post-install,post-upgrade");
}

/// The configuration, the arguments and the variables are those that the real binary takes.
#[test]
fn the_gate_and_admit_of_the_example_run() {
    let (_, _, gate) = job(EXAMPLES[0], "holdpoint-gate");
    let (_, _, admit) = job(EXAMPLES[0], "holdpoint-admit");
    let (_, _, mut reconcile) = job(EXAMPLES[0], "holdpoint-reconcile");
    reconcile["args"].as_array_mut().unwrap().retain(|argument| argument != "--wait=5m");
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    for name in ["work", "uploads"] {
        fs::create_dir(path(name)).unwrap();
    }
    fs::write(path("uploads/invoice.txt"), "one mug\n").unwrap();
    fs::write(path("password"), "correct horse\n").unwrap();
    must(command("ssh-keygen", folder.path()).args(["-q", "-t", "ed25519", "-N", "", "-f", &path("key")]));
    let public = fs::read_to_string(path("key.pub")).unwrap();
    fs::write(path("allowed_signers"), format!("gate@shop.example {public}")).unwrap();
    // What a cluster would have: a bucket, a database, a service.
    let config = resources(EXAMPLES[0], "ConfigMap")[0]["data"]["holdpoint.toml"].as_str().unwrap().to_owned();
    let stored =
        config.replace("s3://acme-backups/holdpoint", &path("store")).replace("region = \"eu-central-1\"\n", "");
    let (before, after) = stored.split_once("[[source]]\nname = \"orders\"").expect("the database");
    let (_, rest) = after.split_once("[[source]]").unwrap();
    let (rest, _) = rest.split_once("[environment.production.deployed]").unwrap();
    let rest = rest.replace("/srv/uploads", &path("uploads"));
    let probe = format!("[environment.production.deployed]\nkind = \"file\"\npath = {:?}\n", path("version"));
    fs::write(path("version"), "1.3.0\n").unwrap();
    fs::write(path("holdpoint.toml"), format!("{before}[[source]]{rest}{probe}")).unwrap();
    let run = |container: &Value, more: &[&str]| {
        let mut holdpoint = Holdpoint::new(path("work"));
        for (name, value) in variables(container) {
            let value = match name.as_str() {
                "HOLDPOINT_PASSWORD_FILE" => path("password"),
                "TMPDIR" | "XDG_CACHE_HOME" => path("work"),
                "HOLDPOINT_SIGNING_KEY" => path("key"),
                "DATABASE_URL" | "AWS_SHARED_CREDENTIALS_FILE" => continue,
                _ => value.as_str().unwrap().to_owned(),
            };
            holdpoint = holdpoint.env(&name, value);
        }
        let arguments = arguments(container).into_iter().map(|argument| {
            let argument = argument.replace("/etc/holdpoint/config", &path(""));
            argument.replace("/workspace/", &path("work/")).replace("/etc/holdpoint/signers/", &path(""))
        });
        holdpoint.run(arguments.chain(more.iter().map(|argument| (*argument).to_owned())))
    };
    let gates = || {
        run(&gate, &[]).expect(0);
        let manifest = fs::read(path("work/holdpoint-manifest.json")).unwrap();
        serde_json::from_slice::<Value>(&manifest).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let first = gates();
    run(&admit, &[]).expect(0);
    run(&admit, &["--run", "another"]).expect(14);
    // A sync that is tried again runs the gate again, and its pass meets the claim of the first.
    gates();
    let refused = run(&admit, &[]);
    assert!(refused.stdout.contains(&format!("reconcile --id {first}")), "{}", refused.stdout);
    refused.expect(14);
    // Nobody deployed it: that has to be said of the first, and the gate to be asked after it.
    run(&reconcile, &["--id", &first, "--expect=to"]).expect(15);
    run(&admit, &[]).expect(14);
    run(&reconcile, &["--id", &first, "--expect=from"]).expect(0);
    run(&admit, &[]).expect(16);
    gates();
    run(&admit, &[]).expect(0);
    // As a hook does it right after a sync that failed: about the newest.
    run(&reconcile, &["--expect=from"]).expect(0);
    gates();
    run(&admit, &[]).expect(0);
    // And the configuration as it stands is one.
    fs::write(path("holdpoint.toml"), &config).unwrap();
    let holdpoint = Holdpoint::new(path("work")).password().env("DATABASE_URL", "postgres://shop@127.0.0.1/shop");
    let (config, store) = (path("holdpoint.toml"), path("other"));
    holdpoint.run(["releases", "--environment=production", "--config", &config, "--store", &store]).expect(0);
}

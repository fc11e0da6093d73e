//! Pipelines as their authors see them: what runs, what does not, and what it is given.

use super::project::{FROM, Project, TO};

#[test]
fn a_pass_lets_the_deploy_run_with_the_values_of_the_gate() {
    let project = Project::new();
    project.run(&[]).expect(true).jobs(&[
        ("test", "PASS"),
        ("holdpoint:gate", "PASS"),
        ("deploy", "PASS"),
        ("holdpoint:reconcile", "PASS"),
    ]);
    assert_eq!(project.running(), TO);
    let manifest = project.manifest();
    let deploy = project.deployed_with().unwrap();
    assert_eq!(deploy["HOLDPOINT_VERDICT"], "pass");
    assert_eq!(deploy["HOLDPOINT_EXIT_CODE"], "0");
    assert_eq!(deploy["HOLDPOINT_MANIFEST"], "holdpoint-manifest.json");
    assert_eq!(deploy["HOLDPOINT_RELEASE_ID"], manifest["id"]);
    let snapshots =
        manifest["sources"].as_array().unwrap().iter().map(|source| source["snapshot"]["id"].as_str().unwrap());
    assert_eq!(deploy["HOLDPOINT_SNAPSHOT_IDS"], snapshots.collect::<Vec<_>>().join(","));
    let given = std::fs::read(project.beside("deploy-manifest")).unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&given).unwrap(), manifest);
    assert_eq!(manifest["pipeline"]["system"], "gitlab");
    project.assert_nothing_left();
}

#[test]
fn a_refusal_fails_the_pipeline_and_nothing_is_deployed() {
    let project = Project::with(|project| {
        project.replace(".gitlab-ci.yml", "        config\n", "        config\n        missing\n");
    });
    let ended = project.run(&[]).expect(false);
    ended.jobs(&[("test", "PASS"), ("holdpoint:gate", "FAIL")]);
    ended.says(&["missing does not exist", "do not deploy"]);
    assert_eq!(project.deployed_with(), None);
    assert_eq!(project.running(), FROM);
    // The record is there all the same.
    assert_eq!(project.manifest()["state"], "refused");
    project.assert_nothing_left();
}

#[test]
fn after_a_deploy_that_failed_the_job_that_goes_back_has_the_manifest() {
    // What is captured is outside of the checkout, which every job has anew.
    let project = Project::with(|project| {
        project.replace(".gitlab-ci.yml", "        uploads\n        config\n", "        $BESIDE/orders.csv\n");
        // Begins, and spoils what it should have kept.
        project.replace("deploy.sh", "[ ! -e", "echo spoilt >\"$BESIDE/orders.csv\"\n[ ! -e");
    });
    project.write_beside("orders.csv", "1,10\n");
    // Tells what the job is given; all else is the real binary's.
    project.holdpoint(
        "if [ \"$1\" = rollback ]; then cp holdpoint-manifest.json \"$BESIDE/rollback-manifest\"; \
         printf '%s\\n' \"$@\" >\"$BESIDE/rollback\"; fi",
    );
    project.write_beside("fail", "");
    let ended = project.run(&[]).expect(false);
    ended.jobs(&[("test", "PASS"), ("holdpoint:gate", "PASS"), ("deploy", "FAIL")]);
    assert!(project.deployed_with().is_some(), "the deploy began");
    assert!(!project.beside("rollback").exists(), "it waits for somebody");
    // Without what GitLab says of a job that was started by hand.
    let alone = project.run(&["holdpoint:rollback"]).expect(true);
    alone.says(&["nobody started this job", "WARN 2"]);
    assert!(!project.beside("rollback").exists(), "it ran");
    let by_hand = project.run(&["holdpoint:rollback", "--variable", "CI_JOB_MANUAL=true"]).expect(true);
    by_hand.jobs(&[("holdpoint:rollback", "PASS")]);
    assert_eq!(std::fs::read_to_string(project.beside("orders.csv")).unwrap(), "1,10\n", "{}", by_hand.output);
    assert_eq!(project.running(), FROM);
    let arguments = std::fs::read_to_string(project.beside("rollback")).unwrap();
    let expected = ["rollback", "--environment=production", "--manifest=holdpoint-manifest.json", "--yes=production"];
    assert_eq!(arguments.lines().collect::<Vec<_>>(), expected);
    let manifest = std::fs::read(project.beside("rollback-manifest")).unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&manifest).unwrap(), project.manifest());
}

#[test]
fn the_deadline_of_the_gate_ends_the_pipeline() {
    let project = Project::with(|project| {
        project.replace(
            ".gitlab-ci.yml",
            "      environment: production\n",
            "      environment: production\n      timeout: 1s\n",
        );
        let text = std::fs::read_to_string(project.path("holdpoint.toml")).unwrap();
        let source = "[[source]]\nname = \"orders\"\nkind = \"command\"\ncommand = [\"sleep\", \"1000\"]\n";
        project.write("holdpoint.toml", text + source);
    });
    let ended = project.run(&[]).expect(false);
    ended.jobs(&[("test", "PASS"), ("holdpoint:gate", "FAIL")]).says(&["FAIL 11", "the deadline passed"]);
    assert_eq!(project.manifest()["state"], "timed_out");
    assert_eq!(project.deployed_with(), None);
    project.assert_nothing_left();
}

#[test]
fn a_deploy_alone_is_refused() {
    let project = Project::new();
    let ended = project.run(&["deploy"]).expect(false);
    ended.jobs(&[("deploy", "FAIL")]).says(&["FAIL 16"]);
    assert_eq!(project.deployed_with(), None);
    assert_eq!(project.running(), FROM);
}

#[test]
fn a_pipeline_that_is_for_no_release_has_no_gate_and_no_deploy() {
    let project = Project::new();
    let ended = project.run(&["--variable", "CI_COMMIT_TAG="]).expect(true);
    ended.jobs(&[("test", "PASS")]);
}

//! `jenkins/` as it is shipped: the Jenkinsfile and the shared library under Jenkins' own Groovy, with the real binary.
//!
//! There is no Jenkins here. `tests/pipeline/jenkins/` plays what a declarative pipeline and its steps do, runs `sh` for real and refuses
//! what it does not know. A Java machine takes seconds to start, so many pipelines share one.

mod scene;

use crate::support::holdpoint::PASSWORD;
use scene::{COMMIT, DATABASE_URL, Report, Scene, key, run, signers};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What a release may be called by somebody who means no good.
const HOSTILE: &str = "$(touch pwned)`touch pwned`; touch pwned #\"' \\ %0A --first -rf";

const DEPLOYMENT: [&str; 4] = ["Deployment", "Gate", "Deploy", "Reconcile"];

/// Returns the states of all stages of the Jenkinsfile, where only a deployment was asked for.
fn states(deployment: [&str; 4]) -> Vec<(&str, &str)> {
    DEPLOYMENT.into_iter().zip(deployment).chain([("Rollback", "skipped")]).collect()
}

#[test]
fn the_jenkinsfile_gates_deploys_reconciles_and_rolls_back() {
    let pass = Scene::new();
    let refused = Scene::new().command("echo half of it; echo no such table >&2; exit 3");
    let slow = Scene::new().command("echo half of it; sleep 1000").given("GATE_TIMEOUT", "2s");
    let broken = Scene::new().given("ROLLBACK_ON_FAILURE", true);
    broken.program("shop/deploy.sh", "exit 3");
    let kept_back = Scene::new();
    kept_back.program("shop/deploy.sh", "exit 3");
    // Signed, but by nobody whom the one who deploys knows.
    let mut unproved = Scene::new().given("ROLLBACK_ON_FAILURE", true);
    unproved.what["credentials"]["holdpoint-allowed-signers"] = signers(&key(&unproved.path("other")).1);
    let cancelled =
        Scene::new().command("echo half of it; sleep 1000").cancelled_when("store/shop/staging/repository/locks");
    let back = Scene::new().given("ACTION", "rollback").given("ROLLBACK_ID", "20261120T213000Z-1.3.0-3f9c2ab1");
    let wrong = Scene::new().given("RELEASE", "not a version");
    for earlier in ["holdpoint-manifest.json", "holdpoint-manifest.json.sig", "holdpoint-manifest.html"] {
        wrong.write(earlier, "of an earlier build");
    }
    let unbound = Scene::new().steps("holdpointGate(environment: 'staging', passwordCredentials: 'none')");
    for earlier in ["holdpoint-manifest.json", "holdpoint-manifest.json.sig", "holdpoint-description.txt"] {
        unbound.write(earlier, "of an earlier build");
    }
    // Begins to deploy, spoils the data, fails, and is undone by the real binary.
    let undone = Scene::new().given("ROLLBACK_ON_FAILURE", true).rolls_back();
    undone.program("shop/deploy.sh", "echo \"$2\" >VERSION; echo spoilt >data/orders.csv; exit 3");
    let scenes = [&pass, &refused, &slow, &broken, &kept_back, &unproved, &cancelled, &back, &wrong, &unbound, &undone];
    let reports = run(&scenes);
    let [passes, refuses, times_out, breaks, keeps, proves, cancels, goes_back, errs, unbinds, undoes] =
        reports.try_into().unwrap();

    passed(&pass, &passes);
    refuses.assert("FAILURE", &states(["failed", "failed", "skipped", "skipped"]));
    refuses.fails_with("refused: orders: sh exited 3: no such table; do not deploy (exit code 10)");
    assert!(refuses.text("description").ends_with("no such table; do not deploy"), "{}", refuses.text("description"));
    recorded(&refused, &refuses, "refused");
    times_out.assert("FAILURE", &states(["failed", "failed", "skipped", "skipped"]));
    times_out.fails_with("do not deploy (exit code 11)");
    recorded(&slow, &times_out, "timed_out");
    // The binary's own deadline comes first, by far.
    assert_eq!(times_out.0["timeouts"], json!([7200, 122]));
    cancels.assert("ABORTED", &states(["failed", "failed", "skipped", "skipped"]));
    assert_eq!(cancels.0["signals"], json!(["TERM"]), "{}", cancels.log());
    recorded(&cancelled, &cancels, "cancelled");

    breaks.assert("FAILURE", &states(["failed", "ran", "failed", "skipped"]));
    assert!(
        broken
            .read("calls")
            .contains("rollback\n--environment=staging\n--manifest=holdpoint-manifest.json\n--yes=staging\n")
    );
    assert_eq!(broken.read("used"), broken.read("kept/holdpoint-manifest.json"), "rollback has another manifest");
    keeps.assert("FAILURE", &states(["failed", "ran", "failed", "skipped"]));
    assert_eq!(kept_back.read("calls"), "");
    proves.assert("FAILURE", &states(["failed", "ran", "failed", "skipped"]));
    proves.fails_with("do not deploy (exit code 16)");
    assert_eq!((unproved.read("shop/deployed").as_str(), unproved.read("shop/VERSION").as_str()), ("", "1.3.0\n"));
    assert_eq!(unproved.read("calls"), "", "what was never begun is rolled back");

    let rollback = DEPLOYMENT.into_iter().map(|name| (name, "skipped")).chain([("Rollback", "ran")]);
    goes_back.assert("SUCCESS", &rollback.collect::<Vec<_>>());
    assert_eq!(
        back.read("calls"),
        "rollback\n--environment=staging\n--id=20261120T213000Z-1.3.0-3f9c2ab1\n--yes=staging\n"
    );
    assert_eq!(goes_back.0["locks"], json!(["deploy-staging"]));
    assert_eq!(goes_back.text("description"), "a rollback &lt;played&gt;");

    errs.fails_with("do not deploy (exit code 2)");
    assert_eq!(errs.0["archived"], json!([]), "the record of an earlier build is kept as this one's");
    unbinds.fails_with("there are no credentials none");
    assert_eq!((&unbinds.0["archived"], unbinds.text("description")), (&json!([]), ""), "{}", unbinds.log());

    undoes.assert("FAILURE", &states(["failed", "ran", "failed", "skipped"]));
    assert_eq!(undone.read("shop/VERSION"), "1.3.0\n", "{}", undoes.log());
    assert_eq!(undone.read("shop/data/orders.csv"), "id,total\n1,10\n", "{}", undoes.log());
    assert!(undoes.text("description").starts_with("holdpoint rollback: "), "{}", undoes.text("description"));
    undone.assert_nothing_left();
}

#[track_caller]
fn passed(scene: &Scene, report: &Report) {
    report.assert("SUCCESS", &states(["ran"; 4]));
    recorded(scene, report, "passed");
    assert!(report.text("description").starts_with("holdpoint reconcile: shop 1.4.0 to staging: "), "{}", report.0);
    assert_eq!(scene.kept()["pipeline"]["system"], "jenkins");
    assert_eq!(scene.kept()["pipeline"]["run_url"], "https://jenkins.example/job/shop/7/");
    assert_eq!(scene.kept()["release"]["to"]["commit"], COMMIT);
    assert_eq!(scene.read("shop/VERSION"), "1.4.0\n");
    assert!(!scene.read("kept/holdpoint-manifest.json.sig").is_empty(), "{}", report.log());
    // Secrets are there for holdpoint, not for what is deployed with, and nowhere in the log.
    let deployed = scene.read("shop/deployed");
    assert!(deployed.contains("\nRELEASE=1.4.0\n") && !deployed.contains(PASSWORD), "{deployed}");
    assert!(!report.log().contains(PASSWORD) && !report.log().contains(DATABASE_URL), "{}", report.log());
    assert_eq!(report.0["locks"], json!(["deploy-staging"]));
    let shells = report.0["shells"].as_array().unwrap();
    let around = |label: &str| &shells.iter().find(|shell| shell["label"] == label).expect(label)["around"];
    assert_eq!(around("holdpoint gate"), &json!(["timeout", "lock", "timeout", "withEnv", "withCredentials"]));
    assert_eq!(around("holdpoint admit"), &json!(["timeout", "lock", "withEnv", "withCredentials"]));
}

/// Asserts that the build keeps the record of its gate, whatever became of it, and that nothing of the run is left.
#[track_caller]
fn recorded(scene: &Scene, report: &Report, state: &str) {
    assert_eq!(scene.kept()["state"], state, "{}", report.log());
    assert!(scene.read("kept/holdpoint-manifest.html").contains("<html"), "no page");
    scene.assert_nothing_left();
}

#[test]
fn what_a_pipeline_gives_stays_data_and_what_it_may_not_do_is_refused() {
    let hostile = Scene::new().steps(&format!(
        "holdpointGate(environment: 'staging', release: {release}, config: 'other.toml', paths: ['--force', \"a \\$(touch pwned) 'b\"],\n\
         args: ['--application=it\\'s'], passwordCredentials: 'holdpoint-password', manifest: 'out/m.json')",
        release = serde_json::to_string(HOSTILE).unwrap().replace('$', "\\$")
    ));
    hostile
        .write("other.toml", "versioning = \"opaque\"\n")
        .write("--force", "one")
        .write("a $(touch pwned) 'b", "two");
    fs::create_dir(hostile.path("shop/out")).unwrap();

    let lines = Scene::new().steps(
        "holdpointGate(environment: 'staging', release: '1.4.0\\n$(touch pwned)\\n--first', passwordCredentials: 'holdpoint-password')",
    );

    let worded = Scene::new().steps("holdpointAdmit(environment: 'staging', binary: './worded')");
    worded.program(
        "shop/worded",
        "echo 'refused: &lt;b&gt; &amp;lt; it&#39;s &quot;x&quot;; do not deploy' >holdpoint-description.txt; exit 13",
    );

    let mistakes = [
        ("holdpointGate(enviroment: 'staging')", "unknown parameter enviroment"),
        ("holdpointGate(release: '1.4.0')", "environment is missing"),
        ("holdpointGate(environment: '')", "environment is missing"),
        ("holdpointGate(environment: ['staging'])", "environment must be a text"),
        ("holdpointGate(environment: 'staging', binary: '--version')", "binary must be a program"),
        ("holdpointGate(environment: 'staging', manifest: '../x,*')", "manifest must be a file below the workspace"),
        ("holdpointGate(environment: 'staging', release: 'a\\u0000b')", "release has a character"),
        ("holdpointGate(environment: 'staging', secrets: ['A B': 'x'])", "secrets has a variable that is none: A B"),
        ("holdpointAdmit(environment: 'staging', args: ['--help'])", "args asks for help or the version"),
        ("holdpointGate(environment: 'staging', args: '--first\\n-qV')", "args asks for help or the version"),
        ("holdpointReconcile(environment: 'staging')", "no such stash: holdpoint-holdpoint-manifest.json"),
        ("holdpointAdmit(environment: 'staging', passwordCredentials: 'none')", "there are no credentials none"),
        // What the stand-in itself refuses, so that a slip in what is shipped is seen.
        ("shell 'echo'", "not in a sandbox: the method shell"),
        ("sh(scrip: 'echo')", "sh has no parameter scrip"),
        ("sh(script: 'exit 3', returnStatus: 'yes')", "returnStatus cannot be String"),
        ("sh 'exit 3'", "script returned exit code 3"),
        ("echo undeclared", "no such variable: undeclared"),
        // What the sandbox of Jenkins would not run.
        ("sh \"echo ${params.X}\"", "a value in a shell line"),
        ("new File('/etc/passwd')", "a new java.io.File"),
        ("System.exit(0)", "the class java.lang.System"),
        ("'id'.execute()", "the method execute"),
        ("['a'].each { sh 'echo' }", "the method each"),
        ("catchError { sh 'exit 3' }", "the method catchError"),
        ("unstable 'nearly'", "there is no step unstable"),
        ("def name = 'sh'; \"$name\" 'echo'", "a method that is named at run time"),
        ("@Grab('a:b:1') def x = 1", "the annotation"),
    ];
    let files = [
        ("pipeline { stages { stage('a') { steps { echo 'x' } } } }", "needs the section agent"),
        ("pipeline { agent any\n stages { stage('a') { step { echo 'x' } } } }", "the method step"),
        (
            "pipeline { agent any\n stages { stage('a') { steps { echo 'x' }\n post { always { echo 'x' }\n always { echo 'x' } } } } }",
            "two",
        ),
        (
            "pipeline { agent any\n options { retries(3) }\n stages { stage('a') { steps { echo 'x' } } } }",
            "the method retries",
        ),
        (
            "pipeline { agent any\n options { string(name: 'a') }\n stages { stage('a') { steps { echo 'x' } } } }",
            "options has no string",
        ),
    ];
    let steps = mistakes.iter().map(|(steps, words)| (Scene::new().steps(steps), *words));
    let files = files.iter().map(|(file, words)| (Scene::new().jenkinsfile(file), *words));
    let wrong: Vec<_> = steps.chain(files).collect();

    let stages = "stages {\n stage('a') { steps { script { currentBuild.result = 'UNSTABLE' } } }\n\
        stage('b') { environment { WHERE = \"${env.HOME}/b\" }\n steps { sh 'echo at $WHERE' } }\n}";
    let unstable = Scene::new().jenkinsfile(&format!("pipeline {{\nagent any\n{stages}\n}}"));
    let strict = Scene::new()
        .jenkinsfile(&format!("pipeline {{\nagent any\noptions {{ skipStagesAfterUnstable() }}\n{stages}\n}}"));

    let scenes: Vec<_> = [&hostile, &lines, &unstable, &strict, &worded]
        .into_iter()
        .chain(wrong.iter().map(|(scene, _)| scene))
        .collect();
    let reports = run(&scenes);

    reports[0].assert("SUCCESS", &[("one", "ran")]);
    let manifest: Value = serde_json::from_str(&hostile.read("kept/out/m.json")).unwrap();
    assert_eq!((&manifest["release"]["to"]["version"], &manifest["application"]), (&json!(HOSTILE), &json!("it's")));
    let sources: Vec<_> =
        manifest["sources"].as_array().unwrap().iter().map(|source| source["name"].as_str().unwrap()).collect();
    assert_eq!(sources, ["--force", "a $(touch pwned) 'b"]);
    assert!(hostile.read("kept/out/m.html").contains("<html") && !hostile.path("shop/pwned").exists());

    reports[1].fails_with("do not deploy (exit code 2)");
    assert!(
        reports[1].log().contains("it has line breaks") && !lines.path("shop/pwned").exists(),
        "{}",
        reports[1].log()
    );

    reports[2].assert("UNSTABLE", &[("a", "ran"), ("b", "ran")]);
    assert!(reports[2].log().contains(&format!("at {}/b\n", unstable.path("home").display())), "{}", reports[2].log());
    reports[3].assert("UNSTABLE", &[("a", "ran"), ("b", "skipped")]);

    // What is made safe for the page of the build is text again in the log.
    reports[4].fails_with("refused: <b> &lt; it's \"x\"; do not deploy (exit code 13)");
    assert_eq!(reports[4].text("description"), "refused: &lt;b&gt; &amp;lt; it&#39;s &quot;x&quot;; do not deploy");

    for ((scene, words), report) in wrong.iter().zip(&reports[5..]) {
        report.fails_with(words);
        assert!(!scene.path("store").exists(), "{words}: the gate ran");
    }
}

/// Returns what stands between `open` and `close` in a text.
fn between<'a>(text: &'a str, open: &str, close: &str) -> BTreeSet<&'a str> {
    text.split(open).skip(1).map(|rest| rest.split(close).next().unwrap()).collect()
}

#[test]
fn every_parameter_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let shared = read("jenkins/src/holdpoint/Parameters.groovy");
    let shared = shared.split("COMMON = [").nth(1).unwrap().split("\n    ]").next().unwrap();
    let page = read("docs/ci/jenkins.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let explained: BTreeSet<_> = rows.flat_map(|cell| cell.trim_end_matches('`').split("`, `")).collect();
    let mut all = BTreeSet::new();
    for step in ["holdpointGate", "holdpointAdmit", "holdpointReconcile", "holdpointRollback"] {
        let code = read(&format!("jenkins/vars/{step}.groovy"));
        let check = code.lines().find(|line| line.contains(&format!("runner.check('{step}', ["))).unwrap();
        let mut known = between(check.split('[').nth(1).unwrap(), "'", "'");
        known.remove(", ");
        known.remove("])");
        known.extend(between(shared, "'", "'").into_iter().filter(|name| name.starts_with(char::is_lowercase)));
        let help = read(&format!("jenkins/vars/{step}.txt"));
        let help: BTreeSet<_> =
            between(&help, "<code>", "</code>").into_iter().filter(|name| !name.starts_with("holdpoint")).collect();
        assert!(known.is_subset(&help), "{step}.txt lacks {:?}", known.difference(&help));
        assert!(explained.contains(step) && known.is_subset(&explained), "{:?}", known.difference(&explained));
        all.extend(known.into_iter().map(str::to_owned));
    }
    let told = page.split("## Parameters").nth(1).unwrap().split("\n## ").next().unwrap();
    let told = told.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    for name in told.flat_map(|cell| cell.trim_end_matches('`').split("`, `")) {
        assert!(all.contains(name), "jenkins.md explains {name}, which no step takes");
    }
}

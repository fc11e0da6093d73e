//! `jenkins/` as it is shipped: the Jenkinsfile and the shared library under Jenkins' own Groovy, with the real binary.
//!
//! There is no Jenkins here. `tests/pipeline/jenkins/` plays what a declarative pipeline and its steps do, runs `sh` for real and refuses
//! what it does not know. A Java machine takes seconds to start, so many pipelines share one.

use crate::support::environment::{command, must};
use crate::support::holdpoint::PASSWORD;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const COMMIT: &str = "3f9c2ab1d5e64708a1b2c3d4e5f60718293a4b5c";
const DATABASE_URL: &str = "postgres://shop:mug@db.example/shop";
/// What a release may be called by somebody who means no good.
const HOSTILE: &str = "$(touch pwned)`touch pwned`; touch pwned #\"' \\ %0A --first -rf";

/// One build: an agent's workspace with an application, a store beside it, and what the build keeps.
struct Scene {
    folder: TempDir,
    what: Value,
}

impl Scene {
    /// Prepares a build of the Jenkinsfile that is shipped, of version 1.4.0 into staging, where 1.3.0 runs.
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["shop/data", "tmp", "home", "kept", "bin"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap());
        let what = json!({
            "jenkinsfile": fs::read_to_string(Path::new(ROOT).join("jenkins/Jenkinsfile")).unwrap(),
            "workspace": at("shop"),
            "kept": at("kept"),
            "environment": {
                "PATH": path, "HOME": at("home"), "TMPDIR": at("tmp"), "LANG": "C.UTF-8", "TZ": "UTC",
                "JENKINS_URL": "https://jenkins.example/", "BUILD_ID": "7", "BUILD_NUMBER": "7", "JOB_NAME": "shop",
                "BUILD_URL": "https://jenkins.example/job/shop/7/", "BUILD_TAG": "jenkins-shop-7", "WORKSPACE": at("shop"),
                "GIT_COMMIT": COMMIT, "GIT_BRANCH": "origin/main", "HOLDPOINT_STORE": at("store"),
            },
            "params": { "RELEASE": "1.4.0" },
            "credentials": {
                "holdpoint-password": PASSWORD, "shop-database-url": DATABASE_URL, "holdpoint-signing-key": key(&at("key")),
                "holdpoint-allowed-signers": format!("ada@example.test {}", fs::read_to_string(at("key.pub")).unwrap()),
            },
        });
        let scene = Self { folder, what };
        scene.configure("[[source]]\nname = \"data\"\nkind = \"files\"\npaths = [\"data\"]\n");
        scene.write("data/orders.csv", "id,total\n1,10\n").write("VERSION", "1.3.0\n");
        scene.program("shop/deploy.sh", "printenv >deployed; echo \"$2\" >VERSION");
        let binary = env!("CARGO_BIN_EXE_holdpoint");
        // What the binary does not do yet is noted down, and succeeds.
        let played = format!(
            "case \"$1\" in\nadmit | rollback)\n  printf '%s\\n' \"$@\" >>../calls\n  case \"$*\" in *--manifest=*) cat holdpoint-manifest.json >../used ;; esac\n  exit 0\n  ;;\nesac\nexec {binary} \"$@\""
        );
        scene.program("bin/holdpoint", &played);
        scene
    }

    /// Sets a parameter of the build.
    fn given(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.what["params"][name] = value.into();
        self
    }

    /// Takes another Jenkinsfile: one with a single stage of these steps.
    fn steps(self, steps: &str) -> Self {
        self.jenkinsfile(&format!("pipeline {{\nagent any\nstages {{ stage('one') {{ steps {{\n{steps}\n}} }} }}\n}}"))
    }

    /// Takes another Jenkinsfile, without parameters.
    fn jenkinsfile(mut self, text: &str) -> Self {
        self.what["jenkinsfile"] = text.into();
        self.what["params"] = json!({});
        self
    }

    /// Cancels the build once a directory in the folder has something in it.
    fn cancelled_when(mut self, directory: &str) -> Self {
        self.what["interrupt"] = json!({ "kind": "abort", "when": self.path(directory) });
        self
    }

    /// Writes the configuration: sources, and a probe that reads `VERSION`.
    fn configure(&self, sources: &str) -> &Self {
        let probe = "[environment.staging.deployed]\nkind = \"file\"\npath = \"VERSION\"\n";
        self.write("holdpoint.toml", format!("application = \"shop\"\n\n{sources}\n{probe}"))
    }

    /// Configures one source: what a script writes.
    fn command(self, script: &str) -> Self {
        let command = json!(["sh", "-c", script]);
        let source = format!("[[source]]\nname = \"orders\"\nkind = \"command\"\ncommand = {command}\n");
        self.configure(&format!("[gate]\nretry = {{ attempts = 1 }}\n\n{source}"));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path("shop").join(name), content).unwrap();
        self
    }

    fn program(&self, name: &str, script: &str) -> &Self {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// Returns a file beside the workspace; empty if there is none.
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Returns the manifest that the build kept.
    #[track_caller]
    fn kept(&self) -> Value {
        serde_json::from_str(&self.read("kept/holdpoint-manifest.json")).unwrap()
    }

    /// Fails if anything of a run is left: a process, a lock, a lease, a temporary file.
    #[track_caller]
    fn assert_nothing_left(&self) {
        let mark = format!("TMPDIR={}", self.path("tmp").display());
        let marked = |process: &PathBuf| {
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        };
        let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()).filter(marked);
        assert_eq!(processes.collect::<Vec<_>>(), [PathBuf::new(); 0], "processes are left");
        assert_eq!(names(&self.path("tmp")), [""; 0], "temporary files are left");
        assert_eq!(names(&self.path("store/shop/staging/repository/locks")), [""; 0], "locks are left");
        let lease = self.path("store/shop/staging/lease");
        let newest =
            names(&lease).into_iter().max_by_key(|name| name.trim_end_matches(".json").parse::<u64>().unwrap());
        let lease: Value = serde_json::from_slice(&fs::read(lease.join(newest.expect("a lease"))).unwrap()).unwrap();
        assert_eq!(lease["released"], true, "the lease is held: {lease}");
    }
}

/// Makes a key and returns its text; the public one is beside it.
fn key(path: &Path) -> String {
    let mut keygen = command("ssh-keygen", path.parent().unwrap());
    must(keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "ada@example.test", "-f"]).arg(path));
    fs::read_to_string(path).unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// What became of a build.
#[derive(Debug)]
struct Report(Value);

impl Report {
    #[track_caller]
    fn assert(&self, result: &str, stages: &[(&str, &str)]) {
        let stages: Value = stages.iter().map(|(name, state)| ((*name).to_owned(), json!(state))).collect();
        assert_eq!(
            (self.text("result"), &self.0["stages"]),
            (result, &stages),
            "{}\n{}",
            self.text("error"),
            self.log()
        );
    }

    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    fn log(&self) -> &str {
        self.text("log")
    }

    #[track_caller]
    fn fails_with(&self, words: &str) {
        assert_eq!(self.text("result"), "FAILURE", "{words}: {}", self.log());
        assert!(self.text("error").contains(words), "no {words:?} in {:?}\n{}", self.text("error"), self.log());
    }
}

/// Runs builds at once, in one Java machine.
fn run(scenes: &[&Scene]) -> Vec<Report> {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("scenarios.json");
    let whats: Vec<_> = scenes.iter().map(|scene| &scene.what).collect();
    let library = Path::new(ROOT).join("jenkins");
    fs::write(&file, json!({ "library": library, "scenarios": whats }).to_string()).unwrap();
    let player = Path::new(ROOT).join("tests/pipeline/jenkins");
    let mut groovy = command("groovy", directory.path());
    groovy.env("JAVA_HOME", java()).env("JAVA_OPTS", "-XX:TieredStopAtLevel=1 -Xmx256m").current_dir(directory.path());
    let output = must(groovy.arg("-cp").arg(&player).arg(player.join("Main.groovy")).arg(&file));
    serde_json::from_str::<Vec<Value>>(&output).unwrap().into_iter().map(Report).collect()
}

/// Returns the home of Java 17, the newest that Debian's Groovy runs on.
fn java() -> PathBuf {
    let machines =
        fs::read_dir("/usr/lib/jvm").expect("Java: scripts/test installs it").map(|entry| entry.unwrap().path());
    let mut seventeen =
        machines.filter(|path| path.to_string_lossy().contains("/java-17-openjdk") && path.join("bin/java").exists());
    seventeen.next().expect("Java 17: scripts/test installs it")
}

const DEPLOYMENT: [&str; 4] = ["Deployment", "Gate", "Deploy", "Reconcile"];

/// Returns the states of all stages of the Jenkinsfile, where only a deployment was asked for.
fn states<'a>(deployment: [&'a str; 4]) -> Vec<(&'a str, &'a str)> {
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
    let unproved = Scene::new().given("ROLLBACK_ON_FAILURE", true);
    unproved.program(
        "bin/holdpoint",
        &format!("[ \"$1\" != admit ] || exit 16\nexec {} \"$@\"", env!("CARGO_BIN_EXE_holdpoint")),
    );
    let cancelled =
        Scene::new().command("echo half of it; sleep 1000").cancelled_when("store/shop/staging/repository/locks");
    let back = Scene::new().given("ACTION", "rollback").given("ROLLBACK_ID", "20261120T213000Z-1.3.0-3f9c2ab1");
    let wrong = Scene::new().given("RELEASE", "not a version");
    for earlier in ["holdpoint-manifest.json", "holdpoint-manifest.json.sig", "holdpoint-manifest.html"] {
        wrong.write(earlier, "of an earlier build");
    }
    let scenes = [&pass, &refused, &slow, &broken, &kept_back, &unproved, &cancelled, &back, &wrong];
    let reports = run(&scenes);
    let [passes, refuses, times_out, breaks, keeps, proves, cancels, goes_back, errs] = reports.try_into().unwrap();

    passed(&pass, &passes);
    refuses.assert("FAILURE", &states(["failed", "failed", "skipped", "skipped"]));
    refuses.fails_with("do not deploy (exit code 10)");
    recorded(&refused, &refuses, "refused");
    times_out.assert("FAILURE", &states(["failed", "failed", "skipped", "skipped"]));
    times_out.fails_with("do not deploy (exit code 11)");
    recorded(&slow, &times_out, "timed_out");
    // The binary's own deadline comes first, by far.
    assert_eq!(times_out.0["timeouts"], json!([7200, 122]));
    cancels.assert("ABORTED", &states(["failed", "failed", "skipped", "skipped"]));
    assert_eq!(cancels.0["signals"], json!(["INT"]), "{}", cancels.log());
    recorded(&cancelled, &cancels, "cancelled");

    breaks.assert("FAILURE", &states(["failed", "ran", "failed", "skipped"]));
    assert!(
        broken
            .read("calls")
            .contains("rollback\n--environment=staging\n--manifest=holdpoint-manifest.json\n--yes=staging\n")
    );
    assert_eq!(broken.read("used"), broken.read("kept/holdpoint-manifest.json"), "rollback has another manifest");
    keeps.assert("FAILURE", &states(["failed", "ran", "failed", "skipped"]));
    assert!(!kept_back.read("calls").contains("rollback"));
    proves.assert("FAILURE", &states(["failed", "ran", "failed", "skipped"]));
    assert_eq!((unproved.read("shop/deployed").as_str(), unproved.read("shop/VERSION").as_str()), ("", "1.3.0\n"));
    assert_eq!(unproved.read("calls"), "", "what was never begun is rolled back");

    let rollback = DEPLOYMENT.into_iter().map(|name| (name, "skipped")).chain([("Rollback", "ran")]);
    goes_back.assert("SUCCESS", &rollback.collect::<Vec<_>>());
    assert_eq!(
        back.read("calls"),
        "rollback\n--environment=staging\n--id=20261120T213000Z-1.3.0-3f9c2ab1\n--yes=staging\n"
    );
    assert_eq!(goes_back.0["locks"], json!(["deploy-staging"]));

    errs.fails_with("do not deploy (exit code 2)");
    assert_eq!(errs.0["archived"], json!([]), "the record of an earlier build is kept as this one's");
}

#[track_caller]
fn passed(scene: &Scene, report: &Report) {
    report.assert("SUCCESS", &states(["ran"; 4]));
    recorded(scene, report, "passed");
    assert_eq!(scene.kept()["pipeline"]["system"], "jenkins");
    assert_eq!(scene.kept()["pipeline"]["run_url"], "https://jenkins.example/job/shop/7/");
    assert_eq!(scene.kept()["release"]["to"]["commit"], COMMIT);
    assert_eq!(scene.read("shop/VERSION"), "1.4.0\n");
    assert!(scene.read("calls").starts_with("admit\n--environment=staging\n--release=1.4.0\n"));
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

    let mistakes = [
        ("holdpointGate(enviroment: 'staging')", "unknown parameter enviroment"),
        ("holdpointGate(release: '1.4.0')", "environment is missing"),
        ("holdpointGate(environment: '')", "environment is missing"),
        ("holdpointGate(environment: ['staging'])", "environment must be a text"),
        ("holdpointGate(environment: 'staging', binary: '--version')", "binary must be a program"),
        ("holdpointGate(environment: 'staging', manifest: '../x,*')", "manifest must be a file below the workspace"),
        ("holdpointGate(environment: 'staging', release: 'a\\u0000b')", "release has a character"),
        ("holdpointGate(environment: 'staging', secrets: ['A B': 'x'])", "secrets has a variable that is none: A B"),
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
        ("unstable 'nearly'", "the method unstable"),
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

    let scenes: Vec<_> =
        [&hostile, &unstable, &strict].into_iter().chain(wrong.iter().map(|(scene, _)| scene)).collect();
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

    for ((scene, words), report) in wrong.iter().zip(&reports[4..]) {
        report.fails_with(words);
        assert!(!scene.path("store").exists(), "{words}: the gate ran");
    }
}

//! Inputs are data: whatever is in them, it reaches the binary as it is, and nothing else happens.

use super::action::{Action, Job};
use std::fs;

/// Writes its arguments down, each with a NUL after it, and tells nothing to the runner.
const WRITER: &str = r#"printf '%s\0' "$@" >../arguments"#;

/// What a shell, the runner's log or a command line could take for something of its own. A program that ran would leave `pwned`.
const HOSTILE: [&str; 14] = [
    "$(touch ../pwned)",
    "`touch ../pwned`",
    "'; touch ../pwned; '",
    "\"; touch ../pwned; \"",
    "a\ntouch ../pwned\nb",
    "${{ github.sha }} ${HOME} $HOME ~ * ? [a-z] {a,b}",
    "%0A::set-output name=verdict::pass%0A",
    "a\n::set-output name=verdict::pass\n::add-mask::staging",
    "##[set-output name=verdict;]pass",
    "a\r::set-output name=verdict::pass",
    "--help",
    "-",
    "a b\tc \\ ",
    "verdict<<END\npass\nEND",
];

fn arguments(action: &Action) -> Vec<String> {
    let text = fs::read_to_string(action.shop.beside("arguments")).unwrap();
    text.split_terminator('\0').map(str::to_owned).collect()
}

/// Fails if an input did something.
#[track_caller]
fn assert_nothing_happened(action: &Action, job: &Job) {
    assert!(!action.shop.beside("pwned").exists(), "{:#}", job.0);
    assert_eq!(job.output("verdict"), "refuse", "{:#}", job.0);
    assert!(!job.log().contains("***ing"), "a mask was added\n{:#}", job.0);
    for step in job.0["steps"].as_array().unwrap() {
        let names = step["outputs"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        let known = ["binary", "exit-code", "verdict", "manifest", "release-id", "snapshot-ids"];
        assert_eq!(names.filter(|name| !known.contains(name)).collect::<Vec<_>>(), [""; 0], "{:#}", job.0);
    }
}

#[test]
fn every_input_becomes_one_argument() {
    for value in HOSTILE {
        let mut action = Action::new();
        action.program("holdpoint", WRITER);
        // That one is refused there.
        let args = if value == "--help" { "--helpless" } else { value };
        for input in ["environment", "release", "commit", "config", "store", "timeout", "paths"] {
            action.with(input, value);
        }
        let job = action.with("args", args).run().expect("failure", "refuse", 1);
        assert_nothing_happened(&action, &job);
        let mut expected = vec!["gate".to_owned()];
        let options = ["environment", "release", "commit", "config", "store", "timeout"];
        expected.extend(options.map(|name| format!("--{name}={value}")));
        // Of these two each line is one.
        let lines = |text: &'static str| text.split('\n').map(str::to_owned);
        expected.extend(lines(args).chain(["--".to_owned()]).chain(lines(value)));
        assert_eq!(arguments(&action), expected);
    }
}

#[test]
fn help_is_no_verdict() {
    for asked in ["-h", "--help", "-V", "--version", "-qh", "--first\n-vV\n--from=a"] {
        let job = Action::new().with("mode", "admit").with("args", asked).run().expect("failure", "refuse", 2);
        job.says("asks for help or the version");
    }
}

#[test]
fn only_a_verdict_of_pass_passes() {
    let mut action = Action::new();
    action.program("holdpoint", r#"echo "$TELLS" >>"$GITHUB_OUTPUT""#);
    action.env("TELLS", "verdict=pass").run().expect("success", "pass", 1);
    for (tells, verdict) in [("", "refuse"), ("verdict=refuse", "refuse"), ("verdict=passed", "passed")] {
        let job = action.env("TELLS", tells).run().expect("failure", verdict, 1);
        job.says("ended without a verdict of pass");
        assert_eq!(job.step("run")["conclusion"], "success");
    }
    // Of the real one, told to say nothing.
    let mut action = Action::new();
    let job = action.with("paths", "data").with("args", "--first\n--ci=none").run().expect("failure", "refuse", 1);
    assert_eq!(job.step("run")["exit_code"], 0);
}

#[test]
fn what_is_not_given_is_no_argument() {
    let mut action = Action::new();
    action.program("holdpoint", WRITER);
    action.without("release").without("commit").without("store").run();
    assert_eq!(arguments(&action), ["gate", "--environment=staging"]);
    action.with("args", "\n--first\n\n--from=a b\n").with("paths", "uploads\n\nmy data\n--x\n").run();
    assert_eq!(
        arguments(&action),
        ["gate", "--environment=staging", "--first", "--from=a b", "--", "uploads", "my data", "--x"]
    );
}

#[test]
fn every_mode_is_a_command() {
    let mut action = Action::new();
    action.program("holdpoint", WRITER);
    action.without("store").with("mode", "admit").with("args", "--allowed-signers=/etc/signers").run();
    let commit = format!("--commit={}", crate::gate::shop::COMMIT);
    let release = ["admit", "--environment=staging", "--release=1.4.0", &commit, "--allowed-signers=/etc/signers"];
    assert_eq!(arguments(&action), release);
    action.without("release").without("commit");
    action.with("mode", "rollback").with("args", "--id=20261121T1\n--yes=staging").run();
    assert_eq!(arguments(&action), ["rollback", "--environment=staging", "--id=20261121T1", "--yes=staging"]);
    action.with("mode", "reconcile").with("args", "--wait=5m").run();
    assert_eq!(arguments(&action), ["reconcile", "--environment=staging", "--wait=5m"]);
}

#[test]
fn what_finds_the_binary_takes_inputs_as_data_too() {
    for value in [HOSTILE.join("\n").as_str(), "##[set-output name=verdict;]pass", "--help"] {
        for input in ["mode", "binary", "holdpoint-version"] {
            let mut action = Action::new();
            let job = action.no_binary().with(input, value).run().expect("failure", "refuse", 2);
            assert_nothing_happened(&action, &job);
            assert_eq!(job.step("run")["conclusion"], "skipped");
            // One error for people, with all of the value in it.
            let errors = job.annotations("error");
            assert!(errors.len() == 1 && errors[0].contains(value), "{errors:?}");
        }
    }
    let mut action = Action::new();
    let name = "##[set-output name=verdict;]pass";
    fs::rename(action.program("writer", WRITER), action.shop.path(name)).unwrap();
    let job = action.with("binary", name).run().expect("failure", "refuse", 1);
    assert_nothing_happened(&action, &job);
    assert_eq!(arguments(&action)[0], "gate");
}

#[test]
fn the_binary_itself_lets_no_input_speak_to_the_runner() {
    // A path that is missing: whatever else is given, this is no pass.
    let gate = |input: &str, value: &str| {
        let mut action = Action::new();
        let job = action.with("args", "--first").with("paths", "missing").with(input, value).run();
        assert_nothing_happened(&action, &job);
        assert_eq!(job.0["conclusion"], "failure", "{input}: {value:?}");
        assert!(job.step("run")["exit_code"].as_u64().unwrap() > 0);
    };
    for value in HOSTILE.into_iter().filter(|value| value.contains("verdict")) {
        gate("environment", value);
    }
    for input in ["environment", "release", "commit", "timeout", "config", "paths"] {
        gate(input, &HOSTILE.join("\n"));
    }
}

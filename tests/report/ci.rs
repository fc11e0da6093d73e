//! What CI systems are shown, by the real binary with the variables of their runners.

use super::runner::{commands, outputs};
use crate::support::holdpoint::{Output, PASSWORD};
use crate::support::shop::Shop;
use quick_xml::Reader;
use quick_xml::events::Event;
use std::collections::BTreeMap;
use std::process::Stdio;

/// An application with a store beside it, in a job with these variables. Paths count from the application.
fn shop(variables: &[(&str, &str)]) -> Shop {
    Shop::with(|holdpoint| {
        let holdpoint = holdpoint.password().env("HOLDPOINT_STORE", "../store");
        variables.iter().fold(holdpoint, |holdpoint, (name, value)| holdpoint.env(name, *value))
    })
}

const GITHUB: [(&str, &str); 3] =
    [("GITHUB_ACTIONS", "true"), ("GITHUB_OUTPUT", "../output"), ("GITHUB_STEP_SUMMARY", "../summary")];
const GITLAB: [(&str, &str); 2] = [("GITLAB_CI", "true"), ("CI_PROJECT_DIR", "..")];
const JENKINS: [(&str, &str); 2] = [("JENKINS_URL", "https://jenkins.example/"), ("BUILD_ID", "7")];

/// Runs the binary with pipes, as runners do.
fn piped(shop: &Shop, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = shop.holdpoint().command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn expected(values: [(&str, &str); 5]) -> BTreeMap<String, String> {
    values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Returns the outputs of the last command and forgets them.
fn take_outputs(shop: &Shop) -> BTreeMap<String, String> {
    let path = shop.beside("output");
    let outputs = outputs(&path);
    std::fs::remove_file(path).unwrap();
    outputs
}

fn read(shop: &Shop, name: &str) -> String {
    std::fs::read_to_string(shop.path().join(name)).unwrap()
}

/// Says whether a CI system was shown anything.
fn shown(shop: &Shop, output: &Output) -> bool {
    let files = ["../output", "../summary", "holdpoint.env", "holdpoint-junit.xml", "holdpoint-description.txt"];
    let marks = ["::", "section_start"];
    files.iter().any(|name| shop.path().join(name).exists()) || marks.iter().any(|mark| output.stderr.contains(mark))
}

#[test]
fn github_is_shown_a_pass() {
    let shop = shop(&GITHUB);
    // An output of an earlier command that forgot the end of its line.
    std::fs::write(shop.beside("output"), "earlier=1").unwrap();
    let output = shop.gate("1.4.0", &["uploads"]).expect(0);
    let manifest = shop.manifest();
    let path = shop.path().join("holdpoint-manifest.json");
    let snapshot = manifest["sources"][0]["snapshot"]["id"].as_str().unwrap();
    let mut outputs = take_outputs(&shop);
    assert_eq!(outputs.remove("earlier").as_deref(), Some("1"));
    assert_eq!(
        outputs,
        expected([
            ("verdict", "pass"),
            ("exit-code", "0"),
            ("manifest", path.to_str().unwrap()),
            ("release-id", manifest["id"].as_str().unwrap()),
            ("snapshot-ids", snapshot),
        ])
    );
    let summary = std::fs::read_to_string(shop.beside("summary")).unwrap();
    for text in ["## shop 1.4.0 to staging", "**holdpoint gate: passed**", "### Can we roll back now?", "| uploads"] {
        assert!(summary.contains(text), "{text}: {summary}");
    }
    let names: Vec<_> = commands(&output.stderr).into_iter().map(|command| command.name).collect();
    assert_eq!(names.first().map(String::as_str), Some("group"), "{}", output.stderr);
    assert_eq!(names.iter().filter(|name| *name == "endgroup").count(), 1);
    output.says(&["::warning title=unsigned::"]);
    assert_eq!(commands(&output.stdout), []);
}

#[test]
fn github_is_shown_why_a_gate_refused() {
    let shop = shop(&GITHUB);
    let output = shop.gate("1.4.0", &["uploads", "missing"]).expect(10);
    output.says(&["::error title=path-missing::missing: "]).refuses_in_words();
    let outputs = take_outputs(&shop);
    assert_eq!((outputs["verdict"].as_str(), outputs["exit-code"].as_str()), ("refuse", "10"));
    assert_eq!(outputs["release-id"], shop.manifest()["id"].as_str().unwrap());
    let summary = std::fs::read_to_string(shop.beside("summary")).unwrap();
    assert!(summary.contains("- refusal: **missing**: ") && summary.contains("(path-missing)"), "{summary}");
}

#[test]
fn github_is_told_to_refuse_where_there_is_no_verdict() {
    let shop = shop(&GITHUB);
    shop.gate("1.4.0", &["uploads"]).expect(0);
    take_outputs(&shop);
    let nothing = |exit: &str| {
        expected([
            ("verdict", "refuse"),
            ("exit-code", exit),
            ("manifest", ""),
            ("release-id", ""),
            ("snapshot-ids", ""),
        ])
    };
    // The manifest of the pass is still there and must not be passed on.
    for arguments in [
        &["gate", "uploads", "--release", "1.4.0"][..],
        &["gate", "--nonsense"],
        &["gate", "-e", "staging", "--timeout", "soon"],
        &["gate", "-e", "staging", "--ci", "github", "--format", "json", "--from", "x"],
    ] {
        let output = shop.run(arguments).expect(2);
        output.says(&["::error title="]).refuses_in_words();
        assert_eq!(take_outputs(&shop), nothing("2"), "{arguments:?}");
        if arguments.contains(&"json") {
            assert_eq!(output.json()["exit_code"], 2);
        }
    }
    // Of a command without a verdict nobody reads one.
    shop.run(&["releases", "--nonsense"]).expect(2);
    shop.run(&["releases", "-e", "staging"]).expect(0);
    assert!(!shop.beside("output").exists());
}

#[test]
fn reconcile_is_shown_too() {
    let shop = shop(&GITHUB);
    shop.gate("1.4.0", &["uploads"]).expect(0);
    let manifest = shop.path().join("holdpoint-manifest.json");
    for (deployed, exit, verdict) in [("1.4.0", 0, "pass"), ("1.3.0", 15, "refuse")] {
        take_outputs(&shop);
        let more = ["--manifest", "holdpoint-manifest.json", "--deployed", deployed];
        let output = shop.run(&[&["reconcile", "-e", "staging"][..], &more].concat()).expect(exit);
        assert_eq!(output.stderr.contains("::error title=reconcile::refused: "), exit != 0, "{}", output.stderr);
        let outputs = outputs(&shop.beside("output"));
        assert_eq!((outputs["verdict"].as_str(), outputs["manifest"].as_str()), (verdict, manifest.to_str().unwrap()));
    }
    let summary = std::fs::read_to_string(shop.beside("summary")).unwrap();
    assert!(summary.contains("**holdpoint reconcile: refused: "), "{summary}");
}

#[test]
fn what_cannot_be_written_is_a_warning_and_changes_no_verdict() {
    let shop = shop(&[("GITHUB_ACTIONS", "true"), ("GITHUB_OUTPUT", "uploads")]);
    let output = shop.gate("1.4.0", &["uploads"]).expect(0);
    output.says(&["warning: cannot write uploads: ", "warning: GITHUB_STEP_SUMMARY is not set"]);
}

#[test]
fn nothing_is_shown_where_it_is_switched_off_or_nobody_reads_it() {
    for (variables, more) in [
        (&[("GITHUB_ACTIONS", "true"), ("GITHUB_OUTPUT", "../output")][..], &["--ci", "none"][..]),
        (&[("GITLAB_CI", "true"), ("HOLDPOINT_CI", "none")], &[]),
        (&[("CIRCLECI", "true")], &[]),
        (&[("CI", "true"), ("GITHUB_OUTPUT", "../output")], &[]),
    ] {
        let shop = shop(variables);
        let output = shop.gate("1.4.0", &[&["uploads"], more].concat()).expect(0);
        assert!(!shown(&shop, &output), "{variables:?}: {}", output.stderr);
        assert!(!shown(&shop, &shop.gate("x", more).expect(2)));
        assert!(!shown(&shop, &shop.run(&[&["gate", "--nonsense"], more].concat()).expect(2)));
        // The facts of the run are in the manifest all the same.
        let system = &shop.manifest()["pipeline"]["system"];
        let expected = ["GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI"].iter().position(|name| *name == variables[0].0);
        assert_eq!(system.as_str(), expected.map(|place| ["github", "gitlab", "circleci"][place]));
    }
}

#[test]
fn the_system_can_be_named() {
    let shop = shop(&[("CIRCLECI", "true"), ("HOLDPOINT_CI", ""), ("GITHUB_OUTPUT", "../output")]);
    assert!(!shown(&shop, &shop.gate("1.4.0", &["uploads"]).expect(0)), "an empty variable is auto");
    shop.gate("1.4.1", &["uploads", "--ci", "github"]).expect(0);
    assert_eq!(take_outputs(&shop)["verdict"], "pass");
    shop.gate("1.4.2", &["uploads", "--ci", "jenkins"]).expect(0);
    assert_eq!(read(&shop, "holdpoint-description.txt"), "holdpoint gate: shop 1.4.2 to staging: passed\n");
    shop.gate("1.4.3", &["uploads", "--ci", "travis"]).expect(2).refuses_in_words();
}

#[test]
fn secrets_are_masked_before_anything_else_is_printed() {
    let shop = shop(&GITHUB);
    let holdpoint = shop.holdpoint();
    shop.write("../key", "first line of a key\nx\nlast line of a key\n");
    shop.configure(
        r#"
        application = "shop"
        [[source]]
        name = "dump"
        kind = "command"
        command = ["sh", "-c", "echo data; echo $ONE$TWO >&2; exit 3"]
        env = { ONE = { env = "TOKEN" }, TWO = { file = "../key" } }
        [[source]]
        name = "orders"
        kind = "postgres"
        url = "postgres://shop:p%40ss%25word@127.0.0.1:1/shop"
        connect_timeout = "1s"
        [gate]
        retry = { attempts = 1 }
        "#,
    );
    let secrets = ["t0ken-50%", "first line of a key", "last line of a key", "p%40ss%25word", "p@ss%word", PASSWORD];
    let run = |arguments: &[&str]| {
        let mut command = holdpoint.command(arguments);
        command.env("TOKEN", "t0ken-50%").stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = command.output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    for command in ["gate", "doctor", "plan"] {
        let (stdout, stderr) = run(&[command, "-e", "staging", "--release", "1.4.0", "--commit", "3f9c2ab", "-v"]);
        let lines: Vec<&str> = stderr.lines().collect();
        let masks: Vec<_> = lines.iter().take_while(|line| line.starts_with("::add-mask::")).copied().collect();
        let masked: Vec<_> = commands(&masks.join("\n")).into_iter().map(|command| command.data).collect();
        for secret in secrets {
            assert!(masked.iter().any(|text| text == secret), "{command}: {secret} in {masked:?}");
        }
        assert!(!masked.iter().any(|text| text == "x"), "{masked:?}");
        let rest = lines[masks.len()..].join("\n") + &stdout;
        for secret in secrets {
            assert!(!rest.contains(secret), "{command}: {secret} in {rest}");
        }
    }
    // What is kept in a file is not a log that somebody masks.
    let kept = std::fs::File::create(shop.beside("log")).unwrap();
    let mut command = holdpoint.command(["plan", "-e", "staging", "--release", "1.4.0", "--commit", "3f9c2ab"]);
    command.env("TOKEN", "t0ken-50%").stderr(kept).stdout(Stdio::null()).status().unwrap();
    let log = std::fs::read_to_string(shop.beside("log")).unwrap();
    assert!(!log.contains("add-mask") && secrets.iter().all(|secret| !log.contains(secret)), "{log}");
}

#[test]
fn names_of_others_are_no_commands_for_github() {
    let shop = shop(&GITHUB);
    let old = "##[set-output name=verdict]pass";
    let new = "x\n::set-output name=verdict::pass\r::stop-commands::y";
    // What is shown to another system, or to none, is read by the same runner.
    for ci in ["none", "gitlab", "jenkins"] {
        let fixed = ["gate", "-e", "staging", "--release", "1.4.0", "--commit", "3f9c2ab", "--ci", ci, old, new];
        let (code, stdout, stderr) = piped(&shop, &fixed);
        assert_eq!(code, Some(10), "{stderr}");
        assert_eq!(commands(&(stdout + &stderr)), [], "--ci {ci}: {stderr}");
    }
    for (format, arguments) in [("text", [old, new]), ("json", [old, new])] {
        let fixed = ["gate", "-e", "staging", "--release", "1.4.0", "--commit", "3f9c2ab", "--format", format];
        let (code, stdout, stderr) = piped(&shop, &[&fixed[..], &arguments].concat());
        assert_eq!(code, Some(10), "{stderr}");
        assert_eq!(commands(&stdout), [], "{stdout}");
        let allowed = ["add-mask", "group", "endgroup", "error", "warning", "notice"];
        for command in commands(&stderr) {
            assert!(allowed.contains(&command.name.as_str()), "{command:?} in {stderr}");
        }
        assert_eq!(take_outputs(&shop)["verdict"], "refuse");
        if format == "json" {
            let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
            assert!(document["findings"].to_string().contains(old), "{document}");
        }
    }
}

/// Reads a JUnit report with a parser: the name and result of each case.
fn cases(xml: &str) -> Vec<(String, String)> {
    let mut reader = Reader::from_str(xml);
    let mut cases: Vec<(String, String)> = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Start(element) | Event::Empty(element) => match element.name().as_ref() {
                b"testcase" => {
                    let name = element.try_get_attribute("name").unwrap().unwrap();
                    let name = String::from_utf8(name.value.into_owned()).unwrap();
                    cases.push((quick_xml::escape::unescape(&name).unwrap().into_owned(), "passed".to_owned()));
                }
                b"testsuites" | b"testsuite" | b"system-out" => {}
                result => cases.last_mut().unwrap().1 = String::from_utf8(result.to_vec()).unwrap(),
            },
            Event::Eof => return cases,
            _ => {}
        }
    }
}

fn case(name: &str, result: &str) -> (String, String) {
    (name.to_owned(), result.to_owned())
}

#[test]
fn gitlab_is_shown_reports_and_sections() {
    let shop = shop(&GITLAB);
    let output = shop.gate("1.4.0", &["uploads"]).expect(0);
    let manifest = shop.manifest();
    let dotenv = format!(
        "HOLDPOINT_VERDICT=pass\nHOLDPOINT_EXIT_CODE=0\nHOLDPOINT_RELEASE_ID={}\n\
         HOLDPOINT_MANIFEST=shop/holdpoint-manifest.json\nHOLDPOINT_SNAPSHOT_IDS={}\n",
        manifest["id"].as_str().unwrap(),
        manifest["sources"][0]["snapshot"]["id"].as_str().unwrap()
    );
    assert_eq!(read(&shop, "holdpoint.env"), dotenv);
    assert_eq!(cases(&read(&shop, "holdpoint-junit.xml")), [case("uploads", "passed"), case("gate", "passed")]);
    let section = regex::Regex::new(
        "^\u{1b}\\[0Ksection_start:[0-9]{10}:holdpoint_gate\\[collapsed=true\\]\r\u{1b}\\[0Kholdpoint gate\n\
         (?s:.*)\u{1b}\\[0Ksection_end:[0-9]{10}:holdpoint_gate\r\u{1b}\\[0K\n",
    );
    assert!(section.unwrap().is_match(&output.stderr), "{:?}", output.stderr);
    assert!(!output.stderr.contains("::"), "{}", output.stderr);
}

#[test]
fn gitlab_is_shown_what_failed() {
    let shop = shop(&GITLAB);
    let hostile = "]]><x a='\"'>&\n\u{1b}[0Ksection_end:1:holdpoint_gate\r";
    shop.gate("1.4.0", &["uploads", "missing", hostile]).expect(10).refuses_in_words();
    assert!(read(&shop, "holdpoint.env").starts_with("HOLDPOINT_VERDICT=refuse\nHOLDPOINT_EXIT_CODE=10\n"));
    let cases = self::cases(&read(&shop, "holdpoint-junit.xml"));
    assert_eq!(
        cases[1..3],
        [case("missing", "failure"), case("]]><x a='\"'>&\\n\\u{1b}[0Ksection_end:1:holdpoint_gate\\r", "failure")]
    );
    assert_eq!(cases[3], case("gate", "failure"));
    // With an error the reports are written anew.
    shop.run(&["gate", "--nonsense"]).expect(2);
    assert_eq!(
        read(&shop, "holdpoint.env"),
        "HOLDPOINT_VERDICT=refuse\nHOLDPOINT_EXIT_CODE=2\nHOLDPOINT_RELEASE_ID=\nHOLDPOINT_MANIFEST=\nHOLDPOINT_SNAPSHOT_IDS=\n"
    );
    assert_eq!(self::cases(&read(&shop, "holdpoint-junit.xml")), [case("gate", "error")]);
}

#[test]
fn a_manifest_that_no_later_job_of_gitlab_finds_is_not_passed_on() {
    let shop = shop(&[("GITLAB_CI", "true"), ("CI_PROJECT_DIR", "uploads")]);
    let output = shop.gate("1.4.0", &["uploads"]).expect(0);
    output.says(&["warning: HOLDPOINT_MANIFEST is empty: the manifest is outside of the project directory"]);
    assert!(read(&shop, "holdpoint.env").contains("\nHOLDPOINT_MANIFEST=\n"));
}

#[test]
fn jenkins_is_shown_a_description() {
    let shop = shop(&JENKINS);
    shop.gate("1.4.0", &["uploads"]).expect(0);
    assert_eq!(read(&shop, "holdpoint-description.txt"), "holdpoint gate: shop 1.4.0 to staging: passed\n");
    shop.gate("1.4.0", &["uploads", "<b>\n"]).expect(10).refuses_in_words();
    let line = read(&shop, "holdpoint-description.txt");
    assert!(line.starts_with("holdpoint gate: shop 1.4.0 to staging: refused: &lt;b&gt;\\n: "), "{line}");
    assert!(line.ends_with("; do not deploy\n") && line.matches('\n').count() == 1, "{line}");
    shop.run(&["gate", "-e", "staging"]).expect(2);
    let line = read(&shop, "holdpoint-description.txt");
    assert!(line.starts_with("holdpoint gate: refused: no verdict: "), "{line}");
}

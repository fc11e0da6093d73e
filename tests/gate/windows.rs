//! Change windows and blackouts, with the clock set to both sides of them.

use crate::support::environment::{command, must};
use crate::support::ledger::release_folder;
use crate::support::shop::{COMMIT, Shop};
use crate::support::signing::Keys;
use crate::support::version_server::{Answer, VersionServer};
use serde_json::Value;

const OFFICE: &str = "[[environment.staging.window]]\nname = \"office\"\ndays = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\"]\n\
                      from = \"09:00\"\nto = \"16:30\"\n";

/// An application whose environment has a calendar, and a clock of its own.
struct Timed {
    shop: Shop,
    /// Lives as long as the names of its files are used.
    _keys: Keys,
}

/// What a run said.
#[derive(Debug)]
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Timed {
    /// Makes it with more lines of `[environment.staging]`, and its source.
    fn with(source: &str, lines: &str) -> Self {
        let keys = Keys::new();
        let shop = Shop::with(|holdpoint| {
            let holdpoint = holdpoint.env("HOLDPOINT_SIGNING_KEY", keys.text("release"));
            // What the machine says of time zones does not count.
            holdpoint.env("HOLDPOINT_ALLOWED_SIGNERS", keys.text("allowed_signers")).env("TZDIR", "/nowhere")
        });
        let timed = Self { shop, _keys: keys };
        timed.configure(source, lines);
        timed
    }

    fn configure(&self, source: &str, lines: &str) {
        self.shop.configure(&format!("application = \"shop\"\n{source}[environment.staging]\n{lines}"));
    }

    fn new(lines: &str) -> Self {
        Self::with("[[source]]\nname = \"uploads\"\nkind = \"files\"\npaths = [\"uploads\"]\n", lines)
    }

    /// Runs the binary as if it were `time` by UTC. Its clock goes on from what the file `clock` says, whoever wrote that.
    /// `-m`: the library for programs of several threads; the other one may give one thread what another is just reading.
    fn at(&self, time: &str, arguments: &[&str]) -> Said {
        let holdpoint = self.shop.holdpoint();
        self.shop.write("clock", format!("@{time}\n"));
        let library = must(command("faketime", holdpoint.home()).args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"]));
        let mut faked = holdpoint.command(arguments);
        faked.env("LD_PRELOAD", library.trim()).env("FAKETIME_TIMESTAMP_FILE", self.shop.path().join("clock"));
        let output = faked.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn release(&self, time: &str, verb: &str, more: &[&str]) -> Said {
        let fixed = [verb, "--environment", "staging", "--release", "1.4.0", "--commit", COMMIT];
        self.at(time, &[&fixed, more].concat())
    }

    fn gate(&self, time: &str) -> Said {
        self.release(time, "gate", &["--first"])
    }

    fn snapshots(&self) -> usize {
        let folder = self.shop.repository("staging").join("snapshots");
        std::fs::read_dir(folder).map_or(0, Iterator::count)
    }
}

impl Said {
    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Fails unless it is a refusal for this reason, which says all of `words` in its last line, too.
    #[track_caller]
    fn refuses(self, code: &str, words: &[&str]) {
        let said = self.expect(13);
        let last = said.stderr.lines().last().unwrap();
        assert!(said.stdout.contains(&format!("[{code}]")), "{code} in\n{said:#?}");
        for word in words {
            assert!(last.contains(word), "{word:?} in\n{last}");
        }
    }
}

#[test]
fn nothing_is_captured_while_no_window_is_open() {
    let timed = Timed::new(&format!("time_zone = \"Europe/Berlin\"\n{OFFICE}"));
    // Sunday, half past midnight in Berlin, and still Saturday by UTC.
    let night = "2026-11-21 23:30:00";
    let opens = "the next window, \"office\", opens at Mon 2026-11-23 09:00 CET (Europe/Berlin)";
    timed.gate(night).refuses("outside-window", &["no open change window at Sun 2026-11-22 00:30 CET", opens]);
    let manifest = timed.shop.manifest();
    assert_eq!(manifest["sources"][0]["outcome"], "not_captured");
    let rules = manifest["decision"]["policy"]["rules"].as_array().unwrap();
    let rule = rules.iter().find(|rule| rule["name"] == "environment.staging.window").unwrap();
    assert_eq!(rule["inputs"]["time_zone"], "Europe/Berlin");
    assert_eq!(timed.snapshots(), 0);
    // What deploys nothing needs no window.
    timed.at("2026-11-21 23:40:00", &["snapshot", "-e", "staging"]).expect(0);

    timed.gate("2026-11-23 07:59:00").refuses("outside-window", &["Mon 2026-11-23 08:59 CET"]);
    timed.gate("2026-11-23 15:10:00").expect(0);
    let fired = timed.shop.manifest()["decision"]["policy"]["rules_fired"].clone();
    assert!(fired.as_array().unwrap().contains(&"environment.staging.window.office".into()), "{fired}");
    // The pass would count until 17:10, but the window closes at 16:30.
    timed
        .release("2026-11-23 15:30:01", "admit", &[])
        .refuses("outside-window", &["Mon 2026-11-23 16:30 CET", "opens at Tue 2026-11-24 09:00 CET (Europe/Berlin)"]);
    let ledger = timed.shop.path().join(".holdpoint/store/shop/staging");
    assert!(!ledger.join("claim.json").exists(), "a claim was left open");
    timed.gate("2026-11-24 08:00:00").expect(0);
    timed.release("2026-11-24 08:05:00", "admit", &["--run", "one"]).expect(0);
    // The same run asks again, when its deployment may be under way.
    timed.release("2026-11-24 08:06:00", "admit", &["--run", "one"]).expect(0);
}

#[test]
fn the_clock_is_set_forward_and_back() {
    let night = "[[environment.staging.window]]\nname = \"night\"\nfrom = \"02:00\"\nto = \"02:45\"\n";
    // Berlin has no such hour on that night, New York has; in autumn it is the other way round with its second one.
    let berlin = Timed::new(&format!("time_zone = \"Europe/Berlin\"\n{night}"));
    berlin
        .gate("2026-03-29 01:00:00")
        .refuses("outside-window", &["Sun 2026-03-29 03:00 CEST", "opens at Mon 2026-03-30 02:00 CEST"]);
    berlin.gate("2026-03-30 00:10:00").expect(0);
    berlin.gate("2026-10-25 00:10:00").expect(0);
    berlin
        .gate("2026-10-25 01:10:00")
        .refuses("outside-window", &["Sun 2026-10-25 02:10 CET", "opens at Mon 2026-10-26 02:00 CET"]);
}

#[test]
fn a_blackout_counts_whatever_the_windows_say() {
    let blackouts = "[[environment.staging.blackout]]\nname = \"christmas\"\nfrom = \"12-24\"\nto = \"01-01\"\n\
                     reason = \"nobody is there\"\n";
    let timed = Timed::new(&format!("time_zone = \"Pacific/Auckland\"\n{OFFICE}{blackouts}"));
    // The 24th of December in Auckland, a Thursday, while it is the 23rd by UTC.
    let reason = "staging is closed by the blackout \"christmas\" (nobody is there) until Sat 2027-01-02 00:00 NZDT";
    let next = "opens at Mon 2027-01-04 09:00 NZDT (Pacific/Auckland)";
    timed.gate("2026-12-23 22:00:00").refuses("blackout", &[reason, next]);
    timed.gate("2026-12-31 22:00:00").refuses("blackout", &[reason, next]);
    timed.gate("2027-01-03 20:00:00").expect(0);
}

#[test]
fn what_does_not_fit_before_the_window_closes_is_not_begun() {
    let timed = Timed::new(&format!("deploy_takes = \"20m\"\n{OFFICE}"));
    timed.gate("2026-11-23 16:15:00").refuses(
        "window-too-short",
        &[
            "the window \"office\" closes at Mon 2026-11-23 16:30 UTC, in 1",
            "the deploy takes 20m",
            "Tue 2026-11-24 09:00 UTC",
        ],
    );
    assert_eq!(timed.snapshots(), 0);
    timed.gate("2026-11-24 15:50:00").expect(0);
    let late = timed.release("2026-11-24 16:11:00", "admit", &[]);
    late.refuses("window-too-short", &["closes at Tue 2026-11-24 16:30 UTC", "the deploy takes 20m"]);
    timed.gate("2026-11-25 10:00:00").expect(0);
    timed.release("2026-11-25 10:01:00", "admit", &[]).expect(0);
}

#[test]
fn guard_runs_nothing_when_the_window_closed_while_the_gate_ran() {
    // The capture is what takes until after half past four. Renamed, so that no thread reads the file half written.
    let slow = "[[source]]\nname = \"orders\"\nkind = \"command\"\ncommand = [\"sh\", \"-c\", \
                \"echo '@2026-11-23 16:31:00' > later && mv later clock && echo 1\"]\n";
    let receiver = VersionServer::start([Answer::status(200)]);
    let told =
        format!("[[webhook]]\nname = \"chat\"\nurl = \"{}\"\nevents = [\"passed\", \"refused\"]\n", receiver.url("/"));
    let timed = Timed::with(&format!("{slow}{told}"), OFFICE);
    let said = timed.release("2026-11-23 16:20:00", "guard", &["--first", "--", "touch", "deployed"]).expect(13);
    assert!(!timed.shop.path().join("deployed").exists());
    assert!(said.stderr.contains("opens at Tue 2026-11-24 09:00 UTC"), "{said:#?}");
    assert_eq!(timed.shop.manifest()["decision"]["result"], "pass");
    // Whoever was told that it may be deployed is told that it was not.
    let lines = receiver.bodies().into_iter().map(|body| serde_json::from_str::<Value>(&body).unwrap());
    let lines: Vec<_> = lines.map(|line| (line["status"].clone(), line["codes"].clone())).collect();
    assert_eq!(lines, [("passed".into(), Value::Null), ("refused".into(), serde_json::json!(["policy-refused"]))]);
    let claim = timed.shop.path().join(".holdpoint/store/shop/staging/claim.json");
    assert!(!claim.exists(), "a claim was left open");
    let quick = "[[source]]\nname = \"orders\"\nkind = \"command\"\ncommand = [\"echo\", \"1\"]\n";
    timed.configure(quick, OFFICE);
    timed.release("2026-11-24 10:00:00", "guard", &["--first", "--", "touch", "deployed"]).expect(0);
    assert!(timed.shop.path().join("deployed").exists());
}

/// Makes the record of the last run say that it took as long.
fn slow_down(shop: &Shop, seconds: f64) {
    let id = shop.manifest()["id"].as_str().unwrap().to_owned();
    let path = shop.path().join(".holdpoint/store/shop/staging").join(release_folder(&id)).join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    manifest["measured"]["capture_seconds"] = seconds.into();
    std::fs::write(&path, serde_json::to_vec_pretty(&manifest).unwrap()).unwrap();
}

#[test]
fn a_deadline_that_cannot_be_kept_refuses_at_once() {
    let shop = Shop::new();
    shop.configure("application = \"shop\"\n[[source]]\nname = \"uploads\"\nkind = \"files\"\npaths = [\"uploads\"]\n");
    shop.gate("1.3.0", &["--first"]).expect(0);
    slow_down(&shop, 600.0);
    let output = shop.gate("1.4.0", &["--first", "--timeout", "5m"]).expect(13);
    output.refuses_in_words();
    assert!(output.stdout.contains("[deadline-too-short]"), "{}", output.stdout);
    let words = "capturing and reading back take 10m by the last release, and ";
    assert!(output.stderr.lines().last().unwrap().contains(words), "{}", output.stderr);
    assert_eq!(shop.manifest()["sources"][0]["outcome"], "not_captured");
    // A median of several: one that was slow is not believed alone.
    for version in ["1.4.0", "1.4.1"] {
        shop.gate(version, &["--first"]).expect(0);
    }
    shop.gate("1.4.2", &["--first", "--timeout", "5m"]).expect(0);
}

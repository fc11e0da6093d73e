//! The last two lines on stderr of every exit but 0: the next command to run, and that nothing may be deployed.

use super::units::plain;
use crate::error::ExitCode;

/// What the closing lines may know beside the exit code.
#[derive(Debug, Clone, Copy, Default)]
pub struct Closing<'a> {
    /// The command that was run, such as `gate`.
    pub command: &'a str,
    /// Whether a verdict was reached; without one nothing was decided.
    pub has_verdict: bool,
    /// What refused, in a few words; the exit code's own words otherwise.
    pub reason: Option<&'a str>,
    /// The command to run next; the exit code's own otherwise.
    pub next: Option<&'a str>,
    /// The environment that was worked on, which the next command needs too.
    pub environment: Option<&'a str>,
}

/// Returns the last two lines, without newlines; `None` for [`ExitCode::Pass`].
pub fn closing(exit: ExitCode, closing: Closing<'_>) -> Option<[String; 2]> {
    if exit == ExitCode::Pass {
        return None;
    }
    let Closing { command, has_verdict, reason, next, environment } = closing;
    let next = next.map_or_else(|| next_command(exit, command, environment), ToOwned::to_owned);
    let reason = reason.map_or_else(|| words(exit).to_owned(), plain);
    // The first and the last words are a contract: pipelines and people look for them.
    let what = if has_verdict { "refused" } else { "refused: no verdict" };
    Some([format!("next: {}", plain(&next)), format!("{what}: {reason}; do not deploy")])
}

/// Returns what an exit code says, in words.
pub fn words(exit: ExitCode) -> &'static str {
    match exit {
        ExitCode::Pass => "the gate passed",
        ExitCode::Internal => "an internal or unforeseen error",
        ExitCode::Usage => "the command line or the configuration is wrong",
        ExitCode::SnapshotFailed => "a snapshot failed",
        ExitCode::DeadlinePassed => "the deadline passed",
        ExitCode::Unverified => "what was written could not be verified",
        ExitCode::PolicyRefused => "the policy refuses",
        ExitCode::Busy => "another run or client holds this environment",
        ExitCode::DeployedMismatch => "the deployed version does not match or could not be observed",
        ExitCode::ManifestInvalid => "the manifest is missing or invalid",
        ExitCode::RestoreFailed => "the restore failed",
        ExitCode::DrillFailed => "the drill failed",
        ExitCode::CommandFailed => "the command under guard failed",
        ExitCode::Interrupted => "cancelled by SIGINT",
        ExitCode::Terminated => "cancelled by SIGTERM",
    }
}

fn next_command(exit: ExitCode, command: &str, environment: Option<&str>) -> String {
    let words = match (exit, command) {
        (ExitCode::Pass, _) => return String::new(),
        (ExitCode::Usage, "") => return "holdpoint --help".to_owned(),
        (ExitCode::Usage, _) => return format!("holdpoint {command} --help"),
        (ExitCode::Internal, _) => format!("{command} -v"),
        (ExitCode::SnapshotFailed, _) => "doctor".to_owned(),
        (ExitCode::DeadlinePassed, _) => format!("{command} --timeout 30m"),
        // What keeps a rollback from beginning has nothing to do with what is stored.
        (ExitCode::RestoreFailed, "rollback") => "releases".to_owned(),
        (ExitCode::Unverified | ExitCode::RestoreFailed | ExitCode::DrillFailed, _) => "check --read-data".to_owned(),
        (ExitCode::PolicyRefused, _) => "plan".to_owned(),
        (ExitCode::Busy | ExitCode::ManifestInvalid, _) => "releases".to_owned(),
        (ExitCode::DeployedMismatch, "gate" | "snapshot" | "plan") => "doctor".to_owned(),
        (ExitCode::DeployedMismatch | ExitCode::CommandFailed, _) => "reconcile".to_owned(),
        (ExitCode::Interrupted | ExitCode::Terminated, _) => command.to_owned(),
    };
    match environment {
        Some(environment) => format!("holdpoint {words} --environment {environment}"),
        None => format!("holdpoint {words}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ExitCode::*;

    #[test]
    fn every_exit_but_zero_says_do_not_deploy() {
        let all = [
            Internal,
            Usage,
            SnapshotFailed,
            DeadlinePassed,
            Unverified,
            PolicyRefused,
            Busy,
            DeployedMismatch,
            ManifestInvalid,
            RestoreFailed,
            DrillFailed,
            CommandFailed,
            Interrupted,
            Terminated,
        ];
        for exit in all {
            let [next, last] = closing(exit, Closing { command: "gate", ..Closing::default() }).unwrap();
            assert!(next.starts_with("next: holdpoint "), "{next}");
            assert!(last.starts_with("refused: no verdict: ") && last.ends_with("; do not deploy"), "{last}");
        }
        assert!(closing(Pass, Closing::default()).is_none());
    }

    #[test]
    fn the_next_command_is_about_the_same_environment() {
        let next = |command, environment| {
            let [next, _] = closing(SnapshotFailed, Closing { command, environment, ..Closing::default() }).unwrap();
            next
        };
        assert_eq!(next("gate", Some("staging")), "next: holdpoint doctor --environment staging");
        assert_eq!(next("gate", None), "next: holdpoint doctor");
        let [next, _] = closing(RestoreFailed, Closing { command: "rollback", ..Closing::default() }).unwrap();
        assert_eq!(next, "next: holdpoint releases");
        let [next, _] = closing(Usage, Closing::default()).unwrap();
        assert_eq!(next, "next: holdpoint --help");
    }

    #[test]
    fn a_reason_and_a_next_command_replace_the_general_ones() {
        let lines = closing(
            SnapshotFailed,
            Closing {
                command: "gate",
                has_verdict: true,
                reason: Some("orders: pg_dump exited 1"),
                next: Some("holdpoint show 2026\n"),
                ..Closing::default()
            },
        );
        let expected = ["next: holdpoint show 2026\\n", "refused: orders: pg_dump exited 1; do not deploy"];
        assert_eq!(lines.unwrap(), expected);
    }
}

//! Which refusals a person may set aside at all, whatever the configuration says.
//!
//! An override may let a release go without something, or although a rule of people says no. It never makes something
//! unproved count as proved, and never works while somebody else is at work. What is not known here may not be overridden.

use super::finding::FindingCode;
use crate::error::ExitCode;

/// Says why nobody may override refusals of this code, if nobody may.
///
/// # Errors
/// The reason, in words that follow a colon.
pub fn overridable(code: FindingCode) -> Result<(), &'static str> {
    use FindingCode::{
        BelowMinBytes, BelowMinRows, BelowMinTables, CopyFailed, CopySameFailureDomain, DatabaseUndeclared,
        EnvironmentRetired, InstancesDisagree, LeftToSnapshot, MayNotFit, NotTransactional, Overridden,
        OverrideRefused, PathMissing, PreflightFailed, PrivilegeMissing, ProbeFailed, RegionNotAllowed,
        ServerUnreachable, SizeShrank, SourceFailed, SourceUnreadable, TableEmptied, VersionMismatch,
    };
    match code {
        // A source that cannot be had: the release goes without it, and the manifest says so.
        PreflightFailed | PathMissing | SourceUnreadable | SourceFailed | VersionMismatch | PrivilegeMissing
        | ServerUnreachable | NotTransactional => Ok(()),
        // Something that is not captured, or not copied, or may take too long.
        LeftToSnapshot | DatabaseUndeclared | MayNotFit | CopyFailed | CopySameFailureDomain => Ok(()),
        // A snapshot that is whole, and holds less than somebody expected.
        BelowMinBytes | BelowMinTables | BelowMinRows | TableEmptied | SizeShrank => Ok(()),
        // An application that is down answers no probe, and may need this very release.
        ProbeFailed | InstancesDisagree => Ok(()),
        EnvironmentRetired => Err("what it had may be gone already: take `retired` out of the configuration"),
        RegionNotAllowed => Err("data that went to a forbidden region cannot be called back"),
        Overridden | OverrideRefused => Err("it tells of an override itself"),
        other => by_class(other.exit()),
    }
}

/// Answers for whole classes of codes, told by their exit codes.
fn by_class(exit: ExitCode) -> Result<(), &'static str> {
    match exit {
        // Rules that people made, and that people may set aside: requirements, windows.
        ExitCode::PolicyRefused => Ok(()),
        ExitCode::ManifestInvalid => {
            Err("whoever could set a signature, a record or a pass aside needs no pass at all: run the gate again")
        }
        ExitCode::Busy => Err("somebody else is at work or has stopped deployments: wait, or thaw"),
        ExitCode::Unverified => Err("what was not read back as it should be, or is another server's, is no snapshot"),
        ExitCode::SnapshotFailed => Err("there would be nothing sure to go back to, or no record of it"),
        ExitCode::DeadlinePassed | ExitCode::Interrupted | ExitCode::Terminated | ExitCode::Internal => {
            Err("the run did not come to its end")
        }
        ExitCode::DeployedMismatch => Err("the pass would be about another state than the one that is deployed"),
        ExitCode::RestoreFailed | ExitCode::DrillFailed | ExitCode::CommandFailed => {
            Err("it is no refusal of a release")
        }
        ExitCode::Pass | ExitCode::Usage => Err("it is not known to be safe"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proves_a_snapshot_a_signature_or_a_lease_is_never_set_aside() {
        use ExitCode::*;
        for code in FindingCode::ALL {
            let answer = overridable(*code);
            let exit = code.exit();
            if matches!(exit, ManifestInvalid | Busy | DeadlinePassed | Interrupted | Terminated | Internal) {
                assert!(answer.is_err(), "{code}");
            }
            if let Err(why) = answer {
                assert!(!why.is_empty() && !why.ends_with('.'), "{code}: {why}");
            }
            // The repository, the identity of servers, and the record of the run.
            for never in [
                "damage",
                "identity",
                "integrity",
                "read-back",
                "verif",
                "lease",
                "lock",
                "store",
                "record",
                "clock",
                "signature",
                "signer",
                "override",
            ] {
                assert!(!code.as_str().contains(never) || answer.is_err(), "{code}");
            }
        }
    }

    #[test]
    fn what_may_be_set_aside_is_listed() {
        let may = |exit| FindingCode::ALL.iter().filter(move |code| code.exit() == exit && overridable(**code).is_ok());
        let names = |exit| may(exit).map(|code| code.as_str()).collect::<Vec<_>>();
        assert_eq!(
            names(ExitCode::Unverified),
            ["below-min-tables", "below-min-rows", "table-emptied", "below-min-bytes", "size-shrank"]
        );
        assert_eq!(names(ExitCode::DeployedMismatch), ["probe-failed", "instances-disagree"]);
        let failed = names(ExitCode::SnapshotFailed);
        assert!(failed.contains(&"source-failed") && !failed.contains(&"nothing-captured"), "{failed:?}");
        assert!(!failed.contains(&"base-backup-missing"), "a snapshot that leans on nothing is none");
        assert!(names(ExitCode::PolicyRefused).contains(&"require-ticket"));
    }
}

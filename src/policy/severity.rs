//! How large a step a release is.

use crate::model::manifest::{From, ProbeKind, Severity};
use crate::model::version::Version;

/// Returns how large the step is from what runs to a version, by the numbers of semantic versions.
///
/// A step that raises a number counts as that number's, whether or not it ends at a pre-release; a step between two
/// texts that have the same three numbers is a pre-release's.
pub fn severity(from: &From, to: &Version) -> Severity {
    let Some(version) = &from.version else {
        return if from.probe == ProbeKind::First { Severity::First } else { Severity::Unknown };
    };
    if version.is_same_release(to) {
        return Severity::Same;
    }
    let (Some(old), Some(new)) = (version.semver(), to.semver()) else {
        return Severity::Unknown;
    };
    if new.cmp_precedence(old).is_lt() {
        Severity::Downgrade
    } else if new.major != old.major {
        Severity::Major
    } else if new.minor != old.minor {
        Severity::Minor
    } else if new.patch != old.patch {
        Severity::Patch
    } else {
        Severity::PreRelease
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::version::Versioning;

    fn step(from: Option<&str>, to: &str, probe: ProbeKind, versioning: Versioning) -> Severity {
        let version = from.map(|text| Version::parse(text, versioning).unwrap());
        let from = From { version, commit: None, observed_at: None, probe, instances: Vec::new() };
        severity(&from, &Version::parse(to, versioning).unwrap())
    }

    #[test]
    fn steps_of_semantic_versions() {
        for (from, to, expected) in [
            ("1.3.9", "1.3.10", Severity::Patch),
            ("1.3.9", "1.4.0", Severity::Minor),
            ("1.3.9", "1.5.7", Severity::Minor),
            ("1.9.9", "2.0.0", Severity::Major),
            ("0.1.0", "0.2.0", Severity::Minor),
            ("v1.4.0", "1.4.0", Severity::Same),
            ("1.4.0+a", "1.4.0+b", Severity::Same),
            ("1.4.0", "1.3.9", Severity::Downgrade),
            ("2.0.0", "1.9.0", Severity::Downgrade),
            ("1.4.0", "1.4.0-rc.1", Severity::Downgrade),
            ("1.4.0-rc.2", "1.4.0-rc.1", Severity::Downgrade),
            ("1.4.0-rc.1", "1.4.0-rc.2", Severity::PreRelease),
            ("1.4.0-rc.2", "1.4.0", Severity::PreRelease),
            ("1.3.0", "1.4.0-rc.1", Severity::Minor),
            ("1.4.0-rc.1", "2.0.0-rc.1", Severity::Major),
        ] {
            assert_eq!(step(Some(from), to, ProbeKind::Http, Versioning::Semver), expected, "{from} to {to}");
        }
    }

    #[test]
    fn steps_without_numbers() {
        assert_eq!(step(None, "1.0.0", ProbeKind::First, Versioning::Semver), Severity::First);
        for probe in [ProbeKind::None, ProbeKind::Http, ProbeKind::Given] {
            assert_eq!(step(None, "1.0.0", probe, Versioning::Semver), Severity::Unknown);
        }
        assert_eq!(step(Some("a"), "a", ProbeKind::File, Versioning::Opaque), Severity::Same);
        assert_eq!(step(Some("a"), "b", ProbeKind::File, Versioning::Opaque), Severity::Unknown);
        assert_eq!(step(Some("1.0.0"), "1.0.1", ProbeKind::File, Versioning::Opaque), Severity::Unknown);
    }
}

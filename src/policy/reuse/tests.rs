use super::*;
use serde_json::json;

const NOW: &str = "2026-11-20T22:00:00Z";

/// A verified snapshot that was captured half an hour before [`NOW`].
fn record(more: serde_json::Value) -> SourceRecord {
    let mut json = json!({
        "name": "uploads", "kind": "files", "required": true, "method": "walk", "consistency": "per_file", "attempts": [],
        "outcome": "verified", "bytes": 10, "bytes_added": 5, "items": 2,
        "snapshot": {"id": "00", "tree": "11", "tags": []},
        "started_at": "2026-11-20T21:30:00Z", "identity": "/srv/uploads", "definition": "sha256:aa",
        "verification": {"mode": "new", "bytes_read": 1, "blobs": 1, "digest": "sha256:11",
                         "finished_at": "2026-11-20T21:30:01Z"},
    });
    for (key, value) in more.as_object().unwrap() {
        json[key] = value.clone();
    }
    serde_json::from_value(json).unwrap()
}

fn wanted(within: Option<u64>) -> Wanted<'static> {
    Wanted {
        name: "uploads",
        kind: "files",
        method: "walk",
        identity: Some("/srv/uploads"),
        definition: Some("sha256:aa"),
        within: within.map(Duration::from_secs),
    }
}

#[test]
fn only_a_verified_snapshot_of_the_same_thing_that_is_young_enough_stands_in() {
    let now: Timestamp = NOW.parse().unwrap();
    for (what, record, wanted, expected) in [
        ("young", record(json!({})), wanted(Some(1800)), None),
        ("any age", record(json!({"started_at": "2020-01-01T00:00:00Z"})), wanted(None), None),
        ("a second too old", record(json!({})), wanted(Some(1799)), Some("is 30m old, and may be 29m 59s")),
        ("never", record(json!({})), wanted(Some(0)), Some("is 30m old, and may be 0s")),
        (
            "of the future",
            record(json!({"started_at": "2026-11-20T22:00:01Z"})),
            wanted(Some(1800)),
            Some("is of an unknown time"),
        ),
        ("of no time", record(json!({"started_at": null})), wanted(None), Some("is of an unknown time")),
        ("unverified", record(json!({"outcome": "unverified"})), wanted(None), Some("was not verified")),
        ("itself a stand-in", record(json!({"outcome": "stood_in"})), wanted(None), Some("was not verified")),
        ("without a snapshot", record(json!({"snapshot": null})), wanted(None), Some("was not verified")),
        ("without a proof", record(json!({"verification": null})), wanted(None), Some("was never read back")),
        (
            "never read back",
            record(
                json!({"verification": {"mode": "none", "bytes_read": 0, "blobs": 0, "digest": "", "finished_at": NOW}}),
            ),
            wanted(None),
            Some("was never read back"),
        ),
        ("of another kind", record(json!({"kind": "sqlite"})), wanted(None), Some("is of another source")),
        ("by another method", record(json!({"method": "dump"})), wanted(None), Some("is of another method")),
        ("of another path", record(json!({"identity": "/srv/u"})), wanted(None), Some("is of another server or path")),
        ("of no path", record(json!({"identity": null})), wanted(None), Some("is of another server or path")),
        (
            "configured otherwise",
            record(json!({"definition": "sha256:bb"})),
            wanted(None),
            Some("is of another definition: the configuration of the source was changed"),
        ),
        (
            "of an older holdpoint",
            record(json!({"definition": null})),
            Wanted { definition: None, ..wanted(None) },
            Some("is of another definition: the configuration of the source was changed"),
        ),
    ] {
        assert_eq!(judge(&wanted, &record, now).err().as_deref(), expected, "{what}");
    }
}

#[test]
fn a_deploy_since_the_capture_counts_by_what_it_changed() {
    let from = |version: Option<&str>, commit: Option<&str>, probe: &str| -> From {
        serde_json::from_value(json!({"version": version, "commit": commit, "probe": probe, "instances": []})).unwrap()
    };
    let (old, new) = (from(Some("1.3.0"), Some("aa"), "http"), from(Some("1.4.0"), Some("bb"), "http"));
    let (first, unknown) = (from(None, None, "first"), from(None, None, "none"));
    for (then, now, same) in [
        (&old, &old, true),
        (&old, &from(Some("v1.3.0"), Some("aa"), "http"), true),
        (&old, &from(Some("1.3.0+7"), Some("aa"), "http"), false),
        (&from(Some("1.3.0+7"), None, "http"), &from(Some("1.3.0+8"), None, "http"), false),
        (&old, &from(Some("1.3.0"), None, "given"), true),
        (&old, &from(Some("1.3.0"), Some("cc"), "http"), false),
        (&old, &new, false),
        (&first, &first, true),
        (&first, &old, false),
        (&unknown, &unknown, false),
        (&old, &unknown, false),
    ] {
        assert_eq!(since(then, now) == Since::Nothing, same, "{then:?} {now:?}");
    }
    let between = since(&old, &new);
    assert_eq!(deploy(&Since::Nothing, Some(Some(true)), true), Deploy::Harmless);
    assert_eq!(deploy(&between, Some(Some(false)), true), Deploy::Harmless);
    assert_eq!(deploy(&between, None, false), Deploy::Untold);
    for (touches, migrates, says) in [
        (Some(Some(true)), false, "before 1.4.0 was deployed over 1.3.0"),
        (Some(None), false, "git cannot tell"),
        (None, true, "it has no when_changed"),
    ] {
        match deploy(&between, touches, migrates) {
            Deploy::Changed(why) => assert!(why.contains(says), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

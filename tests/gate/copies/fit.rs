//! Copies that are not what the configuration asks for.

use super::super::shop::{COMMIT, STAGING};
use super::{kept, part, record, shop};

/// A directory is in no region.
#[test]
fn a_copy_that_is_not_what_is_asked_for_takes_nothing() {
    for required in [true, false] {
        let shop = shop("copy", required);
        let copies = shop.read("holdpoint.toml");
        shop.write("holdpoint.toml", format!("{copies}allowed_regions = [\"eu-central-1\"]\n"));
        let gate = shop.gate(&["data"]);
        let manifest = shop.manifest();
        assert!(manifest.message("region-not-allowed").starts_with("copy offsite: "));
        if required {
            manifest.assert_refused("refused", &["region-not-allowed"]);
            assert_eq!(manifest.source("data")["outcome"], "not_captured");
        } else {
            gate.expect(0);
            assert_eq!(record(&shop)["state"], "failed");
        }
        let copy = shop.beside("copy").display().to_string();
        shop.holdpoint.run(["copy", "-e", STAGING]).expect(10).says(&["offsite", "allowed_regions"]);
        shop.holdpoint.run(["copy", "-e", STAGING, "--to", &copy]).expect(10);
        assert!(kept(&part(&shop, "copy")).is_empty(), "something was written");
        let plan = ["plan", "-e", STAGING, "--release", "1.0.0", "--commit", COMMIT, "--first", "data"];
        for arguments in [&plan[..], &["doctor", "-e", STAGING, "data"]] {
            let output = shop.holdpoint.run(arguments);
            assert_eq!(output.code != Some(0), required, "{output:?}");
            assert!(output.stdout.contains("region-not-allowed"), "{}", output.stdout);
        }
    }
}

//! Who names the environment: the flag, `HOLDPOINT_ENVIRONMENT`, the CI system.

use crate::support::shop::Shop;

#[test]
fn the_strongest_source_of_an_environment_speaks() {
    for (variable, flag, expected) in [
        (None, None, Some("review/x")),
        (Some(""), None, Some("review/x")),
        (Some("qa"), None, Some("qa")),
        (Some("qa"), Some("staging"), Some("staging")),
        // An empty flag is a mistake, and must not become the environment of the job.
        (None, Some(""), None),
    ] {
        let shop = Shop::with(|holdpoint| {
            let variables =
                [("GITLAB_CI", "true"), ("CI_ENVIRONMENT_NAME", "review/x"), ("HOLDPOINT_STORE", "../store")];
            let holdpoint =
                variables.iter().fold(holdpoint.password(), |holdpoint, (name, value)| holdpoint.env(name, *value));
            variable.into_iter().fold(holdpoint, |holdpoint, value| holdpoint.env("HOLDPOINT_ENVIRONMENT", value))
        });
        let mut arguments = vec!["plan", "uploads", "--release", "1.4.0", "--commit", "3f9c2ab", "--format", "json"];
        arguments.extend(flag.into_iter().flat_map(|flag| ["--environment", flag]));
        let output = shop.run(&arguments).expect(if expected.is_some() { 0 } else { 2 });
        assert_eq!(output.json()["environment"].as_str(), expected, "{variable:?} {flag:?}");
    }
}

//! Several deploy steps that ask at once.

use super::Deployment;
use crate::support::shop::COMMIT;

#[test]
fn of_two_passes_that_are_used_at_once_one_deploys() {
    let deployment = Deployment::new();
    let shop = &deployment.shop;
    for round in 0..50 {
        // The older pass and the newer one; or, every other time, one pass and two runs.
        let versions = [format!("1.{round}.0"), format!("1.{round}.{}", round % 2)];
        let folders: Vec<_> = versions.iter().map(|version| deployment.gate(version)).collect();
        let ask = |version: &String| {
            shop.holdpoint().start(["admit", "-e", "staging", "--release", version, "--commit", COMMIT])
        };
        let running: Vec<_> = versions.iter().map(ask).collect();
        let outputs: Vec<_> = running.into_iter().map(|run| run.wait()).collect();
        let mut codes: Vec<_> = outputs.iter().map(|output| output.code.unwrap()).collect();
        let winner = codes.iter().position(|code| *code == 0);
        codes.sort_unstable();
        assert_eq!(codes, [0, 14], "round {round}: {outputs:#?}");
        let winner = winner.unwrap();
        // Where both asked for one version, the newer record was the pass.
        let folder = if versions[0] == versions[1] { &folders[1] } else { &folders[winner] };
        let id = folder.file_name().unwrap().to_str().unwrap();
        shop.run(&["reconcile", "-e", "staging", "--id", id, "--deployed", &versions[winner]]).expect(0);
        assert!(!shop.path().join(".holdpoint/store/shop/staging/claim.json").exists(), "round {round}");
    }
}

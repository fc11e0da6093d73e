//! `admit`, asked by a deploy step that may be honest or not.

mod guest;
mod race;
mod signature;
mod ways;

use crate::support::holdpoint::{Holdpoint, Output};
use crate::support::ledger::release_folder;
use crate::support::shop::{COMMIT, Shop};
use crate::support::signing::Keys;
use std::path::PathBuf;

/// An application whose gate signs, and a deploy step that knows who may.
struct Deployment {
    keys: Keys,
    shop: Shop,
}

impl Deployment {
    fn new() -> Self {
        Self::with(|holdpoint| holdpoint)
    }

    fn with(prepare: impl FnOnce(Holdpoint) -> Holdpoint) -> Self {
        let keys = Keys::new();
        let shop = Shop::with(|holdpoint| {
            let holdpoint = holdpoint.env("HOLDPOINT_SIGNING_KEY", keys.text("release"));
            prepare(holdpoint.env("HOLDPOINT_ALLOWED_SIGNERS", keys.text("allowed_signers")))
        });
        shop.configure(
            "application = \"shop\"\n[[source]]\nname = \"uploads\"\nkind = \"files\"\npaths = [\"uploads\"]\n",
        );
        Self { keys, shop }
    }

    /// Runs the gate, which must pass; returns the folder of the release in the ledger.
    fn gate(&self, release: &str) -> PathBuf {
        self.shop.gate(release, &["--first"]).expect(0);
        self.folder(self.shop.manifest()["id"].as_str().unwrap(), "staging")
    }

    /// Returns the folder of a release.
    fn folder(&self, id: &str, environment: &str) -> PathBuf {
        self.shop.path().join(".holdpoint/store/shop").join(environment).join(release_folder(id))
    }

    fn admit(&self, release: &str, more: &[&str]) -> Output {
        self.admit_commit(COMMIT, release, more)
    }

    fn admit_commit(&self, commit: &str, release: &str, more: &[&str]) -> Output {
        let fixed = ["admit", "--environment", "staging", "--release", release, "--commit", commit];
        self.shop.holdpoint().run(fixed.iter().chain(more))
    }

    /// Asks for admission, which must be refused for this reason in these words.
    #[track_caller]
    fn refused(&self, output: Output, exit: u8, code: &str, words: &str) {
        let output = output.expect(exit);
        output.refuses_in_words();
        assert!(output.stdout.contains(&format!("[{code}]")), "{code} in\n{}", output.stdout);
        assert!(output.stdout.contains(words), "{words:?} in\n{}", output.stdout);
        let ledger = self.shop.path().join(".holdpoint/store/shop/staging");
        assert!(!ledger.join("claim.json").exists() || exit == 14, "a claim was left open");
    }
}

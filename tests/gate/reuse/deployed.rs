//! A snapshot from before the last deploy: what that deploy changed is captured, what nobody can tell is said.

use super::{id, outcome, said};
use crate::gate::shop::{Manifest, STAGING, Shop};
use crate::support::git::Repository;
use serde_json::json;

const CONFIGURATION: &str = r#"
application = "shop"

[[source]]
name = "orders"
kind = "files"
paths = ["data/orders.csv"]
when_changed = ["migrations/**"]

[[source]]
name = "uploads"
kind = "files"
paths = ["data/uploads"]

[environment.staging.deployed]
kind = "file"
path = "deployed.json"
version = "/version"
commit = "/commit"

[policy]
builtin_raise = false

[policy.patch]
scope = "changed"
reuse_within = "1h"
"#;

struct World {
    shop: Shop,
    git: Repository,
}

impl World {
    fn gate(&self, version: &str) -> Manifest {
        let commit = self.git.head();
        let fixed = ["gate", "-e", STAGING, "--release", version, "--commit", &commit];
        self.shop.holdpoint.run(fixed).expect(0);
        self.shop.manifest()
    }

    /// Lets a version run.
    fn deployed(&self, version: &str) {
        self.shop.write("deployed.json", json!({"version": version, "commit": self.git.head()}).to_string());
    }

    fn commit(&self, path: &str) {
        self.git.write(path, path);
        self.git.commit(path);
    }
}

#[test]
fn what_the_last_deploy_migrated_is_captured_before_the_next_one() {
    let shop = Shop::with(CONFIGURATION);
    let git = Repository::new(shop.path(""));
    git.write(".gitignore", "/*\n!/src\n!/migrations\n");
    let world = World { shop, git };
    world.commit("src/1");
    world.deployed("1.0.0");
    world.commit("migrations/1.sql");
    let first = world.gate("1.0.1");
    assert_eq!((outcome(&first, "orders").0, outcome(&first, "uploads").0), ("verified", "verified"));
    // Nothing was deployed yet: asked again, it is the same state.
    let again = world.gate("1.0.1");
    let stands_in = ("stood_in", Some(id(&first)));
    assert_eq!((outcome(&again, "orders"), outcome(&again, "uploads")), (stands_in, stands_in));
    assert!(!again.codes("warning").contains(&"stand-in-before-deploy"), "{:?}", again.codes("warning"));

    // 1.0.1 is deployed, and migrates; 1.0.2 does not, but goes back to what 1.0.1 made.
    world.deployed("1.0.1");
    world.commit("src/2");
    let second = world.gate("1.0.2");
    assert_eq!((outcome(&second, "orders").0, outcome(&second, "uploads")), ("verified", stands_in));
    let why = said(&second, "orders").join("\n");
    assert!(
        why.contains("is from before 1.0.1 was deployed over 1.0.0, which changed paths of its when_changed"),
        "{why}"
    );
    assert_eq!(second.codes("warning").iter().filter(|code| **code == "stand-in-before-deploy").count(), 1);
    assert!(second.message("stand-in-before-deploy").contains("1.0.0 ran then, and 1.0.1 runs now"));

    // 1.0.2 migrated nothing: what was captured before it is as good, and the source says so.
    world.deployed("1.0.2");
    world.commit("src/3");
    let third = world.gate("1.0.3");
    assert_eq!(outcome(&third, "orders"), ("stood_in", Some(id(&second))));
    assert_eq!(third.source("orders")["stand_in"]["rule"], "policy.patch.scope");
}

//! What a release must have: refused before anything is captured where that is sure, and at the end where only that tells.

mod approval;
mod glass;

use crate::support::git::Repository;
use crate::support::holdpoint::Output;
use crate::support::shop::{COMMIT, Shop};
use crate::support::signing::Keys;
use serde_json::Value;

const SOURCE: &str =
    "application = \"shop\"\n[[source]]\nname = \"uploads\"\nkind = \"files\"\npaths = [\"uploads\"]\n";

/// An application whose configuration ends with `more`.
fn shop(more: &str) -> Shop {
    let shop = Shop::new();
    shop.configure(&format!("{SOURCE}{more}"));
    shop
}

/// Returns the codes of the refusals in the last manifest, in their order.
fn refusals(shop: &Shop) -> Vec<String> {
    let manifest = shop.manifest();
    let findings = manifest["decision"]["findings"].as_array().unwrap();
    let refusals = findings.iter().filter(|finding| finding["level"] == "refusal");
    refusals.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

/// Says whether the last run captured anything.
fn captured(shop: &Shop) -> bool {
    shop.manifest()["sources"].as_array().unwrap().iter().any(|source| source["outcome"] != "not_captured")
}

/// Returns a rule that the last manifest names.
fn rule(manifest: &Value, requirement: &str) -> String {
    let rules = manifest["decision"]["policy"]["rules"].as_array().unwrap();
    let rule = rules.iter().find(|rule| rule["inputs"]["requirement"] == requirement).unwrap();
    format!("{}: {}", rule["name"].as_str().unwrap(), rule["outcome"].as_str().unwrap())
}

fn has(output: &Output, code: &str) {
    assert!(output.stdout.contains(&format!("[{code}]")), "no {code} in\n{}", output.stdout);
}

#[test]
fn what_is_sure_to_be_missing_refuses_before_the_capture() {
    let shop = shop(
        "[environment.staging]\nrequire = [\"signed\", \"copy\", \"immutable\", \"owner\", \"coverage\"]\n\
         [policy.first]\nrequire = [\"ticket\", \"clean-tree\", \"signed-tag\", \"approval\", \"signed\"]\n\
         [policy.patch]\ndrill_within = \"30d\"\n",
    );
    shop.write(".env", "DATABASE_URL=postgres://h/shop\n");
    shop.gate("1.4.0", &["--first"]).expect(13).refuses_in_words();
    let mut found = refusals(&shop);
    found.sort();
    assert_eq!(
        found,
        [
            "require-approval",
            "require-clean-tree",
            "require-copy",
            "require-coverage",
            "require-immutable",
            "require-owner",
            "require-signed",
            "require-signed-tag",
            "require-ticket"
        ]
    );
    assert!(!captured(&shop));
    let manifest = shop.manifest();
    assert!(rule(&manifest, "signed").starts_with("environment.staging.require: not met: "), "{manifest:#}");
    assert!(rule(&manifest, "ticket").starts_with("policy.first.require: not met: "), "{manifest:#}");
    assert_eq!(manifest["decision"]["policy"]["require"].as_array().unwrap().len(), 9);
    // A patch is asked for what its environment and its own severity demand.
    shop.gate("1.4.1", &["--from", "1.4.0"]).expect(13);
    assert!(refusals(&shop).contains(&"require-drill".to_owned()));
    assert!(!refusals(&shop).contains(&"require-ticket".to_owned()));
    // A snapshot outside of a deploy is asked for nothing.
    shop.run(&["snapshot", "-e", "staging", "--release", "1.4.0", "--commit", COMMIT]).expect(0);
}

#[test]
fn a_ticket_of_the_right_form_goes_into_the_record() {
    let shop = shop("[environment.staging]\nrequire = [\"ticket\"]\nticket_pattern = \"OPS-[0-9]+\"\n");
    shop.gate("1.4.0", &["--first", "--ticket", "none"]).expect(13);
    assert_eq!(refusals(&shop), ["require-ticket"]);
    shop.gate("1.4.0", &["--first", "--ticket", "OPS-7"]).expect(0);
    let manifest = shop.manifest();
    assert_eq!(manifest["decision"]["ticket"], "OPS-7");
    assert_eq!(rule(&manifest, "ticket"), "environment.staging.require: met: OPS-7");
    crate::support::shop::assert_valid("manifest", &manifest);
}

#[test]
fn a_copy_that_failed_in_the_end_is_none() {
    let shop =
        shop("[store.copies.far]\nlocation = \"../a-file/store\"\n[environment.staging]\nrequire = [\"copy\"]\n");
    std::fs::write(shop.beside("a-file"), "no directory").unwrap();
    shop.gate("1.4.0", &["--first"]).expect(13);
    assert_eq!(refusals(&shop), ["require-copy"]);
    assert!(captured(&shop), "nobody could know before");
    shop.configure(&format!(
        "{SOURCE}[store.copies.far]\nlocation = \"../far\"\n[environment.staging]\nrequire = [\"copy\"]\n"
    ));
    shop.gate("1.4.0", &["--first"]).expect(0);
}

#[test]
fn a_drill_is_asked_for_and_believed() {
    let shop = shop("");
    shop.gate("1.4.0", &["--first"]).expect(0);
    let demanding = |rto: &str| {
        shop.configure(&format!("{SOURCE}[environment.staging]\nrto = \"{rto}\"\ndrill_within = \"30d\"\n"));
        shop.gate("1.4.1", &["--from", "1.4.0"])
    };
    demanding("1h").expect(13);
    assert_eq!(refusals(&shop), ["require-drill"]);
    shop.run(&["drill", "-e", "staging"]).expect(0);
    demanding("1h").expect(0);
    // What was fast enough then is not what is promised now.
    demanding("1ms").expect(13);
    assert_eq!(refusals(&shop), ["require-drill"]);
}

#[test]
fn a_working_tree_is_clean_whatever_holdpoint_writes_there() {
    let shop = shop("[environment.staging]\nrequire = [\"clean-tree\"]\n");
    let git = Repository::new(shop.path());
    shop.write(".gitignore", "*.log\n");
    git.commit("first");
    let gate = || shop.run(&["gate", "-e", "staging", "--release", "1.4.0", "--first"]);
    gate().expect(0);
    shop.write("build.log", "ignored");
    gate().expect(0);
    shop.write("uploads/mug.png", "changed");
    has(&gate().expect(13), "require-clean-tree");
    git.git(&["checkout", "--quiet", "uploads"]);
    shop.write("src/new.rs", "fn main() {}\n");
    assert!(gate().expect(13).stdout.contains("1 path differs: src/new.rs"));
    let before = git.head();
    git.commit("second");
    let older = shop.run(&["gate", "-e", "staging", "--release", "1.4.0", "--first", "--commit", &before]).expect(13);
    assert!(older.stdout.contains("is checked out"), "{}", older.stdout);
}

#[test]
fn a_tag_is_signed_by_a_known_key_for_this_very_version() {
    let keys = Keys::new();
    let public = keys.make("ada");
    keys.make("stranger");
    keys.allow(&format!("ada@acme.example namespaces=\"git\" {public}\n"));
    let shop = Shop::with(|holdpoint| holdpoint.env("HOLDPOINT_ALLOWED_SIGNERS", keys.text("allowed_signers")));
    shop.configure(&format!("{SOURCE}[environment.staging]\nrequire = [\"signed-tag\"]\n"));
    let git = Repository::new(shop.path());
    let commit = git.commit("first");
    let gate =
        |version: &str| shop.run(&["gate", "-e", "staging", "--release", version, "--first", "--commit", &commit]);
    let sign = |key: &str, name: &str| {
        let key = format!("user.signingkey={}", keys.text(key));
        git.git(&["-c", "gpg.format=ssh", "-c", &key, "tag", "--force", "--sign", "-m", "release", name]);
    };
    let refused = |words: &str| {
        let output = gate("1.4.0").expect(13);
        has(&output, "require-signed-tag");
        assert!(output.stdout.contains(words), "{words:?} in\n{}", output.stdout);
        assert!(!captured(&shop));
    };
    refused("no tag of 1.4.0 is at the commit");
    git.git(&["tag", "v1.4.0"]);
    refused("v1.4.0 has no signature");
    git.git(&["tag", "--force", "--annotate", "-m", "x", "v1.4.0"]);
    refused("v1.4.0 has no signature");
    sign("stranger", "v1.4.0");
    refused("not among the allowed signers");
    sign("ada", "v1.4.0");
    gate("1.4.0").expect(0);
    assert!(rule(&shop.manifest(), "signed-tag").ends_with("met: v1.4.0 is signed by ada@acme.example"));
    // The same object under another name is no tag of another version.
    git.git(&["update-ref", "refs/tags/v1.5.0", "refs/tags/v1.4.0"]);
    let renamed = gate("1.5.0").expect(13);
    assert!(renamed.stdout.contains("says another name"), "{}", renamed.stdout);
    // Nor is one whose message was edited after it was signed.
    let object = git.git(&["cat-file", "tag", "v1.4.0"]).replace("\nrelease\n", "\nreleasd\n");
    shop.write(".git/edited", &object);
    let edited = git.git(&["hash-object", "-t", "tag", "-w", ".git/edited"]);
    git.git(&["update-ref", "refs/tags/v1.4.0", edited.trim()]);
    refused("altered");
}

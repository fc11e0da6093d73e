//! The tools that check and run the template; `scripts/test` installs them.

use crate::support::environment::{command, must};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns a path below the top of the repository.
pub fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Reads a file of the repository.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(here(path)).unwrap()
}

/// Returns Python, with the packages for CI systems.
pub fn python(home: &Path) -> Command {
    let mut python = command("python3", home);
    python.env("PYTHONPATH", here("target/test-tools/python-ci"));
    python
}

/// Returns gitlab-ci-local.
pub fn gitlab_ci_local(home: &Path) -> Command {
    let mut node = command("node", home);
    node.arg(here("target/test-tools/gitlab-ci-local/package/dist/index.js"));
    node
}

/// Reads the documents of a YAML file; a value with a tag, such as `!reference`, is taken without it.
pub fn yaml(path: &Path) -> Vec<Value> {
    const PROGRAM: &str = "import json, sys\n\
         from ruamel.yaml import YAML\n\
         print(json.dumps(list(YAML(typ='safe', pure=True).load_all(open(sys.argv[1])))))";
    let home = tempfile::TempDir::new().unwrap();
    let documents = must(python(home.path()).args(["-c", PROGRAM]).arg(path));
    serde_json::from_str(&documents).unwrap()
}

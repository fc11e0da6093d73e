//! `gitlab-template.yml`, and the pipeline of `docs/ci/gitlab/` that includes it, run by gitlab-ci-local.

mod cancelled;
mod docs;
mod inputs;
mod project;
mod runs;
mod script;
mod template;
pub mod tools;

//! `gitlab-template.yml`, and the pipeline of `docs/ci/gitlab/` that includes it, run by gitlab-ci-local.

mod cancelled;
mod inputs;
mod project;
mod runs;
mod template;
mod tools;

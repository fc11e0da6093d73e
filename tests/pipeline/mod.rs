//! What the pipelines of CI systems run: the wrappers as they are shipped, with the real binary.

mod examples;
mod github;
mod gitlab;
mod jenkins;
mod kubernetes;

//! What the policy decides, and how it explains it.

mod decisions;
mod history;
mod plan;

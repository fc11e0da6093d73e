//! Verdict → readers: text, JSON, HTML, CI systems, progress. Nothing here decides anything or prints anything but progress.

pub mod audit;
pub mod ci;
pub mod closing;
mod content;
pub mod drill;
mod drilled;
mod elsewhere;
pub mod explain;
pub mod happened;
pub mod html;
pub mod markdown;
pub mod progress;
pub mod prune;
pub mod rollback;
pub mod schema;
pub mod status;
mod table;
pub mod text;
pub mod told;
mod undoing;
pub mod units;
pub mod verdict;
mod view;
mod way_back;
mod ways;

#[cfg(test)]
mod sample;

//! Verdict → readers: text, JSON, HTML, CI systems, progress. Nothing here decides anything or prints anything but progress.

pub mod ci;
pub mod closing;
mod content;
pub mod drill;
mod elsewhere;
mod happened;
pub mod html;
pub mod progress;
pub mod rollback;
pub mod schema;
mod table;
pub mod text;
pub mod units;
pub mod verdict;
mod view;
mod way_back;

#[cfg(test)]
mod sample;

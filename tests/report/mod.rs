//! What readers are shown beside text and JSON.

mod ci;
mod runner;

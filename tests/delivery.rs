//! What people download: `scripts/release`, its packages, the sums that wrappers pin, the image. Nothing is built here: programs that
//! were built before stand in for what a release would build.

mod image;
mod packages;
mod pin;
mod release;
mod tools;
mod versions;

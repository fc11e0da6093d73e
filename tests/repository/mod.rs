//! The repository engine against stock restic.

mod archive;

//! The repository engine against stock restic.

mod archive;
mod damage;
mod lock;
mod prune;
mod publish;
mod restic;
mod restore;

//! The repository engine against stock restic.

mod damage;
mod lock;
mod restic;

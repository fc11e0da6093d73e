//! Every kind of source against a real server of it.

mod bank;
mod postgres_base_backup;
mod postgres_restore_point;

//! The ledger on real stores.

mod lease;

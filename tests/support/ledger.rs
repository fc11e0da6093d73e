//! Where the ledger of an environment keeps what.

/// Returns the folder of a release below that of its environment.
pub fn release_folder(id: &str) -> String {
    format!("releases/{}/{}/{}/{id}", &id[..4], &id[4..6], &id[6..8])
}

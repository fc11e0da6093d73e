//! Folders in which migration tools keep their steps: where there are some, there is a database.

use std::path::{Path, PathBuf};

/// The folders that the tools make by default.
const FOLDERS: [&str; 10] = [
    "migrations",
    "db/migrate",
    "db/migrations",
    "db/migration",
    "database/migrations",
    "prisma/migrations",
    "alembic/versions",
    "migrations/versions",
    "src/main/resources/db/migration",
    "src/main/resources/db/changelog",
];

/// Returns the folders of the list that hold something.
pub(super) fn folders(top: &Path) -> Vec<PathBuf> {
    let holds = |folder: &&&str| top.join(folder).read_dir().is_ok_and(|mut entries| entries.next().is_some());
    FOLDERS.iter().filter(holds).map(PathBuf::from).collect()
}

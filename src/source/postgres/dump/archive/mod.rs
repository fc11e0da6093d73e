//! pg_dump's archives, read as a stream: what they say they hold, and whether they do.

mod custom;
mod directory;
mod input;
mod roles;
mod rows;
mod toc;

pub(in crate::source::postgres) use custom::read_custom;
pub(in crate::source::postgres) use directory::{TOC_FILE, read_directory};
pub(in crate::source::postgres) use input::Failure;
pub(in crate::source::postgres) use toc::{Format, Toc};

use crate::source::migrations::{SchemaVersion, TOOLS};
use input::wrong;
use rows::RowCounter;
use std::collections::BTreeMap;
use toc::DataKind;

/// An archive that was read to its end and found complete.
#[derive(Debug)]
pub(in crate::source::postgres) struct Archive {
    pub format: Format,
    pub toc: Toc,
    /// How many rows each table has: by schema and name.
    pub rows: BTreeMap<(String, String), u64>,
    pub large_objects: u64,
    /// The version of the application's schema, if a migration tool keeps it in a table.
    pub schema_version: Option<SchemaVersion>,
}

impl Archive {
    fn new(format: Format, toc: Toc) -> Self {
        Self { format, toc, rows: BTreeMap::new(), large_objects: 0, schema_version: None }
    }

    /// Reads the rows of one table with `read`, and notes their number.
    fn count(
        &mut self,
        kind: &DataKind,
        read: impl FnOnce(&mut RowCounter) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let DataKind::Table { schema, name, columns } = kind else {
            return read(&mut RowCounter::new(false));
        };
        let mut counter = RowCounter::new(columns.is_some());
        read(&mut counter)?;
        let Some(rows) = counter.rows() else {
            return wrong(format!("the rows of {schema}.{name} have no end"));
        };
        self.rows.insert((schema.clone(), name.clone()), rows);
        if let Some(columns) = columns
            && let Some(version) = counter.schema_version(name, columns)
        {
            // Of several tools the one whose table tells most.
            let place = |version: &SchemaVersion| TOOLS.iter().position(|tool| tool.name == version.tool);
            if self.schema_version.as_ref().is_none_or(|known| place(&version) < place(known)) {
                self.schema_version = Some(version);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! The custom format: after the table of contents a block for each entry that has data, in any order, to the end of the
//! file. The format is that of PostgreSQL's `src/bin/pg_dump/pg_backup_custom.c`.

use super::input::{Failure, Input, wrong};
use super::toc::{self, DataKind, Format};
use super::{Archive, RowCounter};
use crate::cancel::Cancel;
use std::collections::BTreeSet;
use std::io::Read;

/// `BLK_DATA` and `BLK_BLOBS`.
const DATA: u8 = 1;
const LARGE_OBJECTS: u8 = 3;

/// Reads a whole archive.
///
/// # Errors
/// It is not one, is not complete, or cannot be read; the reason of a cancellation.
pub(in crate::source::postgres) fn read_custom(stream: &mut dyn Read, cancel: &Cancel) -> Result<Archive, Failure> {
    let mut input = Input::new(stream, cancel);
    let toc = toc::read(&mut input, Format::Custom)?;
    let mut archive = Archive::new(Format::Custom, toc);
    let mut missing: BTreeSet<i64> = archive.toc.data.keys().copied().collect();
    while let Some(block) = input.next_byte()? {
        let number = input.int()?;
        let kind = archive.toc.data.get(&number).map(|data| data.kind.clone());
        let Some(kind) = kind.filter(|_| missing.remove(&number)) else {
            return wrong(format!("the block before byte {} has data of an unknown entry", input.position()));
        };
        match (block, &kind) {
            (DATA, DataKind::Table { .. } | DataKind::Other) => {
                archive.count(&kind, |counter| chunks(&mut input, Some(counter)))?;
            }
            (LARGE_OBJECTS, DataKind::LargeObjects) => {
                while input.int()? != 0 {
                    archive.large_objects += 1;
                    chunks(&mut input, None)?;
                }
            }
            (other, _) => return wrong(format!("the block before byte {} is of the kind {other}", input.position())),
        }
    }
    match missing.first().and_then(|number| archive.toc.data.get(number)) {
        None => Ok(archive),
        Some(data) => {
            let what = match &data.kind {
                DataKind::Table { schema, name, .. } => format!("the rows of {schema}.{name}"),
                DataKind::LargeObjects => "the large objects".to_owned(),
                DataKind::Other => "some data".to_owned(),
            };
            let more =
                if missing.len() > 1 { format!(" and of {} more entries", missing.len() - 1) } else { String::new() };
            wrong(format!("it ends at byte {}: {what}{more} are missing", input.position()))
        }
    }
}

/// Takes data piece by piece: the length of each comes first, and a length of 0 last.
fn chunks(input: &mut Input<'_>, mut counter: Option<&mut RowCounter>) -> Result<(), Failure> {
    loop {
        match u64::try_from(input.int()?) {
            Ok(0) => return Ok(()),
            Ok(length) => match &mut counter {
                Some(counter) => input.each(length, |slice| counter.take(slice))?,
                None => input.skip(length)?,
            },
            Err(_) => return wrong(format!("a piece before byte {} has a negative length", input.position())),
        }
    }
}

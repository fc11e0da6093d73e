//! The directory format: `toc.dat`, and a file for each entry that has data. The format is that of PostgreSQL's
//! `src/bin/pg_dump/pg_backup_directory.c`.

use super::input::{Failure, Input, wrong};
use super::toc::{self, DataKind, Format};
use super::{Archive, RowCounter};
use crate::cancel::Cancel;
use crate::error::ErrorCode;
use crate::source::Stored;
use std::collections::BTreeSet;
use std::io::Read;

/// The file with the table of contents.
pub(in crate::source::postgres) const TOC_FILE: &str = "toc.dat";

/// Reads all files of an archive.
///
/// # Errors
/// They are not one, are not complete, or cannot be read; the reason of a cancellation.
pub(in crate::source::postgres) fn read_directory(stored: &dyn Stored, cancel: &Cancel) -> Result<Archive, Failure> {
    let toc = {
        let mut stream = open(stored, TOC_FILE)?;
        let mut input = Input::new(&mut stream, cancel);
        let toc = toc::read(&mut input, Format::Directory)?;
        if input.next_byte()?.is_some() {
            return wrong(format!("{TOC_FILE} goes on at byte {}, after its end", input.position()));
        }
        toc
    };
    let mut archive = Archive::new(Format::Directory, toc);
    let data: Vec<(DataKind, Option<String>)> =
        archive.toc.data.values().map(|data| (data.kind.clone(), data.file.clone())).collect();
    for (kind, file) in data {
        let Some(file) = file else { return wrong(format!("{TOC_FILE} does not say where the data of an entry is")) };
        let mut stream = open(stored, &file)?;
        let mut input = Input::new(&mut stream, cancel);
        if kind == DataKind::LargeObjects {
            archive.large_objects += large_objects(&mut input, &file, stored)?;
        } else {
            archive.count(&kind, |counter| whole(&mut input, counter))?;
        }
    }
    Ok(archive)
}

fn open<'s>(stored: &'s dyn Stored, file: &str) -> Result<Box<dyn Read + 's>, Failure> {
    stored.open(file).map_err(|error| match error.code() {
        ErrorCode::NotFound => Failure::Content(format!("its file {file} is missing")),
        _ => Failure::Read(error),
    })
}

fn whole(input: &mut Input<'_>, counter: &mut RowCounter) -> Result<(), Failure> {
    loop {
        let slice = input.at_hand()?;
        let count = slice.len();
        if count == 0 {
            return Ok(());
        }
        counter.take(slice);
        input.take(count);
    }
}

/// Counts the lines of a list of large objects, each its number and its file.
fn large_objects(input: &mut Input<'_>, list: &str, stored: &dyn Stored) -> Result<u64, Failure> {
    let names: BTreeSet<&str> = stored.names().iter().map(String::as_str).collect();
    let mut text = Vec::new();
    let mut count = 0;
    while let Some(byte) = input.next_byte()? {
        if byte != b'\n' {
            text.push(byte);
            continue;
        }
        let line = String::from_utf8_lossy(&text);
        match line.split_once(' ') {
            Some((_, file)) if names.contains(file) => count += 1,
            _ => return wrong(format!("{list} names a large object whose file is missing: {line}")),
        }
        text.clear();
    }
    if text.is_empty() { Ok(count) } else { wrong(format!("{list} ends in the middle of a line")) }
}

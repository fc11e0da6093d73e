use super::*;
use crate::cancel::Cancel;
use crate::source::Stored;
use crate::source::sample::Kept;

/// Writes an archive as pg_dump does.
struct Writer {
    bytes: Vec<u8>,
    version: u8,
    format: Format,
}

impl Writer {
    fn new(version: u8, format: Format) -> Self {
        let mut writer = Self { bytes: b"PGDMP".to_vec(), version, format };
        let format = if format == Format::Custom { 1 } else { 3 };
        writer.bytes.extend_from_slice(&[1, version, 0, 4, 8, format]);
        if version >= 15 {
            writer.bytes.push(0);
        } else {
            writer.int(0);
        }
        for part in [1, 2, 3, 4, 5, 126, 0] {
            writer.int(part);
        }
        for text in ["shop", "15.18 (Debian)", "16.2"] {
            writer.text(Some(text));
        }
        writer
    }

    fn int(&mut self, value: i32) {
        self.bytes.push(u8::from(value < 0));
        self.bytes.extend_from_slice(&value.unsigned_abs().to_le_bytes());
    }

    fn text(&mut self, text: Option<&str>) {
        match text {
            None => self.int(-1),
            Some(text) => {
                self.int(i32::try_from(text.len()).unwrap());
                self.bytes.extend_from_slice(text.as_bytes());
            }
        }
    }

    fn entry(&mut self, number: i32, file: Option<&str>, kind: &str, name: &str, definition: &str, copy: Option<&str>) {
        self.int(number);
        self.int(i32::from(file.is_some()));
        for text in ["1259", "16384", name, kind] {
            self.text(Some(text));
        }
        self.int(2);
        for text in [Some(definition), Some("DROP"), copy, Some("public"), None] {
            self.text(text);
        }
        if self.version >= 14 {
            self.text(Some("heap"));
        }
        if self.version >= 16 {
            self.int(i32::from(b'r'));
        }
        for text in [Some("owner"), Some("false"), Some("7"), None] {
            self.text(text);
        }
        match self.format {
            Format::Directory => self.text(Some(file.unwrap_or_default())),
            Format::Custom => self.bytes.extend_from_slice(&[3, 0, 0, 0, 0, 0, 0, 0, 0]),
        }
    }

    fn toc(&mut self) {
        self.int(8);
        self.entry(1, None, "ENCODING", "ENCODING", "SET client_encoding = 'UTF8';\n", None);
        self.entry(2, None, "DATABASE", "shop", "CREATE DATABASE shop WITH TEMPLATE = template0;\n", None);
        self.entry(3, None, "TABLE", "alembic_version", "CREATE TABLE x ()", None);
        self.entry(4, None, "TABLE", "events", "CREATE TABLE events (\n)\nPARTITION BY RANGE (at);\n", None);
        self.entry(5, None, "SEQUENCE", "s", "CREATE SEQUENCE s", None);
        self.entry(6, None, "EXTENSION", "hstore", "CREATE EXTENSION hstore", None);
        let copy = "COPY public.alembic_version (version_num) FROM stdin;\n";
        self.entry(7, Some("7.dat"), "TABLE DATA", "alembic_version", "", Some(copy));
        self.entry(8, Some("blobs.toc"), "BLOBS", "BLOBS", "", None);
    }

    fn chunks(&mut self, chunks: &[&str]) {
        chunks.iter().for_each(|chunk| self.text(Some(chunk)));
        self.int(0);
    }
}

fn custom(version: u8) -> Vec<u8> {
    let mut writer = Writer::new(version, Format::Custom);
    writer.toc();
    writer.bytes.push(3);
    writer.int(8);
    for number in [4711, 4712] {
        writer.int(number);
        writer.chunks(&["large", "object"]);
    }
    writer.int(0);
    writer.bytes.push(1);
    writer.int(7);
    writer.chunks(&["a1\n", "b2\n", "\\.\n\n\n"]);
    writer.bytes
}

fn directory(version: u8) -> Kept {
    let mut writer = Writer::new(version, Format::Directory);
    writer.toc();
    Kept::one("toc.dat", writer.bytes)
        .with("7.dat", "a1\nb2\n\\.\n\n\n")
        .with("blobs.toc", "4711 blob_4711.dat\n4712 blob_4712.dat\n")
        .with("blob_4711.dat", "x")
        .with("blob_4712.dat", "y")
}

fn assert_complete(archive: &Archive, version: u8) {
    let toc = &archive.toc;
    assert_eq!(toc.format_version, format!("1.{version}"));
    assert_eq!((toc.server_version.as_str(), toc.tool_version.as_str()), ("15.18 (Debian)", "16.2"));
    assert_eq!((toc.tables, toc.sequences, toc.encoding.as_deref()), (2, 1, Some("UTF8")));
    assert_eq!(toc.database_options.as_deref(), Some("WITH TEMPLATE = template0"));
    assert!(toc.extensions.contains("hstore") && toc.owners.contains("owner"));
    assert_eq!(archive.rows[&("public".to_owned(), "alembic_version".to_owned())], 2);
    assert_eq!((archive.rows.len(), archive.large_objects), (1, 2));
    assert_eq!(archive.schema_version.as_ref().unwrap().version, "a1, b2");
}

fn read(bytes: &[u8]) -> Result<Archive, Failure> {
    read_custom(&mut &*bytes, &Cancel::new())
}

#[test]
fn every_version_of_the_formats_is_read() {
    for version in 12..=16 {
        assert_complete(&read(&custom(version)).unwrap(), version);
        assert_complete(&read_directory(&directory(version), &Cancel::new()).unwrap(), version);
    }
    for version in [11, 17] {
        let Err(Failure::Content(what)) = read(&custom(version)) else { panic!("{version}") };
        assert!(what.contains("not known"), "{what}");
    }
}

#[test]
fn an_archive_cut_anywhere_is_not_complete() {
    let whole = custom(14);
    for end in 0..whole.len() {
        assert!(matches!(read(&whole[..end]), Err(Failure::Content(_))), "{end}");
    }
    // Nor is one with a byte too much, or with one that is another.
    assert!(read(&[&whole[..], b"x"].concat()).is_err());
    for place in 0..whole.len() {
        let mut other = whole.clone();
        other[place] ^= 0x41;
        // Some bytes are names; none may make it panic or read without end.
        drop(read(&other));
    }
}

#[test]
fn a_directory_without_one_of_its_files_is_not_complete() {
    let whole = directory(14);
    for missing in whole.names() {
        let mut part = Kept::default();
        for name in whole.names().iter().filter(|name| *name != missing) {
            part = part.with(name, whole.bytes(name));
        }
        let Err(Failure::Content(what)) = read_directory(&part, &Cancel::new()) else { panic!("{missing}") };
        assert!(what.contains("missing"), "{missing}: {what}");
    }
    let cut = whole.with("7.dat", "a1\nb2\n");
    assert!(
        matches!(read_directory(&cut, &Cancel::new()), Err(Failure::Content(what)) if what.contains("have no end"))
    );
}

//! What a dump holds, found by reading it.

use super::catalog::{Database, Name};
use super::input::Input;
use super::lexer::{Fault, Item, Lexer};
use super::values::{self, KeptRows};
use crate::cancel::Cancel;
use crate::error::Result;
use crate::source::migrations::{SchemaVersion, is_migration_table, schema_version};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// What our own lines before a dump begin with, one for each database: what a dump of only one does not say.
pub(super) const DATABASE_LINE: &str = "-- holdpoint: database ";
/// What the last line of a whole dump begins with.
const END: &str = "Dump completed";

/// What a dump holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Whether the dump program said at the end that it is the end.
    pub is_complete: bool,
    /// Why the rest could not be read.
    pub broken: Option<String>,
    /// The databases by our own lines.
    pub databases: Vec<Database>,
    /// Whether the dump itself says which database it goes into: one of several does.
    pub names_databases: bool,
    /// Tables and their rows; the database is empty where the dump does not name it.
    pub tables: BTreeMap<Name, u64>,
    pub views: BTreeSet<Name>,
    pub sequences: BTreeSet<Name>,
    pub triggers: u64,
    pub routines: u64,
    pub events: u64,
    /// The file and position of the binary log that the rows are of.
    pub log: Option<(String, u64)>,
    /// The same as a position of global transaction identifiers.
    pub gtid: Option<String>,
    migrations: BTreeMap<Name, Migration>,
    current: String,
}

/// The table of a migration tool.
#[derive(Debug, Default)]
struct Migration {
    columns: Vec<String>,
    rows: KeptRows,
}

impl Contents {
    /// Reads a dump to its end, or to where it is none.
    ///
    /// # Errors
    /// The stream's own; a cancellation.
    pub(super) fn read(stream: &mut dyn Read, cancel: &Cancel) -> Result<Self> {
        let mut lexer = Lexer::new(Input::new(stream, cancel));
        let mut contents = Self::default();
        match contents.read_items(&mut lexer) {
            Ok(()) => {}
            Err(Fault::Broken(what)) => contents.broken = Some(what),
            Err(Fault::Read(error)) => return Err(error),
        }
        contents.tables.retain(|name, _| !contents.views.contains(name));
        Ok(contents)
    }

    fn read_items(&mut self, lexer: &mut Lexer<'_>) -> Result<(), Fault> {
        while let Some(item) = lexer.next()? {
            match item {
                Item::Comment => self.comment(&String::from_utf8_lossy(&lexer.text)),
                Item::Statement => {
                    self.is_complete = false;
                    let text = String::from_utf8_lossy(&lexer.text);
                    self.statement(&text);
                    lexer.backslash_is_plain = backslash_is_plain(&text).unwrap_or(lexer.backslash_is_plain);
                }
                Item::Insert => {
                    self.is_complete = false;
                    self.insert(lexer)?;
                }
            }
        }
        Ok(())
    }

    fn comment(&mut self, line: &str) {
        let text = line.trim_start_matches('-').trim();
        self.is_complete |= text.starts_with(END);
        if let Some(rest) = line.strip_prefix(DATABASE_LINE) {
            let mut names = Tokens(rest).filter_map(Token::into_name);
            if let (Some(name), Some(character_set), Some(collation)) = (names.next(), names.next(), names.next()) {
                self.databases.push(Database { name, character_set, collation });
            }
        }
        // The first is of the moment of the dump; a replica's dump may name its own source's after it.
        if let Some(log) = log_position(text) {
            self.log.get_or_insert(log);
        }
        if let Some(gtid) = text.strip_prefix("SET GLOBAL gtid_slave_pos='").and_then(|rest| rest.split('\'').next()) {
            self.gtid.get_or_insert(gtid.to_owned());
        }
    }

    fn statement(&mut self, text: &str) {
        let mut tokens = Tokens(text);
        match tokens.next() {
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("CREATE") => self.create(tokens, text),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("USE") => {
                self.names_databases = true;
                self.current = tokens.next().and_then(Token::into_name).unwrap_or_default();
            }
            _ => {}
        }
    }

    fn create(&mut self, mut tokens: Tokens<'_>, text: &str) {
        const ROUTINES: [&str; 3] = ["FUNCTION", "PROCEDURE", "PACKAGE"];
        const KINDS: [&str; 9] =
            ["TABLE", "VIEW", "SEQUENCE", "TRIGGER", "EVENT", ROUTINES[0], ROUTINES[1], ROUTINES[2], "DATABASE"];
        let kind = tokens.find_map(|token| match token {
            Token::Word(word) => KINDS.iter().find(|kind| kind.eq_ignore_ascii_case(word)),
            Token::Quoted(_) => None,
        });
        let mut name = || (self.current.clone(), tokens.find_map(Token::into_quoted).unwrap_or_default());
        match kind.copied() {
            Some("TABLE") => {
                let name = name();
                if is_migration_table(&name.1) {
                    self.migrations.entry(name.clone()).or_default().columns = values::columns(text);
                }
                self.tables.entry(name).or_default();
            }
            Some("VIEW") => {
                self.views.insert(name());
            }
            Some("SEQUENCE") => {
                self.sequences.insert(name());
            }
            Some("TRIGGER") => self.triggers += 1,
            Some("EVENT") => self.events += 1,
            Some(kind) if ROUTINES.contains(&kind) => self.routines += 1,
            _ => {}
        }
    }

    fn insert(&mut self, lexer: &mut Lexer<'_>) -> Result<(), Fault> {
        let head = String::from_utf8_lossy(&lexer.text).into_owned();
        let name = (self.current.clone(), Tokens(&head).find_map(Token::into_quoted).unwrap_or_default());
        let mut migration = self.migrations.get_mut(&name);
        if let (Some(migration), Some(columns)) = (&mut migration, values::named_columns(&head)) {
            migration.columns = columns;
        }
        if let Some(migration) = &mut migration {
            migration.rows.backslash_is_plain = lexer.backslash_is_plain;
        }
        let rows = lexer.rows(migration.map(|migration| &mut migration.rows))?;
        *self.tables.entry(name).or_default() += rows;
        Ok(())
    }

    /// Returns the version of the schema by the first migration tool that has one.
    pub(super) fn schema_version(&self) -> Option<SchemaVersion> {
        self.migrations
            .iter()
            .find_map(|((_, table), migration)| schema_version(table, &migration.rows.rows(migration.columns.clone())?))
    }
}

/// Returns what a statement that sets the mode of the session makes of backslashes in texts: nothing special, or escapes.
fn backslash_is_plain(text: &str) -> Option<bool> {
    const SET: &str = "SET sql_mode";
    let text = text.trim_start();
    let sets = text.get(..SET.len()).is_some_and(|start| start.eq_ignore_ascii_case(SET));
    sets.then(|| text.contains("NO_BACKSLASH_ESCAPES"))
}

/// Reads `CHANGE MASTER TO MASTER_LOG_FILE='bin.000001', MASTER_LOG_POS=2318;`, or `SOURCE` for `MASTER`.
fn log_position(text: &str) -> Option<(String, u64)> {
    let rest = text
        .strip_prefix("CHANGE MASTER TO MASTER_")
        .or_else(|| text.strip_prefix("CHANGE REPLICATION SOURCE TO SOURCE_"))?;
    let (file, rest) = rest.strip_prefix("LOG_FILE='")?.split_once('\'')?;
    let (_, position) = rest.split_once("LOG_POS=")?;
    Some((file.to_owned(), position.trim_end_matches(';').trim().parse().ok()?))
}

/// A word or a quoted name.
enum Token<'t> {
    Word(&'t str),
    Quoted(String),
}

impl Token<'_> {
    fn into_name(self) -> Option<String> {
        match self {
            Self::Word(word) => Some(word.to_owned()),
            Self::Quoted(name) => Some(name),
        }
    }

    fn into_quoted(self) -> Option<String> {
        match self {
            Self::Quoted(name) => Some(name),
            Self::Word(_) => None,
        }
    }
}

/// The words and quoted names of a statement, up to the first text.
struct Tokens<'t>(&'t str);

impl<'t> Iterator for Tokens<'t> {
    type Item = Token<'t>;

    fn next(&mut self) -> Option<Token<'t>> {
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let start = self.0.find(|c| is_word(c) || matches!(c, '`' | '"' | '\''))?;
        let text = self.0.get(start..)?;
        if text.starts_with('\'') {
            return None;
        }
        if let Some(quote) = text.chars().next().filter(|c| matches!(c, '`' | '"')) {
            let mut name = String::new();
            let mut chars = text.char_indices().skip(1).peekable();
            while let Some((at, c)) = chars.next() {
                if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
                    self.0 = text.get(at + 1..).unwrap_or_default();
                    return Some(Token::Quoted(name));
                }
                name.push(c);
            }
            return None;
        }
        let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
        let (word, rest) = text.split_at_checked(end)?;
        self.0 = rest;
        Some(Token::Word(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sql: &str) -> Contents {
        Contents::read(&mut sql.as_bytes(), &Cancel::new()).unwrap()
    }

    fn name(table: &str) -> Name {
        (String::new(), table.to_owned())
    }

    #[test]
    fn a_dump_tells_what_it_holds() {
        let contents = read(
            "-- holdpoint: database `sh``op` utf8mb4 utf8mb4_bin\n-- CHANGE MASTER TO MASTER_USE_GTID=slave_pos;\n\
             -- CHANGE MASTER TO MASTER_LOG_FILE='bin.000001', MASTER_LOG_POS=2318;\n\
             CREATE TABLE `flyway_schema_history` (\n  `installed_rank` int,\n  `version` text,\n  `success` int\n);\n\
             INSERT INTO `flyway_schema_history` VALUES\n(1,'1.0',1),\n(2,'1.1',1);\n\
             CREATE TABLE `größe` (\n  `x` int COMMENT 'view'\n);\n\
             INSERT INTO `größe` VALUES (1);\nINSERT INTO `größe` VALUES (2),(3);\n\
             /*!50001 CREATE TABLE `v` (x int) */;\n/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`table`@`x` SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS select 1 */;\n\
             CREATE SEQUENCE `s` start with 1;\nDO SETVAL(`s`, 1, 0);\n\
             DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`event`@`%`*/ /*!50003 trigger tr before insert on a for each row begin end */;;\n\
             CREATE DEFINER=`r`@`%` FUNCTION `f`() RETURNS int return 1;;\nCREATE DEFINER=`r`@`%` PROCEDURE `p`() select 1;;\n\
             CREATE DEFINER=`r`@`%` EVENT `e` ON SCHEDULE EVERY 1 DAY DO select 1;;\nDELIMITER ;\n\
             -- SET GLOBAL gtid_slave_pos='0-1-10';\n-- Dump completed\n",
        );
        assert!(contents.is_complete && contents.broken.is_none(), "{contents:?}");
        let database = contents.databases.first().unwrap();
        assert_eq!((database.name.as_str(), database.collation.as_str()), ("sh`op", "utf8mb4_bin"));
        assert_eq!(contents.tables, [(name("flyway_schema_history"), 2), (name("größe"), 3)].into());
        assert_eq!((contents.views.len(), contents.sequences.len()), (1, 1));
        assert_eq!((contents.triggers, contents.routines, contents.events), (1, 2, 1));
        assert_eq!(contents.log, Some(("bin.000001".to_owned(), 2318)));
        assert_eq!(contents.gtid.as_deref(), Some("0-1-10"));
        let version = contents.schema_version().unwrap();
        assert_eq!((version.tool.as_str(), version.version.as_str()), ("flyway", "1.1"));
    }

    #[test]
    fn the_newest_migration_counts_however_long_the_table_is() {
        let checksum = "\\'(".repeat(100);
        let rows = |count: u32| {
            let row = |rank| format!("({rank},'{rank}.0','{checksum}',1)");
            let rows = (1..=count).map(row).collect::<Vec<_>>().join(",");
            read(&format!(
                "CREATE TABLE `flyway_schema_history` (\n  `installed_rank` int,\n  `version` text,\n  `checksum` text,\n  `success` int\n);\n\
                 INSERT INTO `flyway_schema_history` VALUES {rows};\n"
            ))
        };
        assert_eq!(rows(10_000).schema_version().unwrap().version, "10000.0");
        // A version of only the oldest rows would be wrong: there is none then.
        let contents = rows(60_000);
        assert_eq!((contents.schema_version(), contents.tables.values().sum::<u64>()), (None, 60_000));
    }

    #[test]
    fn a_backslash_is_what_the_mode_says() {
        let rows = |text: &str| format!("INSERT INTO `SequelizeMeta` VALUES ('{text}');\n");
        let contents = read(&format!(
            "CREATE TABLE `SequelizeMeta` (\n  `name` text\n);\n\
             /*!50003 SET @saved_sql_mode       = @@sql_mode */ ;\n\
             /*!50003 SET sql_mode              = 'STRICT_TRANS_TABLES,NO_BACKSLASH_ESCAPES' */ ;\n\
             DELIMITER ;;\nCREATE FUNCTION `f`() RETURNS text RETURN '\\' ;;\nDELIMITER ;\n{}\
             /*!50003 SET sql_mode              = @saved_sql_mode */ ;\n\
             CREATE TABLE `t` (x text);\nINSERT INTO `t` VALUES ('\\'');\n-- Dump completed\n",
            rows("2\\")
        ));
        assert!(contents.is_complete && contents.broken.is_none(), "{contents:?}");
        assert_eq!((contents.routines, &contents.tables[&name("t")]), (1, &1));
        assert_eq!(contents.schema_version().unwrap().version, "2\\");
    }

    #[test]
    fn several_databases_are_told_apart() {
        let contents = read(
            "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `a` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;\nUSE `a`;\n\
             CREATE TABLE `t` (x int);\nINSERT INTO `t` VALUES (1);\nUSE `b`;\nCREATE TABLE `t` (x int);\n-- Dump completed on 2026-11-21",
        );
        let name = |database: &str| (database.to_owned(), "t".to_owned());
        assert_eq!(contents.tables, [(name("a"), 1), (name("b"), 0)].into());
        assert!(contents.names_databases && contents.is_complete);
    }

    #[test]
    fn what_is_no_whole_dump_is_told() {
        assert!(!read("CREATE TABLE `a` (x int);\n").is_complete);
        assert!(!read("-- Dump completed\nDROP TABLE a;\n").is_complete);
        assert!(read("CREATE TABLE `a` (x int").broken.unwrap().contains("cut off"));
        assert!(read("").tables.is_empty());
    }
}

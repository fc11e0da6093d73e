//! What a server says of itself (`INFO`).

use super::connection::Connection;
use super::transport::Patience;
use crate::error::Result;
use std::collections::BTreeMap;

/// The fields of `INFO`.
#[derive(Debug, Clone)]
pub(super) struct Info(BTreeMap<String, String>);

impl Info {
    /// Asks the server.
    ///
    /// # Errors
    /// `capture-failed`: it does not say.
    pub(super) fn ask(connection: &mut Connection, patience: &Patience) -> Result<Self> {
        let text = connection.text("INFO", patience)?;
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Ok(Self(fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()))
    }

    /// Returns a field; empty if it is not there.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Returns a field that is a number; 0 if it is not there.
    pub(super) fn number(&self, name: &str) -> u64 {
        self.get(name).parse().unwrap_or(0)
    }

    /// Returns name and version of the server.
    pub(super) fn version(&self) -> String {
        match self.get("valkey_version") {
            "" => format!("Redis {}", self.get("redis_version")),
            version => format!("Valkey {version}"),
        }
    }

    /// Returns the first part of the version of Redis that the server is, or behaves as.
    pub(super) fn major(&self) -> u32 {
        self.get("redis_version").split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
    }

    /// Returns how many keys each database has; those without any are left out.
    pub(super) fn keys(&self) -> BTreeMap<u64, u64> {
        let count = |(name, value): (&String, &String)| {
            let database = name.strip_prefix("db")?.parse().ok()?;
            let keys = value.split(',').find_map(|field| field.strip_prefix("keys="))?;
            Some((database, keys.parse().ok()?))
        };
        self.0.iter().filter_map(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_counted_by_database() {
        let fields = [("db0", "keys=3,expires=1,avg_ttl=0"), ("db12", "keys=1,expires=0"), ("db_x", "keys=9")];
        let info = Info(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert_eq!(info.keys(), [(0, 3), (12, 1)].into());
        assert_eq!((info.major(), info.number("db0")), (0, 0));
    }
}

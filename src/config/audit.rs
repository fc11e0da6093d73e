//! `[audit]`: where the lines of the audit go besides the store.

use super::keys::{Form, Section, key};
use super::walk::Value;
use std::path::PathBuf;

/// The port of syslog by UDP (RFC 5426), and by TCP where none is named (RFC 6587 has none of its own).
const SYSLOG_PORT: u16 = 514;

pub(super) const AUDIT: Section = Section {
    name: "[audit]",
    keys: &[&[
        key("file", Form::Text, "a file that every line of the audit is added to"),
        key(
            "syslog",
            Form::Text,
            "where every line is sent by RFC 5424: udp://HOST:PORT, tcp://HOST:PORT, unix:/dev/log",
        ),
        key(
            "forward_required",
            Form::Boolean,
            "whether a gate refuses if file or syslog take no line; false unless given",
        ),
    ]],
    later: &[],
};

/// `[audit]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditConfig {
    /// A file that lines are added to; relative paths count from the configuration's directory.
    pub file: Option<PathBuf>,
    /// A receiver of syslog.
    pub syslog: Option<Syslog>,
    /// Whether a gate refuses if one of them takes no line.
    pub forward_required: bool,
}

/// How a receiver of syslog is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Syslog {
    /// One datagram a line; nobody confirms it.
    Udp {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// One frame a line, its length before it (RFC 6587).
    Tcp {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A socket of this machine, such as `/dev/log`.
    Unix(PathBuf),
}

impl Syslog {
    /// Reads an address; `None` if it is none.
    fn read(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return path.starts_with('/').then(|| Self::Unix(path.into()));
        }
        let url = url::Url::parse(text).ok()?;
        let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        let host = url.host_str().filter(|host| !host.is_empty() && bare && matches!(url.path(), "" | "/"))?;
        // Brackets are how a URL writes it, and not part of the address.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port().unwrap_or(SYSLOG_PORT);
        match url.scheme() {
            "udp" => Some(Self::Udp { host, port }),
            "tcp" => Some(Self::Tcp { host, port }),
            _ => None,
        }
    }
}

/// Reads `[audit]`.
pub(super) fn audit(value: &Value<'_>) -> AuditConfig {
    let Some(table) = value.table(&AUDIT) else { return AuditConfig::default() };
    let syslog = table.get("syslog").and_then(|value| {
        let read = Syslog::read(&value.string()?);
        if read.is_none() {
            value.mistake(
                "`syslog` must be such as \"udp://HOST:514\", \"tcp://HOST:601\" or \"unix:/dev/log\"".to_owned(),
            );
        }
        read
    });
    AuditConfig {
        file: table.get("file").and_then(|value| value.path()).map(|path| table.walk.directory.join(path)),
        syslog,
        forward_required: table.get("forward_required").and_then(|value| value.boolean()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_how_a_receiver_is_reached() {
        let udp = |host: &str, port| Some(Syslog::Udp { host: host.to_owned(), port });
        assert_eq!(Syslog::read("udp://log.example"), udp("log.example", 514));
        assert_eq!(Syslog::read("udp://[::1]:5514"), udp("::1", 5514));
        assert_eq!(Syslog::read("tcp://log:601"), Some(Syslog::Tcp { host: "log".to_owned(), port: 601 }));
        assert_eq!(Syslog::read("unix:/dev/log"), Some(Syslog::Unix("/dev/log".into())));
        assert_eq!(Syslog::read("unix:///dev/log"), Some(Syslog::Unix("/dev/log".into())));
        for wrong in
            ["log.example", "http://log/", "udp://", "udp://u:p@log", "unix:log", "tcp://log/x", "tcp://log:0x"]
        {
            assert_eq!(Syslog::read(wrong), None, "{wrong}");
        }
    }
}

//! The option file that every client program reads: who asks, where, and how the connection is secured.
//!
//! It is the only one that they read (`--defaults-file`), so that no `my.cnf` of the machine or the user changes what is
//! captured. Its form: MySQL's manual, "Using Option Files"; MariaDB's differs only in the names of the TLS options.

use super::product::Vendor;
use crate::error::{Error, ErrorCode, Result};
use crate::source::address::Address;
use std::fmt::Write;
use std::path::Path;

/// The schemes of the URL.
pub(super) const SCHEMES: &[&str] = &["mysql", "mariadb"];
/// The parameters that a URL may have.
const PARAMETERS: [&str; 3] = ["ssl-mode", "ssl-ca", "socket"];
/// The largest row that is dumped or restored: as much as the protocol allows.
const MAX_PACKET: &str = "1G";

/// How a connection is secured, by the names of MySQL's `ssl-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SslMode {
    /// As the client program does it by itself.
    Default,
    Disabled,
    Preferred,
    Required,
    VerifyCa,
    VerifyIdentity,
}

/// Takes the URL of a server apart.
///
/// # Errors
/// `config`: it is not such a URL, or has a parameter that nobody would heed.
pub(super) fn parse(url: &str) -> Result<Address> {
    let address = Address::parse(url, SCHEMES)?;
    if let Some(unknown) = address.parameters.keys().find(|name| !PARAMETERS.contains(&name.as_str())) {
        return Err(Error::new(ErrorCode::Config, format!("`url` has an unknown parameter `{unknown}`"))
            .hint(format!("it may have {}", PARAMETERS.join(", "))));
    }
    ssl_mode(&address)?;
    Ok(address)
}

/// Says whether the URL asks for a connection that nobody can listen to.
pub(super) fn requires_tls(address: &Address) -> bool {
    matches!(ssl_mode(address), Ok(SslMode::Required | SslMode::VerifyCa | SslMode::VerifyIdentity))
}

fn ssl_mode(address: &Address) -> Result<SslMode> {
    let Some(mode) = address.parameters.get("ssl-mode") else { return Ok(SslMode::Default) };
    match mode.to_ascii_uppercase().as_str() {
        "DISABLED" => Ok(SslMode::Disabled),
        "PREFERRED" => Ok(SslMode::Preferred),
        "REQUIRED" => Ok(SslMode::Required),
        "VERIFY_CA" => Ok(SslMode::VerifyCa),
        "VERIFY_IDENTITY" => Ok(SslMode::VerifyIdentity),
        _ => Err(Error::new(ErrorCode::Config, "`ssl-mode` in `url` is none that is known")
            .hint("write DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY")),
    }
}

/// Returns the content of the option file for programs of `vendor`. `seconds` bounds the connecting of the client program;
/// relative paths in the URL count from `directory`.
pub(super) fn file(
    address: &Address,
    password: Option<&str>,
    vendor: Vendor,
    seconds: u64,
    directory: &Path,
) -> Result<String> {
    let mut text = String::from("[client]\n");
    let mut line = |name: &str, value: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name}={}", quoted(value));
    };
    line("default-character-set", "utf8mb4");
    if let Some(user) = &address.user {
        line("user", user);
    }
    if let Some(password) = password {
        line("password", password);
    }
    match (address.parameters.get("socket"), &address.host) {
        (Some(socket), _) => {
            line("socket", socket);
            line("protocol", "socket");
        }
        (None, Some(host)) => {
            line("host", host);
            line("port", &address.port.unwrap_or(3306).to_string());
            // Otherwise `localhost` would mean a socket.
            line("protocol", "tcp");
        }
        (None, None) => line("protocol", "socket"),
    }
    if let Some(ca) = address.parameters.get("ssl-ca") {
        line("ssl-ca", &crate::source::write::absolute(directory, Path::new(ca)).display().to_string());
    }
    let mode = ssl_mode(address)?;
    match vendor {
        Vendor::MySql => {
            let name = match mode {
                SslMode::Default => None,
                SslMode::Disabled => Some("DISABLED"),
                SslMode::Preferred => Some("PREFERRED"),
                SslMode::Required => Some("REQUIRED"),
                SslMode::VerifyCa => Some("VERIFY_CA"),
                SslMode::VerifyIdentity => Some("VERIFY_IDENTITY"),
            };
            if let Some(name) = name {
                line("ssl-mode", name);
            }
        }
        Vendor::MariaDb => match mode {
            SslMode::Default => {}
            SslMode::Disabled => line("ssl", "0"),
            SslMode::Preferred => line("ssl-verify-server-cert", "0"),
            SslMode::Required => {
                line("ssl", "1");
                line("ssl-verify-server-cert", "0");
            }
            // These programs know no check of the signer alone.
            SslMode::VerifyCa | SslMode::VerifyIdentity => {
                line("ssl", "1");
                line("ssl-verify-server-cert", "1");
            }
        },
    }
    let _ = write!(
        text,
        "[mysql]\nconnect-timeout={seconds}\nmax-allowed-packet={MAX_PACKET}\n[mysqldump]\nmax-allowed-packet={MAX_PACKET}\n"
    );
    Ok(text)
}

/// Quotes a value, which may hold anything: blanks, `#`, quotes, backslashes, newlines.
fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str, vendor: Vendor) -> String {
        let address = parse(url).unwrap();
        file(&address, address.password.as_deref(), vendor, 10, Path::new("/srv")).unwrap()
    }

    #[test]
    fn the_file_says_who_where_and_how() {
        let text = of("mysql://shop:a%22%5C%23%20b@db.example/shop?ssl-mode=REQUIRED&ssl-ca=ca.pem", Vendor::MySql);
        for line in [
            "user=\"shop\"",
            r#"password="a\"\\# b""#,
            "host=\"db.example\"",
            "port=\"3306\"",
            "protocol=\"tcp\"",
            "ssl-mode=\"REQUIRED\"",
            "ssl-ca=\"/srv/ca.pem\"",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        let text = of("mariadb://shop@db/shop?ssl-mode=verify_identity", Vendor::MariaDb);
        assert!(text.contains("ssl-verify-server-cert=\"1\"") && !text.contains("ssl-mode"), "{text}");
        let text = of("mariadb:///shop?socket=/run/my.sock", Vendor::MariaDb);
        assert!(text.contains("socket=\"/run/my.sock\"\nprotocol=\"socket\"") && !text.contains("password"), "{text}");
    }

    #[test]
    fn what_nobody_would_heed_is_refused() {
        for url in ["mysql://db/shop?ssl-mode=maybe", "mysql://db/shop?sslmode=required", "postgres://db/shop"] {
            assert_eq!(parse(url).unwrap_err().code(), ErrorCode::Config, "{url}");
        }
    }
}

//! A line as a message of syslog (RFC 5424): by UDP (RFC 5426), by TCP with its length before it (RFC 6587), or to a
//! socket of this machine.

use crate::config::Syslog;
use crate::model::audit::AuditLine;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::time::Duration;

/// How long a receiver may take to connect, to take a line, and to say that it has it.
const PATIENCE: Duration = Duration::from_secs(3);
/// The facility "log audit".
const FACILITY: u8 = 13;
/// The severity of what went well: notice.
const NOTICE: u8 = 5;
/// The severity of what did not: warning.
const WARNING: u8 = 4;

/// Returns the name of a receiver, for people.
pub(super) fn name(receiver: &Syslog) -> String {
    match receiver {
        Syslog::Udp { host, port } => format!("udp {host} port {port}"),
        Syslog::Tcp { host, port } => format!("tcp {host} port {port}"),
        Syslog::Unix(path) => path.display().to_string(),
    }
}

/// Sends a line. What UDP loses nobody sees; by TCP the receiver has it when it closes its end after ours.
pub(super) fn send(receiver: &Syslog, line: &AuditLine, bytes: &[u8]) -> Result<()> {
    let message = message(line, bytes, &host());
    match receiver {
        Syslog::Udp { host, port } => by_udp(host, *port, &message),
        Syslog::Tcp { host, port } => by_tcp(host, *port, &message),
        Syslog::Unix(path) => to_socket(path, &message),
    }
}

/// Returns the message: `<PRI>1 TIME HOST holdpoint PID ACTION - JSON`.
fn message(line: &AuditLine, bytes: &[u8], host: &str) -> Vec<u8> {
    let severity = if line.outcome.is_good() { NOTICE } else { WARNING };
    let priority = FACILITY * 8 + severity;
    let at = line.at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ");
    let head = format!("<{priority}>1 {at} {host} holdpoint {} {} - ", std::process::id(), line.action.as_str());
    [head.as_bytes(), bytes.trim_ascii_end()].concat()
}

/// Returns the name of this machine as a header may have it; `-` if there is none.
fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let printable: String = name.chars().filter(char::is_ascii_graphic).take(255).collect();
    if printable.is_empty() { "-".to_owned() } else { printable }
}

fn by_udp(host: &str, port: u16, message: &[u8]) -> Result<()> {
    let mut last = unresolved();
    for address in (host, port).to_socket_addrs()? {
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        match UdpSocket::bind(any).and_then(|socket| socket.send_to(message, address)) {
            Ok(sent) if sent == message.len() => return Ok(()),
            Ok(_) => last = Error::new(ErrorKind::WriteZero, "the message was cut"),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn by_tcp(host: &str, port: u16, message: &[u8]) -> Result<()> {
    let mut last = unresolved();
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return frame(stream, message),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn frame(mut stream: TcpStream, message: &[u8]) -> Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&[format!("{} ", message.len()).as_bytes(), message].concat())?;
    stream.shutdown(Shutdown::Write)?;
    loop {
        match stream.read(&mut [0; 64]) {
            Ok(0) => return Ok(()),
            // Some greet whoever comes.
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(Error::new(ErrorKind::TimedOut, "it did not close the connection after the line"));
            }
            Err(error) => return Err(error),
        }
    }
}

fn to_socket(path: &Path, message: &[u8]) -> Result<()> {
    let socket = UnixDatagram::unbound()?;
    match socket.connect(path) {
        Ok(()) => {
            socket.set_write_timeout(Some(PATIENCE))?;
            let sent = socket.send(message)?;
            if sent == message.len() { Ok(()) } else { Err(Error::new(ErrorKind::WriteZero, "the message was cut")) }
        }
        // The other custom: a stream, with a line break after each message.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PROTOTYPE.raw_os_error()) => {
            let mut stream = UnixStream::connect(path)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.write_all(&[message, b"\n"].concat())
        }
        Err(error) => Err(error),
    }
}

fn unresolved() -> Error {
    Error::new(ErrorKind::NotFound, "its name has no address")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::audit::{Action, Outcome};
    use std::net::TcpListener;

    fn line(outcome: Outcome) -> (AuditLine, Vec<u8>) {
        let line = AuditLine::new(Action::Gate, outcome, ("shop", "staging"), "ada")
            .at("2026-11-20T21:30:00.25Z".parse().unwrap());
        let bytes = line.to_json().unwrap();
        (line, bytes)
    }

    #[test]
    fn a_message_has_the_header_of_rfc_5424() {
        let (line, bytes) = line(Outcome::Refused);
        let text = String::from_utf8(message(&line, &bytes, "ci-7")).unwrap();
        let pid = std::process::id();
        let head = format!("<108>1 2026-11-20T21:30:00.250000Z ci-7 holdpoint {pid} gate - {{\"schema_version\":1,");
        assert!(text.starts_with(&head), "{text}");
        assert!(text.ends_with('}'), "no line break in the message");
        let (line, bytes) = self::line(Outcome::Passed);
        assert!(message(&line, &bytes, "-").starts_with(b"<109>1 "));
    }

    #[test]
    fn every_way_delivers_the_message() {
        let (line, bytes) = line(Outcome::Passed);
        let is_it = |message: &[u8]| message.ends_with(bytes.trim_ascii_end()) && message.starts_with(b"<109>1 ");

        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = udp.local_addr().unwrap().port();
        send(&Syslog::Udp { host: "127.0.0.1".to_owned(), port }, &line, &bytes).unwrap();
        let mut buffer = [0; 4096];
        let length = udp.recv(&mut buffer).unwrap();
        assert!(is_it(&buffer[..length]));

        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Syslog::Tcp { host: "127.0.0.1".to_owned(), port: tcp.local_addr().unwrap().port() };
        let taking = std::thread::spawn(move || {
            let (mut stream, _) = tcp.accept().unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            all
        });
        send(&receiver, &line, &bytes).unwrap();
        let framed = taking.join().unwrap();
        let (length, message) = framed.split_at(framed.iter().position(|byte| *byte == b' ').unwrap());
        assert_eq!(String::from_utf8_lossy(length).parse::<usize>().unwrap(), message.len() - 1);
        assert!(is_it(&message[1..]));
        let gone = send(&receiver, &line, &bytes).unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::ConnectionRefused);

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        send(&Syslog::Unix(path.clone()), &line, &bytes).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        assert!(is_it(&buffer[..length]));
        let streamed = directory.path().join("stream");
        let listener = std::os::unix::net::UnixListener::bind(&streamed).unwrap();
        send(&Syslog::Unix(streamed), &line, &bytes).unwrap();
        let mut all = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut all).unwrap();
        assert!(all.ends_with(b"}\n"));
    }
}

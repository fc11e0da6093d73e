//! A server that answers everything alike and counts: what a server says that cannot be had here.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// A server whose one answer is known beforehand; it runs until the tests end.
pub struct Canned {
    port: u16,
    requests: Arc<AtomicU64>,
}

impl Canned {
    /// Starts a server; `status` is such as `404 Not Found`, `headers` are whole lines.
    pub fn start(status: &str, headers: &[&str], body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(AtomicU64::new(0));
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let head = format!("HTTP/1.1 {status}\r\n{lines}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        let (body, counter) = (body.to_owned(), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, SeqCst);
                // A client may hang up at any time.
                let _ = answer(stream, &head, &body);
            }
        });
        Self { port, requests }
    }

    /// Returns the server's URL.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns how many requests there were.
    pub fn requests(&self) -> u64 {
        self.requests.load(SeqCst)
    }
}

fn answer(mut stream: TcpStream, head: &str, body: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut line, mut length, mut is_head) = (String::new(), 0, None);
    while reader.read_line(&mut line)? > 0 && line != "\r\n" {
        is_head.get_or_insert(line.starts_with("HEAD"));
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    stream.write_all(head.as_bytes())?;
    if is_head == Some(true) { Ok(()) } else { stream.write_all(body.as_bytes()) }
}

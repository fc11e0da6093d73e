//! An HTTP server on loopback that tells versions, or fails to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the server does with one request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Sends a status, headers (`Name: value`) and a body.
    Http { status: u16, headers: Vec<String>, body: String },
    /// Answers 200 with the JSON document that is in this file now; closes the connection if there is none.
    File(std::path::PathBuf),
    /// Sends nothing and keeps the connection open.
    Hang,
    /// Waits for a while, then sends this status and an empty body.
    Late(Duration, u16),
    /// Closes the connection.
    HangUp,
}

impl Answer {
    /// Answers 200 with a JSON document.
    pub fn json(value: &serde_json::Value) -> Self {
        Self::text("application/json", value.to_string())
    }

    /// Answers 200 with `{"version": …}`.
    pub fn version(version: &str) -> Self {
        Self::json(&serde_json::json!({ "version": version }))
    }

    /// Answers 200 with a page for people.
    pub fn html(body: &str) -> Self {
        Self::text("text/html", body.to_owned())
    }

    /// Answers with a status and an empty body.
    pub fn status(status: u16) -> Self {
        Self::Http { status, headers: Vec::new(), body: String::new() }
    }

    /// Adds a header to an HTTP answer.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Http { headers, .. } = &mut self {
            headers.push(format!("{name}: {value}"));
        }
        self
    }

    fn text(kind: &str, body: String) -> Self {
        Self::Http { status: 200, headers: vec![format!("Content-Type: {kind}")], body }
    }
}

/// The server; it stops when dropped.
pub struct VersionServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    stop: AtomicBool,
    script: Mutex<Vec<Answer>>,
    requests: Mutex<Vec<String>>,
    bodies: Mutex<Vec<String>>,
}

impl VersionServer {
    /// Starts a server on a free port; the n-th request gets the n-th answer, the last answer repeats.
    pub fn start(script: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut script: Vec<_> = script.into_iter().collect();
        script.reverse();
        assert!(!script.is_empty(), "a server needs an answer");
        let shared = Shared {
            stop: AtomicBool::new(false),
            script: Mutex::new(script),
            requests: Mutex::default(),
            bodies: Mutex::default(),
        };
        let shared = Arc::new(shared);
        let thread = std::thread::spawn({
            let shared = shared.clone();
            move || serve(&listener, &shared)
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// Returns the URL of a path such as `/version`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Replaces the rest of the script.
    pub fn answer(&self, answer: Answer) {
        *self.shared.script.lock().unwrap() = vec![answer];
    }

    /// Returns the request lines so far, such as `GET /version HTTP/1.1`.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Returns the bodies of the requests so far; of one that had none it is empty.
    pub fn bodies(&self) -> Vec<String> {
        self.shared.bodies.lock().unwrap().clone()
    }
}

impl Drop for VersionServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the thread up; if that fails it is awake, or gone.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, shared: &Shared) {
    let mut hanging = Vec::new();
    for stream in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        // A client that is gone again is no matter of the server's.
        if let Ok(Some(stream)) = stream.and_then(|stream| answer(stream, shared)) {
            hanging.push(stream);
        }
    }
}

/// Answers one request and closes the connection, unless it is returned to be kept open.
fn answer(mut stream: TcpStream, shared: &Shared) -> std::io::Result<Option<TcpStream>> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut lines = reader.by_ref().lines();
    let Some(request) = lines.next().transpose()? else { return Ok(None) };
    let mut length = 0;
    while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
        if let Some(("content-length", value)) = line.to_ascii_lowercase().split_once(": ") {
            length = value.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    shared.bodies.lock().unwrap().push(String::from_utf8_lossy(&body).into_owned());
    shared.requests.lock().unwrap().push(request);
    let answer = {
        let mut script = shared.script.lock().unwrap();
        if script.len() > 1 { script.pop() } else { script.last().cloned() }
    };
    let answer = match answer {
        Some(Answer::File(path)) => {
            std::fs::read_to_string(path).ok().map(|body| Answer::text("application/json", body))
        }
        Some(Answer::Late(pause, status)) => {
            // Only this one client waits for it.
            std::thread::sleep(pause);
            Some(Answer::status(status))
        }
        answer => answer,
    };
    match answer {
        Some(Answer::Http { status, headers, body }) => {
            write!(stream, "HTTP/1.1 {status} Scripted\r\nContent-Length: {}\r\nConnection: close\r\n", body.len())?;
            for header in headers {
                write!(stream, "{header}\r\n")?;
            }
            write!(stream, "\r\n{body}")?;
            Ok(None)
        }
        Some(Answer::Hang) => Ok(Some(stream)),
        Some(Answer::HangUp | Answer::File(_) | Answer::Late(..)) | None => Ok(None),
    }
}

#[test]
fn the_script_is_followed_and_its_last_answer_repeats() {
    let server = VersionServer::start([Answer::status(500), Answer::version("1.4.0").header("X-Version", "1.4.0")]);
    let ask = || {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        std::io::read_to_string(stream).unwrap()
    };
    assert!(ask().starts_with("HTTP/1.1 500 "));
    for _ in 0..2 {
        let answer = ask();
        assert!(answer.contains("X-Version: 1.4.0\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n{\"version\":\"1.4.0\"}"), "{answer}");
    }
    assert_eq!(server.requests(), ["GET /version HTTP/1.1"; 3]);
}

//! A host of releases on loopback.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Serves a few files; stops when dropped.
pub struct Host {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    stop: AtomicBool,
    /// `None` for a host that never answers.
    files: Option<BTreeMap<String, Vec<u8>>>,
    requests: Mutex<Vec<String>>,
}

impl Host {
    /// Serves files by their paths; any other is not found.
    pub fn of(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        Self::start(Some(files.into_iter().collect()))
    }

    /// Takes requests and never answers.
    pub fn hanging() -> Self {
        Self::start(None)
    }

    fn start(files: Option<BTreeMap<String, Vec<u8>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { stop: AtomicBool::new(false), files, requests: Mutex::default() });
        let thread = std::thread::spawn({
            let shared = shared.clone();
            move || {
                let mut hanging = Vec::new();
                for stream in listener.incoming() {
                    if shared.stop.load(Ordering::SeqCst) {
                        return;
                    }
                    // A client that is gone again is no matter of the host's.
                    hanging.extend(stream.and_then(|stream| answer(stream, &shared)).ok().flatten());
                }
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// Returns what the runner knows as the server's URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the paths that were asked for so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the thread up; if that fails it is awake, or gone.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers one request and closes the connection, unless it is returned to be kept open.
fn answer(mut stream: TcpStream, shared: &Shared) -> std::io::Result<Option<TcpStream>> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let Some(request) = lines.next().transpose()? else { return Ok(None) };
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    shared.requests.lock().unwrap().push(path.clone());
    let Some(files) = &shared.files else { return Ok(Some(stream)) };
    let (status, body) = files.get(&path).map_or((404, b"not here".as_slice()), |body| (200, body));
    write!(stream, "HTTP/1.1 {status} Scripted\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(body)?;
    Ok(None)
}

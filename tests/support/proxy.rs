//! A TCP proxy on loopback that holds back what a server says, or cuts the line.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A proxy in front of one server; every connection is cut when it is dropped.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// How many bytes of the server's are let through to each connection.
    allowed: u64,
    /// Whether a connection got all that is let through.
    is_stuck: AtomicBool,
    stop: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Starts a proxy in front of a port that lets `allowed` bytes of the server's answers through on each connection,
    /// and then holds the rest back.
    pub fn start(server: u16, allowed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared =
            Shared { allowed, is_stuck: AtomicBool::new(false), stop: AtomicBool::new(false), open: Mutex::default() };
        let shared = Arc::new(shared);
        std::thread::spawn({
            let shared = shared.clone();
            move || {
                for client in listener.incoming().flatten() {
                    if shared.stop.load(Ordering::SeqCst) {
                        return;
                    }
                    // A server that is gone refuses the proxy, which hangs up on its client.
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", server)) {
                        join(client, server, &shared);
                    }
                }
            }
        });
        Self { port, shared }
    }

    /// Returns the port that clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Says whether a connection got all that is let through.
    pub fn is_stuck(&self) -> bool {
        self.shared.is_stuck.load(Ordering::SeqCst)
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        for stream in self.shared.open.lock().unwrap().drain(..) {
            // One that is closed already needs no cut.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the thread up; if that fails it is gone.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn join(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) {
    let copy = |stream: &TcpStream| stream.try_clone().unwrap();
    shared.open.lock().unwrap().extend([copy(&client), copy(&server)]);
    let (mut asked, mut asking) = (copy(&client), copy(&server));
    let is_held_up = Arc::new(AtomicBool::new(false));
    let held_up = is_held_up.clone();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut asked, &mut asking);
        // A line that is held up does not carry the client's end, either.
        if !held_up.load(Ordering::SeqCst) {
            let _ = asking.shutdown(Shutdown::Both);
        }
    });
    let shared = shared.clone();
    std::thread::spawn(move || {
        if answer(server, client, shared.allowed) {
            is_held_up.store(true, Ordering::SeqCst);
            shared.is_stuck.store(true, Ordering::SeqCst);
        }
    });
}

/// Carries what the server says; returns true once `allowed` bytes went through, and false if either end hung up.
fn answer(mut server: TcpStream, mut client: TcpStream, allowed: u64) -> bool {
    let mut buffer = vec![0; 64 * 1024];
    let mut left = allowed;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        match server.read(&mut buffer[..most]) {
            Ok(count) if count > 0 && client.write_all(&buffer[..count]).is_ok() => left -= count as u64,
            _ => {
                let _ = client.shutdown(Shutdown::Both);
                return false;
            }
        }
    }
    true
}

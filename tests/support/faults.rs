//! A bad network in front of an HTTP server: a proxy on loopback that delays, loses, cuts, alters and repeats what passes,
//! at instants drawn from a seed.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What may happen to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The server gets it late.
    Latency,
    /// The answer comes in drops.
    Bandwidth,
    /// The server is busy: it answers with this status and does nothing.
    Status(u16, &'static str),
    /// The connection is cut before the server gets it.
    Refused,
    /// The connection is cut when the server got half of it.
    HalfSent,
    /// The server does it, and its answer is lost.
    LostAnswer,
    /// The server gets it twice; the second answer comes back.
    Twice,
    /// The body of the answer breaks off.
    Truncated,
    /// The body of the answer is shorter than it was, and the header says the same.
    Shortened,
    /// A bit of the answer's body is another one.
    Altered,
    /// Nobody answers.
    Silence,
}

/// All of them; those that come often first.
pub const FAULTS: [Fault; 17] = [
    Fault::Latency,
    Fault::Latency,
    Fault::Bandwidth,
    Fault::Status(500, "InternalError"),
    Fault::Status(503, "SlowDown"),
    Fault::Status(503, "ServiceUnavailable"),
    Fault::Status(429, "TooManyRequests"),
    Fault::Status(400, "RequestTimeout"),
    Fault::Status(403, "AccessDenied"),
    Fault::Refused,
    Fault::HalfSent,
    Fault::LostAnswer,
    Fault::Twice,
    Fault::Truncated,
    Fault::Shortened,
    Fault::Altered,
    Fault::Silence,
];

/// How bad the network is; by default it is good.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// Decides when what happens.
    pub seed: u64,
    /// Of a thousand requests, so many meet a fault.
    pub per_mille: u64,
}

/// The proxy; every connection is cut when it is dropped.
pub struct BadNetwork {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: String,
    weather: Weather,
    requests: Mutex<u64>,
    /// Told of every request.
    came: Condvar,
    stop: AtomicBool,
    /// From now on nobody answers.
    is_silent: AtomicBool,
    met: Mutex<HashMap<Fault, u64>>,
    open: Mutex<Vec<TcpStream>>,
}

impl BadNetwork {
    /// Starts a proxy in front of `server`, `HOST:PORT`.
    pub fn start(server: &str, weather: Weather) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            weather,
            requests: Mutex::default(),
            came: Condvar::new(),
            stop: AtomicBool::new(false),
            is_silent: AtomicBool::new(false),
            met: Mutex::default(),
            open: Mutex::default(),
        });
        std::thread::spawn({
            let shared = shared.clone();
            move || {
                for client in listener.incoming().flatten() {
                    if shared.stop.load(SeqCst) {
                        return;
                    }
                    shared.open.lock().unwrap().extend(client.try_clone());
                    let shared = shared.clone();
                    // A connection that breaks is what this is for.
                    std::thread::spawn(move || drop(shared.serve(&client)));
                }
            }
        });
        Self { port, shared }
    }

    /// Returns the URL of the proxy.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns how many requests came.
    pub fn requests(&self) -> u64 {
        *self.shared.requests.lock().unwrap()
    }

    /// Waits until so many requests came, at most `limit`; says whether they did.
    pub fn comes_to(&self, count: u64, limit: Duration) -> bool {
        let requests = self.shared.requests.lock().unwrap();
        let (requests, _) = self.shared.came.wait_timeout_while(requests, limit, |requests| *requests < count).unwrap();
        *requests >= count
    }

    /// Takes every further request and answers none.
    pub fn fall_silent(&self) {
        self.shared.is_silent.store(true, SeqCst);
    }

    /// Returns how many of them met which fault.
    pub fn met(&self) -> HashMap<Fault, u64> {
        self.shared.met.lock().unwrap().clone()
    }
}

impl Drop for BadNetwork {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the listener.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// The head of a message and its body, as far as it is known to go.
struct Message {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Shared {
    fn serve(&self, client: &TcpStream) -> Result<()> {
        let mut from_client = BufReader::new(client);
        let mut server = None;
        while !self.stop.load(SeqCst) {
            let Some(request) = read(&mut from_client, false)? else { break };
            let number = self.count();
            let fault = self.fault_of(number);
            if let Some(fault) = fault {
                *self.met.lock().unwrap().entry(fault).or_default() += 1;
            }
            if self.pass(client, &mut server, &request, fault, number)?.is_none() {
                break;
            }
        }
        client.shutdown(Shutdown::Both)
    }

    /// Counts a request, and returns how many there were before.
    fn count(&self) -> u64 {
        let mut requests = self.requests.lock().unwrap();
        *requests += 1;
        self.came.notify_all();
        *requests - 1
    }

    /// Passes a request on and its answer back; nothing if the client's connection is to be cut.
    fn pass(
        &self,
        mut client: &TcpStream,
        server: &mut Option<BufReader<TcpStream>>,
        request: &Message,
        fault: Option<Fault>,
        number: u64,
    ) -> Result<Option<()>> {
        let is_head = request.head.starts_with(b"HEAD ");
        match fault {
            Some(Fault::Latency) => std::thread::sleep(Duration::from_millis(self.random(number, 3) % 200)),
            Some(Fault::Refused) => return Ok(None),
            Some(Fault::Silence) => {
                // Until the client hangs up, or this network is no more.
                std::io::copy(&mut client, &mut std::io::sink())?;
                return Ok(None);
            }
            Some(Fault::Status(status, code)) => {
                let xml =
                    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>bad weather</Message></Error>");
                let body = if is_head { "" } else { &xml };
                let length = body.len();
                write!(
                    client,
                    "HTTP/1.1 {status} x\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\n\r\n{body}"
                )?;
                return Ok(Some(()));
            }
            Some(Fault::HalfSent) => {
                let mut half = TcpStream::connect(&self.server)?;
                half.write_all(&request.head)?;
                half.write_all(request.body.get(..request.body.len() / 2).unwrap_or_default())?;
                half.shutdown(Shutdown::Both)?;
                return Ok(None);
            }
            Some(Fault::Twice) => drop(self.ask(server, request, is_head)?),
            _ => {}
        }
        let mut answer = self.ask(server, request, is_head)?;
        let middle = answer.body.len() / 2;
        match fault {
            Some(Fault::LostAnswer) => return Ok(None),
            Some(Fault::Altered) => {
                if let Some(byte) = answer.body.get_mut(middle) {
                    *byte ^= 1;
                }
            }
            Some(Fault::Shortened) if !answer.body.is_empty() => {
                answer.body.truncate(middle);
                answer.head = with_length(&answer.head, middle);
            }
            Some(Fault::Truncated) if !answer.body.is_empty() => {
                client.write_all(&answer.head)?;
                client.write_all(&answer.body[..middle])?;
                return Ok(None);
            }
            _ => {}
        }
        client.write_all(&answer.head)?;
        let drop_size = if fault == Some(Fault::Bandwidth) { (answer.body.len() / 20).max(1) } else { usize::MAX };
        for part in answer.body.chunks(drop_size) {
            client.write_all(part)?;
            if fault == Some(Fault::Bandwidth) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(Some(()))
    }

    /// Asks the server, over the connection that is open, or a new one.
    fn ask(&self, server: &mut Option<BufReader<TcpStream>>, request: &Message, is_head: bool) -> Result<Message> {
        for is_new in [false, true] {
            if is_new || server.is_none() {
                *server = Some(BufReader::new(TcpStream::connect(&self.server)?));
            }
            let Some(stream) = server.as_mut() else { continue };
            let send = |stream: &mut TcpStream| -> Result<()> {
                stream.write_all(&request.head)?;
                stream.write_all(&request.body)
            };
            // A server may close a connection that was idle.
            if send(stream.get_mut()).is_err() {
                continue;
            }
            match read(stream, is_head) {
                Ok(Some(answer)) => return Ok(answer),
                _ if is_new => break,
                _ => {}
            }
        }
        Err(Error::from(ErrorKind::ConnectionAborted))
    }

    fn fault_of(&self, number: u64) -> Option<Fault> {
        if self.is_silent.load(SeqCst) {
            return Some(Fault::Silence);
        }
        let is_met = self.random(number, 1) % 1000 < self.weather.per_mille;
        is_met.then(|| FAULTS[usize::try_from(self.random(number, 2)).unwrap_or(0) % FAULTS.len()])
    }

    /// Returns a number that seed, request and purpose decide (splitmix64).
    fn random(&self, number: u64, purpose: u64) -> u64 {
        let mixed = self.weather.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (number << 8 | purpose);
        let mut z = mixed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) >> 1
    }
}

/// Reads one message of HTTP/1.1; nothing at the end of the connection. The answer to a HEAD has no body.
fn read(from: &mut impl BufRead, is_answer_to_head: bool) -> Result<Option<Message>> {
    let (mut head, mut length, mut is_chunked) = (Vec::new(), 0, false);
    loop {
        let start = head.len();
        if from.read_until(b'\n', &mut head)? == 0 {
            return if start == 0 { Ok(None) } else { Err(Error::from(ErrorKind::UnexpectedEof)) };
        }
        let line = String::from_utf8_lossy(&head[start..]).to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(|_| Error::from(ErrorKind::InvalidData))?;
        }
        is_chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
        // Nothing of ours waits for it, and a proxy that has the body already may leave it out.
        if line.starts_with("expect:") {
            head.truncate(start);
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = Vec::new();
    let is_interim = head.starts_with(b"HTTP/1.1 1");
    if is_interim {
        return read(from, is_answer_to_head);
    }
    let has_none = is_answer_to_head || head.starts_with(b"HTTP/1.1 204") || head.starts_with(b"HTTP/1.1 304");
    if has_none {
        return Ok(Some(Message { head, body }));
    }
    if is_chunked {
        read_chunks(from, &mut body)?;
        head = without_chunks(&head, body.len());
    } else {
        from.take(length).read_to_end(&mut body)?;
        if body.len() as u64 != length {
            return Err(Error::from(ErrorKind::UnexpectedEof));
        }
    }
    Ok(Some(Message { head, body }))
}

fn read_chunks(from: &mut impl BufRead, body: &mut Vec<u8>) -> Result<()> {
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let length = u64::from_str_radix(digits, 16).map_err(|_| Error::from(ErrorKind::InvalidData))?;
        from.take(length).read_to_end(body)?;
        from.read_line(&mut String::new())?;
        if length == 0 {
            return Ok(());
        }
    }
}

/// Returns the head of a message whose body is no longer in chunks.
fn without_chunks(head: &[u8], length: usize) -> Vec<u8> {
    replaced(head, "transfer-encoding:", length)
}

fn with_length(head: &[u8], length: usize) -> Vec<u8> {
    replaced(head, "content-length:", length)
}

/// Puts the length in the place of a header.
fn replaced(head: &[u8], name: &str, length: usize) -> Vec<u8> {
    let text = String::from_utf8_lossy(head);
    let lines = text.split_inclusive("\r\n").map(|line| {
        if line.to_ascii_lowercase().starts_with(name) {
            format!("content-length: {length}\r\n")
        } else {
            line.to_owned()
        }
    });
    lines.collect::<String>().into_bytes()
}

//! A network that is far away: forwards connections and holds back every byte for half the round trip, in each direction.
//!
//! ```text
//! latency HOST:PORT MILLISECONDS
//! ```
//!
//! Prints the port that it listens on, on loopback, and forwards until its standard input ends. Bytes keep their order,
//! and the bandwidth is not limited: whatever comes is taken at once and sent on when its time has come. A new connection
//! costs one more round trip, as a handshake does; what slow start would cost is not played.

#![allow(clippy::print_stdout, reason = "its one line of output is the port")]

use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [server, milliseconds] = arguments.as_slice() else {
        return Err(std::io::Error::other("usage: latency HOST:PORT MILLISECONDS"));
    };
    let round_trip = Duration::from_millis(milliseconds.parse().map_err(std::io::Error::other)?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let forwarding = tokio::spawn(listen(listener, server.clone(), round_trip));
    // Whoever started this holds the other end.
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    forwarding.abort();
    std::process::exit(0)
}

async fn listen(listener: TcpListener, server: String, round_trip: Duration) -> std::io::Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        let ready = Instant::now() + round_trip;
        let server = server.clone();
        tokio::spawn(async move {
            let upstream = TcpStream::connect(server).await?;
            client.set_nodelay(true)?;
            upstream.set_nodelay(true)?;
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = upstream.into_split();
            tokio::join!(
                forward(from_client, to_server, ready, round_trip / 2),
                forward(from_server, to_client, ready, round_trip / 2)
            );
            std::io::Result::Ok(())
        });
    }
}

/// Sends on what comes, `delay` after it came and after `ready`, until one side ends.
async fn forward(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, ready: Instant, delay: Duration) {
    let (sender, mut held) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async {
        let mut chunk = vec![0; CHUNK];
        while let Ok(length @ 1..) = from.read(&mut chunk).await {
            let due = Instant::now().max(ready) + delay;
            if sender.send((due, chunk.get(..length).unwrap_or_default().to_vec())).is_err() {
                break;
            }
        }
        drop(sender);
    };
    let write = async {
        while let Some((due, data)) = held.recv().await {
            if !delay.is_zero() {
                sleep_until(due).await;
            }
            if to.write_all(&data).await.is_err() {
                held.close();
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}

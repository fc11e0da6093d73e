//! The socket below a conversation with a server: TCP, TLS or a path. Every wait ends with the run.

use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, IoContext, Result};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How long the socket blocks before it is asked again whether the run goes on.
const SLICE: Duration = Duration::from_millis(100);

/// How long a server may take.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    /// Ends every wait.
    pub cancel: Cancel,
    /// When the server must have answered; `None` where only the run's own deadline counts.
    pub until: Option<Instant>,
}

impl Patience {
    /// Waits until the run is cancelled.
    pub(super) fn of_run(cancel: &Cancel) -> Self {
        Self { cancel: cancel.clone(), until: None }
    }

    /// Waits no longer than `limit` from now.
    pub(super) fn within(cancel: &Cancel, limit: Duration) -> Self {
        Self { cancel: cancel.clone(), until: Instant::now().checked_add(limit) }
    }

    /// Fails once the wait is over.
    fn check(&self) -> Result<()> {
        self.cancel.check()?;
        match self.until {
            Some(until) if Instant::now() >= until => Err(too_late()),
            _ => Ok(()),
        }
    }

    /// Runs what connects.
    fn connect<T>(&self, runtime: &Handle, connecting: impl Future<Output = std::io::Result<T>>) -> Result<T> {
        self.check()?;
        let until = self.until.map(tokio::time::Instant::from_std);
        runtime.block_on(async {
            let too_long = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                connected = connecting => connected.io_context(|| "cannot connect".to_owned()),
                () = too_long => Err(too_late()),
                _ = self.cancel.cancelled() => {
                    self.cancel.check()?;
                    Err(too_late())
                }
            }
        })
    }

    /// Repeats `attempt` for as long as it only waits.
    fn wait<T>(&self, mut attempt: impl FnMut() -> std::io::Result<T>) -> Result<T> {
        loop {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) =>
                {
                    self.check()?;
                }
                Err(error) => {
                    return Err(Error::new(ErrorCode::CaptureFailed, "the connection failed").caused_by(error));
                }
            }
        }
    }
}

fn too_late() -> Error {
    Error::new(ErrorCode::CaptureFailed, "the server did not answer in time")
        .hint("see that the server runs and is not overloaded; `connect_timeout` of the source says how long to wait")
}

/// A connected socket.
pub(super) enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Transport {
    /// Connects to the first address of `host` that answers.
    pub(super) fn tcp(host: &str, port: u16, runtime: &Handle, patience: &Patience) -> Result<Self> {
        tcp(host, port, runtime, patience).map(Self::Tcp)
    }

    pub(super) fn unix(path: &Path, runtime: &Handle, patience: &Patience) -> Result<Self> {
        let stream = patience.connect(runtime, async { tokio::net::UnixStream::connect(path).await?.into_std() })?;
        let prepared = stream
            .set_nonblocking(false)
            .and_then(|()| stream.set_read_timeout(Some(SLICE)))
            .and_then(|()| stream.set_write_timeout(Some(SLICE)));
        prepared.io_context(|| "cannot set up a socket".to_owned())?;
        Ok(Self::Unix(stream))
    }

    /// Connects by TCP, and shakes hands.
    pub(super) fn tls(
        host: &str,
        port: u16,
        config: Arc<ClientConfig>,
        runtime: &Handle,
        patience: &Patience,
    ) -> Result<Self> {
        let failed =
            |error: &dyn std::fmt::Display| Error::new(ErrorCode::CaptureFailed, format!("TLS failed: {error}"));
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(&error))?;
        let session = ClientConnection::new(config, name).map_err(|error| failed(&error))?;
        let mut stream = StreamOwned::new(session, tcp(host, port, runtime, patience)?);
        while stream.conn.is_handshaking() {
            patience.wait(|| stream.conn.complete_io(&mut stream.sock)).map_err(|error| {
                if error.is_cancelled() {
                    return error;
                }
                failed(&error.chain()).hint(
                    "see that the server speaks TLS on this port, and that its certificate names the host and is signed by \
                     the system's authorities or those of `ca_file`",
                )
            })?;
        }
        Ok(Self::Tls(Box::new(stream)))
    }

    /// Reads some bytes; 0 at the end of the connection.
    pub(super) fn read(&mut self, buffer: &mut [u8], patience: &Patience) -> Result<usize> {
        patience.check()?;
        patience.wait(|| match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        })
    }

    /// Writes everything.
    pub(super) fn write_all(&mut self, mut data: &[u8], patience: &Patience) -> Result<()> {
        patience.check()?;
        while !data.is_empty() {
            let count = patience.wait(|| match self {
                Self::Tcp(stream) => stream.write(data),
                Self::Unix(stream) => stream.write(data),
                Self::Tls(stream) => stream.write(data),
            })?;
            data = data.get(count..).unwrap_or_default();
        }
        if let Self::Tls(stream) = self {
            patience.wait(|| stream.flush())?;
        }
        Ok(())
    }
}

fn tcp(host: &str, port: u16, runtime: &Handle, patience: &Patience) -> Result<TcpStream> {
    let connecting = async { tokio::net::TcpStream::connect((host, port)).await?.into_std() };
    let stream = patience.connect(runtime, connecting)?;
    let prepared = stream
        .set_nonblocking(false)
        .and_then(|()| stream.set_nodelay(true))
        .and_then(|()| stream.set_read_timeout(Some(SLICE)))
        .and_then(|()| stream.set_write_timeout(Some(SLICE)));
    prepared.io_context(|| "cannot set up a socket".to_owned())?;
    Ok(stream)
}

//! Where others deliver lines to: it counts them, and says so to whoever asks for an acknowledgement.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use anyhow::Result;

/// A receiver of lines over TCP on a free port of the loopback; it ends with the program.
pub struct Sink {
    address: SocketAddr,
    lines: Arc<AtomicU64>,
    kept: Arc<Mutex<Vec<u8>>>,
}

/// What becomes of the lines.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They are counted.
    Count,
    /// After each read the number of lines so far goes back, eight bytes, the highest first.
    Acknowledge,
    /// They are kept.
    Keep,
}

impl Sink {
    /// Starts on threads of its own.
    pub fn start(mode: Mode) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (lines, kept) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (count, keep) = (lines.clone(), kept.clone());
        thread::Builder::new().name("sink".into()).spawn(move || {
            for caller in listener.incoming().flatten() {
                let (count, keep) = (count.clone(), keep.clone());
                thread::spawn(move || take(caller, mode, &count, &keep));
            }
        })?;
        Ok(Self { address, lines, kept })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many lines came.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Acquire)
    }

    /// What was kept.
    #[must_use]
    pub fn kept(&self) -> Vec<u8> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn take(mut caller: TcpStream, mode: Mode, count: &AtomicU64, keep: &Mutex<Vec<u8>>) {
    let (mut buffer, mut mine) = (vec![0; 64 << 10], 0);
    while let Ok(read) = caller.read(&mut buffer)
        && read > 0
    {
        let bytes = &buffer[..read];
        if mode == Mode::Keep {
            keep.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        }
        let lines = bytes.iter().filter(|b| **b == b'\n').count() as u64;
        mine += lines;
        count.fetch_add(lines, Ordering::AcqRel);
        if mode == Mode::Acknowledge && caller.write_all(&mine.to_be_bytes()).is_err() {
            return;
        }
    }
}

//! A line that can be cut: out of a machine with a network of its own, a port of its loopback that leads to the same port
//! here; and here, a port that leads to another.

use std::{
    fs::File,
    io,
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::sched::{CloneFlags, setns};

use super::{Machine, wait};

/// Open until it is dropped, unless it is cut.
pub struct Relay {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_cut: AtomicBool,
    is_over: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Relay {
    /// Listens inside.
    pub fn open(machine: &Machine, port: u16) -> Result<Self> {
        let network = File::open(format!("/proc/{}/ns/net", machine.init()))?;
        // A thread goes in, makes the socket and ends; the socket stays where it was made.
        let listen = move || -> Result<TcpListener> {
            setns(network, CloneFlags::CLONE_NEWNET)?;
            let listener = TcpListener::bind(("127.0.0.1", port))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = thread::spawn(listen).join().expect("it does not panic").context("listen inside")?;
        Ok(Self::lead(listener, port))
    }

    /// Listens on a free port of this host's loopback, which it gives.
    pub fn here(port: u16) -> Result<(Self, u16)> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let at = listener.local_addr()?.port();
        Ok((Self::lead(listener, port), at))
    }

    fn lead(listener: TcpListener, port: u16) -> Self {
        let shared = Arc::new(Shared::default());
        let all = shared.clone();
        thread::spawn(move || {
            while !all.is_over.load(Ordering::SeqCst) {
                match listener.accept() {
                    // What cannot be carried on is hung up, as a network would.
                    Ok((inside, _)) if !all.is_cut.load(Ordering::SeqCst) => drop(all.carry(inside, port)),
                    Ok(_) => {}
                    Err(_) => wait::pause(Duration::from_millis(10)),
                }
            }
        });
        Self { shared }
    }

    /// Cuts the line, or mends it.
    pub fn cut(&self, is_cut: bool) {
        self.shared.is_cut.store(is_cut, Ordering::SeqCst);
        if is_cut {
            self.shared.hang_up();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.shared.hang_up();
    }
}

impl Shared {
    fn carry(&self, inside: TcpStream, port: u16) -> io::Result<()> {
        let outside = TcpStream::connect(("127.0.0.1", port))?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for (from, to) in [(&inside, &outside), (&outside, &inside)] {
            let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
            thread::spawn(move || {
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
        }
        open.extend([inside, outside]);
        Ok(())
    }

    fn hang_up(&self) {
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

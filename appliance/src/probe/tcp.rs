//! A TCP connection that is over when its time is, however slowly the other side drips.

use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs as _},
};

use super::Deadline;

/// A connection with a deadline.
pub(crate) struct Timed<'a> {
    stream: TcpStream,
    deadline: &'a Deadline<'a>,
}

/// Connects to `host:port`, by the first of its addresses that answers.
pub(crate) fn connect<'a>(place: &str, deadline: &'a Deadline<'a>) -> io::Result<Timed<'a>> {
    let mut problem = io::ErrorKind::NotFound.into();
    for address in place.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, deadline.left()?) {
            Ok(stream) => return Ok(Timed { stream, deadline }),
            Err(error) => problem = error,
        }
    }
    Err(problem)
}

impl Read for Timed<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.deadline.left()?))?;
        self.stream.read(bytes)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.deadline.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

//! One request to a web server, and the status of its answer; it is not asked for more, and no redirect is followed.

use std::io::{self, Read, Write};

/// How much of an answer is read: `HTTP/1.1 200`.
const STATUS_LINE: usize = 12;

/// The status that `GET path` is answered with (RFC 9112, section 4).
pub(super) fn status(mut stream: impl Read + Write, host: &str, path: &str) -> io::Result<u16> {
    let path = if path.is_empty() { "/" } else { path };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: orderly\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut answer = [0; STATUS_LINE];
    stream.read_exact(&mut answer)?;
    read(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "that is not HTTP"))
}

fn read(answer: &[u8; STATUS_LINE]) -> Option<u16> {
    let (version, code) = str::from_utf8(answer).ok()?.split_once(' ')?;
    let status: u16 = code.parse().ok()?;
    (version.starts_with("HTTP/1.") && (100..600).contains(&status)).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_is_a_status() {
        assert_eq!(read(b"HTTP/1.1 503"), Some(503));
        assert_eq!(read(b"HTTP/1.0 200"), Some(200));
        for strange in
            [b"SSH-2.0-Open", b"HTTP/1.1 99 ", b"HTTP/1.1  20", b"HTTP/1.1 999", b"\xffTTP/1.1 200"]
        {
            assert_eq!(read(strange), None);
        }
    }
}

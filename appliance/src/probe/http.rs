//! One request to a web server, and the status of its answer; it is not asked for more, and no redirect is followed.

use std::io::{self, Read, Write};

/// How much of an answer is read: `HTTP/1.1 200`.
const STATUS_LINE: usize = 12;
/// The most bytes of a head.
pub(crate) const HEAD_MOST: usize = 8 << 10;

/// The status that `GET path` is answered with (RFC 9112, section 4).
pub(super) fn status(mut stream: impl Read + Write, host: &str, path: &str) -> io::Result<u16> {
    let path = if path.is_empty() { "/" } else { path };
    stream.write_all(request(host, path).as_bytes())?;
    stream.flush()?;
    let mut answer = [0; STATUS_LINE];
    stream.read_exact(&mut answer)?;
    read(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "that is not HTTP"))
}

/// An answer's status, and where it sends us.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
}

/// The head of an answer, up to the empty line and not a byte beyond.
pub(crate) fn head(stream: &mut impl Read) -> io::Result<Head> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "that is not HTTP");
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        bytes.push(byte[0]);
        let foreign = bytes.len() == STATUS_LINE && bytes.first_chunk().and_then(read).is_none();
        if foreign || bytes.len() > HEAD_MOST {
            return Err(wrong());
        }
    }
    parse(&bytes).ok_or_else(wrong)
}

/// A head as bytes; `None`: not HTTP.
pub(crate) fn parse(bytes: &[u8]) -> Option<Head> {
    let status = read(bytes.first_chunk()?)?;
    let text = String::from_utf8_lossy(bytes);
    let fields = text.lines().skip(1).filter_map(|line| line.split_once(':'));
    let location = fields.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("location"));
    Some(Head { status, location: location.map(|(_, value)| value.trim().to_owned()) })
}

/// The answer to `GET path`, without its body.
pub(crate) fn ask(stream: &mut (impl Read + Write), host: &str, path: &str) -> io::Result<Head> {
    stream.write_all(request(host, path).as_bytes())?;
    stream.flush()?;
    head(stream)
}

fn request(host: &str, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: orderly\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )
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

    #[test]
    fn a_head_ends_where_it_ends() {
        let mut answer = &b"HTTP/1.1 302 Found\r\nlocation:  http://portal.test/\r\nA: b\r\n\r\nbody"[..];
        let found = head(&mut answer).unwrap();
        assert_eq!((found.status, found.location.as_deref()), (302, Some("http://portal.test/")));
        assert_eq!(answer, b"body", "what comes after it is not ours");
        assert!(head(&mut &b"SSH-2.0-OpenSSH_9.2 and no end"[..]).is_err());
        let endless = [b"HTTP/1.1 200 OK\r\n".as_slice(), &vec![b'x'; 2 * HEAD_MOST]].concat();
        assert!(head(&mut endless.as_slice()).is_err());
    }
}

//! A client that says exactly what it is told to.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
};

use crate::watcher::Watcher;

/// An answer over HTTP.
pub struct Got {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Watcher {
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join("witness").join(name)
    }

    pub fn post(&self, path: &str, body: &[u8]) -> Got {
        ask(self.address, "POST", path, body)
    }

    pub fn get(&self, path: &str) -> Got {
        ask(self.address, "GET", path, b"")
    }
}

/// One request over one connection, as plain as HTTP is.
fn ask(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> Got {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: witness\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // Whoever has heard enough hangs up before it is all sent; its answer is there all the same.
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Got { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

//! A question over HTTP, by hand: one GET, one answer.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A local service answers within this or not at all.
const LIMIT: Duration = Duration::from_secs(10);

/// Status and body of `GET path` at a port of this machine; `None` where nobody answers.
pub fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    // 1.0: the answer ends with the connection and is never cut into chunks.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// The JSON document at a path.
///
/// # Panics
/// Where the answer is not 200 with JSON.
pub fn get_json(port: u16, path: &str) -> serde_json::Value {
    let (status, body) = get(port, path).unwrap_or_else(|| panic!("nobody answers GET {path} at port {port}"));
    assert_eq!(status, 200, "GET {path}: {body}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("GET {path} is not JSON: {error}"))
}

//! A question to a service on this machine over HTTP, by hand: one GET, one answer.

use serde_json::Value;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// A live service answers at once; another program may never do.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// More than /metrics of a large service.
const ANSWER_BYTES_MAX: u64 = 16_000_000;

/// Status and body; `None` where nobody answers like a web server.
pub fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&reachable(address), ANSWER_LIMIT).ok()?;
    stream.set_read_timeout(Some(ANSWER_LIMIT)).ok()?;
    stream.set_write_timeout(Some(ANSWER_LIMIT)).ok()?;
    // 1.0: the answer ends with the connection and is never cut into chunks.
    // In one piece: who answers after the first line and closes would reset the rest.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// What a Paceline service says at an address of its own: `None` where it is none, else its reasons not to be live.
pub fn reasons_not_live(address: SocketAddr) -> Option<Vec<String>> {
    let (_, body) = get(address, "/health/live")?;
    let answer: Value = serde_json::from_str(&body).ok()?;
    answer.get("ok")?.as_bool()?;
    let reasons = answer.get("reasons")?.as_array()?;
    Some(reasons.iter().filter_map(|reason| reason.as_str().map(str::to_owned)).collect())
}

/// Who listens on every address of the machine is asked on the loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn answering(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        });
        address
    }

    #[test]
    fn a_service_is_known_by_its_answer_and_another_program_is_not() {
        let live = answering("HTTP/1.0 200 OK\r\n\r\n{\"ok\":true,\"reasons\":[]}");
        assert_eq!(reasons_not_live(live), Some(Vec::new()));
        let stuck = answering("HTTP/1.0 503 -\r\n\r\n{\"ok\":false,\"reasons\":[\"aggregator: silent\"]}");
        assert_eq!(reasons_not_live(stuck), Some(vec!["aggregator: silent".to_owned()]));
        assert_eq!(reasons_not_live(answering("HTTP/1.0 200 OK\r\n\r\n{\"ok\":true}")), None);
        assert_eq!(reasons_not_live(answering("220 mail ready\r\n")), None);
    }
}

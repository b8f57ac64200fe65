//! What only a real connection shows: TLS, slow and large requests, streams.

use super::*;
use crate::http::{Endpoint, serve, tls};
use crate::settings::TlsFiles;
use futures_util::StreamExt;
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509NameBuilder};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

const GET: &[u8] = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn listen(tls: Option<openssl::ssl::SslAcceptor>) -> SocketAddr {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    serve(vec![Endpoint { setting: "http.listen", address, tls, routes: Api::new().routes }]).unwrap()[0]
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn answer(mut stream: impl Read + Write, request: &[u8]) -> String {
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// A certificate of localhost for a day, signed by itself.
pub fn certificate(folder: &Path) -> TlsFiles {
    let key = PKey::from_rsa(Rsa::generate(2_048).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "localhost").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    let localhost = SubjectAlternativeName::new().dns("localhost").build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(localhost).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let files = TlsFiles { certificate: folder.join("c.pem"), key: folder.join("k.pem") };
    std::fs::write(&files.certificate, builder.build().to_pem().unwrap()).unwrap();
    std::fs::write(&files.key, key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    files
}

#[test]
fn with_a_certificate_only_tls_is_answered() {
    let folder = std::env::temp_dir().join(format!("paceline-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let files = certificate(&folder);
    let address = listen(Some(tls::acceptor(&files).unwrap()));
    let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    let secure = connector.build().connect("localhost", connect(address)).unwrap();
    assert!(answer(secure, GET).starts_with("HTTP/1.1 200"));
    assert!(!answer(connect(address), GET).contains("HTTP/1.1 200"));
    let torn = TlsFiles { key: files.certificate.clone(), ..files };
    assert_eq!(tls::acceptor(&torn).err().map(|failure| failure.kind.exit_code()), Some(78));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn who_sends_headers_slowly_or_too_many_is_let_go() {
    let address = listen(None);
    assert!(answer(connect(address), GET).starts_with("HTTP/1.1 200"));
    let started = Instant::now();
    // The request never ends.
    assert!(!answer(connect(address), b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: ").contains("200 OK"));
    assert!(started.elapsed() < Duration::from_secs(5), "held for {:?}", started.elapsed());
    let many: String = (0..100).map(|n| format!("X-{n}: x\r\n")).collect();
    let request = format!("GET /health/live HTTP/1.1\r\nHost: localhost\r\n{many}\r\n");
    assert!(answer(connect(address), request.as_bytes()).starts_with("HTTP/1.1 431"));
    let large = format!("GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    assert!(answer(connect(address), large.as_bytes()).starts_with("HTTP/1.1 431"));
}

#[test]
fn a_stream_tells_changes_and_a_slow_reader_is_told_to_read_again() {
    let api = Api::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ask = |path: &str| api.routes.clone().oneshot(request("GET", path).body(Body::empty()).unwrap());
        let answer = ask("/stream?events=proposal,halt&campaign=c1").await.unwrap();
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
        let mut events = answer.into_body().into_data_stream();
        let mut next = async || String::from_utf8(events.next().await.unwrap().unwrap().to_vec()).unwrap();
        assert!(next().await.contains("event: halt"));
        api.published()
            .put_proposal(&Adjustment { campaign_id: "other".into(), ..command("x", "pause", "proposed", 1) });
        api.published().put_adjustment(&command("k", "pause", "issued", 1));
        api.published().put_proposal(&command("p", "pause", "proposed", 1));
        let told = next().await;
        assert!(
            told.contains("event: proposal") && told.contains("\"command_id\":\"p\"") && told.contains("id: "),
            "{told}"
        );
        for n in 0..5_000 {
            api.published().put_proposal(&command(&format!("p{n}"), "pause", "proposed", 1));
        }
        assert!(next().await.contains("event: resync"));
        assert_eq!(api.shared.metrics.http_resyncs.get(), 1);
    });
}

#[test]
fn there_are_only_so_many_streams() {
    let api = Api::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ask = || api.routes.clone().oneshot(request("GET", "/stream").body(Body::empty()).unwrap());
        let mut held = Vec::new();
        for _ in 0..64 {
            held.push(ask().await.unwrap());
        }
        assert_eq!(ask().await.unwrap().status(), 429);
        held.pop();
        assert_eq!(ask().await.unwrap().status(), 200);
    });
}

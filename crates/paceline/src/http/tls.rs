//! TLS of the API's address, by the same library that the Kafka client brings.

use crate::failure::{Failure, Outcome};
use crate::settings::TlsFiles;
use openssl::ssl::{Ssl, SslAcceptor, SslFiletype, SslMethod};
use std::io;
use std::pin::Pin;
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

/// Reads certificate and key, once, at the start.
pub fn acceptor(files: &TlsFiles) -> Outcome<SslAcceptor> {
    let build = || {
        // TLS 1.3 and 1.2 with today's ciphers: Mozilla's "intermediate" list.
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
        builder.set_certificate_chain_file(&files.certificate)?;
        builder.set_private_key_file(&files.key, SslFiletype::PEM)?;
        builder.check_private_key()?;
        Ok(builder.build())
    };
    build().map_err(|error: openssl::error::ErrorStack| {
        let (certificate, key) = (files.certificate.display(), files.key.display());
        Failure::setup(
            format!("cannot use {certificate} with {key} for TLS (http.tls): {error}"),
            "give PEM files that this user may read, the server's certificate first, and the key that belongs to it",
        )
    })
}

/// Shakes hands.
pub async fn accept(acceptor: &SslAcceptor, stream: TcpStream) -> io::Result<SslStream<TcpStream>> {
    let ssl = Ssl::new(acceptor.context()).map_err(io::Error::other)?;
    let mut stream = SslStream::new(ssl, stream).map_err(io::Error::other)?;
    Pin::new(&mut stream).accept().await.map_err(io::Error::other)?;
    Ok(stream)
}

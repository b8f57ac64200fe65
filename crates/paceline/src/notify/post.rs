//! One POST over http or https, with a limit on its time, and what its outcome means.
//!
//! Missing on purpose: redirects, proxies, connections that are kept. A message a minute needs none.

use super::message;
use crate::failure::{Failure, Outcome};
use crate::settings::NotificationSettings;
use axum::body::Body;
use axum::http::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use openssl::ssl::{SslConnector, SslMethod};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_openssl::SslStream;

/// A receiver that has not answered by then is tried again.
const LIMIT: Duration = if cfg!(test) { Duration::from_secs(2) } else { Duration::from_secs(10) };
/// Where distributions keep the certificates that they trust; the library that is built in knows none.
const CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// A message on its way; the same in every attempt.
pub struct Message {
    /// By this a receiver knows a message that it has seen.
    pub id: String,
    /// JSON.
    pub body: String,
}

/// What an attempt came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was taken.
    Taken,
    /// It may be taken later.
    Later(String),
    /// The receiver is not to be had: a wrong or withdrawn address or token. A person can mend that.
    Closed(String),
    /// This message will never be taken.
    Never(String),
}

/// Where messages go.
pub struct Target {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<SslConnector>,
    secret: Option<String>,
}

impl Target {
    /// The target of the settings; `None` where there is none.
    pub fn of(settings: &NotificationSettings) -> Outcome<Option<Self>> {
        let Some(url) = &settings.url else { return Ok(None) };
        let wrong = |why: &str| {
            Failure::setup(
                format!("notifications.url: {why}"),
                "write for example https://hooks.example.com/services/…",
            )
        };
        let uri: Uri = url.parse().map_err(|_| wrong("it is no address"))?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(wrong("leave name and password out: they are not sent"));
        }
        let host = uri.host().ok_or_else(|| wrong("it names no host"))?.to_owned();
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tls = is_tls.then(|| connector(settings.ca.as_deref())).transpose()?;
        let target = Self { uri, host, port, tls, secret: settings.secret.clone() };
        // A secret that is no base64 is told at the start and not with the first alert.
        target.signature("", 0, "").map_err(|_| {
            Failure::setup("notifications.secret: what follows whsec_ is no base64", "copy it again from the receiver")
        })?;
        Ok(Some(target))
    }

    /// Tries once.
    pub async fn post(&self, message: &Message, now_ms: i64) -> Answer {
        match timeout(LIMIT, self.attempt(message, now_ms)).await {
            Err(_) => Answer::Later(format!("no answer within {} s", LIMIT.as_secs())),
            Ok(Err(error)) => Answer::Later(error.to_string()),
            Ok(Ok(status)) if status.is_success() => Answer::Taken,
            Ok(Ok(status)) if may_pass(status) => Answer::Later(status.to_string()),
            Ok(Ok(status)) if is_about_the_message(status) => Answer::Never(status.to_string()),
            Ok(Ok(status)) => Answer::Closed(status.to_string()),
        }
    }

    async fn attempt(&self, message: &Message, now_ms: i64) -> io::Result<StatusCode> {
        let request = self.request(message, now_ms)?;
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, self.port)).await?;
        match &self.tls {
            None => send(stream, request).await,
            Some(connector) => {
                let ssl = connector.configure().and_then(|configured| configured.into_ssl(host))?;
                let mut stream = SslStream::new(ssl, stream)?;
                Pin::new(&mut stream).connect().await.map_err(io::Error::other)?;
                send(stream, request).await
            }
        }
    }

    fn request(&self, message: &Message, now_ms: i64) -> io::Result<Request<Body>> {
        let at_seconds = now_ms.div_euclid(1_000);
        let authority = self.uri.authority().map_or(self.host.as_str(), |authority| authority.as_str());
        // A name and password in the address are no part of the host.
        let host = authority.rsplit('@').next().unwrap_or(authority);
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::post(path)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("paceline/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", at_seconds);
        if let Some(signature) = self.signature(&message.id, at_seconds, &message.body)? {
            request = request.header("webhook-signature", signature);
        }
        request.body(Body::from(message.body.clone())).map_err(io::Error::other)
    }

    fn signature(&self, id: &str, at_seconds: i64, body: &str) -> io::Result<Option<String>> {
        let secret = self.secret.as_ref();
        Ok(secret.map(|secret| message::signature(secret, id, at_seconds, body)).transpose()?)
    }
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Body>,
) -> io::Result<StatusCode> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let serving = tokio::spawn(connection);
    let answer = sender.send_request(request).await;
    // The body of the answer is not looked at.
    serving.abort();
    Ok(answer.map_err(io::Error::other)?.status())
}

fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

fn is_about_the_message(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY
    )
}

fn connector(ca: Option<&Path>) -> Outcome<SslConnector> {
    let found = || CERTIFICATES.iter().map(PathBuf::from).find(|path| path.is_file());
    let file = ca.map(Path::to_path_buf).or_else(found);
    let build = || {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        if let Some(file) = &file {
            builder.set_ca_file(file)?;
        }
        Ok(builder.build())
    };
    build().map_err(|error: openssl::error::ErrorStack| {
        let file = file.as_ref().map_or_else(|| "the built-in paths".into(), |file| file.display().to_string());
        Failure::setup(
            format!("cannot read the trusted certificates of {file} (notifications.ca): {error}"),
            "give a PEM file that this user may read",
        )
    })
}

//! Serving HTTP without letting anybody hold the door: connections are counted, headers must arrive in time.
//!
//! The server has a thread and runtime of its own, so abuse of it cannot starve the data path.

use super::tls;
use super::write_limit::WriteLimit;
use crate::failure::{Failure, Kind, Outcome};
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use openssl::ssl::SslAcceptor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// A browser sends its headers at once; who needs longer than this holds a connection on purpose.
const HEADER_TIMEOUT: Duration = if cfg!(test) { Duration::from_secs(2) } else { Duration::from_secs(5) };
/// Who takes nothing of an answer for this long has gone, or holds the connection on purpose.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Far more than a browser sends.
const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 32 * 1_024;
/// Enough for dashboards and scrapers of one team; each connection costs a few kB.
const CONNECTIONS_MAX: usize = 256;

/// One address and what it serves.
pub struct Endpoint {
    /// Setting that names the address, for the error message.
    pub setting: &'static str,
    /// Address to bind.
    pub address: SocketAddr,
    /// Certificate and key, where the address speaks TLS.
    pub tls: Option<SslAcceptor>,
    /// Routes.
    pub routes: Router,
}

/// Binds every endpoint, then serves them on a thread of its own. Returns the bound addresses.
pub fn serve(endpoints: Vec<Endpoint>) -> Outcome<Vec<SocketAddr>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start the HTTP runtime: {error}"), ""))?;
    let mut bound = Vec::new();
    for endpoint in endpoints {
        let listener = runtime.block_on(TcpListener::bind(endpoint.address)).map_err(|error| {
            Failure::new(
                Kind::TryLater,
                format!("cannot listen on {} ({}): {error}", endpoint.address, endpoint.setting),
                format!("free the port or set {} to another address", endpoint.setting),
            )
        })?;
        let address = listener.local_addr().unwrap_or(endpoint.address);
        bound.push((listener, address, endpoint.tls, endpoint.routes));
    }
    let addresses = bound.iter().map(|(_, address, ..)| *address).collect();
    std::thread::Builder::new()
        .name("http".into())
        .spawn(move || {
            runtime.block_on(async {
                let mut tasks = Vec::new();
                for (listener, _, tls, routes) in bound {
                    tasks.push(tokio::spawn(accept(listener, tls.map(Arc::new), routes)));
                }
                for task in tasks {
                    let _ = task.await;
                }
            });
        })
        .map_err(|error| Failure::failed(format!("cannot start the HTTP thread: {error}"), ""))?;
    Ok(addresses)
}

async fn accept(listener: TcpListener, tls: Option<Arc<SslAcceptor>>, routes: Router) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // A full house makes newcomers wait in the listen queue instead of taking memory.
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors passes when connections end.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (tls, routes) = (tls.clone(), routes.clone());
        tokio::spawn(async move {
            connection(stream, tls, routes).await;
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, tls: Option<Arc<SslAcceptor>>, routes: Router) {
    match tls {
        None => converse(stream, routes).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) = timeout(HEADER_TIMEOUT, tls::accept(&acceptor, stream)).await {
                converse(stream, routes).await;
            }
        }
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, routes: Router) {
    let stream = TokioIo::new(WriteLimit::new(stream, WRITE_TIMEOUT));
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(stream, TowerToHyperService::new(routes))
        .await;
}

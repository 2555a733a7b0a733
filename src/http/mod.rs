//! HTTP: health, metrics, the calls API and a page that shows it. Wire types live only here.
//! It starts calls where it may; it changes nothing else.

mod api;
mod orders;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::gateway::Gateway;

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("cannot listen for HTTP on TCP {address}: {source}. Is another program using the port? Change [http] bind")]
    Bind { address: SocketAddr, source: std::io::Error },
}

pub async fn bind(address: SocketAddr) -> Result<TcpListener, HttpError> {
    TcpListener::bind(address).await.map_err(|source| HttpError::Bind { address, source })
}

/// Serves until the gateway stops.
pub async fn serve(listener: TcpListener, gateway: Arc<Gateway>) {
    let stopping = gateway.stopping();
    let served = axum::serve(listener, router(gateway)).with_graceful_shutdown(stopping).await;
    if let Err(error) = served {
        tracing::error!(%error, "the HTTP server stopped; calls go on");
    }
}

fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(api::ready))
        .route("/metrics", get(api::metrics))
        .route("/api/v1/calls", get(api::calls).post(orders::place))
        .route("/api/v1/calls/{id}", get(api::call))
        .route("/api/v1/calls/{id}/transcript", get(api::transcript))
        .with_state(gateway)
}

/// One file, no script from elsewhere; the policy says so to the browser.
async fn page() -> impl IntoResponse {
    const POLICY: &str =
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'";
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(include_str!("page.html")))
}

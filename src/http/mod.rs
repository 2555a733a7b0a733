//! HTTP: health, metrics, the calls API, a page that shows it, and calls from web pages. Wire types live only here.
//! It starts and ends calls where it may; it changes nothing else.

mod access;
mod agents;
mod api;
mod chat;
mod orders;
mod privacy;
mod sessions;
mod tokens;
mod turn;
mod whip;
mod widget;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse};
use axum::routing::{get, patch, post};
use tokio::net::TcpListener;

use crate::gateway::Gateway;

pub use access::Seats;
pub use privacy::{Doors, DoorsError, Office, router as privacy_router};
pub use sessions::{Sessions, watch as watch_pages};
pub use tokens::Tokens;
pub use turn::IceServers;
pub(crate) use turn::base64;

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
    let service = router(gateway).into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, service).with_graceful_shutdown(stopping).await;
    if let Err(error) = served {
        tracing::error!(%error, "the HTTP server stopped; calls go on");
    }
}

fn router(gateway: Arc<Gateway>) -> Router {
    let office = privacy::router(Arc::clone(&gateway.office));
    Router::new()
        .route("/", get(page))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(api::ready))
        .route("/metrics", get(api::metrics))
        .route("/api/v1/calls", get(api::calls).post(orders::place))
        .route("/api/v1/calls/{id}", get(api::call))
        .route("/api/v1/calls/{id}/transcript", get(api::transcript))
        .route("/api/v1/web/tokens", post(tokens::issue))
        .merge(pages(&gateway))
        .merge(widget::router())
        .with_state(gateway)
        .merge(office)
}

/// What web pages of other origins may ask, each request checked first.
fn pages(gateway: &Arc<Gateway>) -> Router<Arc<Gateway>> {
    Router::new()
        .route("/whip/{agent}", post(whip::offer))
        .route("/whip/{agent}/{id}", patch(whip::trickle).delete(whip::hang_up))
        .route("/web/v1/agents/{agent}", get(agents::tell))
        .route("/chat/{agent}", get(chat::open))
        .layer(DefaultBodyLimit::max(whip::BODY_MAX))
        .layer(from_fn_with_state(Arc::clone(gateway), access::cors))
}

/// One file, no script from elsewhere; the policy says so to the browser.
async fn page() -> impl IntoResponse {
    const POLICY: &str =
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'";
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(include_str!("page.html")))
}

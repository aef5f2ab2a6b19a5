//! An HTTP server that takes webhooks and answers 200.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::{Counter, Sink};

/// The header that names a delivery.
const ID_HEADER: &str = "webhook-id";

pub(super) async fn start() -> anyhow::Result<Sink> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (address, counter) = (listener.local_addr()?, Counter::default());
    let router = Router::new().route("/hook", post(take)).with_state(counter.clone());
    let serving = tokio::spawn(async move {
        // Serves until it is aborted; a listener that fails shows as deliveries that do not come.
        let _ = axum::serve(listener, router).await;
    });
    Ok(Sink { address, counter, _serving: AbortOnDropHandle::new(serving) })
}

/// Takes a delivery; its body is read to the end by the extractor.
async fn take(State(counter): State<Counter>, headers: HeaderMap, _body: axum::body::Bytes) -> StatusCode {
    let Some(id) = headers.get(ID_HEADER).and_then(|id| id.to_str().ok()) else { return StatusCode::BAD_REQUEST };
    counter.add(id);
    StatusCode::OK
}

//! How both servers listen: as axum does by itself, without delays, as ours does.

use axum::{Router, serve::ListenerExt as _};
use std::io;
use tokio::net::TcpListener;

/// Serves until the process is ended.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(listen: &str, router: Router) -> io::Result<()> {
    let listener = TcpListener::bind(listen).await?.tap_io(|connection| {
        // A connection that is gone already ends by itself.
        let _ = connection.set_nodelay(true);
    });
    axum::serve(listener, router).await
}

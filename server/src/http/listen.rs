//! Serving the connections of one runtime.

use std::{convert::Infallible, sync::Arc};

use http::{HeaderValue, header::CONNECTION};
use hyper::{server::conn::http1, service::service_fn};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
};

use super::{
    Handed,
    connections::{Connections, Deadlines},
    route::{App, Face},
};
use crate::{merchants::Merchants, service::PayService};

/// The largest head of a request, in bytes (hyper's own limit on the number of headers is 100).
const HEAD_MAX: usize = 16 * 1024;

/// What a runtime serves connections with.
pub struct Endpoint {
    app: Arc<App>,
    connections: Connections,
}

/// Serves what is handed in until told to stop and every answer under way is given.
pub async fn serve(endpoint: Endpoint, mut handed: mpsc::Receiver<Handed>, mut stop: watch::Receiver<bool>) {
    let connections = endpoint.connections.clone();
    let deadlines = tokio::spawn(async move { connections.keep_deadlines().await });
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            next = handed.recv() => match next {
                Some(next) => endpoint.open(next),
                None => break,
            },
        }
    }
    handed.close();
    endpoint.connections.drain().await;
    deadlines.abort();
}

impl Endpoint {
    /// One of the two faces of a service, without a connection yet. The merchants are those of the public one.
    #[must_use]
    pub fn new(service: PayService, face: Face, merchants: Arc<Merchants>, deadlines: Deadlines) -> Self {
        let connections = Connections::new(Arc::clone(&service.parts().metrics), deadlines);
        Self { app: App::new(service, face, merchants, deadlines.body), connections }
    }

    fn open(&self, handed: Handed) {
        let stream = match TcpStream::from_std(handed.stream) {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!(%error, "a connection could not be taken over"),
        };
        let (io, phase) = self.connections.watch(stream);
        let (app, of_request) = (Arc::clone(&self.app), Arc::clone(&phase));
        let service = service_fn(move |request| {
            let (app, phase) = (Arc::clone(&app), Arc::clone(&of_request));
            async move {
                phase.busy();
                let mut answer = app.handle(request).await;
                if phase.is_last_call() {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                phase.answered();
                Ok::<_, Infallible>(answer)
            }
        });
        // A client that has said all it has to say may close its side and still gets its answer; and a request whose
        // client goes away is answered to the end, so that nothing stops half-way.
        let connection = http1::Builder::new().max_buf_size(HEAD_MAX).half_close(true).serve_connection(io, service);
        let place = handed.place;
        self.connections.spawn(phase, async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended badly");
            }
            drop(place);
        });
    }
}

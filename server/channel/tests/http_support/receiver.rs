//! A server that takes notifications and hands them to the test, which decides how each is answered.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use payrig_api::ChannelStyle;
use payrig_channel::Notification;
use payrig_channel::wire::notify::ALIPAY_SUCCESS;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// One notification that came, and the way to answer it.
pub(crate) struct Came {
    pub(crate) at: Instant,
    pub(crate) notification: Notification,
    answer: oneshot::Sender<(u16, &'static str)>,
}

/// Where they come.
pub(crate) struct Receiver {
    pub(crate) url: String,
    came: mpsc::UnboundedReceiver<Came>,
}

impl Came {
    pub(crate) fn answer(self, status: u16, body: &'static str) {
        let _ = self.answer.send((status, body));
    }

    pub(crate) fn acknowledge(self) {
        self.answer(200, ALIPAY_SUCCESS);
    }
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/notify/", listener.local_addr().unwrap());
        let (sender, came) = mpsc::unbounded_channel();
        let sender = Arc::new(sender);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sender = Arc::clone(&sender);
                let service = service_fn(move |request| take(request, Arc::clone(&sender)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, came }
    }

    /// The next one that comes.
    pub(crate) async fn next(&mut self) -> Came {
        self.came.recv().await.expect("the receiver lives")
    }

    /// One that has come already.
    pub(crate) fn next_now(&mut self) -> Option<Came> {
        self.came.try_recv().ok()
    }
}

async fn take(
    request: Request<Incoming>,
    sender: Arc<mpsc::UnboundedSender<Came>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    let style = if head.uri.path().ends_with("wechat") { ChannelStyle::Wechat } else { ChannelStyle::Alipay };
    let notification = read(style, &head.headers, body.to_vec());
    let (answer, answered) = oneshot::channel();
    let _ = sender.send(Came { at: Instant::now(), notification, answer });
    let (status, body) = answered.await.unwrap_or((500, "nobody cares"));
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status.try_into().unwrap();
    Ok(response)
}

fn read(style: ChannelStyle, headers: &HeaderMap, body: Vec<u8>) -> Notification {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    Notification::from_http(style, header, body).expect("a notification that can be read")
}

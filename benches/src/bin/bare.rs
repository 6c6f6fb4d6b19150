//! The bare hyper server that payrig's server is held against: same runtime, same options, no work.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it says where it listens, and why it does not")]

use std::{convert::Infallible, error::Error, io::Write as _, net::SocketAddr, process::ExitCode, sync::Arc};

use bytes::Bytes;
use clap::Parser;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use payrig_benches::reply::CannedReply;
use tokio::net::{TcpListener, TcpStream};

/// The largest head of a request, in bytes: as payrig's server has it.
const HEAD_MAX: usize = 16 * 1024;

/// Reads each request with its body and gives the same answer every time; one thread, one runtime.
#[derive(Parser)]
struct Flags {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// What a GET is answered, as JSON: status, headers and bytes
    #[arg(long)]
    get: String,
    /// What a POST is answered, likewise
    #[arg(long)]
    post: String,
}

/// An answer, made once.
struct Canned {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Canned {
    fn read(text: &str) -> Result<Self, Box<dyn Error>> {
        let reply: CannedReply = serde_json::from_str(text)?;
        let (status, headers) = reply.head()?;
        Ok(Self { status, headers, body: Bytes::from(vec![b'x'; reply.bytes]) })
    }

    fn answer(&self) -> Response<Full<Bytes>> {
        let mut answer = Response::new(Full::new(self.body.clone()));
        *answer.status_mut() = self.status;
        answer.headers_mut().clone_from(&self.headers);
        answer
    }
}

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let answers = Arc::new((Canned::read(&flags.get)?, Canned::read(&flags.post)?));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(flags.listen).await?;
        println!("listening on http://{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(serve(stream, Arc::clone(&answers)));
        }
    })
}

async fn serve(stream: TcpStream, answers: Arc<(Canned, Canned)>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answers = Arc::clone(&answers);
        async move {
            let get = request.method() == Method::GET;
            // A body that breaks off ends the connection by itself.
            let _ = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
            Ok::<_, Infallible>(if get { answers.0.answer() } else { answers.1.answer() })
        }
    });
    let connection = http1::Builder::new().max_buf_size(HEAD_MAX).serve_connection(TokioIo::new(stream), service);
    let _ = connection.await;
}

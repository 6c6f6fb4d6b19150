//! A small blocking HTTP/1.1 client for set-up and for reading metrics; no measurement goes through it.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::{error::PerfError, reply::CannedReply};

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Headers that hyper adds by itself.
const HYPERS_OWN: [&str; 2] = ["content-length", "date"];

/// A kept-alive connection.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

/// A whole reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Headers in the order of their arrival.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Where nobody listens.
    pub fn open(address: SocketAddr) -> Result<Self, PerfError> {
        let what = || PerfError::io(format!("connecting to {address}"));
        let stream = TcpStream::connect(address).map_err(what())?;
        stream.set_nodelay(true).map_err(what())?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(what())?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Gets a path.
    ///
    /// # Errors
    /// Where no whole reply comes.
    pub fn get(&mut self, path: &str) -> Result<Reply, PerfError> {
        self.call(&format!("GET {path} HTTP/1.1\r\nHost: perf\r\n\r\n"))
    }

    /// Posts JSON to a path.
    ///
    /// # Errors
    /// Where no whole reply comes.
    pub fn post(&mut self, path: &str, json: &str) -> Result<Reply, PerfError> {
        let length = json.len();
        self.call(&format!(
            "POST {path} HTTP/1.1\r\nHost: perf\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}"
        ))
    }

    fn call(&mut self, request: &str) -> Result<Reply, PerfError> {
        let what = || PerfError::io("calling the server");
        self.stream.get_mut().write_all(request.as_bytes()).map_err(what())?;
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| PerfError::broken("the server's reply is no HTTP"))?;
        let mut headers = Vec::new();
        let mut length = 0;
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(": ") else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().unwrap_or(0);
            }
            headers.push((name.to_owned(), value.to_owned()));
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).map_err(what())?;
        Ok(Reply { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
    }

    fn line(&mut self) -> Result<String, PerfError> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).map_err(PerfError::io("reading a reply"))?;
        if read == 0 {
            return Err(PerfError::broken("the server closed the connection"));
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}

impl Reply {
    /// The same reply without its meaning, for the bare server.
    #[must_use]
    pub fn canned(&self) -> CannedReply {
        let by_server = |(name, _): &&(String, String)| !HYPERS_OWN.contains(&name.to_ascii_lowercase().as_str());
        let headers = self.headers.iter().filter(by_server).cloned().collect();
        CannedReply { status: self.status, headers, bytes: self.body.len() }
    }
}

/// The server's metrics at one moment.
pub struct Metrics {
    values: HashMap<String, f64>,
}

impl Metrics {
    /// Reads `/metrics`.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub fn read(address: SocketAddr) -> Result<Self, PerfError> {
        let reply = Connection::open(address)?.get("/metrics")?;
        let line = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Ok(Self { values: reply.body.lines().filter(|text| !text.starts_with('#')).filter_map(line).collect() })
    }

    /// A value by name, all its labels summed.
    ///
    /// # Errors
    /// Where there is no such metric: a figure must not rest on a name that has changed.
    pub fn get(&self, name: &str) -> Result<f64, PerfError> {
        let mut found = self.matching(name).peekable();
        if found.peek().is_none() {
            return Err(PerfError::broken(format!("/metrics has no {name}")));
        }
        Ok(found.sum())
    }

    /// The same, nothing where it was never counted.
    #[must_use]
    pub fn get_or_zero(&self, name: &str) -> f64 {
        self.matching(name).sum()
    }

    fn matching(&self, name: &str) -> impl Iterator<Item = f64> {
        let labelled =
            move |key: &str| key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
        self.values.iter().filter(move |(key, _)| labelled(key)).map(|(_, value)| *value)
    }
}

//! HTTP/1.1 on a bare socket, so that tests can say what no client library would.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

use super::PATIENCE;

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The header's value; names are in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The body, which must be of this status.
    pub(crate) fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        self.json()
    }

    /// The problem, which must be of this status and type.
    pub(crate) fn problem(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:payrig:problem:{kind}"), "{problem}");
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string());
        assert_eq!(self.header("retry-after").is_some(), status == 503);
        problem
    }
}

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, unread: Vec::new() }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends bytes as long as the server takes them; whether it took them all.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Says that nothing more will come.
    pub(crate) fn close_own_side(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// How long a read or write may wait from now on.
    pub(crate) fn wait_at_most(&self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).unwrap();
        self.stream.set_write_timeout(Some(patience)).unwrap();
    }

    pub(crate) fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.send(&request(method, path, headers, body));
        self.reply_to(method)
    }

    /// Submits, if the connection lasts.
    pub(crate) fn try_submit(&mut self, body: &Value) -> std::io::Result<Reply> {
        let headers = [("Content-Type", "application/json")];
        self.stream.write_all(&request("POST", "/v1/pay-tasks", &headers, body.to_string().as_bytes()))?;
        self.try_reply("POST")
    }

    pub(crate) fn submit(&mut self, body: &Value, key: Option<&str>) -> Reply {
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(key.map(|key| ("Idempotency-Key", key)));
        self.request("POST", "/v1/pay-tasks", &headers, body.to_string().as_bytes())
    }

    /// Reads an answer.
    pub(crate) fn reply(&mut self) -> Reply {
        self.reply_to("GET")
    }

    /// Reads an answer to this method.
    pub(crate) fn reply_to(&mut self, method: &str) -> Reply {
        self.try_reply(method).unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    pub(crate) fn try_reply(&mut self, method: &str) -> std::io::Result<Reply> {
        let head_end = loop {
            if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            self.read_more()?;
        };
        let head = String::from_utf8(self.unread.drain(..head_end + 4).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut reply = Reply { status, headers, body: Vec::new() };
        if status == 100 {
            return self.try_reply(method);
        }
        let length: usize = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        if method != "HEAD" {
            while self.unread.len() < length {
                self.read_more()?;
            }
            reply.body = self.unread.drain(..length).collect();
        }
        Ok(reply)
    }

    fn read_more(&mut self) -> std::io::Result<()> {
        let mut room = [0; 16 * 1024];
        match self.stream.read(&mut room)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            read => {
                self.unread.extend_from_slice(&room[..read]);
                Ok(())
            }
        }
    }

    /// Waits until the answer begins, without reading it.
    pub(crate) fn answer_begins(&self) {
        assert_eq!(self.stream.peek(&mut [0]).unwrap(), 1);
    }

    /// Waits for `100 Continue`.
    pub(crate) fn is_told_to_go_on(&mut self) {
        while !self.unread.ends_with(b"\r\n\r\n") {
            self.read_more().unwrap();
        }
        assert!(self.unread.starts_with(b"HTTP/1.1 100 "), "{:?}", String::from_utf8_lossy(&self.unread));
        self.unread.clear();
    }

    /// Waits for the server to close, with nothing more to say.
    pub(crate) fn is_closed_by_server(&mut self) {
        assert!(self.unread.is_empty(), "{:?}", String::from_utf8_lossy(&self.unread));
        match self.read_more() {
            Ok(()) => panic!("more came: {:?}", String::from_utf8_lossy(&self.unread)),
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset),
                "not closed: {error}"
            ),
        }
    }
}

/// A request's bytes, with the length of its body where there is one.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: payrig\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if !body.is_empty() {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// A submission's bytes in chunks of this size.
pub(crate) fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut bytes =
        b"POST /v1/pay-tasks HTTP/1.1\r\nHost: payrig\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_vec();
    for chunk in body.chunks(size) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

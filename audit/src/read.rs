//! Reading the books from the admin listener, page by page, with a deadline for each page.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    time::{Duration, Instant},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, de::DeserializeOwned};

use crate::books::{Books, Counts, LedgerRow, OrderBooks};

/// Rows of one page.
const PAGE: usize = 2_000;
/// The largest page that is read, in bytes.
const PAGE_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The admin listener of a server, with its channel's where that is a process of its own.
#[derive(Clone, Debug)]
pub struct Admin {
    address: SocketAddr,
    timeout: Duration,
    /// Who has the ledger, and notifications still to send, where the server has neither.
    channel: Option<Box<Self>>,
}

/// Why the books cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The address is none.
    #[error("{0} is no address of an admin listener: expected http://HOST:PORT")]
    Address(String),
    /// The listener does not answer.
    #[error("{path}: {source}")]
    Io {
        /// What was asked for.
        path: String,
        /// What happened.
        source: io::Error,
    },
    /// It answers something else than books.
    #[error("{path}: {what}")]
    Unexpected {
        /// What was asked for.
        path: String,
        /// What came.
        what: String,
    },
}

#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Row<T> {
    doc: T,
}

impl Admin {
    /// The listener at this address, such as `http://127.0.0.1:9090`. Each page may take `timeout`.
    ///
    /// # Errors
    /// [`ReadError::Address`].
    pub fn new(url: &str, timeout: Duration) -> Result<Self, ReadError> {
        let no_address = || ReadError::Address(url.to_owned());
        let host = url.strip_prefix("http://").unwrap_or(url);
        let host = host.split('/').next().unwrap_or_default();
        let address = host.to_socket_addrs().map_err(|_| no_address())?.next().ok_or_else(no_address)?;
        Ok(Self { address, timeout, channel: None })
    }

    /// The same server with a channel of its own process: the ledger and the notifications that are still to be sent are
    /// read there.
    #[must_use]
    pub fn with_channel(self, channel: Self) -> Self {
        Self { channel: Some(Box::new(channel)), ..self }
    }

    /// What is under way.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn counts(&self) -> Result<Counts, ReadError> {
        let counts: Counts = self.get("/admin/books")?;
        let Some(channel) = &self.channel else { return Ok(counts) };
        Ok(Counts { notifications_pending: channel.counts()?.notifications_pending, ..counts })
    }

    /// All books. They are one picture only if nothing moves meanwhile: see [`crate::quiesce()`].
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn books(&self) -> Result<Books, ReadError> {
        let counts = self.counts()?;
        Ok(Books {
            open_tasks: self.collection("open_tasks")?,
            idempotency_keys: self.collection("idempotency_keys")?,
            order_slots: self.collection("order_slots")?,
            pay_tasks: self.collection("pay_tasks")?,
            payments: self.collection("payments")?,
            closings: self.collection("closings")?,
            payment_ends: self.collection("payment_ends")?,
            notices: self.collection("notices")?,
            order_settlements: self.collection("order_settlements")?,
            refunds: self.collection("refunds")?,
            refunded: self.collection("refunded")?,
            orders: self.orders()?,
            ledger: self.ledger()?,
            counts,
        })
    }

    /// Orders and what subscribers wrote, of a server that has such books.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn orders(&self) -> Result<Option<OrderBooks>, ReadError> {
        #[derive(Deserialize)]
        struct Known {
            #[serde(default)]
            collections: Vec<String>,
        }
        let known: Known = self.get("/admin/books")?;
        if !known.collections.iter().any(|name| name == "order_paid") {
            return Ok(None);
        }
        Ok(Some(OrderBooks {
            paid: self.collection("order_paid")?,
            daily_totals: self.collection("daily_totals")?,
            shipments: self.collection("shipments")?,
        }))
    }

    /// One collection of the store.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn collection<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>, ReadError> {
        let rows = self.pages::<Row<T>>(&format!("/admin/books/{name}"))?;
        Ok(rows.into_iter().map(|row| row.doc).collect())
    }

    /// The channel's ledger.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn ledger(&self) -> Result<Vec<LedgerRow>, ReadError> {
        self.channel.as_deref().unwrap_or(self).pages("/admin/ledger")
    }

    fn pages<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, ReadError> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let from = after.as_deref().map(|id| format!("&after={}", utf8_percent_encode(id, NON_ALPHANUMERIC)));
            let page: Page<T> = self.get(&format!("{path}?limit={PAGE}{}", from.unwrap_or_default()))?;
            all.extend(page.items);
            if page.next.is_none() {
                return Ok(all);
            }
            if page.next == after {
                let what = "the next page begins where this one does".to_owned();
                return Err(ReadError::Unexpected { path: path.to_owned(), what });
            }
            after = page.next;
        }
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ReadError> {
        let answer = self.exchange(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
        let unexpected = |what: String| ReadError::Unexpected { path: path.to_owned(), what };
        let (head, body) = split(&answer).ok_or_else(|| unexpected("no HTTP answer".to_owned()))?;
        let status = head.lines().next().unwrap_or_default();
        if !status.starts_with("HTTP/1.1 200") {
            return Err(unexpected(format!("{status}: {}", String::from_utf8_lossy(body))));
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        if length.is_some_and(|length| length != body.len()) {
            return Err(unexpected("the answer broke off".to_owned()));
        }
        serde_json::from_slice(body).map_err(|error| unexpected(error.to_string()))
    }

    /// One request on a connection of its own; the server closes it behind its answer.
    fn exchange(&self, path: &str) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + self.timeout;
        let mut stream = TcpStream::connect_timeout(&self.address, self.timeout)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(self.timeout))?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes())?;
        let (mut answer, mut piece) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            // The whole page has one deadline, not each read.
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            stream.set_read_timeout(Some(left))?;
            let read = stream.read(&mut piece)?;
            if read == 0 {
                return Ok(answer);
            }
            answer.extend_from_slice(&piece[..read]);
            if answer.len() as u64 > PAGE_MAX_BYTES {
                return Err(io::Error::other("the page is too large"));
            }
        }
    }
}

/// Head and body of an answer.
fn split(answer: &[u8]) -> Option<(&str, &[u8])> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((std::str::from_utf8(&answer[..end]).ok()?, &answer[end + 4..]))
}

//! The audit after a run: waits until nothing moves any more, and holds the server's books, the channel's ledger and
//! what the journeys saw against each other.

mod seen;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use payrig_audit::{Admin, Books, Moment, ReadError, Seen, check, quiesce_unless};
use payrig_results::{Audit, AuditVerdict, ResultsError};

use crate::interrupt::Interrupt;

pub use seen::seen;

/// How long each page of the books may take.
const PAGE_PATIENCE: Duration = Duration::from_secs(30);
/// How many findings are kept: more say nothing new.
const FINDINGS_MAX: usize = 100;

/// Where the books are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Doors {
    /// The server's admin listener.
    pub server: SocketAddr,
    /// The channel's, where it is a process of its own and has its ledger itself.
    pub channel: Option<SocketAddr>,
    /// Whether nobody else drove the server, so that a task of nobody's is wrong.
    pub is_ours_alone: bool,
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The books cannot be read.
    #[error("the audit cannot read the books: {0}")]
    Books(#[from] ReadError),
    /// Half of what is to be compared is not there.
    #[error("the audit finds no book `order_paid` on a server of ours: orders and subscribers cannot be checked")]
    NoOrders,
    /// What the journeys saw cannot be read.
    #[error("the audit cannot read the journeys: {0}")]
    Journeys(#[from] ResultsError),
}

/// Waits at most for `patience` until nothing moves any more, and says what is wrong then.
///
/// # Errors
/// Books or journeys cannot be read, or a server of ours has no books of orders.
pub fn audit(
    doors: Doors,
    journeys: &Path,
    patience: Duration,
    interrupt: &Interrupt,
) -> Result<(Audit, Duration), AuditError> {
    let began = Instant::now();
    let server = Admin::new(&doors.server.to_string(), PAGE_PATIENCE)?;
    let admin = match doors.channel {
        Some(channel) => server.with_channel(Admin::new(&channel.to_string(), PAGE_PATIENCE)?),
        None => server,
    };
    let rest = quiesce_unless(&admin, patience, || interrupt.is_set())?;
    if !rest.moving.is_empty() && interrupt.is_set() {
        return Ok((Audit::not_run("interrupted while it waited for the books to come to rest"), began.elapsed()));
    }
    let books = rest.books;
    if books.orders.is_none() && doors.is_ours_alone {
        return Err(AuditError::NoOrders);
    }
    let seen = Seen { merchant: merchant(&books), is_complete: doors.is_ours_alone, submissions: seen(journeys)? };
    Ok((verdict(&books, &seen), began.elapsed()))
}

/// Whose tasks these are: one merchant's, as one key drove them all; which one only the server knows.
fn merchant(books: &Books) -> String {
    let ended = books.pay_tasks.iter().map(|outcome| &outcome.task.merchant);
    let open = books.open_tasks.iter().map(|open| &open.task.merchant);
    ended.chain(open).next().cloned().unwrap_or_default()
}

fn verdict(books: &Books, seen: &Seen) -> Audit {
    let found = check(books, seen, Moment::AtRest);
    let mut findings: Vec<String> = found.iter().take(FINDINGS_MAX).map(ToString::to_string).collect();
    if found.len() > FINDINGS_MAX {
        findings.push(format!("and {} more", found.len() - FINDINGS_MAX));
    }
    let verdict = if findings.is_empty() { AuditVerdict::Passed } else { AuditVerdict::Failed };
    Audit { verdict, findings }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// An admin listener with empty books, which names these collections.
    fn admin(collections: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.expect("a connection"));
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    stream.read_line(&mut head).expect("a request");
                }
                let is_list = head.starts_with("GET /admin/books ");
                let body = if is_list { collections } else { r#"{"items":[],"next":null}"# };
                write!(stream.get_mut(), "HTTP/1.1 200 OK\r\n\r\n{body}").expect("it is read");
            }
        });
        address
    }

    #[test]
    fn a_server_of_ours_without_books_of_orders_gets_no_verdict() {
        let journeys = tempfile::NamedTempFile::new().expect("a file");
        let audited = |collections, is_ours_alone| {
            let doors = Doors { server: admin(collections), channel: None, is_ours_alone };
            audit(doors, journeys.path(), Duration::from_secs(60), &Interrupt::default())
                .map(|(audit, _)| audit.verdict)
        };
        let whole = r#"{"collections":["order_paid"]}"#;
        for lacking in ["{}", r#"{"collections":["notices"]}"#] {
            assert!(matches!(audited(lacking, true), Err(AuditError::NoOrders)), "{lacking}");
            assert!(matches!(audited(lacking, false), Ok(AuditVerdict::Passed)), "somebody else's may have none");
        }
        assert!(matches!(audited(whole, true), Ok(AuditVerdict::Passed)));
    }
}

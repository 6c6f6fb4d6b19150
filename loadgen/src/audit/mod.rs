//! The audit after a run: waits until nothing moves any more, and holds the server's books, the channel's ledger and
//! what the journeys saw against each other.

mod seen;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use payrig_audit::{Admin, Books, Moment, ReadError, Seen, check, quiesce};
use payrig_results::{Audit, AuditVerdict, ResultsError};

use crate::interrupt::Interrupt;

pub use seen::seen;

/// How long each page of the books may take.
const PAGE_PATIENCE: Duration = Duration::from_secs(30);
/// The waiting is looked up from so often, in case somebody has had enough of it.
const GLANCE: Duration = Duration::from_secs(2);
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
    /// What the journeys saw cannot be read.
    #[error("the audit cannot read the journeys: {0}")]
    Journeys(#[from] ResultsError),
}

/// Waits at most for `patience` until nothing moves any more, and says what is wrong then.
///
/// # Errors
/// Neither books nor journeys can be read.
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
    let books = loop {
        let rest = quiesce(&admin, GLANCE.min(patience))?;
        if rest.moving.is_empty() || began.elapsed() >= patience {
            break rest.books;
        }
        if interrupt.is_set() {
            return Ok((Audit::not_run("interrupted while it waited for the books to come to rest"), began.elapsed()));
        }
    };
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

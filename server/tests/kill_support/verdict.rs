//! The verdict on a data folder: a last start that works everything off, and the check of the money.

use std::{
    path::Path,
    process::Command,
    thread,
    time::{Duration, SystemTime},
};

use payrig_audit::{Admin, Books, Moment, Rest, Shown, books::End, check, quiesce};

use super::{
    load::Told,
    server::{Server, command},
};

/// How long the books may take to come to rest.
const REST: Duration = Duration::from_secs(100);
/// How long a page of the books may take.
const BOOKS: Duration = Duration::from_secs(30);
/// A pay window that is soon over.
const PAY_WINDOW: Duration = Duration::from_secs(1);
/// A channel without faults: what is left to do gets done.
const QUIET: &str = "simulated:quiet";

/// What a run came to.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Figures {
    pub(crate) submissions: usize,
    pub(crate) accepted: usize,
    pub(crate) unanswered: u32,
    pub(crate) answers: usize,
    pub(crate) settled: usize,
    pub(crate) paid: usize,
    pub(crate) closed: usize,
    pub(crate) refunded: usize,
    pub(crate) waiting: usize,
}

impl Figures {
    pub(crate) fn of(told: &Told, books: &Books) -> Self {
        let submissions = &told.seen.submissions;
        Self {
            submissions: submissions.len(),
            accepted: submissions.iter().filter(|one| !one.accepted.is_empty()).count(),
            unanswered: submissions.iter().map(|one| one.unanswered).sum(),
            answers: submissions.iter().map(|one| one.shown.len()).sum(),
            settled: books.pay_tasks.len(),
            paid: books.payment_ends.iter().filter(|end| matches!(end.end, End::Paid { .. })).count(),
            closed: books.payment_ends.iter().filter(|end| end.end == (End::Closed {})).count(),
            refunded: books.refunded.len(),
            waiting: books.open_tasks.len(),
        }
    }
}

/// How the server is started for the verdict, and where the channel's books are if it is a program of its own.
pub(crate) struct Judge<'a> {
    /// The server with these further arguments.
    pub(crate) start: &'a dyn Fn(&[&str]) -> Command,
    /// The channel's admin listener.
    pub(crate) channel: Option<String>,
}

impl Judge<'_> {
    fn start(&self, more: &[&str]) -> Server {
        let mut server = Server::start((self.start)(more));
        if let Some(channel) = &self.channel {
            let channel = Admin::new(channel, BOOKS).expect("an address");
            server.admin = server.admin.clone().with_channel(channel);
        }
        server
    }
}

/// The verdict on a data folder with the channel in the server's process.
pub(crate) fn judge_alone(data_dir: &Path, told: &mut Told) -> Figures {
    let start = |more: &[&str]| {
        let mut command = command(data_dir, &["--channel", QUIET]);
        command.args(more);
        command
    };
    judge(&Judge { start: &start, channel: None }, told)
}

/// Starts the server once more on its folder, lets it come to rest, asks for every task again, and checks all that there
/// is. Then the pay window ends for whoever still waits, and everything is checked again. Returns the figures of the first.
pub(crate) fn judge(judge: &Judge<'_>, told: &mut Told) -> Figures {
    let server = judge.start(&[]);
    let rest = at_rest(&server);
    told.ask_again(server.address);
    let figures = Figures::of(told, &rest.books);
    assert_healthy(&server, &rest, told, "after the last start");
    server.kill();

    // For the next start to find it over, the short window has to be over for what was settled last.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let newest_us = rest.books.pay_tasks.iter().map(|outcome| outcome.settled_at_us).max().unwrap_or(0);
    thread::sleep((Duration::from_micros(newest_us) + PAY_WINDOW * 2).saturating_sub(now));
    let server = judge.start(&["--pay-window", "1s"]);
    let rest = until_nothing_waits(&server);
    told.ask_again(server.address);
    assert_healthy(&server, &rest, told, "after the pay window");
    assert_eq!(rest.books.open_tasks, [], "something waits beyond its pay window");
    server.kill();
    assert!(told.odd.is_empty(), "answers beside the contract: {:#?}", told.odd);
    figures
}

fn at_rest(server: &Server) -> Rest {
    quiesce(&server.admin, REST).expect("the books can be read")
}

/// At rest, and looked at again until the sweeper has closed what nobody will pay any more.
fn until_nothing_waits(server: &Server) -> Rest {
    let began = std::time::Instant::now();
    loop {
        let rest = at_rest(server);
        if rest.books.open_tasks.is_empty() || !rest.moving.is_empty() || began.elapsed() > REST {
            return rest;
        }
    }
}

fn assert_healthy(server: &Server, rest: &Rest, told: &Told, when: &str) {
    let findings = check(&rest.books, &told.seen, Moment::AtRest);
    for finding in findings.iter().take(40) {
        eprintln!("finding: {finding}");
    }
    if let Some(finding) = findings.first() {
        explain(&finding.to_string(), told, rest);
    }
    assert!(rest.books.orders.is_some(), "orders and subscribers were not looked at {when}");
    let (moving, log) = (&rest.moving, server.log());
    assert!(findings.is_empty(), "{} findings {when}; still moving: {moving:#?}\n{log}", findings.len());
    assert!(moving.is_empty(), "not at rest {when}: {moving:#?}\n{log}");
}

/// All that is known of the tasks that a finding names.
fn explain(finding: &str, told: &Told, rest: &Rest) {
    let books = &rest.books;
    let named = |id: &str| !id.is_empty() && finding.contains(id);
    for one in &told.seen.submissions {
        let ids = one.shown.iter().map(|shown| match shown {
            Shown::Task { task_id, .. } | Shown::NotFound { task_id } => task_id,
        });
        if ids.chain(&one.accepted).any(|id| named(id)) || named(&one.order_no) {
            eprintln!("told: {one:#?}");
        }
    }
    books.pay_tasks.iter().filter(|one| named(&one.task.task_id)).for_each(|one| eprintln!("outcome: {one:#?}"));
    books.open_tasks.iter().filter(|one| named(&one.task.task_id)).for_each(|one| eprintln!("open: {one:#?}"));
    books.payments.iter().filter(|one| named(&one.payment_no.task_id)).for_each(|one| eprintln!("payment: {one:?}"));
    books.closings.iter().filter(|one| named(&one.payment_no.task_id)).for_each(|one| eprintln!("closing: {one:?}"));
    books.payment_ends.iter().filter(|one| named(&one.payment_no.task_id)).for_each(|one| eprintln!("end: {one:?}"));
    books.order_slots.iter().filter(|one| named(&one.holder.task_id)).for_each(|one| eprintln!("slot: {one:?}"));
    let rows = books.ledger.iter().filter(|row| row.out_trade_no.rsplit_once('-').is_some_and(|(id, _)| named(id)));
    rows.for_each(|row| eprintln!("ledger: {row:?}"));
}

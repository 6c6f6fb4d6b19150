//! The paced client: submits at a constant rate whatever the server does, polls each payment, and pays for a share.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior},
};

use super::connection::{Connection, Reply};

/// Connections that share the work.
const CONNECTIONS: usize = 128;
/// How often what is due is looked for.
const TICK: Duration = Duration::from_millis(1);
/// Between submission and query, between paying and query, and from query to query.
const POLL_AFTER: Duration = Duration::from_secs(2);

/// What the payers do.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// On which server.
    pub server: SocketAddr,
    /// Submissions a second; nothing: as many as the server takes, never more requests than connections.
    pub rate: Option<f64>,
    /// So many of a hundred pay; the others abandon their payment once it is settled.
    pub paying: u64,
    /// The start of order numbers.
    pub tag: String,
}

/// What happened so far.
#[derive(Default, Debug)]
pub(super) struct Counts {
    /// Submissions answered 202.
    pub accepted: AtomicU64,
    /// Submissions answered 503.
    pub refused: AtomicU64,
    /// Payments seen settled.
    pub settled: AtomicU64,
    /// Payments paid at the cashier.
    pub paid: AtomicU64,
    /// Payments seen paid.
    pub seen_paid: AtomicU64,
    /// Queries that found nothing new.
    pub early_queries: AtomicU64,
    /// Requests that should be under way and wait for a connection: how far the load is behind its plan.
    pub behind: AtomicU64,
    /// Replies that should not be.
    pub errors: AtomicU64,
    /// The first of them.
    pub first_error: Mutex<Option<String>>,
}

impl Counts {
    fn error(&self, what: String) {
        self.errors.fetch_add(1, Relaxed);
        self.first_error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
    }
}

enum Job {
    Submit(u64),
    Query { id: String, number: u64, paid: bool },
    Pay { id: String, number: u64, params: String },
}

/// What is to be done now, and what later. The delay is always the same, so later is a queue.
#[derive(Default)]
struct Jobs {
    ready: VecDeque<Job>,
    later: VecDeque<(Instant, Job)>,
}

struct Payers {
    plan: Plan,
    counts: Arc<Counts>,
    jobs: Mutex<Jobs>,
    work: Notify,
}

/// Runs until told to stop. To be run on a thread of its own.
///
/// # Errors
/// Where the system refuses a runtime.
pub(super) fn run(plan: Plan, counts: Arc<Counts>, stop: &AtomicBool) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let payers = Arc::new(Payers { plan, counts, jobs: Mutex::default(), work: Notify::new() });
    runtime.block_on(async {
        for _ in 0..CONNECTIONS {
            tokio::spawn(Arc::clone(&payers).work());
        }
        payers.schedule(stop).await;
    });
    Ok(())
}

impl Payers {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes jobs ready as they fall due.
    async fn schedule(&self, stop: &AtomicBool) {
        let (began, mut tick) = (Instant::now(), tokio::time::interval(TICK));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut submitted = 0;
        while !stop.load(Relaxed) {
            let now = tick.tick().await;
            let mut jobs = self.jobs();
            let before = jobs.ready.len();
            while jobs.later.front().is_some_and(|(at, _)| *at <= now) {
                let job = jobs.later.pop_front().map(|(_, job)| job);
                jobs.ready.extend(job);
            }
            let due = self.due(now - began).unwrap_or(submitted + CONNECTIONS.saturating_sub(jobs.ready.len()) as u64);
            jobs.ready.extend((submitted..due).map(Job::Submit));
            submitted = due.max(submitted);
            let (fresh, ready) = (jobs.ready.len() - before, jobs.ready.len());
            drop(jobs);
            self.counts.behind.store(ready.saturating_sub(fresh) as u64, Relaxed);
            for _ in 0..fresh.min(CONNECTIONS) {
                self.work.notify_one();
            }
        }
    }

    /// How many submissions should have been made after so long.
    fn due(&self, after: Duration) -> Option<u64> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of submissions")]
        let due = |rate: f64| (after.as_secs_f64() * rate) as u64;
        self.plan.rate.map(due)
    }

    /// One connection's work.
    async fn work(self: Arc<Self>) {
        loop {
            let mut connection = match Connection::open(self.plan.server).await {
                Ok(connection) => connection,
                Err(error) => {
                    self.counts.error(format!("connecting: {error}"));
                    tokio::time::sleep(POLL_AFTER).await;
                    continue;
                }
            };
            loop {
                let job = self.jobs().ready.pop_front();
                let Some(job) = job else {
                    self.work.notified().await;
                    continue;
                };
                if let Err(error) = self.make(&mut connection, job).await {
                    self.counts.error(format!("a connection broke: {error}"));
                    break;
                }
            }
        }
    }

    async fn make(&self, connection: &mut Connection, job: Job) -> std::io::Result<()> {
        let request = self.request(&job);
        let reply = connection.call(&request).await?;
        let next = match job {
            Job::Submit(number) => self.submitted(number, &reply),
            Job::Query { id, number, paid: false } => self.queried(id, number, &reply),
            Job::Query { id, number, paid: true } => self.queried_paid(id, number, &reply),
            Job::Pay { id, number, .. } => self.paid(id, number, &reply),
        };
        match next {
            // Who pays does so at once.
            Some(job @ Job::Pay { .. }) => self.jobs().ready.push_back(job),
            Some(job) => self.jobs().later.push_back((Instant::now() + POLL_AFTER, job)),
            None => {}
        }
        Ok(())
    }

    fn request(&self, job: &Job) -> String {
        let post = |path: &str, json: &str| {
            let length = json.len();
            format!(
                "POST {path} HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}"
            )
        };
        match job {
            Job::Submit(number) => {
                let order_no = format!("{}{number:010}", self.plan.tag);
                let fields = r#""amount_minor":1999,"currency":"CNY","channel":"alipay""#;
                post("/v1/pay-tasks", &format!(r#"{{"order_no":"{order_no}",{fields}}}"#))
            }
            Job::Query { id, .. } => format!("GET /v1/pay-tasks/{id} HTTP/1.1\r\nHost: soak\r\n\r\n"),
            Job::Pay { params, .. } => post("/simulated/cashier", params),
        }
    }

    fn submitted(&self, number: u64, reply: &Reply<'_>) -> Option<Job> {
        match reply.status {
            202 => self.counts.accepted.fetch_add(1, Relaxed),
            503 => {
                self.counts.refused.fetch_add(1, Relaxed);
                return None;
            }
            _ => return self.unexpected("a submission", reply),
        };
        let Some((id, _)) = reply.body.split_once(r#""task_id":""#).and_then(|(_, rest)| rest.split_once('"')) else {
            return self.unexpected("a submission", reply);
        };
        Some(Job::Query { id: id.to_owned(), number, paid: false })
    }

    fn queried(&self, id: String, number: u64, reply: &Reply<'_>) -> Option<Job> {
        if reply.status != 200 {
            return self.unexpected("a query", reply);
        }
        if !reply.body.contains(r#""state":"succeeded""#) {
            self.counts.early_queries.fetch_add(1, Relaxed);
            return Some(Job::Query { id, number, paid: false });
        }
        self.counts.settled.fetch_add(1, Relaxed);
        if number % 100 >= self.plan.paying {
            return None;
        }
        match object_after(reply.body, r#""pay_params":"#) {
            Some(params) => Some(Job::Pay { id, number, params: params.to_owned() }),
            None => self.unexpected("a query", reply),
        }
    }

    fn paid(&self, id: String, number: u64, reply: &Reply<'_>) -> Option<Job> {
        if reply.status != 200 {
            return self.unexpected("paying", reply);
        }
        self.counts.paid.fetch_add(1, Relaxed);
        Some(Job::Query { id, number, paid: true })
    }

    fn queried_paid(&self, id: String, number: u64, reply: &Reply<'_>) -> Option<Job> {
        if reply.status != 200 {
            return self.unexpected("a query", reply);
        }
        if reply.body.contains(r#""state":"paid""#) {
            self.counts.seen_paid.fetch_add(1, Relaxed);
            return None;
        }
        self.counts.early_queries.fetch_add(1, Relaxed);
        Some(Job::Query { id, number, paid: true })
    }

    fn unexpected(&self, what: &str, reply: &Reply<'_>) -> Option<Job> {
        self.counts.error(format!("{what} was answered {}: {}", reply.status, reply.body));
        None
    }
}

/// The flat JSON object that follows a word.
fn object_after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let object = text.split_once(word)?.1;
    object.find('}').map(|end| &object[..=end])
}

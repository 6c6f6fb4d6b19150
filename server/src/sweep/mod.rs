//! The sweeper: one mechanism for everything slow. It looks at open work by age and does the next thing: lost messages,
//! lost notifications, half-done acceptances, crashes and restarts all end here.

use std::{sync::Arc, time::Duration};

use futures_util::{
    StreamExt,
    stream::{self, FuturesOrdered, FuturesUnordered},
};
use tokio::{sync::watch, time::MissedTickBehavior};

use facts::Facts;

use crate::{
    closing,
    model::{Closing, Collection, Document, Notice, OpenTask, TaskId},
    notice,
    parts::{Parts, micros},
    store::DocumentStore as _,
};

mod facts;
mod keys;
mod refunds;
mod visit;

pub use keys::forget_keys;
pub use refunds::give_refunds;
pub use visit::visit;

/// The ages at which open work is looked at.
const AGES: [Duration; 5] = [
    Duration::from_secs(30),
    Duration::from_mins(1),
    Duration::from_mins(2),
    Duration::from_mins(5),
    Duration::from_mins(10),
];
/// How often there is a window to look at.
const TICK: Duration = Duration::from_secs(10);
/// How often everything older than the pay window is looked at.
const FULL: Duration = Duration::from_mins(1);
/// Documents read at a time.
const PAGE: usize = 128;
/// A page takes at least this long (20,000 visits a second), so that a sweep never keeps requests waiting.
const PAGE_TAKES: Duration = Duration::from_micros(6_400);
/// Open tasks under way at a time: what waits for the channel is mostly idle.
const UNDER_WAY: usize = 1_024;
/// Closings under way at a time.
const CLOSINGS_UNDER_WAY: usize = 64;

/// Which open tasks are looked at, and how far.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// Made at or after this instant.
    from_us: u64,
    /// Made before this instant.
    before_us: u64,
    /// The messages of rounds that were accepted before this instant are surely lost.
    lost_before_us: u64,
    /// Which of them.
    only: Only,
}

/// Which rounds a look is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Only {
    /// Those with and without an outcome.
    Everything,
    /// Those without: what the store and the queue can do alone.
    Unsettled,
    /// Those with one.
    Settled,
}

impl Look {
    const fn at_everything(from_us: u64, before_us: u64) -> Self {
        Self { from_us, before_us, lost_before_us: 0, only: Only::Everything }
    }
}

/// Looks at everything that was open before the start, then at what grows old, until told to stop.
pub async fn run(parts: Arc<Parts>, mut stop: watch::Receiver<bool>) {
    let started_us = parts.clock.now_us();
    let sweeping = async {
        recover(&parts, started_us).await;
        sweep_for_ever(&parts, started_us).await;
    };
    // Apart from what waits for the channel: a notice that nobody works off is a payer who waits.
    let working_off = notices_for_ever(&parts);
    // Cut between two looks at the store: each visit is as good as a crash there, and is made again.
    tokio::select! {
        () = sweeping => {}
        () = working_off => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

async fn notices_for_ever(parts: &Arc<Parts>) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        notices(parts, parts.clock.now_us().saturating_sub(micros(AGES[0]))).await;
    }
}

async fn sweep_for_ever(parts: &Arc<Parts>, started_us: u64) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut cursors = AGES.map(|age| started_us.saturating_sub(micros(age)));
    let mut full_at_us = started_us;
    loop {
        tick.tick().await;
        let now_us = parts.clock.now_us();
        for (number, age) in AGES.iter().enumerate() {
            let before_us = now_us.saturating_sub(micros(*age));
            // Where sweeping cannot keep up, the next age looks at what this one leaves out.
            let next_age = AGES.get(number + 1).copied().unwrap_or(parts.settings.pay_window);
            let from_us = cursors[number].max(now_us.saturating_sub(micros(next_age)));
            visit_all(parts, Look::at_everything(from_us, before_us)).await;
            cursors[number] = before_us;
        }
        if now_us.saturating_sub(full_at_us) >= micros(FULL) {
            full_at_us = now_us;
            let before_us = now_us.saturating_sub(micros(parts.settings.pay_window));
            visit_all(parts, Look::at_everything(0, before_us)).await;
            closings(parts, now_us.saturating_sub(micros(AGES[0]))).await;
        }
    }
}

/// Looks at everything that was open before this instant: first what needs nobody else, then what the channel is asked.
pub async fn recover(parts: &Arc<Parts>, before_us: u64) {
    // What was sent by an earlier start is gone with it, however busy the queue is with what has come since.
    let lost_before_us = if parts.queue.dies_with_the_process() { before_us } else { 0 };
    notices(parts, before_us).await;
    let look = Look { from_us: 0, before_us, lost_before_us, only: Only::Unsettled };
    let seen = visit_all(parts, look).await;
    visit_all(parts, Look { only: Only::Settled, ..look }).await;
    closings(parts, before_us).await;
    if seen > 0 {
        tracing::info!(open_tasks = seen, "open work of an earlier start was taken up");
    }
}

/// Visits open tasks; returns how many. Pages are read while visits of earlier ones still wait for the channel.
async fn visit_all(parts: &Arc<Parts>, look: Look) -> usize {
    let mut after = (look.from_us > 0).then(|| TaskId::floor(look.from_us).to_string());
    let before = TaskId::floor(look.before_us).to_string();
    let (mut seen, mut under_way) = (0, FuturesUnordered::new());
    let at_most = parts.channel.share().map_or(UNDER_WAY, |share| share.min(UNDER_WAY));
    while let Some(page) = next_page(parts, Collection::OpenTasks, &mut after, Some(&before)).await {
        seen += page.len();
        let whole = page.len() == PAGE;
        let opens: Vec<Arc<OpenTask>> = page.into_iter().filter_map(open_task).collect();
        let facts = Facts::of(parts, &opens).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the sweeper cannot read on; it tries again later");
            Facts::none()
        });
        let facts = Arc::new(facts);
        for open in opens {
            under_way.push(visit_one(Arc::clone(parts), open, Arc::clone(&facts), look));
        }
        if !whole {
            break;
        }
        let breath = tokio::time::sleep(PAGE_TAKES);
        tokio::pin!(breath);
        let mut breathing = true;
        while breathing || under_way.len() > at_most {
            tokio::select! {
                () = &mut breath, if breathing => breathing = false,
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
            }
        }
    }
    while under_way.next().await.is_some() {}
    seen
}

fn open_task(document: Document) -> Option<Arc<OpenTask>> {
    match document {
        Document::OpenTask(open) => Some(open),
        _ => None,
    }
}

async fn visit_one(parts: Arc<Parts>, open: Arc<OpenTask>, facts: Arc<Facts>, look: Look) {
    parts.metrics.swept.inc();
    if let Err(error) = visit::look_at(&parts, &open, &facts, look).await {
        tracing::warn!(round = open.round_id().document_id(), %error, "the sweeper got no further with a task");
    }
}

/// Goes on with notices that have waited since before this instant, oldest first.
async fn notices(parts: &Arc<Parts>, before_us: u64) {
    let mut after = None;
    let mut oldest_us = u64::MAX;
    while let Some(page) = next_page(parts, Collection::Notices, &mut after, None).await {
        let whole = page.len() == PAGE;
        // In their order, and a page's writes together.
        let mut under_way = FuturesOrdered::new();
        for document in page {
            let Document::Notice(found) = document else { continue };
            oldest_us = oldest_us.min(found.at_us);
            if found.at_us <= before_us {
                under_way.push_back(go_on(parts, found));
            }
        }
        while under_way.next().await.is_some() {}
        if !whole {
            break;
        }
        tokio::time::sleep(PAGE_TAKES).await;
    }
    let age_us = if oldest_us == u64::MAX { 0 } else { parts.clock.now_us().saturating_sub(oldest_us) };
    let age = Duration::from_micros(age_us).as_secs();
    parts.metrics.oldest_notice_age_seconds.set(i64::try_from(age).unwrap_or(i64::MAX));
}

async fn go_on(parts: &Parts, found: Notice) {
    if let Err(error) = notice::go_on(parts, &found).await {
        tracing::warn!(payment_no = found.payment_no.payment_no(), %error, "a notice stays");
    }
}

/// Takes up closings that were wanted before this instant and that nobody has in sight.
async fn closings(parts: &Arc<Parts>, before_us: u64) {
    let mut after = None;
    while let Some(page) = next_page(parts, Collection::Closings, &mut after, None).await {
        let old = page.into_iter().filter_map(|document| match document {
            Document::Closing(found) if found.at_us <= before_us => Some(found),
            _ => None,
        });
        stream::iter(old).for_each_concurrent(CLOSINGS_UNDER_WAY, |found| take_up(parts, found)).await;
    }
}

async fn take_up(parts: &Parts, found: Closing) {
    if let Err(error) = closing::take_up(parts, &found).await {
        tracing::warn!(payment_no = found.payment_no.payment_no(), %error, "a closing stays");
    }
}

/// The next documents of a collection, which `after` is moved behind; nothing at its end, or where it cannot be read now.
async fn next_page(
    parts: &Parts,
    collection: Collection,
    after: &mut Option<String>,
    before: Option<&str>,
) -> Option<Vec<Document>> {
    let page = parts.store.range(collection, after.as_deref(), before, PAGE).await;
    let page = page.unwrap_or_else(|error| {
        tracing::warn!(collection = collection.name(), %error, "the sweeper cannot read on; it tries again later");
        Vec::new()
    });
    *after = Some(page.last()?.id());
    Some(page)
}

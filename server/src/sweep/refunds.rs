//! The pool that works off the refund list: a few at a time, each tried again after longer and longer delays until the
//! money is back.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tokio_util::time::DelayQueue;

use crate::{
    channel::Trade,
    model::{Collection, Document, RoundId},
    notice,
    parts::Parts,
    refund::{self, Given, Owed},
    store::{DocumentStore as _, StoreError},
};

/// Refunds under way at a time.
const UNDER_WAY: usize = 16;
/// Refunds kept in mind at a time; more stay in the store until there is room.
const IN_MIND: usize = 65_536;
/// Before the first repetition; doubled for each after it.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// Between two tries of one refund at most.
const LAST_DELAY: Duration = Duration::from_secs(60);
/// How often the whole list is read again: for what there was no room for.
const ROUND: Duration = Duration::from_mins(10);
/// Documents read at a time.
const PAGE: usize = 512;
/// A page takes at least this long, so that reading the list keeps no request waiting.
const PAGE_TAKES: Duration = Duration::from_millis(10);

/// The pool; runs for as long as it is polled. What it has not done stays on the list.
pub async fn give_refunds(parts: Arc<Parts>, owed: Owed) {
    let (found, of_list) = mpsc::channel(PAGE);
    let pool = Pool { parts: Arc::clone(&parts), tries: HashMap::new(), delayed: DelayQueue::new() };
    tokio::join!(pool.run(owed, of_list), read_the_list(&parts, found));
}

struct Pool {
    parts: Arc<Parts>,
    /// How often each refund in mind was tried: it is under way or waits for its time.
    tries: HashMap<RoundId, u32>,
    delayed: DelayQueue<RoundId>,
}

impl Pool {
    async fn run(mut self, mut owed: Owed, mut of_list: Owed) {
        let mut under_way = FuturesUnordered::new();
        loop {
            self.parts.metrics.refunds_open.set(i64::try_from(self.tries.len()).unwrap_or(i64::MAX));
            let is_free = under_way.len() < UNDER_WAY;
            let has_room = is_free && self.tries.len() < IN_MIND;
            let next = tokio::select! {
                Some((payment_no, given)) = under_way.next(), if !under_way.is_empty() => {
                    self.tried(payment_no, given);
                    continue;
                }
                Some(due) = self.delayed.next(), if is_free && !self.delayed.is_empty() => due.into_inner(),
                Some(new) = owed.recv(), if has_room => match self.take(new) { Some(new) => new, None => continue },
                Some(new) = of_list.recv(), if has_room => match self.take(new) { Some(new) => new, None => continue },
                else => return,
            };
            under_way.push(give_one(Arc::clone(&self.parts), next));
        }
    }

    /// The refund, if it was not in mind before.
    fn take(&mut self, payment_no: RoundId) -> Option<RoundId> {
        match self.tries.entry(payment_no) {
            Entry::Occupied(_) => None,
            Entry::Vacant(place) => {
                place.insert(0);
                Some(payment_no)
            }
        }
    }

    fn tried(&mut self, payment_no: RoundId, given: Given) {
        if given == Given::Back {
            self.tries.remove(&payment_no);
            return;
        }
        let tries = self.tries.entry(payment_no).or_default();
        let delay = if given == Given::Refused { LAST_DELAY } else { delay_after(*tries) };
        *tries = tries.saturating_add(1);
        self.delayed.insert(payment_no, delay);
    }
}

fn delay_after(tries: u32) -> Duration {
    FIRST_DELAY.saturating_mul(1_u32.checked_shl(tries).unwrap_or(u32::MAX)).min(LAST_DELAY)
}

/// One try; then what waited for it goes on.
async fn give_one(parts: Arc<Parts>, payment_no: RoundId) -> (RoundId, Given) {
    let given = try_one(&parts, payment_no).await.unwrap_or_else(|error| {
        tracing::warn!(payment_no = payment_no.payment_no(), %error, "a refund stays on the list");
        Given::NotYet
    });
    (payment_no, given)
}

async fn try_one(parts: &Parts, payment_no: RoundId) -> Result<Given, StoreError> {
    let (Some(owed), Some(task)) = (parts.store.refund(payment_no).await?, parts.store.task(payment_no).await?) else {
        // Nobody owes it, or nobody knows whose it is: the list is never written without the round.
        return Ok(Given::Back);
    };
    if parts.store.refunded(payment_no).await?.is_none() {
        let given = refund::give_back(parts, Trade::of(&task, payment_no), owed.amount_minor).await?;
        if given != Given::Back {
            return Ok(given);
        }
    }
    if let Some(found) = parts.store.notice(payment_no).await? {
        notice::work_off(parts, &found).await?;
    }
    Ok(Given::Back)
}

/// Finds what is owed and not given back, at the start and every now and then: what came from an earlier start, and what
/// there was no room for.
async fn read_the_list(parts: &Parts, found: mpsc::Sender<RoundId>) {
    let mut tick = tokio::time::interval(ROUND);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = read_once(parts, &found).await {
            tracing::warn!(%error, "the refund list was not read to its end; it is read again later");
        }
    }
}

/// Both collections have the same ids in the same order, so that a page of the one is a range of the other.
async fn read_once(parts: &Parts, found: &mpsc::Sender<RoundId>) -> Result<(), StoreError> {
    let mut after: Option<String> = None;
    loop {
        let owed = parts.store.range(Collection::Refunds, after.as_deref(), None, PAGE).await?;
        let Some(last) = owed.last().map(Document::id) else { return Ok(()) };
        let given = parts.store.range(Collection::Refunded, after.as_deref(), None, PAGE).await?;
        let given: HashSet<RoundId> = given.iter().filter_map(given_back).collect();
        for document in owed {
            let Document::Refund(owed) = document else { continue };
            // The page of what was given back may end earlier or later: where it says nothing the pool looks itself.
            if !given.contains(&owed.payment_no) && found.send(owed.payment_no).await.is_err() {
                return Ok(());
            }
        }
        after = Some(last);
        tokio::time::sleep(PAGE_TAKES).await;
    }
}

fn given_back(document: &Document) -> Option<RoundId> {
    match document {
        Document::Refunded(refunded) => Some(refunded.payment_no),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_minute_and_stay_there() {
        let delays: Vec<u64> = [0, 1, 2, 5, 6, 31, 32, u32::MAX].map(|tries| delay_after(tries).as_secs()).into();
        assert_eq!(delays, [1, 2, 4, 32, 60, 60, 60, 60]);
    }
}

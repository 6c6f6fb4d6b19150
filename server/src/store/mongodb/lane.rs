//! Lanes: what many callers want of one collection at the same time travels together.
//!
//! A lane takes jobs from a bounded mailbox. As long as fewer than so many batches are under way, whatever waits leaves at
//! once as the next batch; else it gathers more. So a batch is as large as the server is slow, and a lone job waits for
//! nobody.

use std::{sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc, oneshot},
};

use super::error::Trouble;

/// Jobs that may wait in a lane.
const WAITING: usize = 1_024;
/// How long a job may wait for a place.
const PLACE_WITHIN: Duration = Duration::from_secs(5);

struct Job<I, A> {
    items: Vec<I>,
    answers: oneshot::Sender<Vec<A>>,
}

/// The way into a lane. Its work ends when the last of these is gone.
pub(super) struct Lane<I, A> {
    jobs: mpsc::Sender<Job<I, A>>,
}

impl<I, A> Clone for Lane<I, A> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone() }
    }
}

/// How large batches become, and how many there are at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// No job joins a batch that has so many items.
    pub(super) items: usize,
    /// Batches under way at a time.
    pub(super) under_way: usize,
}

impl<I: Send + 'static, A: Send + 'static> Lane<I, A> {
    /// A lane whose batches are worked off like this. The work answers each item, in their order.
    pub(super) fn start<W, F>(runtime: &Handle, limits: Limits, work: W) -> Self
    where
        W: Fn(Vec<I>) -> F + Send + Sync + 'static,
        F: Future<Output = Vec<A>> + Send + 'static,
    {
        let (jobs, waiting) = mpsc::channel(WAITING);
        runtime.spawn(run(waiting, limits, work));
        Self { jobs }
    }

    /// Has a job done, together with whatever else is there: one answer an item, in their order. It is done also where
    /// nobody waits for the answer any more.
    ///
    /// # Errors
    /// [`Trouble::NothingDone`] where the lane had no place in time, [`Trouble::Unknown`] where its work broke off.
    pub(super) async fn ask(&self, items: Vec<I>) -> Result<Vec<A>, Trouble> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let (answers, answered) = oneshot::channel();
        match tokio::time::timeout(PLACE_WITHIN, self.jobs.send(Job { items, answers })).await {
            Err(_) => return Err(Trouble::NothingDone("too many commands wait for the server".to_owned())),
            Ok(Err(_)) => return Err(Trouble::NothingDone("the store has stopped".to_owned())),
            Ok(Ok(())) => {}
        }
        answered.await.map_err(|_| Trouble::Unknown("the work broke off".to_owned()))
    }
}

async fn run<I: Send + 'static, A: Send + 'static, W, F>(
    mut waiting: mpsc::Receiver<Job<I, A>>,
    limits: Limits,
    work: W,
) where
    W: Fn(Vec<I>) -> F + Send + Sync + 'static,
    F: Future<Output = Vec<A>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limits.under_way));
    loop {
        // First the place, then the jobs: what arrives meanwhile travels with them.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Some(first) = waiting.recv().await else { return };
        let mut batch = first.items;
        let mut shares = vec![(batch.len(), first.answers)];
        while batch.len() < limits.items
            && let Ok(job) = waiting.try_recv()
        {
            shares.push((job.items.len(), job.answers));
            batch.extend(job.items);
        }
        let working = work(batch);
        tokio::spawn(async move {
            let mut answers = working.await.into_iter();
            for (share, waits) in shares {
                // Nobody may wait any more.
                let _ = waits.send(answers.by_ref().take(share).collect());
            }
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn what_waits_travels_together_and_each_has_its_own_answer() {
        let (begun, mut begins) = mpsc::unbounded_channel();
        let gate = Arc::new(Semaphore::new(0));
        let opened = Arc::clone(&gate);
        let lane = Lane::start(&Handle::current(), Limits { items: 4, under_way: 1 }, move |batch: Vec<u32>| {
            begun.send(batch.clone()).expect("the test waits");
            let gate = Arc::clone(&opened);
            async move {
                gate.acquire().await.expect("it stays open").forget();
                batch.into_iter().map(|item| item * 10).collect()
            }
        });
        let asked = |items: Vec<u32>| {
            let lane = lane.clone();
            tokio::spawn(async move { lane.ask(items).await })
        };
        let first = asked(vec![1]);
        assert_eq!(begins.recv().await, Some(vec![1]), "nobody waits for company");
        let mut others = Vec::new();
        for items in [vec![2, 3], vec![4], vec![5, 6, 7], vec![8]] {
            others.push(asked(items));
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
        assert_eq!(begins.recv().await, Some(vec![2, 3, 4, 5, 6, 7]), "until there are enough; no job is torn");
        gate.add_permits(2);
        assert_eq!(first.await.expect("no panic"), Ok(vec![10]));
        let mut answers = Vec::new();
        for other in others {
            answers.push(other.await.expect("no panic").expect("an answer"));
        }
        assert_eq!(answers, [vec![20, 30], vec![40], vec![50, 60, 70], vec![80]]);
        assert_eq!(lane.ask(Vec::new()).await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn work_goes_on_when_nobody_waits_and_ends_with_the_lane() {
        let (done, mut dones) = mpsc::unbounded_channel();
        let limits = Limits { items: 10, under_way: 2 };
        let kept = Arc::new(Mutex::new(()));
        let watched = Arc::downgrade(&kept);
        let lane = Lane::start(&Handle::current(), limits, move |batch: Vec<u32>| {
            let (done, kept) = (done.clone(), Arc::clone(&kept));
            async move {
                drop(kept);
                done.send(batch.clone()).expect("the test waits");
                batch
            }
        });
        let mut asking = Box::pin(lane.ask(vec![7]));
        // Polled once, then given up.
        assert!(futures_util::poll!(&mut asking).is_pending());
        drop(asking);
        assert_eq!(dones.recv().await, Some(vec![7]));
        drop(lane);
        assert_eq!(dones.recv().await, None, "the lane's work is gone");
        assert!(watched.upgrade().is_none());
    }
}

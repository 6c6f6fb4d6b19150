//! The pool of attempts under way: so many at most, none of them a thread.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::Runner;
use crate::queue::{Queue, TaskQueue as _};

/// Deliveries taken from the queue at a time.
const TAKE: usize = 64;

/// Takes deliveries and makes their attempts, at most `workers` at a time, until the queue is closed and everything under
/// way has ended.
pub async fn run_pool(runner: Runner, queue: Queue, workers: usize) {
    if workers == 0 {
        return;
    }
    let places = Arc::new(Semaphore::new(workers.min(Semaphore::MAX_PERMITS)));
    loop {
        let Ok(first) = Arc::clone(&places).acquire_owned().await else { return };
        let deliveries = queue.poll(TAKE.min(1 + places.available_permits())).await;
        if deliveries.is_empty() {
            drop(first);
            break;
        }
        let mut place = Some(first);
        for delivery in deliveries {
            // The first delivery has its place already; for the others there were places when they were taken.
            let place = match place.take() {
                Some(place) => place,
                None => match Arc::clone(&places).acquire_owned().await {
                    Ok(place) => place,
                    Err(_) => return,
                },
            };
            let runner = runner.clone();
            tokio::spawn(async move {
                runner.handle(delivery).await;
                drop(place);
            });
        }
    }
    let _ = places.acquire_many(u32::try_from(workers).unwrap_or(u32::MAX)).await;
}

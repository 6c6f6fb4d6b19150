//! Idempotency keys past their time.

use std::{sync::Arc, time::Duration};

use tokio::time::MissedTickBehavior;

use crate::{
    model::{Collection, Document, IdempotencyKey},
    parts::Parts,
    service::accept,
    store::{DocumentStore as _, StoreError},
};

/// How often all keys are looked through.
const ROUND: Duration = Duration::from_mins(10);
/// Keys read, and at most deleted, at a time.
const PAGE: usize = 512;
/// A page takes at least this long, so that a look at every key keeps no request waiting.
const PAGE_TAKES: Duration = Duration::from_millis(10);

/// Forgets keys that are past their time, round after round, for as long as it is polled.
pub async fn forget_keys(parts: Arc<Parts>) {
    let mut tick = tokio::time::interval(ROUND);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = one_round(&parts).await {
            tracing::warn!(%error, "expired idempotency keys stay until the next round");
        }
    }
}

async fn one_round(parts: &Parts) -> Result<(), StoreError> {
    let mut after: Option<String> = None;
    loop {
        let page = parts.store.range(Collection::IdempotencyKeys, after.as_deref(), None, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id());
        let now_us = parts.clock.now_us();
        let expired: Vec<IdempotencyKey> = page.into_iter().filter_map(|document| past(document, now_us)).collect();
        accept::forget_expired_keys(parts, &expired).await?;
        tokio::time::sleep(PAGE_TAKES).await;
    }
}

fn past(document: Document, now_us: u64) -> Option<IdempotencyKey> {
    match document {
        Document::IdempotencyKey(key) if key.expires_at_us <= now_us => Some(key),
        _ => None,
    }
}

//! What all benches share: short, equal measuring, operations spread over threads, and the flow's own documents.
#![allow(dead_code, reason = "each bench is a program of its own and uses its part")]

use std::{
    sync::{Arc, Barrier},
    time::{Duration, Instant},
};

use criterion::Criterion;
use payrig_server::model::{OpenTask, PayTask, TaskId};

/// The length that lets all benches together end within minutes.
pub(crate) fn short() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1000))
}

/// Runs so many operations on each thread at once; the time is from the common start to the last thread's end. `work`
/// gets the thread's number and how many operations are its.
pub(crate) fn on_threads(threads: u64, iterations: u64, work: impl Fn(u64, u64) + Sync) -> Duration {
    let start = Barrier::new(usize::try_from(threads).unwrap_or(1) + 1);
    std::thread::scope(|scope| {
        for number in 0..threads {
            let (start, work) = (&start, &work);
            scope.spawn(move || {
                start.wait();
                work(number, iterations);
            });
        }
        start.wait();
        let began = Instant::now();
        // The scope joins them; the elapsed time is read after it.
        began
    })
    .elapsed()
}

/// An accepted task of an order of this number.
pub(crate) fn open_task(number: u64) -> Arc<OpenTask> {
    let now_us = 1_700_000_000_000_000 + number;
    let submission = serde_json::from_str(&format!(
        r#"{{"order_no":"order-{number:012}","amount_minor":1999,"currency":"CNY","channel":"alipay"}}"#
    ));
    let submission = submission.expect("a submission of the contract");
    let task = PayTask::from_submission(TaskId::fresh(now_us), "default".into(), submission);
    Arc::new(OpenTask { task: Arc::new(task), round: 1, accepted_at_us: now_us, attempts_before: 0, key: None })
}

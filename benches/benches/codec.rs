//! Documents and replies as bytes: postcard, as the store's codec writes it, beside JSON; submissions and replies as JSON.

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use payrig_api::Submission;
use payrig_server::{
    model::{Outcome, OutcomeState, Payment, TaskView},
    queue::Progress,
    runner,
};
use serde::{Serialize, de::DeserializeOwned};

mod common;

/// Parameters of the length that the simulated channel signs.
fn payment() -> Payment {
    let open = common::open_task(1);
    Payment {
        payment_no: open.round_id(),
        merchant: Arc::clone(&open.task.merchant),
        order_no: Arc::clone(&open.task.order_no),
        amount_minor: open.task.amount_minor,
        currency: open.task.currency,
        channel: open.task.channel,
        pay_params: format!(r#"{{"app_id":"2026000000000001","sign":"{}"}}"#, "5".repeat(470)).into(),
        created_at_us: 1,
    }
}

fn outcome() -> Outcome {
    runner::outcome(&common::open_task(1), OutcomeState::Succeeded, 1, None, 2, Progress::default())
}

fn document<T: Serialize + DeserializeOwned>(criterion: &mut Criterion, name: &str, value: &T) {
    let binary = postcard::to_stdvec(value).expect("a document");
    let json = serde_json::to_vec(value).expect("a document");
    let mut group = criterion.benchmark_group("codec");
    let id = |way: &str, size: usize| BenchmarkId::new(format!("{name} {way}"), format!("{size} B"));
    group.bench_function(id("postcard write", binary.len()), |bencher| {
        bencher.iter(|| postcard::to_extend(black_box(value), Vec::with_capacity(640)));
    });
    group.bench_function(id("JSON write", json.len()), |bencher| {
        bencher.iter(|| serde_json::to_vec(black_box(value)));
    });
    group.bench_function(id("postcard read", binary.len()), |bencher| {
        bencher.iter(|| postcard::from_bytes::<T>(black_box(&binary)));
    });
    group.bench_function(id("JSON read", json.len()), |bencher| {
        bencher.iter(|| serde_json::from_slice::<T>(black_box(&json)));
    });
}

fn documents(criterion: &mut Criterion) {
    document(criterion, "open task", common::open_task(1).as_ref());
    document(criterion, "outcome", &outcome());
    document(criterion, "payment", &payment());
}

fn contract(criterion: &mut Criterion) {
    let submission = r#"{"order_no":"order-000000000001","amount_minor":1999,"currency":"CNY","channel":"alipay"}"#;
    let mut group = criterion.benchmark_group("contract");
    group.bench_function("submission read and checked", |bencher| {
        bencher.iter(|| {
            let read: Submission = serde_json::from_str(black_box(submission)).expect("a submission");
            read.validate().map(|()| read)
        });
    });
    let (open, outcome, payment) = (common::open_task(1), outcome(), payment());
    group.bench_function("reply to a submission", |bencher| {
        bencher.iter(|| TaskView::queued(black_box(&open)).body());
    });
    group.bench_function("reply to a query, settled", |bencher| {
        bencher.iter(|| TaskView::settled(black_box(&outcome), Some(&payment), None).map(|view| view.body()));
    });
}

criterion_group! {
    name = benches;
    config = common::short();
    targets = documents, contract
}
criterion_main!(benches);

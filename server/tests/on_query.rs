//! What `--sync on-query` does with a success that was shown and lost its round to a cancellation.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use support::{Server, openmetrics::Metrics, payer::submission, until};

/// The cancellation is stored first, because nobody had asked for the success yet; when the success loses, its payment
/// is closed with the channel, and nobody can pay it any more.
#[test]
fn the_payment_of_a_success_that_lost_to_a_cancellation_is_closed() {
    let mut server = Server::start(&["--sync", "on-query"]);
    let id = server.accepted(&submission("wechat"));
    until("the attempt's end", || {
        let metrics = Metrics::read(&server.get("/metrics").text());
        let ended = metrics.get("payrig_attempts_total") == 1.0 && metrics.get("payrig_attempts_in_flight") == 0.0;
        ended.then_some(())
    });
    server.post(&format!("/v1/pay-tasks/{id}/cancel"));
    let outcomes = server.book("/admin/books/pay_tasks");
    assert!(outcomes.len() == 1 && outcomes[0].to_string().contains("cancelled"), "{outcomes:?}");
    // What waits to be stored is stored at the end.
    server.terminate();
    assert_eq!(server.wait(), Some(0), "{}", server.stderr());

    let next = Server::start_in(server.folder(), &["--workers", "0"]);
    let ends = next.book("/admin/books/payment_ends");
    assert_eq!(ends.len(), 1, "{ends:?}");
    assert!(ends[0].to_string().contains("closed"), "{ends:?}");
    let ledger = next.book("/admin/ledger");
    assert!(ledger.len() == 1 && ledger[0].to_string().contains("closed"), "{ledger:?}");
    next.wait_for(&id, "cancelled");
}

//! The gaps between attempts, the cap and the budget, through the real queue with its wheel, the runner and the simulated
//! channel, with paused time.

use std::{sync::Arc, time::Duration};

use payrig_api::{ChannelStyle, Currency, RETRY_CAP, Simulate, Submission, TaskInfo, TaskState};
use payrig_channel::{Ledger, MemoryLedger, Options, Profile};
use payrig_server::{
    cache::{Cache, memory::MemoryCache},
    channel::{Channel, simulated::SimulatedChannel},
    clock::Clock,
    dispatch,
    metrics::Metrics,
    model::{Outcome, OutcomeState, TaskId},
    parts::{Locks, Parts, Settings},
    queue::{Queue, memory::MemoryQueue},
    refund::Desk,
    runner::{Runner, run_pool},
    service::{Backlog, NotRetried, PayService},
    store::{Store, memory::MemoryStore},
    sync::Synchroniser,
};
use proptest::prelude::*;

const MERCHANT: &str = "default";

/// A server without HTTP and without a sweeper: what is retried here is retried by the queue alone.
async fn start() -> PayService {
    let options = Options { profile: Profile::quiet(), ..Options::default() };
    let ledger = Ledger::Memory(MemoryLedger::new());
    let (simulation, _) = payrig_channel::SimulatedChannel::start(ledger, options).await.expect("memory does not fail");
    let (queue, wheel) = MemoryQueue::new(64);
    let parts = Arc::new(Parts {
        store: Store::Memory(MemoryStore::default()),
        cache: Cache::Memory(MemoryCache::new(64)),
        queue: Queue::Memory(queue),
        successes: dispatch::in_process(64).0,
        channel: Channel::Simulated(SimulatedChannel::new(simulation)),
        clock: Clock::anchored(1_800_000_000_000_000),
        metrics: Arc::new(Metrics::new()),
        settings: Settings::default(),
        refunds: Desk::default(),
        locks: Locks::default(),
    });
    let sync = Synchroniser::Direct(Arc::clone(&parts));
    let (backlog, publisher) = Backlog::new(Arc::clone(&parts), 64);
    tokio::spawn(wheel.run());
    tokio::spawn(publisher.run());
    tokio::spawn(run_pool(Runner::new(Arc::clone(&parts), sync.clone()), parts.queue.clone(), 4));
    PayService::new(parts, backlog, sync)
}

fn submission(task_info: TaskInfo, simulate: Simulate, channel: ChannelStyle) -> Submission {
    Submission {
        order_no: "o-1".to_owned(),
        amount_minor: 100,
        currency: Currency::CNY,
        channel,
        items: None,
        task_info,
        simulate: Some(simulate),
    }
}

async fn submit(service: &PayService, submission: Submission) -> TaskId {
    submission.validate().expect("a valid submission");
    let open = service.build(MERCHANT.into(), submission, None);
    service.submit(open).await.expect("it is accepted").task.task_id
}

/// The outcome of a round, as soon as there is one.
async fn outcome(service: &PayService, task: TaskId, round: u8) -> Arc<Outcome> {
    let within = Duration::from_secs(60);
    let waiting = async {
        loop {
            if let Some(outcome) = service.parts().store.outcome(task.round(round)).await.expect("memory does not fail")
            {
                return outcome;
            }
            // Time is paused: this is how it goes on.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(within, waiting).await.expect("an outcome long before that")
}

/// The instants at which attempts began, in milliseconds after the first.
fn starts_ms(outcome: &Outcome) -> Vec<u64> {
    let running = outcome.history.iter().filter(|entry| entry.state == TaskState::Running).map(|entry| entry.at_us);
    let starts: Vec<u64> = running.collect();
    starts.iter().map(|at_us| (at_us - starts[0]) / 1_000).collect()
}

/// The gaps in whole seconds; none is shorter than that, and none longer by more than the wheel's grain.
fn gaps_s(outcome: &Outcome) -> Vec<u64> {
    let starts = starts_ms(outcome);
    let gaps = starts.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.inspect(|gap_ms| assert!(gap_ms % 1_000 < 10, "a gap of {gap_ms} ms")).map(|gap_ms| gap_ms / 1_000).collect()
}

async fn gaps_of(retry_times: u8, fail_first: u8, channel: ChannelStyle) -> (Vec<u64>, Arc<Outcome>) {
    let service = start().await;
    let wish = Simulate { fail_first, ..Simulate::default() };
    let task = submit(&service, submission(TaskInfo { need_retry: true, retry_times }, wish, channel)).await;
    let outcome = outcome(&service, task, 1).await;
    (gaps_s(&outcome), outcome)
}

#[tokio::test(start_paused = true)]
async fn the_gaps_are_one_two_three_seconds_and_four_and_five_on_the_cap() {
    for channel in [ChannelStyle::Alipay, ChannelStyle::Wechat] {
        let (gaps, outcome) = gaps_of(TaskInfo::default().retry_times, 9, channel).await;
        assert_eq!((gaps, outcome.state, outcome.attempt), (vec![1, 2, 3], OutcomeState::Failed, 4));
        assert_eq!(outcome.stages.retry_wait_us, 6_000_000);
        let (gaps, outcome) = gaps_of(RETRY_CAP, 9, channel).await;
        assert_eq!((gaps, outcome.state, outcome.attempt), (vec![1, 2, 3, 4, 5], OutcomeState::Failed, 6));
        let (gaps, outcome) = gaps_of(RETRY_CAP, 2, channel).await;
        assert_eq!((gaps, outcome.state, outcome.attempt), (vec![1, 2], OutcomeState::Succeeded, 3));
        let (gaps, outcome) = gaps_of(0, 9, channel).await;
        assert_eq!((gaps, outcome.state, outcome.attempt), (vec![], OutcomeState::Failed, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_retried_and_a_refusal_is_not() {
    let service = start().await;
    let lost = Simulate { lose_answer: 2, ..Simulate::default() };
    let task = submit(&service, submission(TaskInfo::default(), lost, ChannelStyle::Wechat)).await;
    let settled = outcome(&service, task, 1).await;
    assert_eq!((gaps_s(&settled), settled.state), (vec![1, 2], OutcomeState::Succeeded));
    let service = start().await;
    let refused = Simulate { permanent: true, ..Simulate::default() };
    let task = submit(&service, submission(TaskInfo::default(), refused, ChannelStyle::Wechat)).await;
    let settled = outcome(&service, task, 1).await;
    assert_eq!((gaps_s(&settled), settled.state, settled.attempt), (vec![], OutcomeState::Failed, 1));
}

#[test]
fn six_retries_are_refused_and_the_cap_is_named() {
    let asked = |retry_times| {
        submission(TaskInfo { need_retry: true, retry_times }, Simulate::default(), ChannelStyle::Alipay).validate()
    };
    assert_eq!(asked(RETRY_CAP), Ok(()));
    for retry_times in [RETRY_CAP + 1, u8::MAX] {
        let refused = asked(retry_times).expect_err("more than the cap");
        assert_eq!(refused.field, "task_info.retry_times");
        assert!(refused.expected.contains(&RETRY_CAP.to_string()) && refused.expected.contains("cap"), "{refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_manual_retry_is_one_attempt_at_once() {
    for need_retry in [true, false] {
        let service = start().await;
        let wish = Simulate { fail_first: 9, ..Simulate::default() };
        let info = TaskInfo { need_retry, retry_times: 2 };
        let task = submit(&service, submission(info, wish, ChannelStyle::Alipay)).await;
        let first = outcome(&service, task, 1).await;
        assert_eq!(first.attempt, if need_retry { 3 } else { 1 });
        let view = service.retry(MERCHANT, task).await.expect("a failed task");
        assert_eq!((view.state, view.round), (TaskState::Queued, 2));
        let second = outcome(&service, task, 2).await;
        assert_eq!((second.state, second.attempt), (OutcomeState::Failed, first.attempt + 1));
        assert_eq!(starts_ms(&second), [0], "one attempt");
        let began_us = second.started_at_us.expect("an attempt was made");
        assert!(began_us - second.accepted_at_us < 10_000, "at once");
        let again = service.retry(MERCHANT, task).await;
        assert!(again.is_ok() == (second.attempt <= RETRY_CAP), "{again:?}");
    }
}

/// Retries until the task is used up; how many retries it had in all.
async fn use_up(service: &PayService, task: TaskId, automatic: u8) -> u8 {
    let mut round = 1;
    let mut last = outcome(service, task, round).await;
    assert_eq!(last.attempt, 1 + automatic);
    loop {
        match service.retry(MERCHANT, task).await {
            Ok(view) => {
                round += 1;
                assert_eq!(view.round, round);
                let next = outcome(service, task, round).await;
                assert_eq!(next.attempt, last.attempt + 1, "manual and automatic retries draw on the same budget");
                last = next;
            }
            Err(NotRetried::UsedUp) => return last.attempt - 1,
            Err(error) => panic!("round {round}: {error}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_sixth_retry_is_refused_whatever_the_first_five_were(retry_times in 0..=RETRY_CAP, need_retry: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let service = start().await;
            let wish = Simulate { fail_first: u8::MAX, ..Simulate::default() };
            let info = TaskInfo { need_retry, retry_times };
            let task = submit(&service, submission(info, wish, ChannelStyle::Wechat)).await;
            let automatic = if need_retry { retry_times } else { 0 };
            assert_eq!(use_up(&service, task, automatic).await, RETRY_CAP);
            let again = service.retry(MERCHANT, task).await;
            assert!(matches!(again, Err(NotRetried::UsedUp)), "{again:?}");
        });
    }
}

#[tokio::test(start_paused = true)]
async fn retries_at_the_same_time_share_what_is_left() {
    let service = start().await;
    let wish = Simulate { fail_first: u8::MAX, ..Simulate::default() };
    let info = TaskInfo { need_retry: true, retry_times: RETRY_CAP - 1 };
    let task = submit(&service, submission(info, wish, ChannelStyle::Alipay)).await;
    assert_eq!(outcome(&service, task, 1).await.attempt, RETRY_CAP);
    let asking = (0..8).map(|_| service.retry(MERCHANT, task));
    let answers = futures_util::future::join_all(asking).await;
    assert!(answers.iter().any(Result::is_ok), "{answers:?}");
    assert_eq!(outcome(&service, task, 2).await.attempt, RETRY_CAP + 1);
    assert!(matches!(service.retry(MERCHANT, task).await, Err(NotRetried::UsedUp)));
    assert!(service.parts().store.outcome(task.round(3)).await.expect("memory does not fail").is_none());
}

//! A payment that awaits its payer, and what has to be there once it is paid and announced.

use std::{collections::BTreeMap, sync::Arc};

use payrig_api::{ChannelStyle, Currency, Submission, TaskInfo};
use payrig_channel::{MemoryLedger, Options, Profile};
use payrig_server::{
    cache::{Cache, memory::MemoryCache},
    channel::{Channel, Paid, PaidNotice, simulated::SimulatedChannel},
    clock::Clock,
    dispatch,
    metrics::Metrics,
    model::{Collection, Document, OpenTask, OutcomeState, PayTask, Payment, RoundId, TaskId},
    parts::{Locks, Parts, Settings},
    queue::{Progress, Queue, memory::MemoryQueue, success::Announced},
    refund::Desk,
    runner,
    store::{DocumentStore as _, Store},
};

pub(crate) const T0_US: u64 = 1_800_000_000_000_000;
pub(crate) const DAY_US: u64 = 86_400_000_000;

/// The payment with this number; a later number is a later payment.
pub(crate) fn payment_no(number: u64) -> RoundId {
    TaskId::floor(T0_US + number * 1_000).round(1)
}

pub(crate) fn amount(number: u64) -> u64 {
    1_000 + number
}

/// A server without HTTP on this store.
pub(crate) async fn parts(store: Store, capacity: usize) -> (Arc<Parts>, Announced) {
    let options = Options { profile: Profile::quiet(), ..Options::default() };
    let ledger = payrig_channel::Ledger::Memory(MemoryLedger::new());
    let (simulation, _) = payrig_channel::SimulatedChannel::start(ledger, options).await.unwrap();
    let (queue, _wheel) = MemoryQueue::new(64);
    let (successes, announced) = dispatch::in_process(capacity);
    let parts = Parts {
        store,
        cache: Cache::Memory(MemoryCache::new(1_024)),
        queue: Queue::Memory(queue),
        successes,
        channel: Channel::Simulated(SimulatedChannel::new(simulation)),
        clock: Clock::anchored(T0_US + 60_000_000),
        metrics: Arc::new(Metrics::new()),
        settings: Settings::default(),
        refunds: Desk::default(),
        locks: Locks::default(),
    };
    (Arc::new(parts), announced)
}

/// A payment that awaits its payer, with everything that the flow has written of it until then.
pub(crate) async fn awaiting(store: &Store, number: u64) {
    let submission = Submission {
        order_no: format!("o-{number}"),
        amount_minor: amount(number),
        currency: Currency::CNY,
        channel: ChannelStyle::Alipay,
        items: None,
        task_info: TaskInfo::default(),
        simulate: None,
    };
    let round = payment_no(number);
    let task = Arc::new(PayTask::from_submission(round.task, "default".into(), submission));
    let open = OpenTask { task, round: 1, accepted_at_us: T0_US, attempts_before: 0, key: None };
    let outcome = runner::outcome(&open, OutcomeState::Succeeded, 1, None, T0_US, Progress::default());
    let payment = Payment {
        payment_no: round,
        merchant: "default".into(),
        order_no: Arc::clone(&open.task.order_no),
        amount_minor: amount(number),
        currency: Currency::CNY,
        channel: ChannelStyle::Alipay,
        pay_params: "{}".into(),
        created_at_us: T0_US,
    };
    let group = vec![
        Document::OpenTask(Arc::new(open)),
        Document::Payment(Arc::new(payment)),
        Document::PayTask(Arc::new(outcome)),
    ];
    assert_eq!(store.insert(vec![group]).await.unwrap(), [3]);
}

/// The channel's word that it took the money.
pub(crate) fn learnt(number: u64) -> PaidNotice {
    let transaction_id = format!("tx-{number}").into();
    let paid =
        Paid { transaction_id, paid_at_us: T0_US + number, amount_minor: amount(number), currency: Currency::CNY };
    PaidNotice { payment_no: payment_no(number), merchant: None, paid }
}

pub(crate) async fn all(store: &Store, collection: Collection) -> Vec<Document> {
    store.range(collection, None, None, 100_000).await.unwrap()
}

/// Every payment up to this number has paid its order once, counts once, and nothing is left to do.
pub(crate) async fn all_done(store: &Store, numbers: u64, when: &str) {
    let of = |number| (payment_no(number), amount(number));
    let expected: BTreeMap<RoundId, u64> = (0..numbers).map(of).collect();
    let mut paid = BTreeMap::new();
    for document in all(store, Collection::OrderPaid).await {
        let Document::OrderPaid(order) = document else { panic!("{document:?}") };
        let number = (0..numbers).find(|number| payment_no(*number) == order.payment_no).unwrap();
        assert_eq!(order.transaction_id.as_ref(), format!("tx-{number}"), "{when}");
        assert_eq!((order.order_no.as_ref(), order.paid_at_us), (&*format!("o-{number}"), T0_US + number), "{when}");
        paid.insert(order.payment_no, order.amount_minor);
    }
    assert_eq!(paid, expected, "orders paid, {when}");
    let mut totals: BTreeMap<(Arc<str>, u64, &str), u64> = BTreeMap::new();
    for document in all(store, Collection::DailyTotals).await {
        let Document::DailyTotal(part) = document else { panic!("{document:?}") };
        *totals.entry((part.merchant, part.paid_day, part.currency.code())).or_default() += part.amount_minor;
    }
    let total: u64 = expected.values().sum();
    assert_eq!(totals, BTreeMap::from([(("default".into(), T0_US / DAY_US, "CNY"), total)]), "{when}");
    for collection in [Collection::Notices, Collection::OpenTasks, Collection::Refunds] {
        assert_eq!(all(store, collection).await, [], "{}, {when}", collection.name());
    }
}

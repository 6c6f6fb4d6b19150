//! One value of every request, reply and problem, with the name of its golden file.
#![allow(dead_code, reason = "each test uses its part")]

use payrig_api::{
    ChannelStyle, ChildOrder, Currency, Item, NewOrder, Order, OrderState, Payment, PaymentState, Problem, ProblemType,
    Ship, ShipMode, Simulate, Submission, Task, TaskInfo, TaskReply, TaskState, Transaction, reply::Health,
};
use serde_json::value::RawValue;

const TASK_ID: &str = "01JZ0000000000000000000001";
const ACCEPTED_AT: u64 = 1_750_000_000_000_000;

fn item(sku: &str, quantity: u32, unit_price_minor: u64) -> Item {
    Item { sku: sku.into(), quantity, unit_price_minor, seller: None, warehouse: None }
}

fn smallest() -> Submission {
    Submission {
        order_no: "A-1".into(),
        amount_minor: 1_999,
        currency: Currency::CNY,
        channel: ChannelStyle::Alipay,
        items: None,
        task_info: TaskInfo::default(),
        simulate: None,
    }
}

fn whole() -> Submission {
    let seller = Item { seller: Some("shop-7".into()), warehouse: Some("north".into()), ..item("SKU-2", 1, 1_399) };
    Submission {
        order_no: "A-2".into(),
        channel: ChannelStyle::Wechat,
        items: Some(vec![item("SKU-1", 2, 300), seller]),
        task_info: TaskInfo { need_retry: false, retry_times: 5 },
        simulate: Some(Simulate {
            fail_first: 2,
            permanent: true,
            latency_ms: Some(500),
            lose_answer: 1,
            drop_notification: true,
        }),
        ..smallest()
    }
}

/// Requests.
pub(crate) fn submissions() -> Vec<(&'static str, Submission)> {
    vec![("requests/submission-smallest", smallest()), ("requests/submission-whole", whole())]
}

/// Requests for orders.
pub(crate) fn new_orders() -> Vec<(&'static str, NewOrder)> {
    let smallest = NewOrder { order_no: "A-1".into(), amount_minor: 1_999, currency: Currency::CNY, items: None };
    let whole = NewOrder { order_no: "A-3".into(), amount_minor: 1_799, items: whole().items, ..smallest };
    vec![("requests/order-smallest", smallest), ("requests/order-whole", whole)]
}

/// Requests for shipments: every mode.
pub(crate) fn ships() -> Vec<(&'static str, Ship)> {
    vec![
        ("requests/ship-none", Ship { mode: ShipMode::None }),
        ("requests/ship-by-merchant", Ship { mode: ShipMode::ByMerchant }),
        ("requests/ship-by-warehouse", Ship { mode: ShipMode::ByWarehouse }),
    ]
}

/// What calls about orders answer: every state.
pub(crate) fn orders() -> Vec<(&'static str, Order)> {
    let items = whole().items.unwrap();
    let unpaid = Order {
        order_no: "A-3".into(),
        state: OrderState::Unpaid,
        amount_minor: 1_799,
        currency: Currency::CNY,
        items: Some(items.clone()),
        created_at: ACCEPTED_AT - 60_000_000,
        paid_at: None,
        paid_amount_minor: None,
        payment_no: None,
        transaction_id: None,
        shipped_at: None,
        ship_mode: None,
        children: None,
    };
    let paid = Order {
        state: OrderState::Paid,
        paid_at: Some(ACCEPTED_AT + 9_000_000),
        paid_amount_minor: Some(1_799),
        payment_no: Some(format!("{TASK_ID}-1")),
        transaction_id: Some("2000000000000000000000000001".into()),
        ..unpaid.clone()
    };
    let child = |number: u8, amount_minor, item: &Item| ChildOrder {
        child_no: format!("A-3-{number}"),
        amount_minor,
        seller: None,
        warehouse: item.warehouse.clone(),
        items: vec![item.clone()],
    };
    let shipped = Order {
        state: OrderState::Shipped,
        shipped_at: Some(ACCEPTED_AT + 70_000_000),
        ship_mode: Some(ShipMode::ByWarehouse),
        children: Some(vec![child(1, 540, &items[0]), child(2, 1_259, &items[1])]),
        ..paid.clone()
    };
    vec![("replies/order-unpaid", unpaid), ("replies/order-paid", paid), ("replies/order-shipped", shipped)]
}

fn task(state: TaskState, submission: Submission) -> Task {
    Task {
        task_id: TASK_ID.into(),
        state,
        round: 1,
        attempt: 0,
        order_no: submission.order_no,
        amount_minor: submission.amount_minor,
        currency: submission.currency,
        channel: submission.channel,
        task_info: submission.task_info,
        items: submission.items,
        simulate: submission.simulate,
        reason: None,
        accepted_at: ACCEPTED_AT,
        started_at: None,
        settled_at: None,
        queue_wait_us: None,
        channel_us: None,
        retry_wait_us: None,
        own_us: None,
    }
}

fn started(state: TaskState) -> Task {
    Task { attempt: 1, started_at: Some(ACCEPTED_AT + 1_500), ..task(state, smallest()) }
}

fn settled(state: TaskState) -> Task {
    Task {
        settled_at: Some(ACCEPTED_AT + 44_000),
        queue_wait_us: Some(400),
        channel_us: Some(40_000),
        retry_wait_us: Some(0),
        own_us: Some(3_600),
        ..started(state)
    }
}

fn failed_for_good() -> Task {
    let reason = Some("the channel refused the order: simulated".into());
    Task { round: 2, attempt: 5, reason, ..settled(TaskState::Failed) }
}

fn payment(state: PaymentState) -> Payment {
    let params = format!(
        r#"{{"amount_minor":1999,"cashier_url":"http://127.0.0.1:8080/simulated/cashier","out_trade_no":"{TASK_ID}-1"}}"#
    );
    let paid = state == PaymentState::Paid;
    Payment {
        payment_no: format!("{TASK_ID}-1"),
        state,
        pay_params: RawValue::from_string(params).unwrap(),
        paid_at: paid.then_some(ACCEPTED_AT + 9_000_000),
        transaction_id: paid.then(|| "2000000000000000000000000001".into()),
    }
}

/// What calls about tasks answer: every state of a task and of a payment.
pub(crate) fn task_replies() -> Vec<(&'static str, TaskReply)> {
    let of = |task, payment| TaskReply { task, payment };
    let with = |state| of(settled(TaskState::Succeeded), Some(payment(state)));
    let postponed = Task { reason: Some("transient: busy".into()), ..started(TaskState::Retrying) };
    let cancelled = Task { reason: Some("cancelled by the client".into()), ..settled(TaskState::Cancelled) };
    vec![
        ("replies/task-queued", of(task(TaskState::Queued, smallest()), None)),
        ("replies/task-queued-whole", of(task(TaskState::Queued, whole()), None)),
        ("replies/task-running", of(started(TaskState::Running), None)),
        ("replies/task-retrying", of(postponed, None)),
        ("replies/task-succeeded-awaiting-payer", with(PaymentState::AwaitingPayer)),
        ("replies/task-succeeded-paid", with(PaymentState::Paid)),
        ("replies/task-succeeded-closed", with(PaymentState::Closed)),
        ("replies/task-failed", of(failed_for_good(), None)),
        ("replies/task-cancelled", of(cancelled, None)),
    ]
}

/// What `GET /v1/payments/...` answers.
pub(crate) fn payments() -> Vec<(&'static str, Payment)> {
    vec![
        ("replies/payment-awaiting-payer", payment(PaymentState::AwaitingPayer)),
        ("replies/payment-paid", payment(PaymentState::Paid)),
        ("replies/payment-closed", payment(PaymentState::Closed)),
    ]
}

/// What the cashier answers.
pub(crate) fn transactions() -> Vec<(&'static str, Transaction)> {
    let transaction = Transaction {
        transaction_id: "2000000000000000000000000001".into(),
        out_trade_no: format!("{TASK_ID}-1"),
        amount_minor: 1_999,
        currency: Currency::CNY,
        paid_at_us: ACCEPTED_AT + 9_000_000,
    };
    vec![("replies/transaction", transaction)]
}

/// What the probes answer.
pub(crate) fn health() -> Vec<(&'static str, Health)> {
    let says = |status: &str| Health { status: status.into(), channel_breaker: None, cache: None };
    let with_channel = Health { channel_breaker: Some("closed".to_owned()), ..says("ready") };
    let without_cache = Health { cache: Some("down".to_owned()), ..says("degraded") };
    vec![
        ("replies/healthz", says("ok")),
        ("replies/readyz", says("ready")),
        ("replies/readyz-http", with_channel),
        ("replies/readyz-degraded", without_cache),
    ]
}

/// Every type of problem, and one with every member.
pub(crate) fn problems() -> Vec<(String, Problem)> {
    let last_part = |kind: ProblemType| {
        let name = serde_json::to_value(kind).unwrap();
        name.as_str().unwrap().rsplit(':').next().unwrap().to_owned()
    };
    let mut problems: Vec<(String, Problem)> = ProblemType::ALL
        .into_iter()
        .map(|kind| (format!("problems/{}", last_part(kind)), Problem::new(kind)))
        .collect();
    let whole = Problem::new(ProblemType::OrderInUse)
        .detail("the order is paid")
        .field("order_no", "an order that nobody pays")
        .task(TASK_ID)
        .payment(format!("{TASK_ID}-1"));
    problems.push(("problems/whole".into(), whole));
    problems
}

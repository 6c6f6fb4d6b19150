//! One document of each kind, with the extremes of every value.

use std::sync::Arc;

use payrig_api::{ChannelStyle, Currency, Item, ShipMode, Simulate, TaskState};
use payrig_server::model::{
    Closing, DailyTotal, Document, End, HistoryEntry, IdempotencyKey, KeyUse, Notice, OpenTask, Order, OrderPaid,
    OrderSettlement, OrderSlot, Outcome, OutcomeState, Parcel, PayTask, Payment, PaymentEnd, Refund, Refunded, RoundId,
    Shipment, Stages, TaskId,
};

use super::task;

/// One of each kind, with and without what may be absent, and with the largest numbers.
pub(crate) fn one_of_each() -> Vec<Document> {
    let item = Item {
        sku: "s".into(),
        quantity: u32::MAX,
        unit_price_minor: u64::MAX,
        seller: None,
        warehouse: Some("w".into()),
    };
    let simulate =
        Simulate { fail_first: 255, permanent: true, latency_ms: Some(0), lose_answer: 1, drop_notification: true };
    let plain = task("o-1", ChannelStyle::Alipay, None);
    let full =
        PayTask { items: Some(vec![item]), ..PayTask::clone(&task("o-2", ChannelStyle::Wechat, Some(simulate))) };
    let used = KeyUse { key: "k:1/é".into(), body_sha256: [255; 32] };
    let mut documents = Vec::new();
    for (task, key, text) in [(plain, None, None), (Arc::new(full), Some(used.clone()), Some("why".to_owned()))] {
        let payment_no = task.task_id.round(9);
        let open = OpenTask { task: Arc::clone(&task), round: 9, accepted_at_us: u64::MAX, attempts_before: 5, key };
        let last = HistoryEntry { state: TaskState::Retrying, attempt: 255, at_us: u64::MAX, reason: text.clone() };
        documents.push(Document::OpenTask(Arc::new(open)));
        documents.push(Document::PayTask(Arc::new(Outcome {
            task: Arc::clone(&task),
            round: 9,
            state: OutcomeState::Refused,
            attempt: 255,
            reason: text.clone(),
            accepted_at_us: 0,
            started_at_us: text.is_some().then_some(u64::MAX),
            settled_at_us: u64::MAX,
            stages: Stages { queue_wait_us: u64::MAX, channel_us: 0, retry_wait_us: 1 },
            history: vec![last.clone(), last],
        })));
        let end = match text {
            None => End::Closed { reason: String::new() },
            Some(_) => End::Paid { transaction_id: "t".into(), paid_at_us: u64::MAX, amount_minor: u64::MAX },
        };
        documents.push(Document::PaymentEnd(PaymentEnd { payment_no, end, at_us: 0 }));
        documents.push(Document::Payment(Arc::new(payment(&task, payment_no))));
    }
    let payment_no = TaskId::floor(1_000).round(255);
    let (merchant, order_no): (Arc<str>, Arc<str>) = ("default".into(), "o-3".into());
    documents.extend([
        Document::IdempotencyKey(IdempotencyKey {
            merchant: merchant.clone(),
            used,
            task_id: payment_no.task,
            expires_at_us: u64::MAX,
        }),
        Document::OrderSlot(OrderSlot {
            merchant: merchant.clone(),
            order_no: order_no.clone(),
            generation: 999_999,
            holder: payment_no,
        }),
        Document::OrderSettlement(OrderSettlement { merchant, order_no, payment_no, at_us: 1 }),
        Document::Closing(Closing { payment_no, reason: "a\u{0}b".into(), at_us: 1 }),
        Document::Notice(Notice { payment_no, transaction_id: "t".into(), paid_at_us: 1, amount_minor: 2, at_us: 3 }),
        Document::Refund(Refund { payment_no, amount_minor: u64::MAX, reason: String::new(), at_us: 3 }),
        Document::Refunded(Refunded { payment_no, amount_minor: u64::MAX, at_us: 3 }),
    ]);
    documents.extend(documents_of_orders(payment_no));
    documents
}

fn documents_of_orders(payment_no: RoundId) -> Vec<Document> {
    let merchant: Arc<str> = "default".into();
    let item =
        Item { sku: "…".into(), quantity: 2, unit_price_minor: u64::MAX, seller: None, warehouse: Some("w".into()) };
    let order = |order_no: &str, items| {
        let (merchant, order_no) = (merchant.clone(), order_no.into());
        let currency = Currency::CNY;
        Document::Order(Arc::new(Order {
            merchant,
            order_no,
            amount_minor: u64::MAX,
            currency,
            items,
            created_at_us: 7,
        }))
    };
    let (merchant, order_no): (Arc<str>, Arc<str>) = (merchant.clone(), "o-4".into());
    vec![
        order("o-4", Some(vec![item])),
        order("o-5", None),
        Document::Shipment(Arc::new(Shipment {
            merchant: merchant.clone(),
            order_no: order_no.clone(),
            payment_no,
            mode: ShipMode::ByWarehouse,
            children: vec![Parcel { amount_minor: u64::MAX, items: vec![0, 300] }],
            at_us: 1,
        })),
        Document::DailyTotal(DailyTotal {
            payment_no,
            merchant: merchant.clone(),
            paid_day: 20_000,
            amount_minor: u64::MAX,
            currency: Currency::CNY,
        }),
        Document::OrderPaid(OrderPaid {
            payment_no,
            merchant,
            order_no,
            transaction_id: "t".into(),
            paid_at_us: u64::MAX,
            amount_minor: 1,
            at_us: 2,
        }),
    ]
}

fn payment(task: &PayTask, payment_no: RoundId) -> Payment {
    Payment {
        payment_no,
        merchant: task.merchant.clone(),
        order_no: task.order_no.clone(),
        amount_minor: task.amount_minor,
        currency: Currency::CNY,
        channel: task.channel,
        pay_params: "{\"sign\":\"…\"}".into(),
        created_at_us: 1,
    }
}

//! Where explorations begin, and what may happen from there.

use std::sync::Arc;

use payrig_server::{
    model::{Document, End, IdempotencyKey, KeyUse, PaymentEnd},
    queue::{Message, TaskQueue as _},
};

use super::{
    CHANNEL_LIED,
    actor::finish,
    life::{Life, T0_US},
    ops::{Ears, MERCHANT, Op, Sub, notify, query, retry, service, submit, task},
};

/// A beginning, and the operations of which two or three are taken, each as often as it stands in the list.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Everything happens after the pay window of what was begun.
    pub(crate) late: bool,
    pub(crate) begin: fn(&Life, &Ears),
    pub(crate) ops: &'static [Op],
}

const KEYED: Sub = Sub::new(1, "o-1").keyed("k", 1);
const REPEAT: Sub = Sub::new(2, "o-1").keyed("k", 1);
const OTHER_BODY: Sub = Sub::new(3, "o-1").keyed("k", 2);
const SAME_ORDER: Sub = Sub::new(4, "o-1");

/// All of them.
pub(crate) const ALL: &[Scenario] = &[
    Scenario {
        name: "nothing yet",
        late: false,
        begin: |_, _| {},
        ops: &[
            Op::Submit(KEYED),
            Op::Submit(REPEAT),
            Op::Submit(OTHER_BODY),
            Op::Submit(SAME_ORDER),
            Op::Deliver,
            Op::Visit(1, 1),
            Op::Visit(2, 1),
        ],
    },
    Scenario {
        name: "queued, and delivered twice",
        late: false,
        begin: |life, ears| {
            accept(life, KEYED.wechat(), ears);
            send_again(life, KEYED.wechat());
        },
        ops: &[
            Op::Deliver,
            Op::Deliver,
            Op::Cancel(1),
            Op::Cancel(1),
            Op::Submit(REPEAT.wechat()),
            Op::Submit(SAME_ORDER),
            Op::Visit(1, 1),
            Op::Query(1),
            Op::Pay(1, 1),
        ],
    },
    Scenario {
        name: "awaiting the payer",
        late: false,
        begin: |life, ears| {
            await_payer(life, ears);
        },
        ops: &[
            Op::Pay(1, 1),
            Op::Pay(1, 1),
            Op::Notify,
            Op::Notify,
            Op::Cancel(1),
            Op::Cancel(1),
            Op::Submit(SAME_ORDER),
            Op::Visit(1, 1),
            Op::Query(1),
        ],
    },
    Scenario {
        name: "queued for too long",
        late: true,
        begin: |life, ears| accept(life, KEYED.wechat(), ears),
        ops: &[
            Op::Visit(1, 1),
            Op::Visit(1, 1),
            Op::Deliver,
            Op::Cancel(1),
            Op::Query(1),
            Op::Retry(1),
            Op::Submit(SAME_ORDER),
            Op::Submit(REPEAT.wechat()),
        ],
    },
    Scenario {
        name: "awaiting the payer for too long",
        late: true,
        begin: |life, ears| {
            await_payer(life, ears);
        },
        ops: &[
            Op::Visit(1, 1),
            Op::Visit(1, 1),
            Op::Pay(1, 1),
            Op::Notify,
            Op::Cancel(1),
            Op::Query(1),
            Op::Submit(SAME_ORDER),
        ],
    },
    Scenario {
        name: "failed",
        late: false,
        begin: |life, ears| {
            accept(life, KEYED.failing(1), ears);
            life.drain();
            look(life, 1, ears);
        },
        ops: &[
            Op::Retry(1),
            Op::Retry(1),
            Op::Submit(SAME_ORDER),
            Op::Submit(REPEAT.failing(1)),
            Op::Deliver,
            Op::Deliver,
            Op::Cancel(1),
            Op::Visit(1, 2),
            Op::Query(1),
        ],
    },
    Scenario {
        name: "failed, and another task has the order",
        late: false,
        begin: |life, ears| {
            accept(life, Sub::new(1, "o-1").failing(1), ears);
            life.drain();
            accept(life, SAME_ORDER, ears);
        },
        ops: &[
            Op::Cancel(4),
            Op::Deliver,
            Op::Retry(1),
            Op::Retry(1),
            Op::Submit(REPEAT),
            Op::Submit(Sub::new(5, "o-1").keyed("k", 1)),
            Op::Visit(1, 2),
            Op::Visit(2, 1),
        ],
    },
    Scenario {
        name: "one retry before the cap",
        late: false,
        begin: |life, ears| {
            accept(life, Sub::new(1, "o-1").failing(9), ears);
            life.drain();
            for _ in 0..payrig_api::RETRY_CAP - 1 {
                try_again(life, 1, ears);
                life.drain();
            }
        },
        ops: &[Op::Retry(1), Op::Retry(1), Op::Retry(1), Op::Deliver, Op::Deliver, Op::Cancel(1), Op::Query(1)],
    },
    Scenario {
        name: "closed by a channel that takes money all the same",
        late: false,
        begin: |life, ears| {
            await_payer(life, ears);
            write_closed(life);
        },
        ops: &[
            Op::Pay(1, 1),
            Op::Notify,
            Op::Notify,
            Op::Submit(SAME_ORDER),
            Op::Deliver,
            Op::Pay(4, 1),
            Op::Visit(1, 1),
            Op::Cancel(1),
            Op::Query(1),
        ],
    },
    Scenario {
        name: "paid, and nobody has heard of it",
        late: false,
        begin: |life, ears| {
            await_payer(life, ears);
            take_money(life);
        },
        ops: &[Op::Notify, Op::Notify, Op::Serve(0), Op::Serve(1), Op::Visit(1, 1), Op::Query(1)],
    },
    Scenario {
        name: "paid and published",
        late: false,
        begin: |life, ears| {
            await_payer(life, ears);
            take_money(life);
            finish(notify(life, ears));
            life.publish();
        },
        ops: &[Op::Serve(0), Op::Serve(0), Op::Serve(1), Op::Serve(1), Op::Notify, Op::Visit(1, 1), Op::Query(1)],
    },
    Scenario {
        name: "an order that comes with its submission",
        late: false,
        begin: |_, _| {},
        ops: &[
            Op::Submit(KEYED.with_items()),
            Op::Submit(REPEAT.with_items()),
            Op::Submit(Sub::new(5, "o-1").with_items()),
            Op::Submit(SAME_ORDER),
            Op::Deliver,
            Op::Visit(1, 1),
            Op::Visit(5, 1),
        ],
    },
    Scenario {
        name: "an expired key",
        late: false,
        begin: |life, _| write_expired_key(life),
        ops: &[
            Op::Submit(KEYED),
            Op::Submit(REPEAT),
            Op::Submit(Sub::new(5, "o-2").keyed("k", 2)),
            Op::ForgetKey("k"),
            Op::ForgetKey("k"),
            Op::Visit(1, 1),
        ],
    },
];

fn accept(life: &Life, sub: Sub, ears: &Ears) {
    let (service, mut publisher) = service(&life.plain);
    finish(async {
        tokio::join!(submit(&service, sub, ears), publisher.publish_next());
    });
}

/// A payment awaits its payer, who has been shown it.
fn await_payer(life: &Life, ears: &Ears) {
    accept(life, KEYED, ears);
    life.drain();
    look(life, 1, ears);
}

fn try_again(life: &Life, number: u64, ears: &Ears) {
    let (service, mut publisher) = service(&life.plain);
    finish(async {
        tokio::join!(retry(&service, number, ears), publisher.publish_next());
    });
}

fn look(life: &Life, number: u64, ears: &Ears) {
    let (service, _publisher) = service(&life.plain);
    finish(query(&service, task(number), ears));
}

/// Deliveries may come twice.
fn send_again(life: &Life, sub: Sub) {
    let message = Message::first(sub.open(T0_US), T0_US);
    finish(life.plain.queue.offer(vec![message])).expect("there is room");
}

/// The payer of the first task pays.
fn take_money(life: &Life) {
    let payment = finish(life.plain.store.payment(task(1).round(1))).expect("memory does not fail");
    let payment = payment.expect("its attempt was made");
    finish(life.simulation.cashier(payment.pay_params.as_bytes())).expect("it is open");
}

fn write_closed(life: &Life) {
    let end =
        PaymentEnd { payment_no: task(1).round(1), end: End::Closed { reason: CHANNEL_LIED.to_owned() }, at_us: T0_US };
    finish(life.plain.store.insert_one(Document::PaymentEnd(end))).expect("memory does not fail");
}

fn write_expired_key(life: &Life) {
    let key = IdempotencyKey {
        merchant: MERCHANT.into(),
        used: KeyUse { key: Arc::from("k"), body_sha256: [1; 32] },
        task_id: task(9),
        expires_at_us: T0_US,
    };
    finish(life.plain.store.insert_one(Document::IdempotencyKey(key))).expect("memory does not fail");
}

//! Healthy books and a client's log that fits them, made of small stories.

use payrig_api::{PaymentState, TaskInfo, TaskState};
use payrig_audit::{
    Books, Cashier, Round, Seen, Shown, Submitted,
    books::{
        Closing, DailyTotal, End, GivenBack, HistoryEntry, IdempotencyKey, KeyUse, LedgerRow, Money, OpenTask,
        OrderBooks, OrderPaid, OrderSettlement, OrderSlot, Outcome, OutcomeState, Parcel, Payment, PaymentEnd,
        Shipment, Taken, TaskFacts,
    },
};

pub(crate) const MERCHANT: &str = "default";
const SECOND_US: u64 = 1_000_000;

/// What can become of an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Story {
    /// Two automatic retries, then paid.
    Paid,
    /// The payer has not come.
    Awaiting,
    /// Failed, retried by hand, paid.
    RetriedByHand,
    /// Cancelled while under way; its late payment was closed; a second task paid the order.
    CancelledThenPaid,
    /// Closed by a cancellation after it had succeeded.
    Closed,
    /// Closed, taken by the channel all the same, given back.
    GivenBack,
    /// Cancelled before there was a payment, paid all the same, given back.
    PaidWithoutSuccess,
    /// A second submission of the order was refused.
    SiblingRefused,
}

pub(crate) const STORIES: [Story; 8] = [
    Story::Paid,
    Story::Awaiting,
    Story::RetriedByHand,
    Story::CancelledThenPaid,
    Story::Closed,
    Story::GivenBack,
    Story::PaidWithoutSuccess,
    Story::SiblingRefused,
];

/// Books and log in the making.
pub(crate) struct World {
    pub(crate) books: Books,
    pub(crate) seen: Seen,
    orders: u64,
}

/// Every story once, and these again.
pub(crate) fn world(more: &[Story]) -> World {
    let seen = Seen { merchant: MERCHANT.to_owned(), is_complete: true, submissions: Vec::new() };
    let mut world = World { books: Books { orders: Some(OrderBooks::default()), ..Books::default() }, seen, orders: 0 };
    for story in STORIES.iter().chain(more) {
        world.tell(*story);
    }
    world
}

fn history(steps: &[(TaskState, u8, u64)]) -> Vec<HistoryEntry> {
    steps.iter().map(|&(state, attempt, at_us)| HistoryEntry { state, attempt, at_us }).collect()
}

impl World {
    fn task(&mut self, order: u64, of_order: u32) -> TaskFacts {
        TaskFacts {
            task_id: format!("TASK{order:04}{of_order}"),
            merchant: MERCHANT.to_owned(),
            order_no: format!("O-{order}"),
            amount_minor: 1_000 + order,
            currency: "CNY".to_owned(),
            task_info: TaskInfo::default(),
        }
    }

    /// A submission with its key and its 202, without what was shown later.
    fn submit(&mut self, task: &TaskFacts) -> usize {
        let key = format!("key-{}", task.task_id);
        let used = KeyUse { key: key.clone() };
        let (merchant, task_id) = (MERCHANT.to_owned(), task.task_id.clone());
        self.books.idempotency_keys.push(IdempotencyKey { merchant, used, task_id });
        self.seen.submissions.push(Submitted {
            order_no: task.order_no.clone(),
            amount_minor: task.amount_minor,
            currency: task.currency.clone(),
            key: Some(key),
            unanswered: 0,
            accepted: vec![task.task_id.clone()],
            shown: Vec::new(),
            cashier: Vec::new(),
        });
        self.seen.submissions.len() - 1
    }

    fn slot(&mut self, task: &TaskFacts, generation: u32, round: u8) {
        self.books.order_slots.push(OrderSlot {
            merchant: MERCHANT.to_owned(),
            order_no: task.order_no.clone(),
            generation,
            holder: Round::new(&task.task_id, round),
        });
    }

    fn outcome(&mut self, task: &TaskFacts, round: u8, state: OutcomeState, history: Vec<HistoryEntry>) {
        let (first, last) = (history[0].at_us, history[history.len() - 1].clone());
        let (accepted_at_us, settled_at_us) = (first, last.at_us);
        let task = task.clone();
        let attempt = last.attempt;
        self.books.pay_tasks.push(Outcome { task, round, state, attempt, accepted_at_us, settled_at_us, history });
    }

    fn payment(&mut self, task: &TaskFacts, round: u8) -> Round {
        let payment_no = Round::new(&task.task_id, round);
        self.books.payments.push(Payment {
            payment_no: payment_no.clone(),
            merchant: MERCHANT.to_owned(),
            order_no: task.order_no.clone(),
            amount_minor: task.amount_minor,
            currency: task.currency.clone(),
        });
        payment_no
    }

    fn row(&mut self, task: &TaskFacts, payment_no: &Round) -> &mut LedgerRow {
        self.books.ledger.push(LedgerRow {
            out_trade_no: payment_no.to_string(),
            order_no: Some(task.order_no.clone()),
            merchant: Some(MERCHANT.to_owned()),
            currency: Some(task.currency.clone()),
            ..LedgerRow::default()
        });
        self.books.ledger.last_mut().expect("it was just pushed")
    }

    fn paid(&mut self, task: &TaskFacts, round: u8, submission: usize) {
        let payment_no = self.payment(task, round);
        let (transaction_id, amount_minor) = (format!("tx-{payment_no}"), task.amount_minor);
        self.row(task, &payment_no).paid = Some(Taken { transaction_id: transaction_id.clone(), amount_minor });
        let end = End::Paid { transaction_id: transaction_id.clone(), amount_minor };
        self.books.payment_ends.push(PaymentEnd { payment_no: payment_no.clone(), end });
        self.books.order_settlements.push(OrderSettlement {
            merchant: MERCHANT.to_owned(),
            order_no: task.order_no.clone(),
            payment_no: payment_no.clone(),
        });
        self.announced(task, &payment_no, &transaction_id);
        let payment = Some((payment_no.clone(), PaymentState::AwaitingPayer));
        self.shown(submission, task, round, TaskState::Succeeded, payment);
        self.shown(submission, task, round, TaskState::Succeeded, Some((payment_no.clone(), PaymentState::Paid)));
        let payment_no = payment_no.to_string();
        self.seen.submissions[submission].cashier.push(Cashier { payment_no, transaction_id, amount_minor });
    }

    /// The order is marked paid, counts in the totals, and is shipped in two parcels.
    fn announced(&mut self, task: &TaskFacts, payment_no: &Round, transaction_id: &str) {
        let (merchant, order_no) = (MERCHANT.to_owned(), task.order_no.clone());
        let books = self.orders();
        books.paid.push(OrderPaid {
            payment_no: payment_no.clone(),
            merchant: merchant.clone(),
            order_no: order_no.clone(),
            transaction_id: transaction_id.to_owned(),
            amount_minor: task.amount_minor,
        });
        books.daily_totals.push(DailyTotal {
            payment_no: payment_no.clone(),
            merchant: merchant.clone(),
            amount_minor: task.amount_minor,
            currency: task.currency.clone(),
        });
        let children = vec![Parcel { amount_minor: 1 }, Parcel { amount_minor: task.amount_minor - 1 }];
        books.shipments.push(Shipment { merchant, order_no, payment_no: payment_no.clone(), children });
    }

    /// What is kept of orders.
    pub(crate) fn orders(&mut self) -> &mut OrderBooks {
        self.books.orders.get_or_insert_default()
    }

    fn closed(&mut self, task: &TaskFacts, round: u8) -> Round {
        let payment_no = self.payment(task, round);
        self.row(task, &payment_no).closed_at_us = Some(9 * SECOND_US);
        self.books.closings.push(Closing { payment_no: payment_no.clone() });
        self.books.payment_ends.push(PaymentEnd { payment_no: payment_no.clone(), end: End::Closed {} });
        payment_no
    }

    fn shown(
        &mut self,
        submission: usize,
        task: &TaskFacts,
        round: u8,
        state: TaskState,
        payment: Option<(Round, PaymentState)>,
    ) {
        let is_paid = payment.as_ref().is_some_and(|(_, state)| *state == PaymentState::Paid);
        let payment_no = payment.as_ref().map(|(payment_no, _)| payment_no.to_string());
        self.seen.submissions[submission].shown.push(Shown::Task {
            task_id: task.task_id.clone(),
            round: Some(round),
            state,
            transaction_id: payment_no.as_ref().filter(|_| is_paid).map(|payment_no| format!("tx-{payment_no}")),
            payment_no,
            payment: payment.map(|(_, state)| state),
        });
    }

    fn open(&mut self, task: &TaskFacts, round: u8, attempts_before: u8) {
        let key = KeyUse { key: format!("key-{}", task.task_id) };
        let (task, key) = (task.clone(), (round == 1).then_some(key));
        self.books.open_tasks.push(OpenTask { task, round, accepted_at_us: SECOND_US, attempts_before, key });
    }

    fn succeeded() -> Vec<HistoryEntry> {
        use TaskState::{Queued, Retrying, Running, Succeeded};
        let s = SECOND_US;
        history(&[
            (Queued, 0, s),
            (Running, 1, s + 10),
            (Retrying, 1, s + 20),
            (Running, 2, 2 * s + 30),
            (Retrying, 2, 2 * s + 40),
            (Running, 3, 4 * s + 50),
            (Succeeded, 3, 4 * s + 60),
        ])
    }

    fn tell(&mut self, story: Story) {
        self.orders += 1;
        let task = self.task(self.orders, 0);
        let submission = self.submit(&task);
        self.shown(submission, &task, 1, TaskState::Queued, None);
        self.slot(&task, 0, 1);
        match story {
            Story::Paid => {
                self.outcome(&task, 1, OutcomeState::Succeeded, Self::succeeded());
                self.paid(&task, 1, submission);
            }
            Story::Awaiting => {
                self.open(&task, 1, 0);
                self.outcome(&task, 1, OutcomeState::Succeeded, Self::succeeded());
                let payment_no = self.payment(&task, 1);
                let payment = Some((payment_no, PaymentState::AwaitingPayer));
                self.shown(submission, &task, 1, TaskState::Succeeded, payment);
            }
            Story::RetriedByHand => self.retried_by_hand(&task, submission),
            Story::CancelledThenPaid => self.cancelled_then_paid(&task, submission),
            Story::Closed => {
                self.outcome(&task, 1, OutcomeState::Succeeded, Self::succeeded());
                let payment_no = self.closed(&task, 1);
                self.shown(submission, &task, 1, TaskState::Succeeded, Some((payment_no, PaymentState::Closed)));
            }
            Story::GivenBack => self.given_back(&task),
            Story::PaidWithoutSuccess => self.paid_without_success(&task, submission),
            Story::SiblingRefused => {
                self.outcome(&task, 1, OutcomeState::Succeeded, Self::succeeded());
                self.paid(&task, 1, submission);
                let sibling = self.task(self.orders, 1);
                let queued = history(&[(TaskState::Queued, 0, 5 * SECOND_US)]);
                self.outcome(&sibling, 1, OutcomeState::Refused, queued);
            }
        }
    }

    fn retried_by_hand(&mut self, task: &TaskFacts, submission: usize) {
        use TaskState::{Failed, Queued, Running, Succeeded};
        let s = SECOND_US;
        let failed = history(&[(Queued, 0, s), (Running, 1, s + 10), (Failed, 1, s + 20)]);
        self.outcome(task, 1, OutcomeState::Failed, failed);
        self.shown(submission, task, 1, TaskState::Failed, None);
        self.slot(task, 1, 2);
        let again = history(&[(Queued, 1, 3 * s), (Running, 2, 3 * s + 10), (Succeeded, 2, 3 * s + 20)]);
        self.outcome(task, 2, OutcomeState::Succeeded, again);
        self.paid(task, 2, submission);
    }

    fn cancelled_then_paid(&mut self, task: &TaskFacts, submission: usize) {
        use TaskState::{Cancelled, Queued, Running};
        let s = SECOND_US;
        let cancelled = history(&[(Queued, 0, s), (Running, 1, s + 10), (Cancelled, 1, s + 20)]);
        self.outcome(task, 1, OutcomeState::Cancelled, cancelled);
        self.shown(submission, task, 1, Cancelled, None);
        self.closed(task, 1);
        let second = self.task(self.orders, 1);
        let submission = self.submit(&second);
        self.slot(&second, 1, 1);
        self.outcome(&second, 1, OutcomeState::Succeeded, Self::succeeded());
        self.paid(&second, 1, submission);
    }

    fn given_back(&mut self, task: &TaskFacts) {
        self.outcome(task, 1, OutcomeState::Succeeded, Self::succeeded());
        let payment_no = self.payment(task, 1);
        let amount_minor = task.amount_minor;
        let row = self.row(task, &payment_no);
        row.paid = Some(Taken { transaction_id: format!("tx-{payment_no}"), amount_minor });
        row.refunded = Some(GivenBack { amount_minor });
        self.books.payment_ends.push(PaymentEnd { payment_no: payment_no.clone(), end: End::Closed {} });
        self.books.refunds.push(Money { payment_no: payment_no.clone(), amount_minor });
        self.books.refunded.push(Money { payment_no, amount_minor });
    }
    fn paid_without_success(&mut self, task: &TaskFacts, submission: usize) {
        use TaskState::{Cancelled, Queued};
        let cancelled = history(&[(Queued, 0, SECOND_US), (Cancelled, 0, SECOND_US + 20)]);
        self.outcome(task, 1, OutcomeState::Cancelled, cancelled);
        self.shown(submission, task, 1, Cancelled, None);
        let (payment_no, amount_minor) = (Round::new(&task.task_id, 1), task.amount_minor);
        let transaction_id = format!("tx-{payment_no}");
        let row = self.row(task, &payment_no);
        row.paid = Some(Taken { transaction_id: transaction_id.clone(), amount_minor });
        row.refunded = Some(GivenBack { amount_minor });
        let end = End::Paid { transaction_id, amount_minor };
        self.books.payment_ends.push(PaymentEnd { payment_no: payment_no.clone(), end });
        self.books.refunds.push(Money { payment_no: payment_no.clone(), amount_minor });
        self.books.refunded.push(Money { payment_no, amount_minor });
    }
}

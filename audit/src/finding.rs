//! What may be wrong with the money, with the ids and amounts (minor units) that show it.

use payrig_api::{PaymentState, TaskState};

use crate::{
    books::{Counts, OutcomeState},
    ids::{OrderId, Round},
};

/// One broken promise.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    // === tasks and rounds ===
    /// An accepted task is not there.
    #[error("task {task_id} got a 202 and is in no book")]
    TaskLost {
        /// Its id.
        task_id: String,
    },
    /// A task that nobody submitted.
    #[error("task {task_id} of order {order} was never submitted")]
    TaskOfNobody {
        /// Its id.
        task_id: String,
        /// The order that it pays.
        order: OrderId,
    },
    /// A task is not what was submitted.
    #[error("task {task_id} was submitted as {submitted} and is stored as {stored}")]
    TaskDiffers {
        /// Its id.
        task_id: String,
        /// Order, amount and currency as submitted.
        submitted: String,
        /// The same as stored.
        stored: String,
    },
    /// A round is neither open nor ended.
    #[error("round {round} was accepted and is neither open nor ended: {because}")]
    RoundLost {
        /// Which one.
        round: Round,
        /// How that is known.
        because: &'static str,
    },
    /// A round has more than one outcome.
    #[error("round {round} has {count} outcomes")]
    OutcomeTwice {
        /// Which one.
        round: Round,
        /// How many.
        count: usize,
    },
    /// A round that should have ended is open.
    #[error("round {round} is open without an outcome")]
    OutcomeMissing {
        /// Which one.
        round: Round,
    },
    /// A round follows one that ended for good.
    #[error("round {round} follows a round that ended as {before:?}")]
    RoundAfterEnd {
        /// The later one.
        round: Round,
        /// How the earlier one ended.
        before: OutcomeState,
    },
    /// A round was never accepted as a whole.
    #[error("round {round} is open without {lacks}")]
    HalfAccepted {
        /// Which one.
        round: Round,
        /// What it has not.
        lacks: &'static str,
    },
    /// A round's history goes back, or does not fit its outcome.
    #[error("history of {round}: {what}")]
    HistoryBroken {
        /// Which round.
        round: Round,
        /// What is wrong.
        what: String,
    },
    /// More attempts than the retries allow.
    #[error("round {round} came to attempt {attempts}; at most {allowed} are allowed")]
    TooManyAttempts {
        /// Which round.
        round: Round,
        /// Attempts of the task by its end.
        attempts: u8,
        /// How many may be.
        allowed: u8,
    },
    /// A retry came too early.
    #[error("attempt {attempt} of {round} came {gap_us} us after the one before failed; {least_us} us are due")]
    RetryTooEarly {
        /// Which round.
        round: Round,
        /// The attempt that came too early.
        attempt: u8,
        /// How long it waited.
        gap_us: u64,
        /// How long it should have.
        least_us: u64,
    },

    // === money ===
    /// A round succeeded and left no payment.
    #[error("round {round} succeeded and left no payment")]
    PaymentMissing {
        /// Which round.
        round: Round,
    },
    /// A payment of no round.
    #[error("payment {payment_no} belongs to no round")]
    PaymentOfNobody {
        /// Which one.
        payment_no: Round,
    },
    /// A payment is not over what its task is over.
    #[error("payment {payment_no} is over {payment_minor}, its task over {task_minor}")]
    PaymentDiffers {
        /// Which one.
        payment_no: Round,
        /// The payment's amount.
        payment_minor: u64,
        /// The task's amount.
        task_minor: u64,
    },
    /// Paid in our books, not in the channel's.
    #[error("payment {payment_no} is paid ({amount_minor}) and the channel's ledger took nothing")]
    PaidNotTaken {
        /// Which one.
        payment_no: Round,
        /// Our amount.
        amount_minor: u64,
    },
    /// Paid in the channel's books, not in ours.
    #[error("the channel took {amount_minor} for {out_trade_no} and it is not paid in the books")]
    TakenNotPaid {
        /// The channel's number for the payment.
        out_trade_no: String,
        /// What it took.
        amount_minor: u64,
    },
    /// Paid in both, and not alike.
    #[error("payment {payment_no} is paid as {ours}, and at the channel as {theirs}")]
    PaidDiffers {
        /// Which one.
        payment_no: Round,
        /// Our transaction and amount.
        ours: String,
        /// The channel's.
        theirs: String,
    },
    /// Paid otherwise than it was to be paid, perhaps in both books alike.
    #[error("payment {payment_no} was to be paid as {agreed} and is paid as {paid}")]
    PaidOther {
        /// Which one.
        payment_no: Round,
        /// Amount, currency, merchant and order as they were submitted.
        agreed: String,
        /// The same as they were paid, and by which book's word.
        paid: String,
    },
    /// A payment's end is written more than once.
    #[error("payment {payment_no} has {count} ends")]
    EndTwice {
        /// Which one.
        payment_no: Round,
        /// How many.
        count: usize,
    },
    /// Given back in one book and not in the other.
    #[error("refund of {payment_no}: {ours_minor} in the books, {theirs_minor} at the channel")]
    RefundDiffers {
        /// The payment's number.
        payment_no: String,
        /// What our books gave back.
        ours_minor: u64,
        /// What the channel gave back.
        theirs_minor: u64,
    },
    /// An order was paid more than once, net of refunds.
    #[error("order {order} is paid {} times, net: {payments:?}", payments.len())]
    OrderPaidTwice {
        /// Which order.
        order: OrderId,
        /// The channel's numbers of the payments, with what each holds.
        payments: Vec<(String, u64)>,
    },
    /// A payment that ended unpaid holds money.
    #[error("{payment_no} ended {ended} and the channel holds {net_minor} of it")]
    UnpaidHoldsMoney {
        /// Which one.
        payment_no: Round,
        /// How it ended.
        ended: &'static str,
        /// What the channel holds.
        net_minor: u64,
    },
    /// Closed in our books, not at the channel.
    #[error("payment {payment_no} is closed and the channel does not say so")]
    ClosedNotAtChannel {
        /// Which one.
        payment_no: Round,
    },
    /// Closed at the channel, not in our books.
    #[error("the channel has closed {payment_no} and the books do not say so")]
    ClosedOnlyAtChannel {
        /// Which one.
        payment_no: Round,
    },

    // === orders ===
    /// A settlement names a payment that did not pay.
    #[error("order {order} is settled by {payment_no}, which {why}")]
    SettledByUnpaid {
        /// Which order.
        order: OrderId,
        /// What its settlement names.
        payment_no: Round,
        /// Why that is wrong.
        why: &'static str,
    },
    /// A payment paid and the order's settlement does not name it.
    #[error("payment {payment_no} holds {net_minor} and does not settle its order {order}")]
    PaidNotSettled {
        /// Which one.
        payment_no: Round,
        /// Its order.
        order: OrderId,
        /// What the channel holds.
        net_minor: u64,
    },
    /// Two rounds could pay an order at the same time, or the slots have a gap.
    #[error("slots of order {order}: {what}")]
    SlotsBroken {
        /// Which order.
        order: OrderId,
        /// What is wrong.
        what: String,
    },

    /// A payment settled its order, and the order is not marked paid.
    #[error("payment {payment_no} over {amount_minor} settled order {order}, which is not marked paid")]
    OrderNotMarked {
        /// Which order.
        order: OrderId,
        /// What paid it.
        payment_no: Round,
        /// How much.
        amount_minor: u64,
    },
    /// An order is marked paid otherwise than it was paid.
    #[error("order {order} is marked paid by {payment_no} as {marked}; that payment {truth}")]
    OrderMarkedWrongly {
        /// Which order.
        order: OrderId,
        /// What is said to have paid it.
        payment_no: Round,
        /// Transaction and amount as marked.
        marked: String,
        /// What holds of the payment.
        truth: String,
    },
    /// The daily totals do not count a payment as it was made.
    #[error("the daily totals count {payment_no} as {counted:?}, and should as {expected:?}")]
    TotalsDiffer {
        /// Which payment.
        payment_no: Round,
        /// Each amount, currency and merchant that is counted for it.
        counted: Vec<String>,
        /// What should be counted.
        expected: Option<String>,
    },
    /// The parcels of an order are not what was paid.
    #[error("the parcels of order {order} sum to {children_minor}; {paid_minor:?} was paid by {payment_no}")]
    ShipmentDiffers {
        /// Which order.
        order: OrderId,
        /// What is said to have paid it.
        payment_no: Round,
        /// The parcels' sum.
        children_minor: u128,
        /// What was paid, if it was.
        paid_minor: Option<u64>,
    },

    // === what is left over ===
    /// Paid, and not worked off.
    #[error("the notice of {payment_no} over {amount_minor} is not worked off")]
    NoticeLeft {
        /// Which payment.
        payment_no: Round,
        /// How much.
        amount_minor: u64,
    },
    /// Money that was not given back.
    #[error("the refund of {payment_no} over {amount_minor} is not made")]
    RefundLeft {
        /// Which payment.
        payment_no: Round,
        /// How much.
        amount_minor: u64,
    },
    /// A closing without an end.
    #[error("the closing of {payment_no} has not come to an end")]
    ClosingLeft {
        /// Which payment.
        payment_no: Round,
    },
    /// An open task that waits for nothing.
    #[error("open task {round} waits for nothing: {why}")]
    OpenTaskLeft {
        /// Which round.
        round: Round,
        /// Why it waits for nothing.
        why: &'static str,
    },
    /// Pending work that no list of pending work has.
    #[error("payment {payment_no} {what} and is on no list of pending work")]
    Forgotten {
        /// Which payment.
        payment_no: Round,
        /// What it waits for.
        what: &'static str,
    },
    /// Something is still under way.
    #[error("not at rest: {0:?}")]
    UnderWay(Counts),

    // === what the client was told ===
    /// A key gave two tasks.
    #[error("key {key} gave tasks {task_ids:?}")]
    KeyTwoTasks {
        /// The key.
        key: String,
        /// Each task.
        task_ids: Vec<String>,
    },
    /// A key stands for another task than it gave.
    #[error("key {key} gave task {told} and stands for {stored}")]
    KeyDiffers {
        /// The key.
        key: String,
        /// What the client was told.
        told: String,
        /// What is stored.
        stored: String,
    },
    /// Something shown was shown otherwise later.
    #[error("task {task_id} was shown as {before} and later as {after}")]
    TakenBack {
        /// Which task.
        task_id: String,
        /// The earlier answer.
        before: String,
        /// The later one.
        after: String,
    },
    /// A settled answer is not what is stored.
    #[error("round {round} was shown as {shown:?} and is stored as {stored:?}")]
    OutcomeDiffers {
        /// Which round.
        round: Round,
        /// What was shown.
        shown: TaskState,
        /// What is stored.
        stored: Option<OutcomeState>,
    },
    /// A payment's end was shown, and another is stored.
    #[error("payment {payment_no} was shown as {shown:?} {transaction_id} and is stored as {stored}")]
    EndDiffers {
        /// Which one.
        payment_no: String,
        /// What was shown.
        shown: PaymentState,
        /// The transaction that was shown, if any.
        transaction_id: String,
        /// What is stored.
        stored: String,
    },
    /// The cashier took money that is in no book.
    #[error(
        "the cashier said that it took {amount_minor} for {payment_no} ({transaction_id}); the ledger says {ledger}"
    )]
    CashierDiffers {
        /// The payment's number.
        payment_no: String,
        /// What the payer was told.
        transaction_id: String,
        /// How much.
        amount_minor: u64,
        /// What the ledger says.
        ledger: String,
    },
}

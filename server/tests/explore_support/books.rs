//! All documents and the channel's ledger at one moment.

use std::{collections::BTreeMap, sync::Arc};

use payrig_channel::{LedgerRow, SimulatedChannel};
use payrig_server::{
    model::{
        Collection, DailyTotal, Document, End, OpenTask, Order, OrderPaid, Outcome, OutcomeState, RoundId, Shipment,
        TaskId,
    },
    store::{DocumentStore as _, Store},
};

/// The documents by what they are about.
#[derive(Default, Debug)]
pub(crate) struct Books {
    pub(crate) opens: BTreeMap<RoundId, Arc<OpenTask>>,
    /// By the client's key.
    pub(crate) keys: BTreeMap<String, TaskId>,
    /// By order: generation and holder, in the order of generations.
    pub(crate) slots: BTreeMap<String, Vec<(u32, RoundId)>>,
    pub(crate) outcomes: BTreeMap<RoundId, Arc<Outcome>>,
    pub(crate) payments: BTreeMap<RoundId, u64>,
    pub(crate) closings: Vec<RoundId>,
    pub(crate) ends: BTreeMap<RoundId, End>,
    pub(crate) notices: Vec<RoundId>,
    /// By order.
    pub(crate) settlements: BTreeMap<String, RoundId>,
    pub(crate) refunds: BTreeMap<RoundId, u64>,
    pub(crate) refunded: BTreeMap<RoundId, u64>,
    /// By merchant and number.
    pub(crate) orders: BTreeMap<String, Arc<Order>>,
    /// By merchant and number.
    pub(crate) shipments: BTreeMap<String, Arc<Shipment>>,
    pub(crate) orders_paid: BTreeMap<RoundId, OrderPaid>,
    pub(crate) daily_totals: BTreeMap<RoundId, DailyTotal>,
    pub(crate) ledger: BTreeMap<RoundId, LedgerRow>,
}

const ALL: usize = 1_000_000;

impl Books {
    /// Reads everything there is.
    pub(crate) async fn read(store: &Store, channel: &SimulatedChannel) -> Self {
        let mut books = Self::default();
        for collection in Collection::ALL {
            for document in store.range(collection, None, None, ALL).await.expect("the store answers") {
                books.add(document);
            }
        }
        for row in channel.ledger_page(None, ALL).await.expect("the ledger answers") {
            let payment_no = RoundId::from_payment_no(&row.out_trade_no).expect("a payment's number");
            books.ledger.insert(payment_no, row);
        }
        books
    }

    fn add(&mut self, document: Document) {
        let id = document.id();
        match document {
            Document::Order(order) => drop(self.orders.insert(id, order)),
            Document::Shipment(shipment) => drop(self.shipments.insert(id, shipment)),
            Document::OrderPaid(paid) => drop(self.orders_paid.insert(paid.payment_no, paid)),
            Document::DailyTotal(total) => drop(self.daily_totals.insert(total.payment_no, total)),
            Document::OpenTask(open) => drop(self.opens.insert(open.round_id(), open)),
            Document::IdempotencyKey(key) => drop(self.keys.insert(key.used.key.as_ref().to_owned(), key.task_id)),
            Document::OrderSlot(slot) => {
                let order = format!("{}:{}", slot.merchant, slot.order_no);
                self.slots.entry(order).or_default().push((slot.generation, slot.holder));
            }
            Document::PayTask(outcome) => drop(self.outcomes.insert(outcome.round_id(), outcome)),
            Document::Payment(payment) => drop(self.payments.insert(payment.payment_no, payment.amount_minor)),
            Document::Closing(closing) => self.closings.push(closing.payment_no),
            Document::PaymentEnd(end) => drop(self.ends.insert(end.payment_no, end.end)),
            Document::Notice(notice) => self.notices.push(notice.payment_no),
            Document::OrderSettlement(settled) => {
                self.settlements.insert(format!("{}:{}", settled.merchant, settled.order_no), settled.payment_no);
            }
            Document::Refund(refund) => drop(self.refunds.insert(refund.payment_no, refund.amount_minor)),
            Document::Refunded(refunded) => drop(self.refunded.insert(refunded.payment_no, refunded.amount_minor)),
        }
    }

    /// How the round ended, if it did.
    pub(crate) fn outcome(&self, round: RoundId) -> Option<OutcomeState> {
        self.outcomes.get(&round).map(|outcome| outcome.state)
    }

    /// Whether any generation of an order is this round's.
    pub(crate) fn holds_a_slot(&self, round: RoundId) -> bool {
        self.slots.values().flatten().any(|(_, holder)| *holder == round)
    }
}

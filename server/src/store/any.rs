//! The store behind the seam, whichever it is, and typed reads of what it keeps.

use std::sync::Arc;

#[cfg(feature = "mongodb")]
use super::mongodb::MongoStore;
use super::{DocumentStore, Group, Key, StoreError, embedded::EmbeddedStore, memory::MemoryStore};
use crate::model::{
    Closing, Collection, Document, IdempotencyKey, Notice, OpenTask, Order, OrderKey, OrderPaid, OrderSettlement,
    OrderSlot, Outcome, PayTask, Payment, PaymentEnd, Refund, Refunded, RoundId, Shipment,
};

/// One of the backends.
#[derive(Clone)]
pub enum Store {
    /// fjall with group commit.
    Embedded(EmbeddedStore),
    /// Keeps nothing.
    Memory(MemoryStore),
    /// A MongoDB-compatible database.
    #[cfg(feature = "mongodb")]
    Mongodb(MongoStore),
}

macro_rules! each {
    ($self:ident, $store:ident => $call:expr) => {
        match $self {
            Self::Embedded($store) => $call,
            Self::Memory($store) => $call,
            #[cfg(feature = "mongodb")]
            Self::Mongodb($store) => $call,
        }
    };
}

impl Store {
    /// Why nothing can be written any more, if so: only a restart helps.
    #[must_use]
    pub fn broken(&self) -> Option<StoreError> {
        match self {
            Self::Embedded(store) => store.broken(),
            Self::Memory(_) => None,
            // What it cannot do now it may do later.
            #[cfg(feature = "mongodb")]
            Self::Mongodb(_) => None,
        }
    }
}

impl DocumentStore for Store {
    async fn insert(&self, groups: Vec<Group>) -> Result<Vec<usize>, StoreError> {
        each!(self, store => store.insert(groups).await)
    }

    async fn delete(&self, keys: Vec<Key>) -> Result<Vec<bool>, StoreError> {
        each!(self, store => store.delete(keys).await)
    }

    async fn forget(&self, keys: Vec<Key>) -> Result<(), StoreError> {
        each!(self, store => store.forget(keys).await)
    }

    async fn get(&self, collection: Collection, id: &str) -> Result<Option<Document>, StoreError> {
        each!(self, store => store.get(collection, id).await)
    }

    async fn range(
        &self,
        collection: Collection,
        after: Option<&str>,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Document>, StoreError> {
        each!(self, store => store.range(collection, after, before, limit).await)
    }
}

/// A typed read: the document of this collection, or nothing.
macro_rules! reads {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) -> $found:ty = $collection:ident, $id:expr, $variant:ident;)*) => {
        impl Store {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// Where the store cannot answer.
                pub async fn $name(&self, $($arg: $type),*) -> Result<Option<$found>, StoreError> {
                    Ok(match self.get(Collection::$collection, &$id).await? {
                        Some(Document::$variant(found)) => Some(found),
                        _ => None,
                    })
                }
            )*
        }
    };
}

reads! {
    /// The open round.
    open_task(round: RoundId) -> Arc<OpenTask> = OpenTasks, round.document_id(), OpenTask;
    /// The round's outcome.
    outcome(round: RoundId) -> Arc<Outcome> = PayTasks, round.document_id(), PayTask;
    /// What a key stands for.
    idempotency_key(merchant: &str, key: &str) -> IdempotencyKey = IdempotencyKeys, IdempotencyKey::document_id(merchant, key), IdempotencyKey;
    /// The slot of a generation.
    order_slot(order: &OrderKey, generation: u32) -> OrderSlot = OrderSlots, order.slot_id(generation), OrderSlot;
    /// The payment.
    payment(payment_no: RoundId) -> Arc<Payment> = Payments, payment_no.payment_no(), Payment;
    /// Whether somebody wants it closed.
    closing(payment_no: RoundId) -> Closing = Closings, payment_no.payment_no(), Closing;
    /// How the payment ended.
    payment_end(payment_no: RoundId) -> PaymentEnd = PaymentEnds, payment_no.payment_no(), PaymentEnd;
    /// The notice that is not worked off.
    notice(payment_no: RoundId) -> Notice = Notices, payment_no.payment_no(), Notice;
    /// What paid the order.
    order_settlement(order: &OrderKey) -> OrderSettlement = OrderSettlements, order.document_id(), OrderSettlement;
    /// Money to give back.
    refund(payment_no: RoundId) -> Refund = Refunds, payment_no.payment_no(), Refund;
    /// Money given back.
    refunded(payment_no: RoundId) -> Refunded = Refunded, payment_no.payment_no(), Refunded;
    /// The order as it was created.
    order(order: &OrderKey) -> Arc<Order> = Orders, order.document_id(), Order;
    /// The order's parcels.
    shipment(order: &OrderKey) -> Arc<Shipment> = Shipments, order.document_id(), Shipment;
    /// The order that this payment paid.
    order_paid(payment_no: RoundId) -> OrderPaid = OrderPaid, payment_no.payment_no(), OrderPaid;
}

impl Store {
    /// The task of a round that was accepted, whether it is open or has its outcome.
    ///
    /// # Errors
    /// Where the store cannot answer.
    pub async fn task(&self, round: RoundId) -> Result<Option<Arc<PayTask>>, StoreError> {
        if let Some(open) = self.open_task(round).await? {
            return Ok(Some(Arc::clone(&open.task)));
        }
        // An open task goes only after its outcome is there.
        Ok(self.outcome(round).await?.map(|outcome| Arc::clone(&outcome.task)))
    }

    /// Inserts one document; tells whether it was the first with its id.
    ///
    /// # Errors
    /// As [`DocumentStore::insert`].
    pub async fn insert_one(&self, document: Document) -> Result<bool, StoreError> {
        Ok(self.insert(vec![vec![document]]).await?.first() == Some(&1))
    }

    /// Deletes one document; tells whether it was there.
    ///
    /// # Errors
    /// As [`DocumentStore::delete`].
    pub async fn delete_one(&self, collection: Collection, id: String) -> Result<bool, StoreError> {
        Ok(self.delete(vec![Key::new(collection, id)]).await?.first() == Some(&true))
    }

    /// Deletes one document; whether it was there is not told.
    ///
    /// # Errors
    /// As [`DocumentStore::delete`].
    pub async fn forget_one(&self, collection: Collection, id: String) -> Result<(), StoreError> {
        self.forget(vec![Key::new(collection, id)]).await
    }
}

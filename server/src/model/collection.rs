//! The store's collections by name and number.

/// Where a document lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Collection {
    /// Accepted tasks that are not final and announced: all pending work.
    OpenTasks,
    /// Idempotency keys.
    IdempotencyKeys,
    /// Which task and round may pay an order.
    OrderSlots,
    /// Outcomes of rounds.
    PayTasks,
    /// Payments with their parameters.
    Payments,
    /// Payments that somebody wants closed.
    Closings,
    /// Ends of payments.
    PaymentEnds,
    /// Paid, and not fully worked off.
    Notices,
    /// The one payment that paid an order.
    OrderSettlements,
    /// Money to give back.
    Refunds,
    /// Money given back.
    Refunded,
    /// Orders as they were created.
    Orders,
    /// Orders split into parcels.
    Shipments,
    /// What the order subscriber wrote: the order is paid.
    OrderPaid,
    /// What the daily totals are summed from.
    DailyTotals,
}

impl Collection {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::OpenTasks,
        Self::IdempotencyKeys,
        Self::OrderSlots,
        Self::PayTasks,
        Self::Payments,
        Self::Closings,
        Self::PaymentEnds,
        Self::Notices,
        Self::OrderSettlements,
        Self::Refunds,
        Self::Refunded,
        Self::Orders,
        Self::Shipments,
        Self::OrderPaid,
        Self::DailyTotals,
    ];

    /// Whether its documents are named by text that clients chose; the others' ids begin with a task's.
    #[must_use]
    pub const fn is_named_by_text(self) -> bool {
        matches!(
            self,
            Self::IdempotencyKeys | Self::OrderSlots | Self::OrderSettlements | Self::Orders | Self::Shipments
        )
    }

    /// The name in databases and in the admin books.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenTasks => "open_tasks",
            Self::IdempotencyKeys => "idempotency_keys",
            Self::OrderSlots => "order_slots",
            Self::PayTasks => "pay_tasks",
            Self::Payments => "payments",
            Self::Closings => "closings",
            Self::PaymentEnds => "payment_ends",
            Self::Notices => "notices",
            Self::OrderSettlements => "order_settlements",
            Self::Refunds => "refunds",
            Self::Refunded => "refunded",
            Self::Orders => "orders",
            Self::Shipments => "shipments",
            Self::OrderPaid => "order_paid",
            Self::DailyTotals => "daily_totals",
        }
    }
}

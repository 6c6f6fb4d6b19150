//! The words of the flow as pure types: ids, tasks, documents, states, retry policy and views. The bottom of the graph.

pub mod collection;
pub mod documents;
pub mod id;
pub mod order;
pub mod retry;
pub mod state;
pub mod task;
pub mod view;

pub use collection::Collection;
pub use documents::{
    Closing, Document, End, HistoryEntry, IdempotencyKey, KeyUse, Notice, OpenTask, OrderSettlement, OrderSlot,
    Outcome, OutcomeState, Payment, PaymentEnd, Refund, Refunded, Stages,
};
pub use id::{OrderKey, RoundId, TaskId};
pub use order::{DailyTotal, Order, OrderPaid, Parcel, Shipment, Success};
pub use task::{MerchantId, PayTask};
pub use view::{PaymentView, TaskView, Version};

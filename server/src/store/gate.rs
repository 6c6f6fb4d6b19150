//! A gate before every operation of a store, where an exploring test lets one after another pass.

use std::{pin::Pin, sync::Arc};

use crate::model::Collection;

/// What an operation does with its document.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Touch {
    /// Inserts it unless it is there.
    Insert,
    /// Deletes it.
    Delete,
    /// Reads it.
    Get,
    /// Reads the whole collection; there is no id.
    Range,
}

/// Where an exploring test lets one store operation pass after another.
pub trait Gate: Send + Sync {
    /// Resolves when the operation may take place.
    fn pass(&self, touch: Touch, collection: Collection, id: &str) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// A gate, or none.
#[derive(Clone, Default)]
pub(super) struct Gated(Option<Arc<dyn Gate>>);

impl Gated {
    pub(super) const fn by(gate: Arc<dyn Gate>) -> Self {
        Self(Some(gate))
    }

    pub(super) const fn is_open(&self) -> bool {
        self.0.is_none()
    }

    pub(super) async fn pass(&self, touch: Touch, collection: Collection, id: &str) {
        if let Some(gate) = &self.0 {
            gate.pass(touch, collection, id).await;
        }
    }
}

//! What the store says about a page of open rounds: read by range, since one range of neighbours costs less than a look at
//! each of them.

use std::{collections::HashMap, sync::Arc};

use crate::{
    model::{Closing, Collection, Document, Notice, OpenTask, Outcome, PaymentEnd, RoundId},
    parts::Parts,
    store::{DocumentStore as _, StoreError},
};

/// Documents of one collection read ahead, for each open round of a page: between old open rounds there may be many that
/// have ended, which nobody wants to read.
const AHEAD: usize = 4;

/// The documents of one collection about rounds up to the last that was read.
struct Shelf<T> {
    known: HashMap<RoundId, T>,
    /// What is not known up to this round is not there.
    up_to: Option<RoundId>,
}

impl<T: Clone> Shelf<T> {
    fn empty() -> Self {
        Self { known: HashMap::new(), up_to: None }
    }

    /// What is there of this round; nothing where it has not been read.
    fn find(&self, round: RoundId) -> Option<Option<T>> {
        self.up_to.filter(|up_to| round <= *up_to).map(|_| self.known.get(&round).cloned())
    }
}

/// What is known of the rounds of a page; of any other round the store is asked.
///
/// Each fact is as old as the page, or as new as the look at it. Ends are read before notices: a payment that has its end
/// and no notice is worked off.
pub(super) struct Facts {
    outcomes: Shelf<Arc<Outcome>>,
    ends: Shelf<PaymentEnd>,
    closings: Shelf<Closing>,
    notices: Shelf<Notice>,
}

impl Facts {
    /// Nothing is known: the store is asked about everything.
    pub(super) fn none() -> Self {
        Self { outcomes: Shelf::empty(), ends: Shelf::empty(), closings: Shelf::empty(), notices: Shelf::empty() }
    }

    /// What the store says about these rounds, which are in the order of their ids.
    ///
    /// # Errors
    /// Where a document cannot be read.
    pub(super) async fn of(parts: &Parts, opens: &[Arc<OpenTask>]) -> Result<Self, StoreError> {
        let (Some(first), Some(last)) = (opens.first(), opens.last()) else { return Ok(Self::none()) };
        let page = Page { parts, first: first.round_id(), last: last.round_id(), limit: opens.len() * AHEAD };
        let outcomes = page.shelf(Collection::PayTasks, |document| match document {
            Document::PayTask(outcome) => Some((outcome.round_id(), outcome)),
            _ => None,
        });
        let outcomes = outcomes.await?;
        let ends = page.shelf(Collection::PaymentEnds, |document| match document {
            Document::PaymentEnd(end) => Some((end.payment_no, end)),
            _ => None,
        });
        let ends = ends.await?;
        let closings = page.shelf(Collection::Closings, |document| match document {
            Document::Closing(closing) => Some((closing.payment_no, closing)),
            _ => None,
        });
        let closings = closings.await?;
        let notices = page.shelf(Collection::Notices, |document| match document {
            Document::Notice(notice) => Some((notice.payment_no, notice)),
            _ => None,
        });
        Ok(Self { outcomes, ends, closings, notices: notices.await? })
    }

    pub(super) async fn outcome(&self, parts: &Parts, round: RoundId) -> Result<Option<Arc<Outcome>>, StoreError> {
        match self.outcomes.find(round) {
            Some(known) => Ok(known),
            None => parts.store.outcome(round).await,
        }
    }

    pub(super) async fn end(&self, parts: &Parts, payment_no: RoundId) -> Result<Option<PaymentEnd>, StoreError> {
        match self.ends.find(payment_no) {
            Some(known) => Ok(known),
            None => parts.store.payment_end(payment_no).await,
        }
    }

    pub(super) async fn closing(&self, parts: &Parts, payment_no: RoundId) -> Result<Option<Closing>, StoreError> {
        match self.closings.find(payment_no) {
            Some(known) => Ok(known),
            None => parts.store.closing(payment_no).await,
        }
    }

    pub(super) async fn notice(&self, parts: &Parts, payment_no: RoundId) -> Result<Option<Notice>, StoreError> {
        match self.notices.find(payment_no) {
            Some(known) => Ok(known),
            None => parts.store.notice(payment_no).await,
        }
    }
}

/// Neighbours among the rounds.
struct Page<'a> {
    parts: &'a Parts,
    first: RoundId,
    last: RoundId,
    limit: usize,
}

impl Page<'_> {
    async fn shelf<T: Clone>(
        &self,
        collection: Collection,
        pick: impl Fn(Document) -> Option<(RoundId, T)>,
    ) -> Result<Shelf<T>, StoreError> {
        // A task's id alone comes before those of its rounds.
        let (after, before) = (self.first.task.to_string(), self.last.task.next().to_string());
        let found = self.parts.store.range(collection, Some(&after), Some(&before), self.limit).await?;
        let is_all = found.len() < self.limit;
        let picked: Vec<(RoundId, T)> = found.into_iter().filter_map(pick).collect();
        let up_to = if is_all { Some(self.last) } else { picked.last().map(|(round, _)| *round) };
        Ok(Shelf { known: picked.into_iter().collect(), up_to })
    }
}

//! How many messages a queue has: counted from what this node sends and takes, and put right by what the server says from
//! time to time, because other nodes send and take too. So a node knows at once when it has filled a queue, and soon when
//! others have.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

#[derive(Default, Debug)]
struct Counted {
    /// Messages that wait, there or here.
    waiting: usize,
    /// Of these, messages that are here: delivered, and taken by nobody.
    here: usize,
    /// Sent, and not known to be there.
    on_the_way: usize,
    /// Messages that were ever sent, delivered or taken by this node: what happened while the server was asked.
    moves: usize,
    /// What the server said when nothing had happened here meanwhile, and what had happened until then.
    quiet: Option<(usize, usize)>,
}

/// The number of messages that wait in a queue.
#[derive(Default, Debug)]
pub(super) struct Tally {
    counted: Mutex<Counted>,
    room: Notify,
}

/// What had happened when the server was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark(usize);

impl Tally {
    fn counted(&self) -> MutexGuard<'_, Counted> {
        // Nothing panics while it holds the lock.
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Messages that wait.
    pub(super) fn waiting(&self) -> usize {
        self.counted().waiting
    }

    /// Takes room for as many as there is room for; they are on their way then.
    pub(super) fn reserve(&self, wanted: usize, capacity: usize) -> usize {
        let mut counted = self.counted();
        let taken = capacity.saturating_sub(counted.waiting).min(wanted);
        counted.waiting += taken;
        counted.on_the_way += taken;
        counted.moves += taken;
        taken
    }

    /// So many that were on their way have arrived, and so many never will.
    pub(super) fn sent(&self, arrived: usize, lost: usize) {
        let mut counted = self.counted();
        counted.on_the_way = counted.on_the_way.saturating_sub(arrived + lost);
        counted.waiting = counted.waiting.saturating_sub(lost);
        counted.moves += arrived + lost;
        drop(counted);
        self.announce_room(lost);
    }

    /// So many were delivered here; where it was not known that they wait, it is now.
    pub(super) fn delivered(&self, messages: usize) {
        let mut counted = self.counted();
        counted.here += messages;
        counted.waiting = counted.waiting.max(counted.here);
        counted.moves += messages;
    }

    /// So many that were here went back.
    pub(super) fn went_back(&self, messages: usize) {
        let mut counted = self.counted();
        counted.here = counted.here.saturating_sub(messages);
        counted.moves += messages;
    }

    /// So many that were here were taken.
    pub(super) fn taken(&self, messages: usize) {
        let mut counted = self.counted();
        counted.here = counted.here.saturating_sub(messages);
        counted.waiting = counted.waiting.saturating_sub(messages);
        counted.moves += messages;
        drop(counted);
        self.announce_room(messages);
    }

    /// So many went elsewhere.
    pub(super) fn left(&self, messages: usize) {
        let mut counted = self.counted();
        counted.waiting = counted.waiting.saturating_sub(messages);
        counted.moves += messages;
        drop(counted);
        self.announce_room(messages);
    }

    /// To be taken before the server is asked.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.counted().moves)
    }

    /// The server has so many that are not here. What happened since it was asked may or may not be in it; and where
    /// nothing happened here, a delivery may be between there and here, so that it has to say so twice.
    pub(super) fn correct(&self, there: usize, asked: Mark) {
        let mut counted = self.counted();
        let slack = counted.moves.wrapping_sub(asked.0) + counted.on_the_way;
        let seen = there + counted.here;
        let (least, most) = if slack > 0 {
            counted.quiet = None;
            (seen.saturating_sub(slack), seen + slack)
        } else {
            let moves = counted.moves;
            let Some((before, _)) = counted.quiet.replace((seen, moves)).filter(|(_, then)| *then == moves) else {
                return;
            };
            (seen.min(before), seen.max(before))
        };
        let right = counted.waiting.clamp(least, most);
        let more_room = counted.waiting.saturating_sub(right);
        counted.waiting = right;
        drop(counted);
        self.announce_room(more_room);
    }

    /// Whoever waits for room shall look.
    pub(super) fn announce_room(&self, messages: usize) {
        if messages > 0 {
            self.room.notify_waiters();
        }
    }

    /// Resolves when there may be more room. To be enabled before looking.
    pub(super) fn more_room(&self) -> tokio::sync::futures::Notified<'_> {
        self.room.notified()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_node_does_is_known_at_once() {
        let tally = Tally::default();
        assert_eq!(tally.reserve(3, 4), 3);
        assert_eq!(tally.reserve(3, 4), 1, "room for one");
        tally.sent(3, 1);
        assert_eq!(tally.waiting(), 3);
        tally.delivered(3);
        assert_eq!(tally.waiting(), 3, "here is waiting too");
        tally.taken(2);
        tally.went_back(1);
        assert_eq!(tally.waiting(), 1);
    }

    #[test]
    fn what_others_do_is_known_when_the_server_says_so() {
        let tally = Tally::default();
        let says = |there| tally.correct(there, tally.mark());
        says(100);
        assert_eq!(tally.waiting(), 0, "they may have been on their way");
        says(120);
        assert_eq!(tally.waiting(), 100);
        tally.delivered(10);
        says(0);
        assert_eq!(tally.waiting(), 100, "they may be on their way here");
        says(20);
        assert_eq!(tally.waiting(), 30, "twenty there and ten here");
        tally.left(40);
        assert_eq!(tally.waiting(), 0);
    }

    #[test]
    fn what_happens_while_the_server_is_asked_is_believed_of_this_node() {
        let tally = Tally::default();
        let asked = tally.mark();
        tally.reserve(4, 9);
        tally.sent(4, 0);
        // The answer is from before.
        tally.correct(0, asked);
        assert_eq!(tally.waiting(), 4);
        tally.reserve(2, 9);
        let asked = tally.mark();
        // Two are on their way.
        tally.correct(4, asked);
        assert_eq!(tally.waiting(), 6);
    }

    #[test]
    fn deliveries_that_nobody_knew_of_are_counted_once() {
        let tally = Tally::default();
        tally.delivered(5);
        tally.taken(5);
        assert_eq!(tally.waiting(), 0);
    }
}

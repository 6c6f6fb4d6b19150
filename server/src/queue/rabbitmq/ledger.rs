//! What became of messages that were published: which one a confirm or a returned message belongs to. Pure.

use std::collections::{HashMap, HashSet};

use tokio::sync::oneshot;

/// Messages of one job, at most.
pub(super) const JOB_AT_MOST: usize = 1 << JOB_BITS;
const JOB_BITS: u32 = 10;

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It is stored by a majority of the queue's nodes.
    Confirmed,
    /// It was refused: no room, or the queue has no majority.
    Refused,
    /// There is no queue for it.
    Returned,
    /// The connection was lost before anything was heard of it.
    Unknown,
}

/// What a message is known by: unique within its channel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Number(u64);

impl Number {
    /// The message's id: what people know it by, and this number.
    pub(super) fn message_id(self, label: &str) -> String {
        format!("{label}.{}", self.0)
    }

    /// The number in a message's id.
    pub(super) fn of_message_id(id: &str) -> Option<Self> {
        id.rsplit_once('.')?.1.parse().ok().map(Self)
    }

    const fn job(self) -> u64 {
        self.0 >> JOB_BITS
    }

    fn place(self) -> usize {
        usize::try_from(self.0 & ((1 << JOB_BITS) - 1)).unwrap_or(usize::MAX)
    }
}

/// What the server said of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    /// It has it, or it has returned it before.
    Ack,
    /// It has it not.
    Nack,
    /// Nothing.
    Nothing,
}

struct Job {
    verdicts: Vec<Verdict>,
    left: usize,
    done: oneshot::Sender<Vec<Verdict>>,
}

/// The messages of one channel that are under way, by job.
#[derive(Default)]
pub(super) struct Ledger {
    jobs: HashMap<u64, Job>,
    last_job: u64,
    /// Returned, and not yet confirmed: the server sends both, in this order.
    returned: HashSet<Number>,
}

impl Ledger {
    /// Opens a job of so many messages, at most [`JOB_AT_MOST`]; gives the number of each. `done` hears what became of
    /// them once that is known of all.
    pub(super) fn open(
        &mut self,
        messages: usize,
        done: oneshot::Sender<Vec<Verdict>>,
    ) -> impl Iterator<Item = Number> + use<> {
        let messages = messages.min(JOB_AT_MOST);
        self.last_job += 1;
        let job = self.last_job;
        if messages == 0 {
            let _ = done.send(Vec::new());
        } else {
            let verdicts = vec![Verdict::Unknown; messages];
            self.jobs.insert(job, Job { verdicts, left: messages, done });
        }
        (0..messages).map(move |place| Number((job << JOB_BITS) | place as u64))
    }

    /// The server returned the message with this id. The library hands it to whichever confirm comes next, so it is told
    /// by its id only.
    pub(super) fn returned(&mut self, message_id: &str) {
        let known = Number::of_message_id(message_id).filter(|number| self.jobs.contains_key(&number.job()));
        self.returned.extend(known);
    }

    /// What was heard of a message. Everything returned up to now has to be told first.
    pub(super) fn heard(&mut self, number: Number, heard: Heard) {
        let verdict = match heard {
            Heard::Ack if self.returned.remove(&number) => Verdict::Returned,
            Heard::Ack => Verdict::Confirmed,
            Heard::Nack => Verdict::Refused,
            Heard::Nothing => Verdict::Unknown,
        };
        let Some(job) = self.jobs.get_mut(&number.job()) else { return };
        let Some(place) = job.verdicts.get_mut(number.place()) else { return };
        *place = verdict;
        job.left -= 1;
        if job.left == 0
            && let Some(job) = self.jobs.remove(&number.job())
        {
            // Whoever asked may have stopped waiting.
            let _ = job.done.send(job.verdicts);
        }
    }

    /// The channel is lost: of the rest nothing more will be heard.
    pub(super) fn give_up(&mut self) {
        for (_, job) in self.jobs.drain() {
            let _ = job.done.send(job.verdicts);
        }
        self.returned.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(ledger: &mut Ledger, messages: usize) -> (Vec<Number>, oneshot::Receiver<Vec<Verdict>>) {
        let (done, verdicts) = oneshot::channel();
        (ledger.open(messages, done).collect(), verdicts)
    }

    #[test]
    fn a_returned_message_is_found_by_its_id_whoever_brings_it() {
        let mut ledger = Ledger::default();
        let (one, mut first) = open(&mut ledger, 3);
        let (other, mut second) = open(&mut ledger, 1);
        // The second job's confirm carries the first job's message.
        ledger.returned(&one[1].message_id("01ARZ:1.a.b"));
        ledger.heard(other[0], Heard::Ack);
        assert_eq!(second.try_recv(), Ok(vec![Verdict::Confirmed]));
        ledger.heard(one[1], Heard::Ack);
        ledger.heard(one[0], Heard::Nack);
        assert!(first.try_recv().is_err(), "one is left");
        ledger.heard(one[2], Heard::Ack);
        assert_eq!(first.try_recv(), Ok(vec![Verdict::Refused, Verdict::Returned, Verdict::Confirmed]));
    }

    #[test]
    fn what_is_lost_half_way_is_unknown_and_the_rest_is_known() {
        let mut ledger = Ledger::default();
        let (numbers, mut verdicts) = open(&mut ledger, 2);
        ledger.heard(numbers[0], Heard::Ack);
        ledger.give_up();
        assert_eq!(verdicts.try_recv(), Ok(vec![Verdict::Confirmed, Verdict::Unknown]));
        // A straggler of the lost channel does no harm.
        ledger.heard(numbers[1], Heard::Ack);
        ledger.returned("nonsense");
        ledger.returned("no.number");
        ledger.returned("x.1024");
        assert!(ledger.returned.is_empty(), "nobody waits for it");
    }

    #[test]
    fn nothing_to_publish_is_published_at_once() {
        let (numbers, mut verdicts) = open(&mut Ledger::default(), 0);
        assert_eq!((numbers, verdicts.try_recv()), (Vec::new(), Ok(Vec::new())));
    }

    #[test]
    fn the_largest_job_has_a_number_for_each() {
        let mut ledger = Ledger::default();
        let (numbers, mut verdicts) = open(&mut ledger, JOB_AT_MOST);
        assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), JOB_AT_MOST);
        for number in numbers {
            ledger.heard(number, Heard::Ack);
        }
        assert_eq!(verdicts.try_recv().unwrap().len(), JOB_AT_MOST);
    }
}

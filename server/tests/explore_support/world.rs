//! A store, a ledger, a server's life and the operations under way: everything that an exploration steps through.

use std::{
    collections::{HashSet, VecDeque},
    rc::Rc,
    sync::Arc,
};

use payrig_channel::{Ledger, MemoryLedger};
use payrig_server::{
    cache::ResultCache as _,
    model::{Collection, Document, TaskId},
    store::{DocumentStore as _, Store, gate::Touch, memory::MemoryStore},
};

use super::{
    actor::{Actor, Step, Stepping, finish, number},
    life::{LATE_US, Life, T0_US},
    model::{Moment, gist},
    ops::{Ears, Op, Sub, actor, task},
    rest::{check, go_on_to_the_end},
    scenarios::Scenario,
};

pub(crate) struct World {
    base: MemoryStore,
    ledger: MemoryLedger,
    life: Rc<Life>,
    ears: Ears,
    stepping: Arc<Stepping>,
    actors: Vec<Actor>,
    ops: Vec<Op>,
    /// The tasks that somebody may look up in the cache.
    known: Vec<TaskId>,
    traces: Traces,
}

/// Stands for the ledger's documents, in place of a document's id.
const LEDGER: &str = "the ledger";

/// Everything by which two worlds are told apart, as numbers.
#[derive(Clone, Default)]
pub(crate) struct Traces {
    stored: u64,
    booked: u64,
    queued: VecDeque<u64>,
    memory: Memory,
    /// By operation: all that it has learnt so far; 0 before it begins.
    learnt: Vec<u64>,
    /// Who waits for a lock, a message or a notification, in this order.
    blocked: Vec<usize>,
}

/// What lives in memory and is shared, as numbers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Memory {
    cache: u64,
    queue: u64,
    published: u64,
    heard: u64,
}

/// A store operation that changes something.
pub(crate) type Write = Step;
/// Who writes what.
pub(crate) type Written = HashSet<(usize, Write)>;

impl World {
    pub(crate) fn begin(scenario: &Scenario, ops: &[Op]) -> Self {
        let (base, ledger) = (MemoryStore::default(), MemoryLedger::stepped());
        let stepping = Arc::new(Stepping::default());
        let mut life = start(&base, &ledger, &stepping, T0_US);
        let ears = Ears::default();
        (scenario.begin)(&life, &ears);
        let waiting = life.plain.queue.stats().waiting;
        if scenario.late {
            life.sleep_until(T0_US + LATE_US);
        }
        let life = Rc::new(life);
        let actors = ops.iter().map(|op| actor(*op, &life, &ears)).collect();
        let mut world = Self {
            base,
            ledger,
            life,
            ears,
            stepping,
            actors,
            ops: ops.to_vec(),
            known: (0..6).map(task).collect(),
            traces: Traces::default(),
        };
        world.traces.queued = (0..waiting).map(|at| number(&at)).collect();
        world.traces.learnt = vec![0; ops.len()];
        world
    }

    /// At the beginning: nothing is known of it yet but what it says itself.
    pub(crate) fn look_around(&mut self) {
        self.traces.booked = self.ledger_number();
        self.traces.memory = self.memory();
    }

    /// Who may make the next step.
    pub(crate) fn may_step(&self) -> Vec<usize> {
        (0..self.actors.len()).filter(|at| self.actors[*at].may_step()).collect()
    }

    /// Whether the next step of this one finds and does the same whatever the others do before it, given all that they
    /// ever write. Then it need not be tried at another time.
    pub(crate) fn is_by_itself(&self, at: usize, written: &Written) -> bool {
        let others = |touch, step: &Step| {
            written.iter().any(|(by, write)| {
                *by != at && write.touch == touch && write.id == step.id && { write.collection == step.collection }
            })
        };
        match &self.actors[at].next {
            // The ledger has no steps that are told apart.
            None => self.traces.learnt[at] != 0 && !written.iter().any(|(by, write)| *by != at && write.id == LEDGER),
            Some(step) => match (step.touch, self.get(step.collection, &step.id).is_some()) {
                (Touch::Range, _) | (Touch::Insert, false) | (Touch::Delete, true) => false,
                (Touch::Get | Touch::Insert, true) => !others(Touch::Delete, step),
                (Touch::Get | Touch::Delete, false) => !others(Touch::Insert, step),
            },
        }
    }

    /// What this one writes next, if its next step may be a write.
    pub(crate) fn next_write(&self, at: usize) -> Option<(usize, Write)> {
        match &self.actors[at].next {
            Some(step) => matches!(step.touch, Touch::Insert | Touch::Delete).then(|| (at, step.clone())),
            None if self.traces.learnt[at] == 0 => None,
            None => {
                let id = LEDGER.to_owned();
                Some((at, Step { touch: Touch::Range, collection: Collection::PaymentEnds, id }))
            }
        }
    }

    /// Makes steps that were made before, of which the traces are known.
    pub(crate) fn repeat(&mut self, path: &[usize], traces: Traces) {
        for at in path {
            self.actors[*at].step(&self.stepping);
            self.life.publish();
        }
        self.traces = traces;
    }

    pub(crate) fn traces(&self) -> Traces {
        self.traces.clone()
    }

    /// The next step of this one. Tells whether anything but what it reads of the store and the ledger had to do with it:
    /// then it matters when it is made.
    pub(crate) fn step(&mut self, at: usize) -> bool {
        let next = self.actors[at].next.clone();
        let (found, touched) = match &next {
            Some(step) => self.look(step),
            None => (self.traces.booked, None),
        };
        let waiting = self.life.plain.queue.stats().waiting;
        let (looked_up, locks, others) = (self.looked_up(), self.life.locks(), self.may_step());
        self.actors[at].step(&self.stepping);
        self.life.publish();
        let (now_locks, now_others) = (self.life.locks(), self.may_step());
        let now_waiting = self.life.plain.queue.stats().waiting;
        let before = self.traces.memory;
        let looked = looked_up != self.looked_up() || self.looks_unseen(at, next.as_ref());
        let learnt = number(&(self.traces.learnt[at], found, looked.then_some(before)));
        self.traces.learnt[at] = learnt;
        for offered in waiting..now_waiting {
            self.traces.queued.push_back(self.message_number(at, offered));
        }
        for _ in now_waiting..waiting {
            self.traces.queued.pop_front();
        }
        let booked = self.traces.booked;
        match (&next, touched) {
            (None, _) => self.traces.booked = self.ledger_number(),
            (Some(Step { touch: Touch::Insert, collection, id }), None) => {
                let inserted = self.get(*collection, id).expect("it went in");
                self.traces.stored ^= document_number(&inserted);
            }
            (Some(Step { touch: Touch::Delete, .. }), Some(deleted)) => {
                self.traces.stored ^= document_number(&deleted);
            }
            _ => {}
        }
        self.traces.memory = self.memory();
        self.traces.blocked.retain(|blocked| *blocked != at);
        let is_blocked = !self.actors[at].is_answered() && !now_others.contains(&at);
        if is_blocked {
            self.traces.blocked.push(at);
        }
        let except = |all: &[usize]| all.iter().copied().filter(|other| *other != at).collect::<Vec<_>>();
        let woke_or_locked = is_blocked || locks != now_locks || except(&others) != except(&now_others);
        looked || woke_or_locked || before != self.traces.memory || booked != self.traces.booked
    }

    /// Whether a step may have looked at something beside the store and the ledger, and left no trace of that.
    fn looks_unseen(&self, at: usize, made: Option<&Step>) -> bool {
        // A subscriber looks into its queue when it is woken, too.
        let Some(made) = made else { return self.traces.learnt[at] == 0 || matches!(self.ops[at], Op::Serve(_)) };
        match self.ops[at] {
            // Before it is cancelled, the cache tells how far an open task has come.
            Op::Cancel(_) => matches!(made.collection, Collection::OpenTasks | Collection::OrderSlots),
            // An accepted task is sent again if the queue is idle.
            Op::Visit(..) => made.collection == Collection::OrderSlots,
            _ => false,
        }
    }

    /// Tells messages apart: a sweeper sends its round again, others send what they know.
    fn message_number(&self, at: usize, offered: usize) -> u64 {
        match self.ops[at] {
            Op::Visit(task, round) => number(&(task, round)),
            _ => number(&(self.traces.learnt[at], offered)),
        }
    }

    /// How often anybody looked into the cache.
    fn looked_up(&self) -> u64 {
        let metrics = &self.life.plain.metrics;
        metrics.cache_hits.get() + metrics.cache_misses.get()
    }

    fn memory(&self) -> Memory {
        Memory {
            cache: self.cache_number(),
            queue: number(&self.traces.queued),
            published: self.life.published(),
            heard: self.heard_number(),
        }
    }

    /// The client of this operation goes away.
    pub(crate) fn abandon(&mut self, at: usize) {
        self.actors[at].abandon();
    }

    pub(crate) fn is_answered(&self, at: usize) -> bool {
        self.actors[at].is_answered()
    }

    /// What the step is about to find, and the document that it touches.
    fn look(&self, step: &Step) -> (u64, Option<Document>) {
        if step.touch == Touch::Range {
            let all = finish(self.base.range(step.collection, None, None, usize::MAX)).expect("memory does not fail");
            return (all.iter().fold(0, |all, document| all ^ document_number(document)), None);
        }
        let found = self.get(step.collection, &step.id);
        let seen = match step.touch {
            Touch::Get => found.as_ref().map_or(0, document_number),
            _ => u64::from(found.is_some()),
        };
        (number(&(seen, step.collection, &step.id)), found)
    }

    fn get(&self, collection: Collection, id: &str) -> Option<Document> {
        finish(self.base.get(collection, id)).expect("memory does not fail")
    }

    fn ledger_number(&self) -> u64 {
        let rows = finish(self.life.simulation.ledger_page(None, 100)).expect("memory does not fail");
        let facts = rows.iter().map(|row| {
            let kinds = (row.paid.is_some(), row.closed_at_us.is_some(), row.refunded.is_some());
            (row.out_trade_no.clone(), row.prepaid_at_us.is_some(), kinds)
        });
        number(&facts.collect::<Vec<_>>())
    }

    fn cache_number(&self) -> u64 {
        let mut all = 0;
        for id in self.known.iter().copied() {
            if let Some(entry) = finish(self.life.plain.cache.get(id)).expect("memory does not fail") {
                let view = &entry.view;
                let payment = view.payment.as_ref().map(|payment| payment.state as u8);
                let kept = (id, view.round, view.state as u8, view.attempt, payment, entry.fact_at_us);
                all ^= number(&kept);
            }
        }
        all
    }

    fn heard_number(&self) -> u64 {
        let heard = self.ears.borrow();
        let told = heard.told.iter().fold(0, |all: u64, told| all.wrapping_add(number(told)));
        let wrong = heard.absurd.len() + heard.shown.taken_back.len();
        number(&(told, heard.shown.newest(), wrong))
    }

    /// What a crash leaves, with what was promised before it.
    pub(crate) fn lasting(&self) -> u64 {
        number(&(self.traces.stored, self.traces.booked, self.traces.memory.heard))
    }

    /// Two worlds with the same number go on alike.
    pub(crate) fn number(&self) -> u64 {
        let mut actors: Vec<_> = (0..self.ops.len())
            .map(|at| (self.ops[at], self.traces.learnt[at], self.actors[at].is_answered()))
            .collect();
        actors.sort_unstable();
        let Memory { cache, queue, published, .. } = self.traces.memory;
        let blocked: Vec<_> = self.traces.blocked.iter().map(|at| (self.ops[*at], self.traces.learnt[*at])).collect();
        number(&(self.lasting(), cache, queue, published, actors, blocked))
    }

    /// Everything that is lost in a crash is lost; then a start, and all that follows by itself.
    pub(crate) fn crash(mut self) -> Vec<String> {
        let mut wrong = self.check(Moment::Anytime);
        self.actors.clear();
        let now_us = self.life.plain.clock.now_us() + 1_000_000;
        self.life = Rc::new(start(&self.base, &self.ledger, &self.stepping, now_us));
        wrong.extend(self.go_on_to_the_end());
        wrong
    }

    /// Nothing is left to do but what follows by itself.
    pub(crate) fn end(mut self) -> Vec<String> {
        let mut wrong = self.check(Moment::Anytime);
        for (op, actor) in self.ops.iter().zip(&self.actors) {
            if !actor.is_answered() && !matches!(op, Op::Deliver | Op::Notify | Op::Serve(_)) {
                wrong.push(format!("{op:?} waits for ever"));
            }
        }
        self.actors.clear();
        wrong.extend(self.go_on_to_the_end());
        wrong
    }

    fn go_on_to_the_end(&mut self) -> Vec<String> {
        // Clients whose answers were lost send their submissions again; so do those who were answered.
        let again = self.ops.iter().filter_map(|op| match op {
            Op::Submit(sub) if sub.key.is_some() => Some(Sub { task: sub.task + 10, ..*sub }),
            _ => None,
        });
        let again: Vec<Sub> = again.collect();
        go_on_to_the_end(&mut self.life, &self.ears, again)
    }

    fn check(&self, moment: Moment) -> Vec<String> {
        check(&self.life, &self.ears, moment)
    }
}

fn document_number(document: &Document) -> u64 {
    number(&(document.collection(), document.id(), gist(document)))
}

fn start(base: &MemoryStore, ledger: &MemoryLedger, stepping: &Arc<Stepping>, now_us: u64) -> Life {
    let gate = Arc::clone(stepping);
    Life::start(&Store::Memory(base.clone()), &Store::Memory(base.gated(gate)), Ledger::from(ledger.clone()), now_us)
}

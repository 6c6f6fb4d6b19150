//! A store, a ledger, a server's life and the operations under way: everything that an exploration steps through.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    rc::Rc,
    sync::Arc,
};

use payrig_channel::MemoryLedger;
use payrig_server::{
    cache::ResultCache as _,
    model::{Collection, Document, TaskId},
    store::{DocumentStore as _, memory::MemoryStore, memory::Touch},
};

use super::{
    actor::{Actor, Step, Stepping, finish},
    books::Books,
    life::{LATE_US, Life, T0_US},
    model::{Moment, gist, violations},
    ops::{Ears, Op, Sub, actor, query, service, submit, task},
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
    /// What stands in the store, in the ledger and in the queue, as numbers.
    stored: u64,
    booked: u64,
    queued: VecDeque<u64>,
}

/// Tasks that any operation names.
const TASKS: u64 = 6;

fn number(of: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

impl World {
    pub(crate) fn begin(scenario: &Scenario, ops: &[Op]) -> Self {
        let (base, ledger) = (MemoryStore::default(), MemoryLedger::stepped());
        let stepping = Arc::new(Stepping::default());
        let life = Life::start(&base, &ledger, Arc::clone(&stepping), T0_US);
        let ears = Ears::default();
        (scenario.begin)(&life, &ears);
        let waiting = life.plain.queue.stats().waiting;
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
            stored: 0,
            booked: 0,
            queued: (0..waiting).map(|at| at as u64).collect(),
        };
        world.booked = world.ledger_number();
        world
    }

    /// Who may make the next step.
    pub(crate) fn may_step(&self) -> Vec<usize> {
        (0..self.actors.len()).filter(|at| self.actors[*at].may_step()).collect()
    }

    /// The next step of this one.
    pub(crate) fn step(&mut self, at: usize) {
        let next = self.actors[at].next.clone();
        let (found, touched) = match &next {
            Some(step) => self.look(step),
            None => (self.booked, None),
        };
        let heard = self.heard_number();
        let surroundings = (found, self.cache_number(), number(&self.queued), heard);
        let waiting = self.life.plain.queue.stats().waiting;
        let actor = &mut self.actors[at];
        actor.learnt = number(&(actor.learnt, at, surroundings));
        actor.step(&self.stepping);
        let learnt = actor.learnt;
        match (&next, touched) {
            (None, _) => self.booked = self.ledger_number(),
            (Some(Step { touch: Touch::Insert, collection, id }), None) => {
                let inserted = self.get(*collection, id).expect("it went in");
                self.stored ^= document_number(&inserted);
            }
            (Some(Step { touch: Touch::Delete, .. }), Some(deleted)) => self.stored ^= document_number(&deleted),
            _ => {}
        }
        let now_waiting = self.life.plain.queue.stats().waiting;
        for offered in waiting..now_waiting {
            self.queued.push_back(number(&(learnt, offered)));
        }
        for _ in now_waiting..waiting {
            self.queued.pop_front();
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
        for id in (0..TASKS).map(task) {
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
        number(&(self.stored, self.booked, self.heard_number()))
    }

    /// Two worlds with the same number go on alike.
    pub(crate) fn number(&self) -> u64 {
        let actors: Vec<_> = self.actors.iter().map(|actor| (actor.learnt, actor.is_answered())).collect();
        number(&(self.lasting(), self.cache_number(), &self.queued, actors))
    }

    /// Everything that is lost in a crash is lost; then a start, and all that follows by itself.
    pub(crate) fn crash(mut self) -> Vec<String> {
        let mut wrong = self.check(Moment::Anytime);
        self.actors.clear();
        self.life = Rc::new(Life::start(&self.base, &self.ledger, Arc::clone(&self.stepping), T0_US + 1_000_000));
        wrong.extend(self.go_on_to_the_end());
        wrong
    }

    /// Nothing is left to do but what follows by itself.
    pub(crate) fn end(mut self) -> Vec<String> {
        let mut wrong = self.check(Moment::Anytime);
        for (op, actor) in self.ops.iter().zip(&self.actors) {
            if !actor.is_answered() && !matches!(op, Op::Deliver | Op::Notify) {
                wrong.push(format!("{op:?} waits for ever"));
            }
        }
        self.actors.clear();
        wrong.extend(self.go_on_to_the_end());
        wrong
    }

    fn go_on_to_the_end(&mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        self.life.come_to_rest();
        wrong.extend(self.check(Moment::AtRest));
        self.repeat_by_key();
        self.life.drain();
        self.ask_about_all();
        wrong.extend(self.check(Moment::AtRest));
        for later_us in [31_000_000, LATE_US, 2 * LATE_US] {
            let life = Rc::get_mut(&mut self.life).expect("no operation is under way");
            life.sleep_until(T0_US + 1_000_000 + later_us);
            self.life.come_to_rest();
            self.ask_about_all();
            wrong.extend(self.check(Moment::AtRest));
        }
        wrong.extend(self.check(Moment::AtTheEnd));
        wrong
    }

    /// Clients whose answers were lost send their submissions again; so do those who were answered.
    fn repeat_by_key(&mut self) {
        let again: Vec<Sub> = self
            .ops
            .iter()
            .filter_map(|op| match op {
                Op::Submit(sub) if sub.key.is_some() => Some(Sub { task: sub.task + 10, ..*sub }),
                _ => None,
            })
            .collect();
        for sub in again {
            let (service, mut publisher) = service(&self.life.plain);
            let publish = Box::pin(publisher.publish_next());
            let submitting = Box::pin(submit(&service, sub, &self.ears));
            finish(futures_util::future::select(submitting, publish));
        }
    }

    fn ask_about_all(&self) {
        let known = self.ears.borrow().shown.tasks();
        let numbers: BTreeMap<TaskId, u64> = (0..TASKS + 10).map(|at| (task(at), at)).collect();
        for id in known {
            let (service, _publisher) = service(&self.life.plain);
            finish(query(&service, numbers[&id], &self.ears));
        }
    }

    fn check(&self, moment: Moment) -> Vec<String> {
        let books = finish(Books::read(&self.life.plain.store, &self.life.simulation));
        let heard = self.ears.borrow();
        let mut wrong = violations(&books, &heard.told, moment);
        wrong.extend(heard.shown.taken_back.iter().cloned());
        wrong.extend(heard.absurd.iter().cloned());
        wrong.iter_mut().for_each(|wrong| *wrong = format!("{moment:?}: {wrong}"));
        wrong
    }
}

fn document_number(document: &Document) -> u64 {
    number(&(document.collection(), document.id(), gist(document)))
}

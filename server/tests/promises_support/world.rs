//! A folder with the store and the channel's ledger, and the lives of the server that follow each other on it.

use std::{path::Path, rc::Rc, sync::Arc, thread, time::Duration};

use payrig_channel::Ledger;
use payrig_commit::GroupCommit;
use payrig_server::{
    model::{End as PaymentEnd, OutcomeState},
    store::{Store, embedded::EmbeddedStore, gate::Touch},
};
use tempfile::TempDir;

use crate::explore_support::{
    actor::{Actor, Stepping, finish},
    books::Books,
    life::{Life, T0_US},
    model::Moment,
    ops::Ears,
    rest::{ask_about_all, check, go_on_to_the_end},
};

use super::{
    deed::{Deed, begin},
    story::{Before, Cast, End, Opening, Step, Story, Stretch, Wish},
};

/// How much came to pass, so that nobody mistakes silence for a proof.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Count {
    pub(crate) cases: usize,
    pub(crate) deeds: usize,
    pub(crate) steps: usize,
    pub(crate) crashes: usize,
    /// Crashes in the middle of something.
    pub(crate) midway: usize,
    /// Writes that a crash left without an answer.
    pub(crate) unanswered: usize,
    pub(crate) paid: usize,
    pub(crate) closed: usize,
    pub(crate) refunded: usize,
    pub(crate) cancelled: usize,
    pub(crate) failed: usize,
    pub(crate) refused: usize,
    pub(crate) later_rounds: usize,
    pub(crate) later_slots: usize,
    /// Settlements that every subscriber has had its effect of.
    pub(crate) announced: usize,
    pub(crate) shipped: usize,
}

/// The folder, and the life that now is.
pub(crate) struct World {
    folder: TempDir,
    open: Open,
    ears: Ears,
    stepping: Arc<Stepping>,
    wrong: Vec<String>,
    count: Count,
}

/// What a crash takes away.
struct Open {
    store: EmbeddedStore,
    ledger: GroupCommit,
    life: Rc<Life>,
}

impl Open {
    fn on(folder: &Path, stepping: &Arc<Stepping>, now_us: u64) -> Self {
        let store = EmbeddedStore::open(&folder.join("store")).expect("nobody else has the store");
        let ledger = Ledger::open(&folder.join("channel-ledger")).expect("nobody else has the ledger");
        let Ledger::Durable(commit) = &ledger else { unreachable!("it has a folder") };
        let commit = commit.clone();
        let gate = Arc::clone(stepping);
        let (plain, stepped) = (Store::Embedded(store.clone()), Store::Embedded(store.gated(gate)));
        let life = Rc::new(Life::start(&plain, &stepped, ledger, now_us));
        Self { store, ledger: commit, life }
    }

    /// Waits until everything that was handed in is written and answered.
    fn write_all(&self) {
        const GLANCE: Duration = Duration::from_micros(50);
        while self.store.stats().waiting + self.ledger.stats().waiting > 0 {
            thread::park_timeout(GLANCE);
        }
    }
}

/// Those who do something at the same time.
struct Cards {
    actors: Vec<(Deed, Actor)>,
    /// Each one's steps until its client goes away.
    leaving: Vec<Option<u8>>,
    /// Who waits for an answer of the commit thread.
    writing: Vec<usize>,
}

impl Cards {
    fn may_step(&self, ears: &Ears) -> Vec<usize> {
        let all = self.actors.iter().enumerate();
        let may =
            all.filter(|(at, (deed, actor))| !self.writing.contains(at) && actor.may_step() && is_known(*deed, ears));
        may.map(|(at, _)| at).collect()
    }

    /// One step less until its client goes away.
    fn leave(&mut self, at: usize) {
        let (deed, actor) = &mut self.actors[at];
        match &mut self.leaving[at] {
            Some(0) if deed.has_client() => actor.abandon(),
            Some(left) => *left = left.saturating_sub(1),
            None => {}
        }
    }

    fn step(&mut self, at: usize, stepping: &Stepping, life: &Life) {
        self.actors[at].1.step(stepping);
        life.publish();
    }

    /// Whether it waits for the commit thread, or for others.
    fn waits(&self, at: usize) -> bool {
        let actor = &self.actors[at].1;
        actor.next.is_none() && actor.is_under_way()
    }

    /// Whether it has got an answer, and has not come to its next store operation yet.
    fn goes_on(&self, at: usize) -> bool {
        let actor = &self.actors[at].1;
        actor.next.is_none() && actor.may_step()
    }
}

/// Nobody asks for a task before an answer has named it.
fn is_known(deed: Deed, ears: &Ears) -> bool {
    deed.asks_for().is_none_or(|task| ears.borrow().shown.floor(task).is_some())
}

/// A folder in memory where there is one: no power is cut here, and a sync on a disk takes longer than all the rest.
fn folder() -> TempDir {
    const IN_MEMORY: &str = "/dev/shm";
    tempfile::tempdir_in(IN_MEMORY).or_else(|_| tempfile::tempdir()).expect("a folder")
}

/// Tells the story; everything that was wrong in it, in words.
pub(crate) fn tell(story: &Story) -> (Vec<String>, Count) {
    let folder = folder();
    let stepping = Arc::new(Stepping::default());
    let open = Open::on(folder.path(), &stepping, T0_US);
    let ears = Ears::default();
    let count = Count { cases: 1, ..Count::default() };
    let mut world = World { folder, open, ears, stepping, wrong: Vec::new(), count };
    let mut cast = Cast::default();
    world.open_with(story, &mut cast);
    for (number, stretch) in story.stretches.iter().enumerate() {
        let first = (number == 0 && story.opening == Opening::Nothing).then_some((story.first, None));
        let wishes = first.into_iter().chain(stretch.wishes.iter().copied());
        let deeds: Vec<_> = wishes.map(|(wish, leaves)| (cast.deed(wish), leaves)).collect();
        world = world.live(stretch, &deeds);
        if !world.wrong.is_empty() {
            world.wrong.push(format!("after stretch {number}: {deeds:?}"));
            return (world.wrong, world.count);
        }
    }
    world.wrong.extend(go_on_to_the_end(&mut world.open.life, &world.ears, cast.again()));
    for wish in Wish::SHIP_ALL {
        world.do_one(cast.deed(wish));
    }
    world.take_stock();
    (world.wrong, world.count)
}

impl World {
    fn open_with(&mut self, story: &Story, cast: &mut Cast) {
        if story.opening >= Opening::Accepted {
            self.do_one(cast.deed(story.first));
        }
        if story.opening >= Opening::Attempted {
            self.open.life.drain();
            ask_about_all(&self.open.life, &self.ears);
        }
        if story.opening >= Opening::Paid {
            self.do_one(cast.deed(Wish::Pay(0, 1)));
        }
    }

    fn do_one(&mut self, deed: Deed) {
        let cards = self.deal(&[(deed, None)]);
        self.finish_all(cards);
    }

    fn live(mut self, stretch: &Stretch, deeds: &[(Deed, Option<u8>)]) -> Self {
        match stretch.before {
            Before::Nothing => {}
            Before::Attempts => self.open.life.drain(),
            Before::Rest => {
                self.open.life.come_to_rest();
                ask_about_all(&self.open.life, &self.ears);
                self.check(Moment::AtRest);
            }
        }
        let mut cards = self.deal(deeds);
        for step in &stretch.steps.0 {
            if !self.step(&mut cards, *step) {
                break;
            }
        }
        match stretch.end {
            End::Crash => self.crash(cards, stretch.pause_us),
            End::Done => {
                self.finish_all(cards);
                let now_us = self.open.life.plain.clock.now_us();
                let life = Rc::get_mut(&mut self.open.life).expect("no operation is under way");
                life.sleep_until(now_us + stretch.pause_us);
                self
            }
        }
    }

    fn deal(&mut self, deeds: &[(Deed, Option<u8>)]) -> Cards {
        self.count.deeds += deeds.len();
        let begin = |(deed, _): &(Deed, Option<u8>)| (*deed, begin(*deed, &self.open.life, &self.ears));
        Cards {
            actors: deeds.iter().map(begin).collect(),
            leaving: deeds.iter().map(|(_, leaves)| *leaves).collect(),
            writing: Vec::new(),
        }
    }

    /// One store operation of somebody; false where nobody has any left.
    fn step(&mut self, cards: &mut Cards, step: Step) -> bool {
        let mut may_step = cards.may_step(&self.ears);
        if may_step.is_empty() {
            self.wait_for_writes(cards);
            may_step = cards.may_step(&self.ears);
        }
        let Some(at) = may_step.get(usize::from(step.who) % may_step.len().max(1)).copied() else { return false };
        let next = cards.actors[at].1.next.as_ref();
        let writes = next.is_some_and(|next| matches!(next.touch, Touch::Insert | Touch::Delete));
        if !writes {
            // What it reads must not depend on how fast the disk is.
            self.wait_for_writes(cards);
        }
        self.count.steps += 1;
        cards.leave(at);
        cards.step(at, &self.stepping, &self.open.life);
        if step.hurried && cards.waits(at) {
            cards.writing.push(at);
            return true;
        }
        // The answer belongs to the step, however many times it has to be looked for.
        self.wait_for_writes(cards);
        while cards.goes_on(at) {
            cards.step(at, &self.stepping, &self.open.life);
            self.wait_for_writes(cards);
        }
        true
    }

    fn wait_for_writes(&self, cards: &mut Cards) {
        self.open.write_all();
        cards.writing.clear();
    }

    fn finish_all(&mut self, mut cards: Cards) {
        let mut turn = 0_u8;
        while self.step(&mut cards, Step { who: turn, hurried: false }) {
            turn = turn.wrapping_add(1);
        }
        for (deed, actor) in &cards.actors {
            if !actor.is_answered() && !deed.may_wait() && is_known(*deed, &self.ears) {
                self.wrong.push(format!("{deed:?} waits for ever"));
            }
        }
        ask_about_all(&self.open.life, &self.ears);
        self.check(Moment::Anytime);
    }

    /// Everything that is lost in a crash is lost; then a start.
    fn crash(mut self, cards: Cards, pause_us: u64) -> Self {
        self.count.crashes += 1;
        self.count.unanswered += cards.writing.len();
        self.count.midway += usize::from(!cards.may_step(&self.ears).is_empty() || !cards.writing.is_empty());
        // Who hears of it or not, what was handed in is written.
        self.open.write_all();
        // What anybody saw until now stands.
        ask_about_all(&self.open.life, &self.ears);
        self.check(Moment::Anytime);
        drop(cards);
        let Self { folder, open, ears, stepping, wrong, count } = self;
        let now_us = open.life.plain.clock.now_us() + pause_us;
        let notifications = open.life.inbox.all();
        drop(open);
        let open = Open::on(folder.path(), &stepping, now_us);
        open.life.inbox.remember(notifications);
        let mut after = Self { folder, open, ears, stepping, wrong, count };
        after.check(Moment::Anytime);
        after
    }

    fn check(&mut self, moment: Moment) {
        self.wrong.extend(check(&self.open.life, &self.ears, moment));
    }

    fn take_stock(&mut self) {
        let books = finish(Books::read(&self.open.life.plain.store, &self.open.life.simulation));
        let outcomes = |state| books.outcomes.values().filter(|outcome| outcome.state == state).count();
        self.count.cancelled = outcomes(OutcomeState::Cancelled);
        self.count.failed = outcomes(OutcomeState::Failed);
        self.count.refused = outcomes(OutcomeState::Refused);
        self.count.paid = books.ends.values().filter(|end| matches!(end, PaymentEnd::Paid { .. })).count();
        self.count.closed = books.ends.len() - self.count.paid;
        self.count.refunded = books.refunded.len();
        self.count.announced = books.daily_totals.len();
        self.count.shipped = books.shipments.len();
        self.count.later_rounds = books.outcomes.keys().filter(|round| round.round > 1).count();
        self.count.later_slots = books.slots.values().map(|holders| holders.len() - 1).sum();
    }
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.cases += other.cases;
        self.deeds += other.deeds;
        self.steps += other.steps;
        self.crashes += other.crashes;
        self.midway += other.midway;
        self.unanswered += other.unanswered;
        self.paid += other.paid;
        self.closed += other.closed;
        self.refunded += other.refunded;
        self.cancelled += other.cancelled;
        self.failed += other.failed;
        self.refused += other.refused;
        self.later_rounds += other.later_rounds;
        self.later_slots += other.later_slots;
        self.announced += other.announced;
        self.shipped += other.shipped;
    }
}

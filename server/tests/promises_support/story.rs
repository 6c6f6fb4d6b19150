//! A story: stretches of things that happen at the same time, each ended by a crash or by everybody's being done.

use std::fmt;

use payrig_api::ShipMode;
use payrig_server::model::TaskId;
use proptest::prelude::*;

use crate::explore_support::ops::{AMOUNT_MINOR, Op, Sub, task};

use super::deed::{Amiss, Deed};

/// Everything that happens in one case.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    /// The first thing that happens.
    pub(crate) first: Wish,
    pub(crate) opening: Opening,
    pub(crate) stretches: Vec<Stretch>,
}

/// How far the first submission has come before the rest begins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Opening {
    /// It happens at the same time as others.
    Nothing,
    Accepted,
    /// Its first attempt is made.
    Attempted,
    /// The payer has paid, if there was anything to pay.
    Paid,
}

/// Things that happen at the same time, in one life of the server.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub(crate) before: Before,
    /// Each with the steps after which its client goes away, if it does.
    pub(crate) wishes: Vec<(Wish, Option<u8>)>,
    pub(crate) steps: Steps,
    pub(crate) end: End,
    /// The time from its end to the next stretch.
    pub(crate) pause_us: u64,
}

/// What the server does by itself before a stretch begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Before {
    Nothing,
    /// Makes all attempts that wait in the queue.
    Attempts,
    /// Everything that there is to do.
    Rest,
}

/// How a stretch ends when its steps are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// The process is gone in the middle of everything.
    Crash,
    /// All go on until they are done.
    Done,
}

/// Who goes on, one after another.
#[derive(Clone)]
pub(crate) struct Steps(pub(crate) Vec<Step>);

/// Who makes the next store operation, of those who may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) who: u8,
    /// A write is handed in and not waited for: the next one may share its commit, and a crash leaves it unanswered.
    pub(crate) hurried: bool,
}

/// Something that happens, about any of the tasks that were submitted before.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wish {
    Submit {
        order: u8,
        key: Option<u8>,
        fails: u8,
        wechat: bool,
        items: bool,
    },
    /// The same submission again.
    Repeat(u8),
    Cancel(u8),
    Retry(u8),
    Query(u8),
    Pay(u8, u8),
    Deliver,
    /// A subscriber takes what it has to do.
    Serve(u8),
    /// A client creates an order, over the amount that is paid for it or another.
    Create {
        order: u8,
        other_amount: bool,
    },
    Ship {
        order: u8,
        by_merchant: bool,
    },
    Visit(u8, u8),
    Sweep,
    Notification(u8, Amiss),
    /// The channel says that a payment is closed, which can still be paid.
    Lie(u8, u8),
}

impl Wish {
    /// What the story ends with: whatever is paid is shipped, and shipped again.
    pub(crate) const SHIP_ALL: [Self; 4] = [
        Self::Ship { order: 0, by_merchant: true },
        Self::Ship { order: 1, by_merchant: false },
        Self::Ship { order: 0, by_merchant: true },
        Self::Ship { order: 1, by_merchant: false },
    ];
}

const ORDERS: [&str; 2] = ["o-1", "o-2"];
const KEYS: [&str; 3] = ["k-1", "k-2", "k-3"];

fn submit() -> impl Strategy<Value = Wish> {
    let order = prop_oneof![3 => Just(0), 1 => Just(1)];
    let fails = prop_oneof![2 => Just(0), 1 => 1_u8..=3];
    let items = proptest::bool::weighted(0.4);
    (order, proptest::option::weighted(0.7, 0_u8..3), fails, any::<bool>(), items)
        .prop_map(|(order, key, fails, wechat, items)| Wish::Submit { order, key, fails, wechat, items })
}

fn wish() -> impl Strategy<Value = Wish> {
    let round = || prop_oneof![6 => Just(1_u8), 2 => Just(2), 1 => Just(3)];
    // The first task is the one that most often gets anywhere.
    let target = || prop_oneof![3 => Just(0), 2 => any::<u8>()];
    let amiss = prop_oneof![6 => Just(Amiss::Nothing), 1 => Just(Amiss::Amount), 1 => Just(Amiss::Transaction)];
    prop_oneof![
        3 => submit(),
        2 => target().prop_map(Wish::Repeat),
        3 => target().prop_map(Wish::Cancel),
        4 => target().prop_map(Wish::Retry),
        3 => target().prop_map(Wish::Query),
        8 => (target(), round()).prop_map(|(target, round)| Wish::Pay(target, round)),
        5 => Just(Wish::Deliver),
        5 => (0..2_u8).prop_map(Wish::Serve),
        1 => (0..2_u8, proptest::bool::weighted(0.2))
            .prop_map(|(order, other_amount)| Wish::Create { order, other_amount }),
        2 => (0..2_u8, any::<bool>()).prop_map(|(order, by_merchant)| Wish::Ship { order, by_merchant }),
        3 => (target(), round()).prop_map(|(target, round)| Wish::Visit(target, round)),
        2 => Just(Wish::Sweep),
        5 => (target(), amiss).prop_map(|(which, amiss)| Wish::Notification(which, amiss)),
        2 => (target(), round()).prop_map(|(target, round)| Wish::Lie(target, round)),
    ]
}

/// Two that get in each other's way.
fn rivals() -> impl Strategy<Value = [Wish; 2]> {
    let key = 0..u8::try_from(KEYS.len()).unwrap_or(1);
    let submission = |order, key| Wish::Submit { order, key: Some(key), fails: 0, wechat: false, items: false };
    prop_oneof![
        1 => (any::<bool>(), key).prop_map(move |(other, key)| [submission(0, key), submission(u8::from(other), key)]),
        2 => Just([Wish::Deliver, Wish::Cancel(0)]),
        1 => Just([Wish::Deliver, Wish::Deliver]),
        1 => Just([Wish::Pay(0, 1), Wish::Cancel(0)]),
        1 => Just([Wish::Lie(0, 1), Wish::Pay(0, 1)]),
        1 => Just([Wish::Lie(0, 1), Wish::Notification(0, Amiss::Nothing)]),
        2 => Just([Wish::Serve(0), Wish::Serve(1)]),
        1 => Just([Wish::Create { order: 0, other_amount: false }, Wish::Ship { order: 0, by_merchant: true }]),
        1 => Just([Wish::Retry(0), Wish::Retry(0)]),
        1 => Just([Wish::Visit(0, 1), Wish::Cancel(0)]),
        1 => any::<u8>().prop_map(|which| [Wish::Notification(which, Amiss::Nothing); 2]),
    ]
}

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    let some = prop_oneof![2 => wish().prop_map(|wish| vec![wish]), 1 => rivals().prop_map(Vec::from)];
    proptest::collection::vec(some, 2..=4).prop_map(|wishes| wishes.concat())
}

fn stretch() -> impl Strategy<Value = Stretch> {
    let before = prop_oneof![3 => Just(Before::Nothing), 3 => Just(Before::Attempts), 1 => Just(Before::Rest)];
    let leaving = proptest::collection::vec(proptest::option::weighted(0.15, 0_u8..12), 8);
    let wishes = (wishes(), leaving).prop_map(|(wishes, leaving)| wishes.into_iter().zip(leaving).collect());
    let step = (any::<u8>(), proptest::bool::weighted(0.5)).prop_map(|(who, hurried)| Step { who, hurried });
    let steps = proptest::collection::vec(step, 0..40).prop_map(Steps);
    let end = prop_oneof![3 => Just(End::Crash), 1 => Just(End::Done)];
    let pause_us = prop_oneof![6 => Just(1_000_000), 2 => Just(31_000_000), 1 => Just(16 * 60 * 1_000_000)];
    (before, wishes, steps, end, pause_us).prop_map(|(before, wishes, steps, end, pause_us)| Stretch {
        before,
        wishes,
        steps,
        end,
        pause_us,
    })
}

/// Any story.
pub(crate) fn story() -> impl Strategy<Value = Story> {
    let opening = prop_oneof![
        2 => Just(Opening::Nothing),
        3 => Just(Opening::Accepted),
        2 => Just(Opening::Attempted),
        2 => Just(Opening::Paid),
    ];
    (submit(), opening, proptest::collection::vec(stretch(), 2..=4)).prop_map(|(first, opening, stretches)| Story {
        first,
        opening,
        stretches,
    })
}

/// In one line, a hurried step with an exclamation mark.
impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps: Vec<String> =
            self.0.iter().map(|step| format!("{}{}", step.who, if step.hurried { "!" } else { "" })).collect();
        f.write_str(&steps.join(" "))
    }
}

/// Turns wishes into deeds: each submission gets a task of its own.
#[derive(Default)]
pub(crate) struct Cast {
    pub(crate) subs: Vec<Sub>,
}

impl Cast {
    pub(crate) fn deed(&mut self, wish: Wish) -> Deed {
        match wish {
            Wish::Submit { order, key, fails, wechat, items } => {
                let own = u64::try_from(self.subs.len()).unwrap_or(0);
                let sub = Sub::new(own, ORDERS[usize::from(order)]).failing(fails);
                let sub = if wechat { sub.wechat() } else { sub };
                let sub = if items { sub.with_items() } else { sub };
                // The same body is the same submission.
                let body = u8::from(items) * 64 + order * 16 + fails * 2 + u8::from(wechat);
                let sub = key.map_or(sub, |key| sub.keyed(KEYS[usize::from(key)], body));
                self.subs.push(sub);
                Deed::Op(Op::Submit(sub))
            }
            Wish::Repeat(target) => {
                let own = u64::try_from(self.subs.len()).unwrap_or(0);
                let sub = Sub { task: own, ..self.subs[usize::from(target) % self.subs.len()] };
                self.subs.push(sub);
                Deed::Op(Op::Submit(sub))
            }
            Wish::Cancel(target) => Deed::Op(Op::Cancel(self.task(target))),
            Wish::Retry(target) => Deed::Op(Op::Retry(self.task(target))),
            Wish::Query(target) => Deed::Op(Op::Query(self.task(target))),
            Wish::Pay(target, round) => Deed::Op(Op::Pay(self.task(target), round)),
            Wish::Deliver => Deed::Op(Op::Deliver),
            Wish::Serve(which) => Deed::Op(Op::Serve(usize::from(which))),
            Wish::Create { order, other_amount } => {
                Deed::Create(ORDERS[usize::from(order)], AMOUNT_MINOR + u64::from(other_amount))
            }
            Wish::Ship { order, by_merchant } => {
                let mode = if by_merchant { ShipMode::ByMerchant } else { ShipMode::None };
                Deed::Ship(ORDERS[usize::from(order)], mode)
            }
            Wish::Visit(target, round) => Deed::Op(Op::Visit(self.task(target), round)),
            Wish::Sweep => Deed::Sweep,
            Wish::Notification(which, amiss) => Deed::Notification(usize::from(which), amiss),
            Wish::Lie(target, round) => Deed::Lie(self.task(target), round),
        }
    }

    fn task(&self, target: u8) -> u64 {
        self.subs[usize::from(target) % self.subs.len()].task
    }

    /// What clients whose answers were lost send again.
    pub(crate) fn again(&self) -> Vec<Sub> {
        let keyed = self.subs.iter().filter(|sub| sub.key.is_some());
        keyed.map(|sub| Sub { task: sub.task + 100, ..*sub }).collect()
    }
}

impl Deed {
    /// Whether somebody does it over a connection, which may break.
    pub(crate) fn has_client(self) -> bool {
        matches!(self, Self::Op(Op::Submit(_))) || self.asks_for().is_some()
    }

    /// The task that a client names, of which it was told before.
    pub(crate) fn asks_for(self) -> Option<TaskId> {
        match self {
            Self::Op(Op::Cancel(number) | Op::Retry(number) | Op::Query(number) | Op::Pay(number, _)) => {
                Some(task(number))
            }
            _ => None,
        }
    }

    /// Whether it may have nothing to do for ever: nothing is queued, no notification comes.
    pub(crate) fn may_wait(self) -> bool {
        matches!(self, Self::Op(Op::Deliver | Op::Serve(_)) | Self::Notification(..))
    }
}

//! Goes through all schedules of some operations. Schedules that come to the same state go on alike and are followed
//! once; how many they are is counted all the same.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{ops::Op, scenarios::Scenario, world::World};

/// What goes wrong from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Nothing.
    Nothing,
    /// One crash, at every point.
    Crash,
}

/// How much was gone through.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Count {
    /// Schedules that ran to the end.
    pub(crate) schedules: f64,
    /// Schedules with a crash: points at which one can happen, over all schedules.
    pub(crate) with_a_crash: f64,
    /// Different states.
    pub(crate) states: usize,
    /// Different states after a crash.
    pub(crate) crashes: usize,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.with_a_crash += other.with_a_crash;
        self.states += other.states;
        self.crashes += other.crashes;
    }
}

#[derive(Default)]
struct Search {
    children: HashMap<u64, BTreeMap<usize, u64>>,
    lasting: HashSet<u64>,
    stack: Vec<Vec<usize>>,
    crashes: Vec<Vec<usize>>,
    wrong: Vec<String>,
}

/// Explores; complains about the first schedules on which a promise was broken.
pub(crate) fn explore(scenario: &Scenario, ops: &[Op], fault: Fault) -> Result<Count, String> {
    let mut search = Search::default();
    let root = World::begin(scenario, ops).number();
    search.stack.push(Vec::new());
    while let Some(path) = search.stack.pop() {
        search.follow(scenario, ops, path);
        if !search.wrong.is_empty() {
            break;
        }
    }
    if fault == Fault::Crash && search.wrong.is_empty() {
        for path in std::mem::take(&mut search.crashes) {
            let wrong = replay(scenario, ops, &path).crash();
            search.complain(&path, "and a crash", wrong);
            if !search.wrong.is_empty() {
                break;
            }
        }
    }
    if let Some(wrong) = search.wrong.first() {
        return Err(format!("{}: {ops:#?}\n{wrong}", scenario.name));
    }
    let mut counted = HashMap::new();
    let (schedules, points) = search.count(root, &mut counted);
    let with_a_crash = if fault == Fault::Crash { points } else { 0.0 };
    Ok(Count { schedules, with_a_crash, states: search.children.len(), crashes: search.lasting.len() })
}

fn replay(scenario: &Scenario, ops: &[Op], path: &[usize]) -> World {
    let mut world = World::begin(scenario, ops);
    path.iter().for_each(|at| world.step(*at));
    world
}

impl Search {
    /// Follows one schedule until it meets a state that is known, and remembers where it could have gone otherwise.
    fn follow(&mut self, scenario: &Scenario, ops: &[Op], mut path: Vec<usize>) {
        let last = path.pop();
        let mut world = replay(scenario, ops, &path);
        let mut came_from = None;
        if let Some(last) = last {
            came_from = Some((world.number(), last));
            world.step(last);
            path.push(last);
        }
        loop {
            let number = world.number();
            if let Some((parent, by)) = came_from {
                self.children.entry(parent).or_default().insert(by, number);
            }
            if self.children.contains_key(&number) {
                return;
            }
            self.children.insert(number, BTreeMap::new());
            if self.lasting.insert(world.lasting()) {
                self.crashes.push(path.clone());
            }
            let may_step = world.may_step();
            let Some((first, others)) = may_step.split_first() else {
                return self.complain(&path, "to the end", world.end());
            };
            for other in others {
                self.stack.push(path.iter().copied().chain([*other]).collect());
            }
            came_from = Some((number, *first));
            world.step(*first);
            path.push(*first);
        }
    }

    fn complain(&mut self, path: &[usize], how: &str, wrong: Vec<String>) {
        if !wrong.is_empty() {
            let wrong: BTreeSet<String> = wrong.into_iter().collect();
            let wrong: Vec<String> = wrong.into_iter().collect();
            self.wrong.push(format!("steps of {path:?} {how}:\n  {}", wrong.join("\n  ")));
        }
    }

    /// How many schedules lead from a state to an end, and through how many points they go.
    fn count(&self, from: u64, counted: &mut HashMap<u64, (f64, f64)>) -> (f64, f64) {
        if let Some(known) = counted.get(&from) {
            return *known;
        }
        let children = &self.children[&from];
        let (mut ends, mut points) = (0.0, 1.0);
        for child in children.values() {
            let (more_ends, more_points) = self.count(*child, counted);
            ends += more_ends;
            points += more_points;
        }
        let count = (if children.is_empty() { 1.0 } else { ends }, points);
        counted.insert(from, count);
        count
    }
}

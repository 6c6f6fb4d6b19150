//! Goes through all schedules of some operations. Schedules that come to the same state go on alike and are followed
//! once; a step that finds and does the same whenever it is made is made at once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{
    ops::Op,
    scenarios::Scenario,
    world::{Traces, World, Written},
};

/// How schedules are gone through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct How {
    /// With one crash, at every point.
    pub(crate) crash: bool,
    /// Every step is tried at every time, also where that cannot make a difference; then the schedules can be counted.
    pub(crate) whole: bool,
}

/// How much was gone through.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Count {
    /// Selections of operations.
    pub(crate) selections: usize,
    /// Schedules without a crash; where steps were left out that make no difference, how many are left.
    pub(crate) schedules: f64,
    /// Points of these schedules at which there can be a crash.
    pub(crate) points: f64,
    /// Different states on the way.
    pub(crate) states: usize,
    /// Different states that a crash can leave.
    pub(crate) lasting: usize,
    /// Times that the server ran.
    pub(crate) runs: usize,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.selections += other.selections;
        self.schedules += other.schedules;
        self.points += other.points;
        self.states += other.states;
        self.lasting += other.lasting;
        self.runs += other.runs;
    }
}

/// A schedule up to where others go on otherwise than the one that was followed, and who steps next in them.
struct Fork {
    path: Vec<usize>,
    traces: Traces,
    others: Vec<usize>,
}

struct Search<'a> {
    scenario: &'a Scenario,
    ops: &'a [Op],
    how: How,
    /// All writes that were assumed, and all that were seen.
    assumed: Written,
    written: Written,
    /// The graph of states: who can step there, and where that leads.
    children: HashMap<u64, BTreeMap<usize, u64>>,
    lasting: HashSet<u64>,
    /// Schedules to follow, and those after which there is to be a crash.
    stack: Vec<Fork>,
    crashes: Vec<Vec<usize>>,
    runs: usize,
    wrong: Option<String>,
}

/// Explores; complains about the first schedule on which a promise was broken.
pub(crate) fn explore(scenario: &Scenario, ops: &[Op], how: How) -> Result<Count, String> {
    let (mut assumed, mut runs) = (Written::new(), 0);
    loop {
        let mut search = Search::new(scenario, ops, how, assumed);
        search.follow_all();
        if let Some(wrong) = search.wrong {
            return Err(format!("{}: {ops:?}\n{wrong}", scenario.name));
        }
        if !how.whole && !search.written.is_subset(&search.assumed) {
            // Somebody writes what was thought to be nobody's: again, with that in mind.
            runs += search.runs;
            assumed = search.written;
            continue;
        }
        if how.crash {
            search.crash_everywhere();
        }
        if let Some(wrong) = search.wrong {
            return Err(format!("{}: {ops:?}\n{wrong}", scenario.name));
        }
        let mut count = search.count();
        count.runs += runs;
        return Ok(count);
    }
}

impl<'a> Search<'a> {
    fn new(scenario: &'a Scenario, ops: &'a [Op], how: How, assumed: Written) -> Self {
        Self {
            scenario,
            ops,
            how,
            written: assumed.clone(),
            assumed,
            children: HashMap::new(),
            lasting: HashSet::new(),
            stack: Vec::new(),
            crashes: Vec::new(),
            runs: 0,
            wrong: None,
        }
    }

    fn follow_all(&mut self) {
        let mut world = World::begin(self.scenario, self.ops);
        world.look_around();
        self.follow(world, Vec::new(), None);
        while self.wrong.is_none()
            && let Some(Fork { mut path, traces, mut others }) = self.stack.pop()
        {
            let Some(other) = others.pop() else { continue };
            let mut world = self.replay(&path, traces.clone());
            let came_from = Some((world.number(), other));
            self.stack.push(Fork { path: path.clone(), traces, others });
            world.step(other);
            path.push(other);
            self.follow(world, path, came_from);
        }
    }

    fn crash_everywhere(&mut self) {
        while self.wrong.is_none()
            && let Some(path) = self.crashes.pop()
        {
            let wrong = self.replay(&path, Traces::default()).crash();
            self.complain(&path, "and a crash", wrong);
        }
    }

    fn replay(&mut self, path: &[usize], traces: Traces) -> World {
        self.runs += 1;
        let mut world = World::begin(self.scenario, self.ops);
        world.repeat(path, traces);
        world
    }

    /// Follows one schedule until it meets a state that is known, and remembers where it could have gone otherwise.
    fn follow(&mut self, mut world: World, mut path: Vec<usize>, mut came_from: Option<(u64, usize)>) {
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
            if may_step.is_empty() {
                return self.complain(&path, "to the end", world.end());
            }
            self.written.extend(may_step.iter().filter_map(|at| world.next_write(*at)));
            let by_itself = may_step.iter().find(|at| !self.how.whole && world.is_by_itself(**at, &self.assumed));
            let first = *by_itself.unwrap_or(&may_step[0]);
            let traces = world.traces();
            let elsewhere = world.step(first);
            if elsewhere || by_itself.is_none() {
                let others = may_step.into_iter().filter(|at| *at != first).collect();
                self.stack.push(Fork { path: path.clone(), traces, others });
            }
            came_from = Some((number, first));
            path.push(first);
        }
    }

    fn complain(&mut self, path: &[usize], how: &str, wrong: Vec<String>) {
        if !wrong.is_empty() {
            let wrong: BTreeSet<String> = wrong.into_iter().collect();
            let wrong: Vec<String> = wrong.into_iter().collect();
            self.wrong = Some(format!("steps of {path:?} {how}:\n  {}", wrong.join("\n  ")));
        }
    }

    fn count(&self) -> Count {
        let mut reached: BTreeSet<u64> = self.children.values().flat_map(BTreeMap::values).copied().collect();
        let all: BTreeSet<u64> = self.children.keys().copied().collect();
        reached = all.difference(&reached).copied().collect();
        let root = reached.first().copied().unwrap_or_default();
        let (schedules, points) = self.count_from(root, &mut HashMap::new());
        Count {
            selections: 1,
            schedules,
            points: if self.how.crash { points } else { 0.0 },
            states: self.children.len(),
            lasting: self.lasting.len(),
            runs: self.runs,
        }
    }

    /// How many schedules lead from a state to an end, and through how many points they go.
    fn count_from(&self, from: u64, counted: &mut HashMap<u64, (f64, f64)>) -> (f64, f64) {
        if let Some(known) = counted.get(&from) {
            return *known;
        }
        let children = &self.children[&from];
        let (mut ends, mut points) = (0.0, 1.0);
        for child in children.values() {
            let (more_ends, more_points) = self.count_from(*child, counted);
            ends += more_ends;
            points += more_points;
        }
        let count = (if children.is_empty() { 1.0 } else { ends }, points);
        counted.insert(from, count);
        count
    }
}

//! All interleavings of two and three operations at the granularity of single store operations, with one crash between
//! any two of them, keep the promises.
#![expect(clippy::print_stdout, reason = "how much was gone through is part of what the test says")]

mod explore_support;

use std::collections::BTreeSet;

use explore_support::{
    life::with_clocks_stopped,
    ops::Op,
    scenarios::{self, Scenario},
    search::{Count, How, explore},
};

/// All selections of so many operations, each as often as it stands in the list.
fn selections(ops: &[Op], of: usize) -> BTreeSet<Vec<Op>> {
    if of == 0 {
        return BTreeSet::from([Vec::new()]);
    }
    let mut all = BTreeSet::new();
    for (at, op) in ops.iter().enumerate() {
        for mut selection in selections(&ops[at + 1..], of - 1) {
            selection.push(*op);
            selection.sort();
            all.insert(selection);
        }
    }
    all
}

/// Explores selections of operations of the scenarios; panics with all that went wrong.
fn explore_all(scenarios: &[Scenario], how: How, select: impl Fn(&Scenario) -> BTreeSet<Vec<Op>>) {
    let mut wrong = Vec::new();
    let mut all = Count::default();
    for scenario in scenarios {
        let mut count = Count::default();
        for selection in select(scenario) {
            match with_clocks_stopped(|| explore(scenario, &selection, how)) {
                Ok(more) => count += more,
                Err(error) => wrong.push(error),
            }
        }
        println!("{}: {count:?}", scenario.name);
        all += count;
    }
    println!("in all, {how:?}: {all:?}");
    assert!(wrong.is_empty(), "{} selections break promises:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn two_operations_with_a_crash_anywhere() {
    explore_all(scenarios::ALL, How { crash: true, whole: true }, |scenario| selections(scenario.ops, 2));
}

#[test]
#[ignore = "every selection of three takes hours: cargo test --release -p payrig-server --test explore -- --ignored"]
fn three_operations_with_a_crash_anywhere() {
    explore_all(scenarios::ALL, How { crash: true, whole: false }, |scenario| selections(scenario.ops, 3));
}

//! All interleavings of two and three operations at the granularity of single store operations, with one crash between
//! any two of them, keep the promises.

mod explore_support;

use std::collections::BTreeSet;

use explore_support::{
    ops::Op,
    scenarios,
    search::{Count, Fault, explore},
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

/// Explores every selection of every scenario; panics with all that went wrong.
fn explore_all(of: usize, fault: Fault) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    // Within it the clocks stand still; its scheduler is not used.
    let _within = runtime.enter();
    let mut wrong = Vec::new();
    let mut all = Count::default();
    for scenario in scenarios::ALL {
        let mut count = Count::default();
        for selection in selections(scenario.ops, of) {
            match explore(scenario, &selection, fault) {
                Ok(more) => count += more,
                Err(error) => wrong.push(error),
            }
        }
        println!("{of} operations, {fault:?}, {}: {count:?}", scenario.name);
        all += count;
    }
    println!("{of} operations, {fault:?}: {all:?}");
    assert!(wrong.is_empty(), "{} selections break promises:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn two_operations_with_a_crash_anywhere() {
    explore_all(2, Fault::Crash);
}

#[test]
fn three_operations_with_a_crash_anywhere() {
    explore_all(3, Fault::Crash);
}

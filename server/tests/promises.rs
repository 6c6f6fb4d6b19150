//! Random interleavings of many operations on the durable store, with crashes and restarts between any two store
//! operations, keep the promises. Where the explorer goes through everything that two operations can do to each other in
//! memory, this takes samples of more: two to eight at a time, several lives of the server, the real store and ledger.

mod explore_support;
mod promises_support;

use std::{cell::RefCell, env, fmt::Write as _};

use explore_support::life::with_clocks_stopped;
use promises_support::{
    story::{Story, story},
    world::{Count, tell},
};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// How many stories are told, if not the default.
const CASES: &str = "PAYRIG_PROMISES_CASES";
/// The seed of an earlier run, to tell its stories again; only where a hurried write is answered at once, which is the
/// disk's affair, may the steps after it fall otherwise.
const SEED: &str = "PAYRIG_PROMISES_SEED";
/// So many take less than a minute on two cores.
const DEFAULT_CASES: u32 = 128;

fn number<T: std::str::FromStr>(variable: &str) -> Option<T> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")))
}

fn keeps_its_promises(story: &Story, count: &RefCell<Count>) -> Result<(), TestCaseError> {
    let (mut wrong, more) = tell(story);
    *count.borrow_mut() += more;
    wrong.sort();
    wrong.dedup();
    if wrong.is_empty() { Ok(()) } else { Err(TestCaseError::fail(format!("\n  {}", wrong.join("\n  ")))) }
}

#[test]
fn random_stories_with_crashes_keep_the_promises() {
    let cases = number(CASES).unwrap_or(DEFAULT_CASES);
    let seed = number(SEED).unwrap_or_else(rand::random::<u64>);
    println!("{cases} cases of seed {seed} ({CASES}, {SEED})");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_time: 60_000,
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let count = RefCell::new(Count::default());
    let told = with_clocks_stopped(|| runner.run(&story(), |story| keeps_its_promises(&story, &count)));
    let count = count.into_inner();
    println!("{count:?}");
    if let Err(error) = told {
        let mut text = String::new();
        let _ = write!(text, "{error}");
        panic!("with {SEED}={seed} {CASES}={cases}: {text}");
    }
    let happened = count.midway > 0
        && count.paid > 0
        && count.announced > 0
        && count.shipped > 0
        && count.closed > 0
        && count.later_slots > 0;
    assert!(happened || cases < DEFAULT_CASES, "in {cases} cases of seed {seed} nothing much came to pass: {count:?}");
}

//! The contract of the result cache, on every backend.
#![expect(clippy::print_stdout, reason = "the cases are tests, of a harness of their own; seeds are printed")]

mod contract_support;
#[cfg(feature = "redis")]
mod redis_support;

use std::{sync::Arc, time::Duration};

use contract_support::{Backend, Opened, cases, in_time, open, settle};
use payrig_api::TaskState;
use payrig_server::{
    cache::{Cache, Entry, KEPT, KEPT_SHOWN, ResultCache as _, memory::MemoryCache},
    model::{OpenTask, Outcome, OutcomeState, Stages, TaskId, TaskView, Version},
    runner,
};
use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

/// Newer than any view.
const NEWEST: Version = Version::settled(u8::MAX);
/// How many entries the backends that are bounded are opened for.
const CAPACITY: usize = 8;
/// How long before an entry may go it is looked at.
const EARLY: Duration = Duration::from_secs(2);
/// An entry may stay a little longer than it has to.
const GRAIN: Duration = Duration::from_secs(2);

fn main() {
    let backends = [
        Backend {
            name: "memory",
            missing: None,
            open: |time| {
                let cache = MemoryCache::new(CAPACITY);
                let evicting = cache.clone();
                let evictions = tokio::spawn(async move { evicting.run_evictions().await });
                Opened::new(Cache::Memory(cache), time, evictions)
            },
        },
        #[cfg(feature = "redis")]
        Backend {
            name: "redis",
            missing: redis_support::missing(&redis_support::single()),
            open: |time| redis(&redis_support::single(), time),
        },
        #[cfg(feature = "redis")]
        Backend {
            name: "redis_cluster",
            missing: redis_support::missing(&redis_support::cluster()),
            open: |time| redis(&redis_support::cluster(), time),
        },
    ];
    let cases = cases![
        Threads: newer_versions_replace_older_ones_whatever_their_order, the_newest_survives_a_race, later_facts_stay,
            many_are_kept_at_once, what_is_evicted_is_gone, what_is_newer_is_not_evicted, a_full_cache_never_brings_back_what_is_older;
        Clock: a_final_entry_goes_after_it_was_shown, an_entry_that_is_not_final_is_not_hurried,
            everything_goes_after_its_last_change, a_newer_round_after_a_shown_end_stays, many_go_in_time;
    ];
    contract_support::main("cache", &backends, &cases);
}

/// A cache in a place of its own. Its server's clock goes on, so it is told when more time has passed.
#[cfg(feature = "redis")]
fn redis(server: &str, time: contract_support::Time) -> Opened<Cache> {
    use contract_support::Time;
    if time == Time::Paused {
        tokio::time::resume();
    }
    let place = redis_support::Place::fresh(server);
    let cache = redis_support::cache(&place.url);
    let under_way = cache.clone();
    Opened::new(Cache::Redis(cache), Time::Real, ()).with_passing(move |time| {
        let (place, under_way) = (place.clone(), under_way.clone());
        Box::pin(async move {
            while under_way.in_flight() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            place.pass(time).await;
        })
    })
}

/// Views of a task in the order of their versions, oldest first.
fn versions(open: &Arc<OpenTask>) -> Vec<TaskView> {
    let mut versions = Vec::new();
    for round in 1..=3_u8 {
        let before = round - 1;
        let open = OpenTask { round, attempts_before: before, ..OpenTask::clone(open) };
        versions.push(TaskView::queued(&open));
        versions.push(TaskView::working(&open, TaskState::Running, round, 1, None));
        versions.push(TaskView::working(&open, TaskState::Retrying, round, 1, None));
        versions.extend(TaskView::settled(&outcome(&open), None, None));
    }
    versions
}

fn outcome(open: &OpenTask) -> Outcome {
    runner::outcome(
        open,
        OutcomeState::Failed,
        open.round,
        None,
        5,
        payrig_server::queue::Progress { started_at_us: Some(1), stages: Stages::default(), history: Vec::new() },
    )
}

fn entry(view: &TaskView, fact_at_us: u64) -> Entry {
    Entry { view: Arc::new(view.clone()), fact_at_us }
}

async fn put(cache: &Cache, view: &TaskView, fact_at_us: u64) {
    cache.put(entry(view, fact_at_us)).await.expect("the cache answers");
}

async fn get(cache: &Cache, task: TaskId) -> Option<Entry> {
    cache.get(task).await.expect("the cache answers")
}

/// What is there, as round, state and attempt.
async fn there(cache: &Cache, task: TaskId) -> Option<(u8, TaskState, u8)> {
    get(cache, task).await.map(|entry| (entry.view.round, entry.view.state, entry.view.attempt))
}

fn gist(view: &TaskView) -> Option<(u8, TaskState, u8)> {
    Some((view.round, view.state, view.attempt))
}

async fn newer_versions_replace_older_ones_whatever_their_order(opened: Opened<Cache>) {
    let cache = &opened.seam;
    let open = open("o");
    let (task, versions) = (open.task.task_id, versions(&open));
    assert!(get(cache, task).await.is_none());
    for (at, first) in versions.iter().enumerate() {
        for (then, second) in versions.iter().enumerate() {
            cache.evict(task, NEWEST).await.expect("the cache answers");
            put(cache, first, 1).await;
            put(cache, second, 2).await;
            let newer = &versions[at.max(then)];
            assert_eq!(there(cache, task).await, gist(newer), "{:?}, then {:?}", gist(first), gist(second));
        }
    }
}

async fn the_newest_survives_a_race(opened: Opened<Cache>) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let open = open("o");
    let (task, versions) = (open.task.task_id, versions(&open));
    for _ in 0..100 {
        opened.seam.evict(task, NEWEST).await.expect("the cache answers");
        let mut writers = Vec::new();
        for _ in 0..4 {
            let mut mine = versions.clone();
            mine.shuffle(&mut random);
            let cache = opened.seam.clone();
            writers.push(tokio::spawn(async move {
                let mut seen = None;
                for view in &mine {
                    put(&cache, view, 1).await;
                    let now = get(&cache, task).await.map(|entry| entry.view.version());
                    assert!(now >= seen && now >= Some(view.version()), "it went back (seed {seed})");
                    seen = now;
                }
            }));
        }
        for writer in writers {
            in_time("a race of writers", writer).await.expect("no writer panics");
        }
        assert_eq!(there(&opened.seam, task).await, versions.last().and_then(gist), "seed {seed}");
    }
}

async fn later_facts_stay(opened: Opened<Cache>) {
    let cache = &opened.seam;
    let open = open("o");
    let (task, versions) = (open.task.task_id, versions(&open));
    for (fact_at_us, expected) in [(10, 10), (30, 30), (20, 30), (30, 30), (31, 31)] {
        put(cache, &versions[1], fact_at_us).await;
        assert_eq!(get(cache, task).await.map(|entry| entry.fact_at_us), Some(expected));
    }
    put(cache, &versions[0], 99).await;
    assert_eq!(get(cache, task).await.map(|entry| entry.fact_at_us), Some(31), "an older version is no fact");
    put(cache, &versions[2], 5).await;
    assert_eq!(get(cache, task).await.map(|entry| entry.fact_at_us), Some(5), "a newer version brings its own");
}

async fn what_is_evicted_is_gone(opened: Opened<Cache>) {
    let cache = &opened.seam;
    let (one, other) = (open("o-1"), open("o-2"));
    put(cache, &TaskView::queued(&one), 1).await;
    put(cache, &TaskView::queued(&other), 1).await;
    cache.evict(one.task.task_id, NEWEST).await.expect("the cache answers");
    cache.evict(one.task.task_id, NEWEST).await.expect("the cache answers");
    assert!(get(cache, one.task.task_id).await.is_none());
    assert!(get(cache, other.task.task_id).await.is_some());
}

async fn what_is_newer_is_not_evicted(opened: Opened<Cache>) {
    let cache = &opened.seam;
    let open = open("o");
    let (task, versions) = (open.task.task_id, versions(&open));
    for (at, stored) in versions.iter().enumerate() {
        for (then, there) in versions.iter().enumerate() {
            put(cache, there, 1).await;
            cache.evict(task, stored.version()).await.expect("the cache answers");
            assert_eq!(get(cache, task).await.is_some(), then > at, "{:?}, then {:?}", gist(stored), gist(there));
            cache.evict(task, NEWEST).await.expect("the cache answers");
        }
    }
}

async fn many_are_kept_at_once(opened: Opened<Cache>) {
    let cache = &opened.seam;
    let opens: Vec<_> = (0..CAPACITY).map(|number| open(&number.to_string())).collect();
    put(cache, &versions(&opens[1])[3], 1).await;
    // The second is older than what is there, and the third comes twice.
    let mut entries: Vec<Entry> = opens.iter().map(|open| entry(&versions(open)[1], 1)).collect();
    entries.insert(2, entry(&versions(&opens[2])[2], 1));
    cache.put_all(entries).await.expect("the cache answers");
    for (number, open) in opens.iter().enumerate() {
        let expected = match number {
            1 => 3,
            2 => 2,
            _ => 1,
        };
        assert_eq!(there(cache, open.task.task_id).await, gist(&versions(open)[expected]), "entry {number}");
    }
    cache.put_all(Vec::new()).await.expect("nothing is kept easily");
}

/// A bounded backend makes room by letting others go, never by forgetting what it has just been told is newer.
async fn a_full_cache_never_brings_back_what_is_older(opened: Opened<Cache>) {
    let cache = &opened.seam;
    let opens: Vec<_> = (0..CAPACITY).map(|number| open(&number.to_string())).collect();
    for open in &opens {
        put(cache, &versions(open)[3], 1).await;
    }
    for open in &opens {
        let before = there(cache, open.task.task_id).await;
        put(cache, &versions(open)[1], 2).await;
        let after = there(cache, open.task.task_id).await;
        assert!(before.is_none() || after == before, "{before:?} became {after:?}");
    }
    for number in 0..10 * CAPACITY {
        let open = open(&number.to_string());
        put(cache, &TaskView::queued(&open), 1).await;
        assert!(get(cache, open.task.task_id).await.is_some(), "what came last is there");
    }
    let entries = cache.stats().entries;
    assert!(entries.is_none_or(|entries| entries <= CAPACITY), "{entries:?}");
}

async fn a_final_entry_goes_after_it_was_shown(opened: Opened<Cache>) {
    let cache = &opened.seam;
    let open = open("o");
    let (task, versions) = (open.task.task_id, versions(&open));
    put(cache, &versions[3], 1).await;
    opened.pass(Duration::from_secs(3)).await;
    cache.shown_final(task).await.expect("the cache answers");
    opened.pass(KEPT_SHOWN - EARLY).await;
    // A late writer does not bring an older one back meanwhile, and being shown again does not keep it.
    put(cache, &versions[1], 2).await;
    cache.shown_final(task).await.expect("the cache answers");
    assert_eq!(there(cache, task).await, gist(&versions[3]));
    opened.pass(EARLY + GRAIN).await;
    assert_eq!(there(cache, task).await, None);
}

async fn an_entry_that_is_not_final_is_not_hurried(opened: Opened<Cache>) {
    let cache = &opened.seam;
    let open = open("o");
    let (task, versions) = (open.task.task_id, versions(&open));
    put(cache, &versions[1], 1).await;
    cache.shown_final(task).await.expect("the cache answers");
    opened.pass(KEPT_SHOWN + GRAIN).await;
    assert_eq!(there(cache, task).await, gist(&versions[1]));
}

async fn everything_goes_after_its_last_change(opened: Opened<Cache>) {
    let cache = &opened.seam;
    let open = open("o");
    let (task, versions) = (open.task.task_id, versions(&open));
    for version in &versions[..4] {
        put(cache, version, 1).await;
        opened.pass(KEPT - EARLY).await;
        assert_eq!(there(cache, task).await, gist(version), "each change lets it live on");
    }
    // The same again, or an older one, is no change.
    put(cache, &versions[3], 2).await;
    put(cache, &versions[0], 3).await;
    opened.pass(EARLY + GRAIN).await;
    assert_eq!(there(cache, task).await, None);
    // Shown late, it does not stay longer than it would have.
    put(cache, &versions[3], 1).await;
    opened.pass(KEPT - Duration::from_secs(3)).await;
    cache.shown_final(task).await.expect("the cache answers");
    opened.pass(Duration::from_secs(3) + GRAIN).await;
    assert_eq!(there(cache, task).await, None);
}

async fn a_newer_round_after_a_shown_end_stays(opened: Opened<Cache>) {
    let cache = &opened.seam;
    let open = open("o");
    let (task, versions) = (open.task.task_id, versions(&open));
    put(cache, &versions[3], 1).await;
    cache.shown_final(task).await.expect("the cache answers");
    opened.pass(Duration::from_secs(8)).await;
    put(cache, &versions[4], 2).await;
    opened.pass(KEPT_SHOWN + GRAIN).await;
    assert_eq!(there(cache, task).await, gist(&versions[4]), "the next round has its own time");
    put(cache, &versions[7], 3).await;
    cache.shown_final(task).await.expect("the cache answers");
    opened.pass(KEPT_SHOWN + GRAIN).await;
    assert_eq!(there(cache, task).await, None);
}

/// Entries that come at different times go at theirs: none waits behind another.
async fn many_go_in_time(opened: Opened<Cache>) {
    let cache = &opened.seam;
    let opens: Vec<_> = (0..CAPACITY).map(|number| open(&number.to_string())).collect();
    for open in &opens {
        put(cache, &versions(open)[3], 1).await;
        opened.pass(Duration::from_secs(1)).await;
    }
    // Every second one is shown, the others have their whole time.
    for open in opens.iter().step_by(2) {
        cache.shown_final(open.task.task_id).await.expect("the cache answers");
    }
    opened.pass(KEPT_SHOWN + GRAIN).await;
    for (number, open) in opens.iter().enumerate() {
        assert_eq!(get(cache, open.task.task_id).await.is_some(), number % 2 == 1, "entry {number}");
    }
    opened.pass(KEPT).await;
    settle().await;
    let entries = cache.stats().entries;
    assert!(entries.is_none_or(|entries| entries == 0), "{entries:?} are left");
}

//! The result cache on a Redis that is slow, hangs, breaks connections, forgets, or is not there at all.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests of a harness of their own; seeds are printed")]

mod contract_support;
mod redis_support;
#[path = "redis_support/start.rs"]
mod start;
mod support;

use std::{sync::Arc, time::Duration};

use contract_support::open;
use fred::{
    interfaces::{ClientLike as _, KeysInterface as _, LuaInterface as _},
    types::{ClusterHash, CustomCommand, Value},
};
use libtest_mimic::{Arguments, Failed, Trial};
use payrig_api::TaskState;
use payrig_server::{
    cache::{Entry, KEPT, KEPT_SHOWN, ResultCache as _, redis::RedisCache},
    metrics::{Metrics, Named},
    model::{OpenTask, TaskId, TaskView, Version},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use redis_support::{
    Place, cluster, counted_cache, missing, outside,
    proxy::{Manners, Proxy},
    single,
};
use start::{a_node_of_a_cluster_is_no_redis, a_server_goes_on_without_it, what_is_wrong_at_start_is_said};

/// Nothing that is waited for may take longer.
const PATIENCE: Duration = Duration::from_secs(60);

macro_rules! trials {
    ($missing:expr; $($name:ident),+ $(,)?) => {
        vec![$(trial(concat!("redis::", stringify!($name)), $missing, $name),)+]
    };
}

fn main() {
    let (no_redis, no_cluster) = (missing(&single()), missing(&cluster()));
    let mut trials = trials![
        &no_redis;
        an_entry_of_another_version_is_a_miss_and_keeps_its_place,
        scripts_that_the_server_forgot_are_brought_again,
        a_repeated_command_does_no_harm,
        two_hundred_milliseconds_are_borne,
        a_redis_that_hangs_is_waited_for_once,
        resets_in_mid_command_lose_nothing_that_was_confirmed,
        a_flush_brings_nothing_older_back,
        what_it_was_away_for_is_asked_again,
        too_many_at_once_are_told_so,
        what_is_wrong_at_start_is_said,
        a_server_goes_on_without_it,
    ];
    trials.extend(trials![&no_cluster; a_node_of_a_cluster_is_no_redis, a_cluster_that_forgot_its_scripts_gets_them]);
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn trial(name: &'static str, missing: &Option<String>, run: fn()) -> Trial {
    let required = std::env::var_os("PAYRIG_REQUIRE_SERVICES").is_some_and(|value| value == "1");
    match missing {
        None => Trial::test(name, move || {
            run();
            Ok(())
        }),
        Some(why) if required => {
            let why = why.clone();
            Trial::test(name, move || Err(Failed::from(format!("it is required and not there: {why}"))))
        }
        Some(why) => Trial::test(format!("{name} (skipped: {why})"), || Ok(())).with_ignored_flag(true),
    }
}

/// A cache behind a proxy, and what is counted of it.
struct Behind {
    place: Place,
    proxy: Proxy,
    cache: RedisCache,
    metrics: Arc<Metrics>,
}

impl Behind {
    fn new() -> Self {
        let place = Place::fresh(&single());
        let proxy = Proxy::before(redis_support::address(&single()));
        let metrics = Arc::new(Metrics::new());
        let cache = counted_cache(&place.by_way_of(proxy.port), Arc::clone(&metrics)).unwrap();
        Self { place, proxy, cache, metrics }
    }

    fn errors(&self, name: &'static str) -> u64 {
        self.metrics.cache_errors.get_or_create(&Named { name }).get()
    }
}

/// Views of one task, each newer than the one before.
fn view(open: &Arc<OpenTask>, number: u8) -> Arc<TaskView> {
    let state = if number.is_multiple_of(2) { TaskState::Running } else { TaskState::Retrying };
    Arc::new(TaskView::working(open, state, number / 2 + 1, 1, None))
}

fn entry(view: &Arc<TaskView>, fact_at_us: u64) -> Entry {
    Entry { view: Arc::clone(view), fact_at_us }
}

/// Waits for something that has to come.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

async fn version(cache: &RedisCache, task: TaskId) -> Option<Version> {
    cache.get(task).await.unwrap().map(|entry| entry.view.version())
}

fn an_entry_of_another_version_is_a_miss_and_keeps_its_place() {
    let behind = Behind::new();
    outside(async move {
        let (cache, beside) = (&behind.cache, &behind.place.beside);
        let open = open("o");
        let (task, key) = (open.task.task_id, behind.place.key(open.task.task_id));
        cache.put(entry(&view(&open, 4), 7)).await.unwrap();
        // As a program of tomorrow would have written it: the header says the same, the body is anything.
        beside.setrange::<(), _, _>(&key, 0, "\u{2}").await.unwrap();
        assert!(cache.get(task).await.unwrap().is_none());
        assert_eq!(behind.metrics.cache_unreadable.get(), 1);
        // What is not newer does not replace it; of the same version the later fact is noted.
        cache.put(entry(&view(&open, 3), 8)).await.unwrap();
        cache.put(entry(&view(&open, 4), 9)).await.unwrap();
        assert!(cache.get(task).await.unwrap().is_none());
        let fact: Vec<u8> = beside.getrange(&key, 5, 12).await.unwrap();
        assert_eq!(fact, 9_u64.to_be_bytes());
        cache.evict(task, view(&open, 3).version()).await.unwrap();
        assert!(beside.exists::<bool, _>(&key).await.unwrap());
        // What is newer does.
        cache.put(entry(&view(&open, 5), 10)).await.unwrap();
        assert_eq!(version(cache, task).await, Some(view(&open, 5).version()));
        // What is no entry at all is replaced.
        beside.set::<(), _, _>(&key, "?", None, None, false).await.unwrap();
        assert!(cache.get(task).await.unwrap().is_none());
        cache.put(entry(&view(&open, 0), 1)).await.unwrap();
        assert_eq!(version(cache, task).await, Some(view(&open, 0).version()));
    });
}

fn scripts_that_the_server_forgot_are_brought_again() {
    forgotten_scripts(&single());
}

fn a_cluster_that_forgot_its_scripts_gets_them() {
    forgotten_scripts(&cluster());
}

fn forgotten_scripts(server: &str) {
    let place = Place::fresh(server);
    let cache = redis_support::cache(&place.url);
    outside(async move {
        for round in 0..3 {
            place.beside.script_flush_cluster(false).await.unwrap();
            for number in 0..20 {
                let open = open(&format!("{round}-{number}"));
                let task = open.task.task_id;
                cache.put(entry(&view(&open, 1), 1)).await.unwrap();
                assert_eq!(version(&cache, task).await, Some(view(&open, 1).version()));
                cache.evict(task, view(&open, 1).version()).await.unwrap();
                assert_eq!(version(&cache, task).await, None);
            }
        }
    });
}

/// Whoever is between may send a command again whose answer was lost, whatever has happened since.
fn a_repeated_command_does_no_harm() {
    let behind = Behind::new();
    outside(async move {
        let (cache, beside) = (&behind.cache, &behind.place.beside);
        let open = open("o");
        let (task, key) = (open.task.task_id, behind.place.key(open.task.task_id));
        let (old, new) = (view(&open, 2), view(&open, 3));
        cache.put(entry(&old, 5)).await.unwrap();
        cache.put(entry(&new, 6)).await.unwrap();
        let left: i64 = beside.pttl(&key).await.unwrap();
        for _ in 0..2 {
            cache.put(entry(&old, 5)).await.unwrap();
            cache.put(entry(&new, 6)).await.unwrap();
            cache.evict(task, old.version()).await.unwrap();
            cache.shown_final(task).await.unwrap();
            until("what was shown", || async { (cache.in_flight() == 0).then_some(()) }).await;
            let found = cache.get(task).await.unwrap().unwrap();
            assert_eq!((found.view.version(), found.fact_at_us), (new.version(), 6));
        }
        let still: i64 = beside.pttl(&key).await.unwrap();
        assert!(still <= left, "{still} ms of {left} ms");
        assert!(u128::try_from(still).unwrap() > KEPT_SHOWN.as_millis(), "not final, not hurried: {still} ms");
        assert!(u128::try_from(left).unwrap() <= KEPT.as_millis());
    });
}

fn two_hundred_milliseconds_are_borne() {
    let behind = Behind::new();
    behind.proxy.behave(Manners { latency: Duration::from_millis(200), ..Manners::default() });
    outside(async move {
        let cache = &behind.cache;
        let opens: Vec<_> = (0..200).map(|number| open(&number.to_string())).collect();
        for number in 0..3 {
            let entries = opens.iter().map(|open| entry(&view(open, number), 1)).collect();
            cache.put_all(entries).await.unwrap();
            let gets = opens.iter().map(|open| version(cache, open.task.task_id));
            let found = futures_util::future::join_all(gets).await;
            for (open, found) in opens.iter().zip(found) {
                assert_eq!(found, Some(view(open, number).version()));
            }
        }
        // Slow is not down. That many calls took a few round trips: they travelled together.
        assert_eq!(behind.metrics.cache_connections_lost.get(), 0);
        for name in ["timeout", "lost", "down", "busy", "refused"] {
            assert_eq!(behind.errors(name), 0, "{name}");
        }
    });
}

fn a_redis_that_hangs_is_waited_for_once() {
    let behind = Behind::new();
    outside(async move {
        let cache = &behind.cache;
        let open = open("o");
        let task = open.task.task_id;
        cache.put(entry(&view(&open, 1), 1)).await.unwrap();
        let trusted = cache.trusted_since_us();
        behind.proxy.behave(Manners { holds_back: true, ..Manners::default() });
        // Ten that find out together, then many that are told at once.
        let first = futures_util::future::join_all((0..10).map(|_| cache.get(task))).await;
        assert!(first.iter().all(Result::is_err));
        assert!(!cache.stats().up);
        for _ in 0..1_000 {
            assert!(cache.get(task).await.is_err());
            assert!(cache.put(entry(&view(&open, 2), 1)).await.is_err());
        }
        assert!(behind.errors("timeout") + behind.errors("lost") <= 10, "nobody else waited");
        assert!(behind.errors("down") >= 2_000);
        assert!(cache.trusted_since_us() > trusted);
        // Until the connection is given up for another, and beyond.
        until("the connection to be given up", || async {
            (behind.metrics.cache_connections_lost.get() > 0).then_some(())
        })
        .await;
        assert!(cache.get(task).await.is_err());
        behind.proxy.behave(Manners::default());
        let found = until("it to answer again", || async { cache.get(task).await.ok() }).await;
        assert_eq!(found.map(|entry| entry.view.version()), Some(view(&open, 1).version()));
        assert!(cache.stats().up);
    });
}

fn resets_in_mid_command_lose_nothing_that_was_confirmed() {
    let behind = Behind::new();
    outside(async move {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let cache = &behind.cache;
        let opens: Vec<_> = (0..16).map(|number| open(&number.to_string())).collect();
        let mut confirmed = vec![0_u8; opens.len()];
        for number in 1..=60 {
            behind.proxy.behave(Manners { resets_after: Some(random.random_range(1..6_000)), ..Manners::default() });
            if random.random_bool(0.3) {
                behind.proxy.cut();
            }
            let puts = opens.iter().map(|open| cache.put(entry(&view(open, number), u64::from(number))));
            for (at, kept) in futures_util::future::join_all(puts).await.into_iter().enumerate() {
                if kept.is_ok() {
                    confirmed[at] = number;
                }
            }
            let gets = opens.iter().map(|open| cache.get(open.task.task_id));
            for (at, found) in futures_util::future::join_all(gets).await.into_iter().enumerate() {
                // A put that was not confirmed may be there all the same.
                if let Ok(found) = found {
                    let found = found.map(|entry| entry.view.version());
                    let least = (confirmed[at] > 0).then(|| view(&opens[at], confirmed[at]).version());
                    assert!(found >= least, "task {at}: {found:?} after {least:?} (seed {seed})");
                    assert!(found <= Some(view(&opens[at], number).version()), "task {at} (seed {seed})");
                }
            }
            if !cache.stats().up {
                behind.proxy.behave(Manners { resets_after: Some(6_000), ..Manners::default() });
                until("a connection", || async { cache.stats().up.then_some(()) }).await;
            }
        }
        assert!(behind.proxy.resets() > 0, "nothing was reset (seed {seed})");
        behind.proxy.behave(Manners::default());
        for open in &opens {
            let newest = view(open, 61);
            until("a put", || async { cache.put(entry(&newest, 61)).await.ok() }).await;
            let found = until("an answer", || async { cache.get(open.task.task_id).await.ok() }).await;
            assert_eq!(found.map(|entry| entry.view.version()), Some(newest.version()), "seed {seed}");
        }
    });
}

/// In a database of its own, of which nobody else's entries go.
fn a_flush_brings_nothing_older_back() {
    let place = Place::fresh(&format!("{}/9", single().trim_end_matches("/0").trim_end_matches('/')));
    let cache = redis_support::cache(&place.url);
    outside(async move {
        let opens: Arc<Vec<_>> = Arc::new((0..8).map(|number| open(&number.to_string())).collect());
        let mut writers = Vec::new();
        for at in 0..opens.len() {
            let (cache, opens) = (cache.clone(), Arc::clone(&opens));
            writers.push(tokio::spawn(async move {
                let mut seen = None;
                for number in 0..200 {
                    cache.put(entry(&view(&opens[at], number), 1)).await.unwrap();
                    // It is there or it was flushed; what was there before never is.
                    if let Some(found) = version(&cache, opens[at].task.task_id).await {
                        assert!(Some(found) > seen, "{found:?} after {seen:?}");
                        seen = Some(found);
                    }
                }
                seen
            }));
        }
        let flushing = tokio::spawn(async move {
            let mut flushes = 0_u32;
            loop {
                let command = CustomCommand::new_static("FLUSHDB", ClusterHash::FirstKey, false);
                place.beside.custom::<(), Value>(command, Vec::new()).await.unwrap();
                flushes += 1;
                if flushes > 1_000_000 {
                    return;
                }
            }
        });
        for writer in writers {
            writer.await.unwrap();
        }
        flushing.abort();
    });
}

/// An entry that was there before an outage is older than what was shown from the store meanwhile.
fn what_it_was_away_for_is_asked_again() {
    let behind = Behind::new();
    outside(async move {
        let cache = &behind.cache;
        let before = cache.trusted_since_us();
        behind.proxy.cut();
        until("the connection to be lost", || async {
            (behind.metrics.cache_connections_lost.get() > 0).then_some(())
        })
        .await;
        // Nobody has asked for anything meanwhile, and still it is noticed.
        until("another", || async { cache.stats().up.then_some(()) }).await;
        assert!(cache.trusted_since_us() > before);
        let trusted = cache.trusted_since_us();
        assert!(cache.get(open("o").task.task_id).await.unwrap().is_none());
        assert_eq!(cache.trusted_since_us(), trusted, "an answer changes nothing");
    });
}

fn too_many_at_once_are_told_so() {
    let behind = Behind::new();
    outside(async move {
        let cache = &behind.cache;
        let opens: Vec<_> = (0..5_000).map(|number| open(&number.to_string())).collect();
        // All are asked before the first is answered.
        let asked = opens.iter().map(|open| cache.get(open.task.task_id));
        let answers = futures_util::future::join_all(asked).await;
        let refused = answers.iter().filter(|answer| answer.is_err()).count();
        assert!(refused > 0, "there is a bound");
        assert_eq!(u64::try_from(refused).unwrap(), behind.errors("busy"));
        assert!(cache.stats().up);
        assert!(cache.get(opens[0].task.task_id).await.unwrap().is_none(), "there is room again");
    });
}

//! Kills a program that inserts and deletes under load, takes the power from its disk as well, and looks whether all
//! that it acknowledged is there.
//!
//! The program is this test binary, run again with an environment variable. `PAYRIG_POWER_CUTS` sets how many times it
//! is killed (more is a longer hunt), `PAYRIG_SEED` repeats a run's choices.

mod powercut;

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::ops::Bound;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use payrig_commit::{Entry, GroupCommit, Options, Space, Value};
use powercut::{Cut, PowerCut, Random};

const SPACES: [&str; 3] = ["tasks", "keys", "slots"];
const TASKS: Space = Space(0);
const KEYS: Space = Space(1);
const SLOTS: Space = Space(2);

/// Set for the program: its folder, the first id to use, how many ids, and whether some documents are large.
const CHILD: &str = "PAYRIG_POWER_CUT_CHILD";

/// Tasks that insert at the same time.
const LOAD: u64 = 32;

/// What is known of the group with an id, from what the program said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// So many of its three entries went in.
    Inserted(usize),
    /// Its deletion began; nobody knows how it ended.
    Deleting(usize),
    Deleted(usize),
}

type Acknowledged = BTreeMap<u64, Known>;

// === the program ===

fn open(dir: &Path) -> GroupCommit {
    let options = Options { memtable_bytes: 1 << 20, memory_bytes: 16 << 20, ..Options::default() };
    GroupCommit::open(dir, &SPACES, options).expect("opens")
}

fn content(id: u64) -> Vec<u8> {
    let mut random = Random(id);
    let length = 8 + if random.below(10) == 0 { random.below(60_000) } else { random.below(600) };
    let words = (0..length / 8).flat_map(|_| random.next().to_be_bytes());
    id.to_be_bytes().into_iter().chain(words).collect()
}

fn scattered(id: u64) -> [u8; 8] {
    Random(id).next().to_be_bytes()
}

/// A task, its key, and a slot for which the next id competes.
fn group(id: u64) -> Vec<Entry> {
    let entry = |space, key: [u8; 8]| Entry { space, key: key.to_vec(), value: content(id) };
    vec![entry(TASKS, id.to_be_bytes()), entry(KEYS, scattered(id)), entry(SLOTS, (id / 2).to_be_bytes())]
}

/// One line, in one write: a line is there or not.
fn say(line: &str) {
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).expect("somebody listens");
}

/// Not a test: the program that is killed.
#[test]
fn child() {
    let Ok(arguments) = env::var(CHILD) else { return };
    let mut arguments = arguments.splitn(3, ' ');
    let mut number = || arguments.next().expect("a number").parse::<u64>().expect("a number");
    let (first, count) = (number(), number());
    let store = open(Path::new(arguments.next().expect("a folder")));
    say("ready");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let next = std::sync::Arc::new(AtomicU64::new(first));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..LOAD {
            let (store, next) = (store.clone(), next.clone());
            tasks.spawn(async move {
                loop {
                    let id = next.fetch_add(1, Relaxed);
                    if id >= first + count {
                        return;
                    }
                    let taken = store.insert(vec![group(id)]).await.expect("inserts")[0];
                    say(&format!("inserted {id} {taken}"));
                    if id % 7 == 0 {
                        say(&format!("deleting {id} {taken}"));
                        let keys = vec![(TASKS, id.to_be_bytes().to_vec()), (KEYS, scattered(id).to_vec())];
                        assert_eq!(store.delete(keys).await.expect("deletes"), [true, true]);
                        say(&format!("deleted {id} {taken}"));
                    }
                }
            });
        }
        tasks.join_all().await;
        store.close().await.expect("closes");
        say("closed");
    });
}

// === the test ===

fn start(power: &PowerCut, dir: &Path, first: u64, count: u64) -> Child {
    let mut command = Command::new(env::current_exe().expect("has a path"));
    command.args(["--exact", "child", "--nocapture"]).env(CHILD, format!("{first} {count} {}", dir.display()));
    power.arm(command).stdout(Stdio::piped()).spawn().expect("starts")
}

/// Kills the program `after` it was ready, and returns what it had said by then.
fn kill(mut child: Child, after: Duration, wait_for_ready: bool) -> String {
    let mut said = String::new();
    let mut output = BufReader::new(child.stdout.take().expect("is piped"));
    while wait_for_ready && !said.contains("ready") {
        assert_ne!(output.read_line(&mut said).expect("is text"), 0, "it ended: {said}");
    }
    let reader = std::thread::spawn(move || {
        output.read_to_string(&mut said).expect("is text");
        said
    });
    std::thread::sleep(after);
    child.kill().expect("is there");
    child.wait().expect("ends");
    reader.join().expect("reads")
}

fn learn(acknowledged: &mut Acknowledged, said: &str) {
    for line in said.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let words: Vec<_> = line.split_whitespace().collect();
        let (id, taken) = match words[..] {
            [_, id, taken] => match (id.parse(), taken.parse()) {
                (Ok(id), Ok(taken)) => (id, taken),
                _ => continue,
            },
            _ => continue,
        };
        let known = match words[0] {
            "inserted" => Known::Inserted(taken),
            "deleting" => Known::Deleting(taken),
            "deleted" => Known::Deleted(taken),
            _ => continue,
        };
        acknowledged.insert(id, known);
    }
}

/// Whatever was acknowledged is there, groups are whole, and what was decided is decided.
fn check(dir: &Path, acknowledged: &Acknowledged) {
    let store = open(dir);
    let get = |space, key: &[u8]| store.get(space, key).expect("reads");
    for (&id, known) in acknowledged {
        let (task, key) = (get(TASKS, &id.to_be_bytes()), get(KEYS, &scattered(id)));
        let there = (task.is_some(), key.is_some());
        match known {
            Known::Inserted(_) => assert_eq!(there, (true, true), "{id} was acknowledged and is lost"),
            Known::Deleted(_) => assert_eq!(there, (false, false), "{id} was deleted and is back"),
            Known::Deleting(_) => assert_eq!(there.0, there.1, "the deletion of {id} is torn"),
        }
        let slot = get(SLOTS, &(id / 2).to_be_bytes()).expect("a slot is never given back");
        let (Known::Inserted(taken) | Known::Deleting(taken) | Known::Deleted(taken)) = *known;
        assert_eq!(*slot == *content(id), taken == 3, "whose slot {} is was decided", id / 2);
    }
    let all = |space| store.range(space, Bound::Unbounded, Bound::Unbounded, usize::MAX).expect("reads");
    let id_of = |value: &Value| u64::from_be_bytes(value[..8].try_into().expect("8 bytes"));
    for (key, value) in all(TASKS) {
        let id = id_of(&value);
        assert_eq!((&*key, &*value), (&id.to_be_bytes()[..], &content(id)[..]));
        assert!(get(KEYS, &scattered(id)).is_some_and(|value| *value == *content(id)), "group {id} is torn");
        assert!(get(SLOTS, &(id / 2).to_be_bytes()).is_some(), "group {id} is torn");
    }
    for (key, value) in all(KEYS) {
        let id = id_of(&value);
        assert_eq!(*key, scattered(id));
        assert!(get(TASKS, &id.to_be_bytes()).is_some(), "group {id} is torn");
    }
    for (key, value) in all(SLOTS) {
        assert_eq!((id_of(&value) / 2).to_be_bytes(), *key);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let stored = acknowledged.iter().filter(|(_, known)| matches!(known, Known::Inserted(_)));
    let ids: Vec<_> = stored.map(|(&id, _)| id).take(1000).collect();
    let again = runtime.block_on(store.insert(ids.iter().map(|&id| group(id)).collect())).expect("inserts");
    assert!(again.iter().all(|&taken| taken == 0), "something went in twice");
    runtime.block_on(store.close()).expect("closes");
}

fn seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let seed = env::var("PAYRIG_SEED").map_or(now, |seed| seed.parse().expect("a number"));
    eprintln!("PAYRIG_SEED={seed}");
    seed
}

fn cuts(default: u64) -> u64 {
    env::var("PAYRIG_POWER_CUTS").map_or(default, |cuts| cuts.parse().expect("a number"))
}

/// Each life goes on from what the cut before has left.
#[test]
fn what_was_acknowledged_survives_power_cuts() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut random = Random(seed());
    let mut acknowledged = Acknowledged::new();
    let mut data = dir.path().join("data");
    for life in 0..cuts(4) {
        let power = PowerCut::new(&data, &dir.path().join("work")).expect("watches");
        let after = Duration::from_millis(random.below(700));
        let said = kill(start(&power, &data, (life + 1) << 32, 1 << 30), after, true);
        let before = acknowledged.len();
        learn(&mut acknowledged, &said);
        let unsynced = power.unsynced_bytes().expect("replays");
        eprintln!("life {life}: {after:?}, {} acknowledged, {unsynced} B unsynced", acknowledged.len() - before);
        let seeds: [_; 4] = std::array::from_fn(|_| Cut::Random { seed: random.next() });
        for (number, cut) in [Cut::Synced, Cut::Written].into_iter().chain(seeds).enumerate() {
            let copy = dir.path().join(format!("life-{life}-{number}"));
            power.cut(cut, &copy).expect("cuts");
            eprintln!("life {life}: {cut:?}");
            check(&copy, &acknowledged);
            // What was open is known now, and the next life starts there.
            let store = open(&copy);
            if number == 5 {
                for (id, known) in &mut acknowledged {
                    if let Known::Deleting(taken) = *known {
                        let there = store.get(TASKS, &id.to_be_bytes()).expect("reads").is_some();
                        *known = if there { Known::Inserted(taken) } else { Known::Deleted(taken) };
                    }
                }
                drop(store);
                data = copy;
            } else {
                drop(store);
                std::fs::remove_dir_all(&copy).expect("removes");
            }
        }
    }
}

/// Killed while the database is made: either it is there, or it can be made again.
#[test]
fn the_first_start_survives_power_cuts() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut random = Random(seed());
    for life in 0..cuts(8) {
        let data = dir.path().join(format!("data-{life}"));
        let power = PowerCut::new(&data, &dir.path().join("work")).expect("watches");
        let said = kill(start(&power, &data, 0, 1 << 30), Duration::from_micros(random.below(60_000)), false);
        let mut acknowledged = Acknowledged::new();
        learn(&mut acknowledged, &said);
        if !dir.path().join("work").join("log").exists() {
            continue;
        }
        for (number, cut) in [Cut::Synced, Cut::Random { seed: random.next() }].into_iter().enumerate() {
            let copy = dir.path().join(format!("copy-{life}-{number}"));
            power.cut(cut, &copy).expect("cuts");
            eprintln!("life {life}: {cut:?}, {} acknowledged", acknowledged.len());
            check(&copy, &acknowledged);
        }
    }
}

/// The harness sees all that is written, and a program that closes leaves nothing unsynced that matters.
#[test]
fn the_log_tells_all_that_was_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let power = PowerCut::new(&data, &dir.path().join("work")).expect("watches");
    let mut child = start(&power, &data, 0, 20_000);
    let mut said = String::new();
    child.stdout.take().expect("is piped").read_to_string(&mut said).expect("is text");
    assert!(child.wait().expect("ends").success());
    assert!(said.contains("closed"));
    power.check().expect("the log tells all");
    let mut acknowledged = Acknowledged::new();
    learn(&mut acknowledged, &said);
    assert_eq!(acknowledged.len(), 20_000);
    let copy = dir.path().join("copy");
    power.cut(Cut::Synced, &copy).expect("cuts");
    check(&copy, &acknowledged);
}

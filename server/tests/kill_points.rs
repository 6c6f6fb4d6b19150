//! `kill -9` of a real process before each store operation on the way from a paid notice to the end of its announcement,
//! and what the next start makes of what is left on disk.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dispatch_support;

use std::{
    collections::BTreeSet,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    pin::Pin,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dispatch_support::{all, all_done, awaiting, learnt, parts, payment_no};
use payrig_server::{
    dispatch,
    model::Collection,
    notice,
    store::{
        Store,
        embedded::EmbeddedStore,
        gate::{Gate, Touch},
    },
    sweep,
};
use tokio::{sync::oneshot, time::timeout};

/// The folder of the process that is killed, and how many store operations it is granted.
const FOLDER: &str = "PAYRIG_KILL_POINT_FOLDER";
const OPERATIONS: &str = "PAYRIG_KILL_POINT_OPERATIONS";
/// How that process starts the line that names the operation which it did not come to.
const KILLED_BEFORE: &str = "killed before ";
/// How long anything may take on a machine that stalls.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a store on disk.
const LOOK: Duration = Duration::from_millis(1);

/// Kills its own process before the operation for which there is nothing left.
struct Kill {
    left: AtomicUsize,
}

impl Gate for Kill {
    fn pass(&self, touch: Touch, collection: Collection, _: &str) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let granted = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if granted.is_err() {
            eprintln!("{KILLED_BEFORE}{touch:?} {}", collection.name());
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
        }
        Box::pin(std::future::ready(()))
    }
}

async fn nothing_left(store: &Store) {
    let gone = async {
        for collection in [Collection::Notices, Collection::OpenTasks] {
            while !all(store, collection).await.is_empty() {
                tokio::time::sleep(LOOK).await;
            }
        }
    };
    timeout(PATIENCE, gone).await.expect("notices and open tasks go");
}

#[tokio::test]
#[ignore = "the process that is killed: started by the test below"]
async fn the_process_that_is_killed() {
    let folder = std::env::var_os(FOLDER).expect("started by the test below");
    let left = std::env::var(OPERATIONS).unwrap().parse().unwrap();
    let store = EmbeddedStore::open(Path::new(&folder)).unwrap();
    let gated = store.gated(Arc::new(Kill { left: AtomicUsize::new(left) }));
    let (parts, announced) = parts(Store::Embedded(gated), 8).await;
    let (_stop, stops) = oneshot::channel();
    tokio::spawn(dispatch::run(Arc::clone(&parts), announced, stops));
    notice::take(&parts, learnt(0)).await.unwrap();
    nothing_left(&Store::Embedded(store)).await;
}

/// The whole way of one payment in a process of its own. Tells before what it was killed, if it did not come to the end.
fn until_killed(folder: &Path, operations: usize) -> Option<String> {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_that_is_killed", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(OPERATIONS, operations.to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    if child.status.success() {
        return None;
    }
    assert_eq!(child.status.signal(), Some(9), "after {operations} operations: {said}");
    said.lines().find_map(|line| line.strip_prefix(KILLED_BEFORE)).map(str::to_owned)
}

#[tokio::test]
async fn killed_at_any_point_every_order_is_paid_once_and_the_totals_are_exact() {
    let mut points = BTreeSet::new();
    for operations in 0.. {
        let folder = tempfile::tempdir().unwrap();
        {
            let store = Store::Embedded(EmbeddedStore::open(folder.path()).unwrap());
            awaiting(&store, 0).await;
        }
        let Some(point) = until_killed(folder.path(), operations) else { break };
        let when = format!("killed before operation {operations}, {point}");
        let store = Store::Embedded(EmbeddedStore::open(folder.path()).unwrap());
        // What is written down is found again by the sweeper alone; else the channel, never answered, says it once more.
        let was_noted = !all(&store, Collection::Notices).await.is_empty()
            || !all(&store, Collection::PaymentEnds).await.is_empty();
        let (parts, announced) = parts(store.clone(), 8).await;
        let (stop, stops) = oneshot::channel();
        let running = tokio::spawn(dispatch::run(Arc::clone(&parts), announced, stops));
        sweep::recover(&parts, u64::MAX / 2).await;
        if !was_noted {
            assert!(notice::take(&parts, learnt(0)).await.unwrap(), "{when}: {:?} is not believed", payment_no(0));
        }
        nothing_left(&store).await;
        all_done(&store, 1, &when).await;
        let _ = stop.send(());
        running.await.unwrap();
        points.insert(point);
    }
    // Between the notice and the end, between end and settlement (one commit here) and the publish, after it, between an
    // effect and the removal of the notice.
    for point in [
        "Insert notices",
        "Insert payment_ends",
        "Get payments",
        "Insert order_paid",
        "Insert daily_totals",
        "Delete notices",
    ] {
        assert!(points.contains(point), "never killed before {point}: {points:?}");
    }
}

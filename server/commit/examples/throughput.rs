//! Documents per second and CPU per document: `cargo run --release -p payrig-commit --example throughput [documents] [folder]`.
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "it is there to print figures")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use payrig_commit::{Entry, GroupCommit, Options, Space};

const SPACES: [&str; 3] = ["sequential", "random", "more"];
const VALUE_BYTES: usize = 300;

/// One way to hand documents in.
struct Load {
    name: &'static str,
    /// Entries of a group, by space: one with sequential keys, then ones with random keys.
    group: &'static [u8],
    /// Documents a call.
    call: usize,
    /// Calls that wait at the same time.
    callers: usize,
    /// Keys of 26 bytes (as text), or of 16 (those of up to 20 are held in place).
    long: bool,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let documents = arguments.next().map_or(1_000_000, |text| text.parse().expect("a number of documents"));
    let dir = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from).join("payrig-commit-throughput");
    println!("{documents} documents of {VALUE_BYTES} B each run, in {}", dir.display());
    println!(
        "{:<37} {:>9} {:>8} {:>8} {:>8} {:>7} {:>6}",
        "", "docs/s", "CPU us", "caller", "batch", "commit", "stalls"
    );
    for load in [
        Load { name: "3 a group, calls of 64", group: &[0, 1, 2], call: 64, callers: 1, long: true },
        Load { name: "3 a group, calls of 256", group: &[0, 1, 2], call: 256, callers: 1, long: true },
        Load { name: "3 a group, calls of 1024", group: &[0, 1, 2], call: 1024, callers: 1, long: true },
        Load { name: "3 a group, 8 callers of 64", group: &[0, 1, 2], call: 64, callers: 8, long: true },
        Load { name: "3 a group, 1000 callers of one", group: &[0, 1, 2], call: 3, callers: 1000, long: true },
        Load { name: "3 a group, calls of 256, short keys", group: &[0, 1, 2], call: 256, callers: 1, long: false },
        Load { name: "2 a group, calls of 64", group: &[0, 1], call: 64, callers: 1, long: true },
        Load { name: "2 a group, calls of 256", group: &[0, 1], call: 256, callers: 1, long: true },
        Load { name: "2 a group, calls of 1024", group: &[0, 1], call: 1024, callers: 1, long: true },
        Load { name: "1 a group, sequential, calls of 256", group: &[0], call: 256, callers: 1, long: true },
        Load { name: "1 a group, random, calls of 256", group: &[1], call: 256, callers: 1, long: true },
        Load { name: "1 a group, random, short keys", group: &[1], call: 256, callers: 1, long: false },
    ] {
        let _ = std::fs::remove_dir_all(&dir);
        measure(&dir, &load, documents);
    }
    let _ = std::fs::remove_dir_all(&dir);
}

fn measure(dir: &Path, load: &Load, documents: u64) {
    let store = GroupCommit::open(dir, &SPACES, Options::default()).expect("opens");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (started, cpu, own) = (Instant::now(), cpu("/proc/self/stat"), cpu("/proc/thread-self/stat"));
    runtime.block_on(async {
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..load.callers {
            let (store, group, long, count) = (store.clone(), load.group, load.long, documents / load.callers as u64);
            let groups = load.call / group.len();
            callers.spawn(async move {
                let mut next = (caller as u64) << 40;
                let end = next + count;
                while next < end {
                    let call =
                        (0..groups as u64).map(|n| entries(group, next / group.len() as u64 + n, long)).collect();
                    store.insert(call).await.expect("inserts");
                    next += (groups * group.len()) as u64;
                }
            });
        }
        callers.join_all().await;
    });
    let took = started.elapsed();
    let own = self::cpu("/proc/thread-self/stat") - own;
    let stats = store.stats();
    // Tables that are being written out belong to it.
    runtime.block_on(store.close()).expect("closes");
    let cpu = self::cpu("/proc/self/stat") - cpu;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / stats.documents as f64;
    println!(
        "{:<37} {:>9.0} {:>8.2} {:>8.2} {:>8.0} {:>5.0}us {:>6}",
        load.name,
        stats.documents as f64 / took.as_secs_f64(),
        each(cpu),
        each(own),
        stats.documents as f64 / stats.commits as f64,
        stats.commit_time_us.sum as f64 / stats.commits as f64,
        stats.stalls,
    );
}

fn entries(group: &[u8], number: u64, long: bool) -> Vec<Entry> {
    let entry = |&space: &u8| {
        let key = if space == 0 { number } else { scatter(number ^ (u64::from(space) << 56)) };
        let key = if long { format!("01JABCDEF{key:017x}").into_bytes() } else { key.to_be_bytes().repeat(2) };
        Entry { space: Space(space), key, value: vec![b'x'; VALUE_BYTES] }
    };
    group.iter().map(entry).collect()
}

fn scatter(number: u64) -> u64 {
    let z = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// User and system time so far, of the process or a thread (10 ms steps).
fn cpu(path: &str) -> Duration {
    let stat = std::fs::read_to_string(path).expect("Linux");
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

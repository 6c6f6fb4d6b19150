//! Folders that cannot be used, data that is damaged, writes that fail.

use std::env;
use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::ops::Bound;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use payrig_commit::{CommitError, Entry, GroupCommit, Options, Space};

const CHILD: &str = "PAYRIG_TROUBLE_CHILD";

fn open(dir: &Path) -> Result<GroupCommit, CommitError> {
    GroupCommit::open(dir, &["only"], Options::default())
}

fn entry(key: u64, length: usize) -> Entry {
    Entry { space: Space(0), key: key.to_be_bytes().to_vec(), value: vec![1; length] }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(work)
}

/// A folder with ten documents, each from a commit of its own, and its journal.
fn ten() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).expect("opens");
    for key in 0..10 {
        assert_eq!(run(store.insert(vec![vec![entry(key, 5000)]])).expect("inserts"), [1]);
    }
    let journals = fs::read_dir(dir.path().join("db")).expect("lists").map(|entry| entry.expect("lists").path());
    let journal = journals.filter(|path| path.extension().is_some_and(|extension| extension == "jnl")).max();
    (dir, journal.expect("a journal"))
}

fn stored(dir: &Path) -> usize {
    open(dir).expect("opens").range(Space(0), Bound::Unbounded, Bound::Unbounded, 99).expect("reads").len()
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = fs::File::options().write(true).open(path).expect("opens");
    file.seek(SeekFrom::Start(at)).expect("seeks");
    file.write_all(bytes).expect("writes");
}

/// Bytes that one of the ten documents takes in the journal: start, item with key and value, end.
const BATCH: u64 = 13 + 21 + 8 + 5000 + 13;

#[test]
fn a_second_opener_is_refused_also_in_another_process() {
    if let Ok(dir) = env::var(CHILD) {
        assert!(matches!(open(Path::new(&dir)), Err(CommitError::Locked { .. })));
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).expect("opens");
    let refused = open(dir.path()).map(drop).expect_err("is refused");
    assert!(refused.to_string().contains("in use by another process"), "{refused}");
    let mut child = Command::new(env::current_exe().expect("has a path"));
    child.args(["--exact", "a_second_opener_is_refused_also_in_another_process"]).env(CHILD, dir.path());
    assert!(child.output().expect("runs").status.success());
    drop(store);
    assert!(open(dir.path()).is_ok());
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("thesis.txt"), "precious").expect("writes");
    let refused = open(dir.path()).map(drop).expect_err("is refused");
    assert!(matches!(&refused, CommitError::Foreign { found, .. } if found == "thesis.txt"), "{refused}");
    assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 1);

    let file = dir.path().join("thesis.txt");
    assert!(matches!(open(&file), Err(CommitError::Io { .. })));
    assert!(matches!(open(Path::new("/proc/nowhere/data")), Err(CommitError::Io { .. })));
}

#[test]
fn a_folder_that_may_not_be_written_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).expect("changes");
    // Root may write anywhere.
    if fs::write(dir.path().join("lock"), "").is_err() {
        assert!(matches!(open(dir.path()), Err(CommitError::Io { .. })));
    }
}

#[test]
fn lists_of_spaces_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    for spaces in [&[][..], &["a", "b", "a"], &[""]] {
        assert!(matches!(GroupCommit::open(dir.path(), spaces, Options::default()), Err(CommitError::BadSpaces(_))));
    }
}

#[test]
fn a_write_that_a_crash_tore_is_cut_off() {
    let last = 9 * BATCH;
    for (torn, bytes, left) in [
        ("its start is lost", vec![(last, 100)], 9),
        ("a length is lost", vec![(last + 13, 12)], 9),
        ("a part of the value is lost", vec![(last + 1000, 512)], 9),
        ("its end is lost", vec![(last + BATCH - 4, 4)], 9),
        ("nothing is lost", vec![], 10),
    ] {
        let (dir, journal) = ten();
        for (at, length) in bytes {
            overwrite(&journal, at, &vec![0; length]);
        }
        assert_eq!(stored(dir.path()), left, "{torn}");
        // What comes after is appended in the right place.
        let store = open(dir.path()).expect("opens");
        assert_eq!(run(store.insert(vec![vec![entry(77, 9)]])).expect("inserts"), [1]);
        drop(store);
        assert_eq!(stored(dir.path()), left + 1, "{torn}");
    }
}

#[test]
fn damage_before_what_was_acknowledged_is_an_error_and_nothing_is_changed() {
    for (at, bytes) in [
        (5 * BATCH, &[0; 13][..]),
        (5 * BATCH + 1000, &[0; 512]),
        (5 * BATCH + 13, &[9]),
        (BATCH - 3, b"xx"),
        (0, &[0; 4096]),
    ] {
        let (dir, journal) = ten();
        overwrite(&journal, at, bytes);
        let before = fs::read(&journal).expect("reads");
        let refused = open(dir.path()).map(drop).expect_err("is refused");
        assert!(matches!(refused, CommitError::Corrupt { .. }), "{at}: {refused}");
        assert!(fs::read(&journal).expect("reads") == before, "{at}");
    }
    for gone in ["db/version", "db/keyspaces/0/current"] {
        let (dir, _) = ten();
        fs::remove_file(dir.path().join(gone)).expect("removes");
        let refused = open(dir.path()).map(drop).expect_err("is refused");
        assert!(refused.to_string().contains(gone), "{refused}");
    }
    let (dir, journal) = ten();
    fs::remove_file(journal).expect("removes");
    assert!(matches!(open(dir.path()), Err(CommitError::Corrupt { .. })));
}

/// A file size limit stands for the disk's end: the journal cannot grow on.
#[test]
fn a_full_disk_stops_writing_and_loses_nothing() {
    if let Ok(dir) = env::var(CHILD) {
        return fill(Path::new(&dir));
    }
    let dir = tempfile::tempdir().expect("a folder");
    let mut child = Command::new("bash");
    child.args(["-c", r#"trap "" XFSZ; ulimit -f 70000; exec "$0" "$@""#]).arg(env::current_exe().expect("has a path"));
    child.args(["--exact", "a_full_disk_stops_writing_and_loses_nothing", "--nocapture"]).env(CHILD, dir.path());
    let output = child.output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("is text");
    let acknowledged = text.lines().find_map(|line| line.strip_prefix("acknowledged ")?.parse::<usize>().ok());
    let acknowledged = acknowledged.expect("says how many");
    assert!(acknowledged > 20);
    let found = stored(dir.path());
    // The one whose fate was unknown may be there.
    assert!((acknowledged..=acknowledged + 1).contains(&found), "{found} of {acknowledged}");
}

fn fill(dir: &Path) {
    let options = Options { memtable_bytes: 256 << 20, memory_bytes: 1 << 30, ..Options::default() };
    let store = GroupCommit::open(dir, &["only"], options).expect("opens");
    let mut key = 0;
    let failed = loop {
        match run(store.insert(vec![vec![entry(key, 1 << 20)]])) {
            Ok(_) => key += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(&failed, CommitError::Unknown(cause) if cause.to_string().contains("File too large")), "{failed}");
    assert!(store.get(Space(0), &key.to_be_bytes()).expect("reads").is_none(), "a write that failed can be seen");
    assert!(store.get(Space(0), &0u64.to_be_bytes()).expect("reads").is_some());
    let refused = run(store.insert(vec![vec![entry(key + 1, 1)]])).expect_err("is refused");
    assert!(
        matches!(&refused, CommitError::Broken(cause) if cause.to_string().contains("File too large")),
        "{refused}"
    );
    assert!(matches!(run(store.delete(vec![(Space(0), vec![1])])), Err(CommitError::Broken(_))));
    assert!(matches!(run(store.close()), Err(CommitError::Broken(_))));
    std::io::stdout().write_all(format!("\nacknowledged {key}\n").as_bytes()).expect("writes");
}

/// Tables cannot be written any more: commits must fail, not wait for room for ever.
#[test]
fn background_work_that_died_stops_writing() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = Options { memtable_bytes: 1 << 20, memory_bytes: 4 << 20, ..Options::default() };
    let store = GroupCommit::open(dir.path(), &["only"], options).expect("opens");
    fs::remove_dir_all(dir.path().join("db/keyspaces/1")).expect("removes");
    let failed = (0..2000).find_map(|key| run(store.insert(vec![vec![entry(key, 100_000)]])).err());
    let failed = failed.expect("fails");
    assert!(
        matches!(&failed, CommitError::Broken(cause) if cause.to_string().contains("in the background")),
        "{failed}"
    );
    assert!(matches!(run(store.close()), Err(CommitError::Broken(_))));
}

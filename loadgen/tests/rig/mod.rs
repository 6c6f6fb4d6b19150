//! Runs the binary as a person would, and looks at what it leaves.

#![allow(unreachable_pub, dead_code, reason = "several test programs use it in part")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use payrig_results::Run;

/// A mix of everything whose payers hardly think, so that a run of a second sees whole journeys.
pub const QUICK: &str = r#"
name = "quick"
description = "Everything, with hardly a pause."
[weights]
checkout = 60
flaky = 12
impatient = 10
double-click = 6
abandon = 4
wechat = 4
alipay = 4
[settings]
poll_gap_ms = [20, 40]
early_poll_ms = [5, 10]
think_ms = [5, 20]
late_think_ms = [40, 60]
double_click_ms = [5, 10]
pause_ms = [2, 10]
"#;

/// A folder of its own with the quick profile, and the results of the runs made in it.
pub struct Rig {
    folder: tempfile::TempDir,
}

/// What a run of the binary left.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Rig {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("quick.toml"), QUICK).expect("a profile");
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The same rig with payers of one scenario only.
    pub fn only(scenario: &str) -> Self {
        let rig = Self::new();
        let (head, rest) = QUICK.split_once("[weights]\n").expect("weights");
        let (_, settings) = rest.split_once("[settings]").expect("settings");
        let text = format!("{head}[weights]\n{scenario} = 1\n[settings]{settings}");
        std::fs::write(rig.path().join("quick.toml"), text).expect("a profile");
        rig
    }

    /// The command `payrig run quick.toml` with short phases; later flags win over nothing, so each is given once.
    pub fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_payrig"));
        let profile = self.path().join("quick.toml");
        command.arg("run").arg(profile).arg("--results").arg(self.path().join("runs"));
        for (flag, value) in [("-u", "8"), ("-t", "1s"), ("--warmup", "200ms"), ("-r", "100"), ("--grace", "5s")] {
            if !flags.contains(&flag) {
                command.args([flag, value]);
            }
        }
        command.args(flags).env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, flags: &[&str]) -> Ran {
        Ran::of(self.command(flags).output().expect("payrig starts"))
    }

    /// The only results folder.
    pub fn results(&self) -> PathBuf {
        let folders = self.folders();
        assert_eq!(folders.len(), 1, "{folders:?}");
        folders.into_iter().next().expect("one")
    }

    pub fn recorded(&self) -> Run {
        Run::read(&self.results()).expect("run.json")
    }

    /// Everything in the results root, hidden folders too.
    pub fn folders(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.path().join("runs")) else { return Vec::new() };
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }

    pub fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    pub fn says(&self, words: &str) -> &Self {
        assert!(self.stdout.contains(words), "no {words:?} in stdout:\n{}", self.stdout);
        self
    }

    pub fn complains(&self, words: &str) -> &Self {
        assert!(self.stderr.contains(words), "no {words:?} in stderr:\n{}", self.stderr);
        self
    }
}

/// The stub as a program. `cargo test` builds it beside the tests.
pub fn stub_program() -> String {
    let here = std::env::current_exe().expect("this program");
    let program = here.parent().and_then(Path::parent).expect("target").join("examples/stub_server");
    assert!(program.exists(), "{} is missing: run the whole `cargo test -p payrig`", program.display());
    program.display().to_string()
}

pub fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).expect("a pid");
    rustix::process::kill_process(pid, signal).expect("a signal");
}

/// Waits for the process, at most so long.
pub fn wait(child: Child, patience: Duration) -> Ran {
    let (sender, receiver) = std::sync::mpsc::channel();
    let pid = child.id();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(patience) {
        Ok(output) => Ran::of(output.expect("waited for")),
        Err(_) => {
            let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a pid");
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            panic!("it did not end within {patience:?}");
        }
    }
}

/// Process ids of programs that have these words in their command line.
pub fn processes(words: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").contains(words)
    })
    .collect()
}

/// Looks again and again until it holds.
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

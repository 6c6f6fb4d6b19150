//! Where a run ran: the machine, and the commit that a program was built from.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// The machine, as far as Linux tells.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Cores that this process may use.
    pub cores: usize,
    /// The processor's name.
    pub cpu_model: Option<String>,
    /// Memory of the machine.
    pub memory_bytes: Option<u64>,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// The architecture.
    pub arch: String,
}

impl Machine {
    /// This machine. What cannot be found out stays absent.
    #[must_use]
    pub fn read() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu_model: read("/proc/cpuinfo").and_then(|text| field(&text, "model name")),
            memory_bytes: read("/proc/meminfo").and_then(|text| {
                let kibibytes: u64 = field(&text, "MemTotal")?.split(' ').next()?.parse().ok()?;
                kibibytes.checked_mul(1024)
            }),
            kernel: read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
            arch: std::env::consts::ARCH.to_owned(),
        }
    }
}

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

/// The commit of the git work tree that holds this folder, with `-dirty` where tracked files were changed; none where
/// there is no git or no repository.
#[must_use]
pub fn git_revision(dir: &Path) -> Option<String> {
    let git = |words: &[&str]| -> Option<String> {
        let output = Command::new("git").arg("-C").arg(dir).args(words).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let revision = git(&["rev-parse", "HEAD"]).filter(|revision| !revision.is_empty())?;
    let is_dirty = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if is_dirty { format!("{revision}-dirty") } else { revision })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc_files_are_found() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2.0GHz\nMemTotal:       2048 kB\n";
        assert_eq!(field(text, "model name").as_deref(), Some("Some CPU @ 2.0GHz"));
        assert_eq!(field(text, "MemTotal").as_deref(), Some("2048 kB"));
        assert_eq!(field(text, "MemFree"), None);
        assert!(Machine::read().cores >= 1);
        assert_eq!(git_revision(Path::new("/")), None);
    }
}

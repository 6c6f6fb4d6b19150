//! What the machine did during a window: CPU time of the processes that matter, steal, and what foreign processes took.

use std::time::Instant;

use serde::Serialize;

use crate::error::PerfError;

/// CPU time so far, in clock ticks.
type Ticks = u64;

/// A process whose CPU time counts as the load's.
#[derive(Clone, Copy, Debug)]
pub enum Load {
    /// Still running.
    Running(u32),
    /// Ended children of this process that it has waited for.
    Ended,
}

/// An open window.
pub struct Window {
    began: Instant,
    server: u32,
    load: Load,
    at_start: Sample,
}

#[derive(Clone, Copy)]
struct Sample {
    server: Ticks,
    load: Ticks,
    own: Ticks,
    busy: Ticks,
    steal: Ticks,
}

/// What happened in a window.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Machine {
    /// Its length.
    pub seconds: f64,
    /// The server's CPU time, in seconds.
    pub server_cpu_s: f64,
    /// The load's CPU time, in seconds.
    pub load_cpu_s: f64,
    /// CPU time that the hypervisor gave to others, as a share of all cores.
    pub steal: f64,
    /// CPU time of processes that are neither server nor load, as a share of all cores.
    pub foreign: f64,
}

impl Machine {
    /// The server's share of its core.
    #[must_use]
    pub fn server_busy(&self) -> f64 {
        self.server_cpu_s / self.seconds
    }

    /// The load's share of its core.
    #[must_use]
    pub fn load_busy(&self) -> f64 {
        self.load_cpu_s / self.seconds
    }

    /// Everything that others took.
    #[must_use]
    pub fn disturbed(&self) -> f64 {
        self.steal + self.foreign
    }
}

impl Window {
    /// Opens a window over a server's process and the load on it.
    ///
    /// # Errors
    /// Where `/proc` cannot be read.
    pub fn open(server: u32, load: Load) -> Result<Self, PerfError> {
        let at_start = Sample::take(server, load)?;
        Ok(Self { began: Instant::now(), server, load, at_start })
    }

    /// Closes it.
    ///
    /// # Errors
    /// Where `/proc` cannot be read, or a process is gone.
    pub fn close(self) -> Result<Machine, PerfError> {
        let seconds = self.began.elapsed().as_secs_f64();
        let (from, to) = (self.at_start, Sample::take(self.server, self.load)?);
        let tick_s = 1.0 / hertz();
        let spent = |from: Ticks, to: Ticks| to.saturating_sub(from) as f64 * tick_s;
        let all_cores = seconds * cores();
        let (server_cpu_s, load_cpu_s) = (spent(from.server, to.server), spent(from.load, to.load));
        let foreign = spent(from.busy, to.busy) - server_cpu_s - load_cpu_s - spent(from.own, to.own);
        Ok(Machine {
            seconds,
            server_cpu_s,
            load_cpu_s,
            steal: spent(from.steal, to.steal) / all_cores,
            foreign: foreign.max(0.0) / all_cores,
        })
    }
}

impl Sample {
    fn take(server: u32, load: Load) -> Result<Self, PerfError> {
        let own = Stat::of("self")?;
        let (busy, steal) = system()?;
        let load = match load {
            Load::Running(pid) => Stat::of(&pid.to_string())?.own,
            Load::Ended => own.children,
        };
        Ok(Self { server: Stat::of(&server.to_string())?.own, load, own: own.own, busy, steal })
    }
}

/// A process's CPU time, user and system.
struct Stat {
    own: Ticks,
    /// Of children that were waited for.
    children: Ticks,
}

impl Stat {
    fn of(process: &str) -> Result<Self, PerfError> {
        let path = format!("/proc/{process}/stat");
        let text = std::fs::read_to_string(&path).map_err(PerfError::io(format!("reading {path}")))?;
        // The name, in brackets, may hold anything; the third field comes after the last bracket.
        let fields: Vec<&str> = text.rsplit(") ").next().unwrap_or_default().split_whitespace().collect();
        let sum = |at: usize| -> Ticks {
            fields.iter().skip(at).take(2).filter_map(|field| field.parse::<Ticks>().ok()).sum()
        };
        Ok(Self { own: sum(11), children: sum(13) })
    }
}

/// All cores' busy time (without steal) and steal.
fn system() -> Result<(Ticks, Ticks), PerfError> {
    let text = std::fs::read_to_string("/proc/stat").map_err(PerfError::io("reading /proc/stat"))?;
    let line = text.lines().next().unwrap_or_default();
    let fields: Vec<Ticks> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    let field = |at: usize| fields.get(at).copied().unwrap_or(0);
    // user, nice, system, (idle, iowait), irq, softirq, steal
    Ok((field(0) + field(1) + field(2) + field(5) + field(6), field(7)))
}

/// Clock ticks a second.
fn hertz() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// Cores of the machine, whatever this process may use.
fn cores() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let cores = text.lines().skip(1).take_while(|line| line.starts_with("cpu")).count();
    cores.max(1) as f64
}

/// Resident memory of a process, in bytes.
///
/// # Errors
/// Where the process is gone.
pub fn resident_bytes(process: u32) -> Result<u64, PerfError> {
    let path = format!("/proc/{process}/status");
    let text = std::fs::read_to_string(&path).map_err(PerfError::io(format!("reading {path}")))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| PerfError::broken(format!("{path} has no VmRSS")))
}

/// The processor's name and the number of cores, for a report.
#[must_use]
pub fn description() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':']));
    format!("{model}, {} cores", cores())
}

//! Watches one run from its first user to its last journey: phases, the log of each second, progress, and its end.

use std::sync::Arc;
use std::time::Duration;

use payrig_results::ResultsError;
use payrig_scenarios::Step;
use tokio::task::JoinHandle;

use crate::child::{ChildError, ChildProcess};
use crate::engine::{Engine, EngineError, Load};
use crate::interrupt::Interrupt;
use crate::journal::Journal;
use crate::phases::{Phase, as_us};
use crate::progress::{Moment, Progress};
use crate::recorder::{Cells, Drain, Span, empty_cells};
use crate::tally::Tally;
use crate::target::Children;
use crate::watch::CpuUse;

/// How often it is looked whether a phase, a server or the patience of a person has ended.
const GLANCE: Duration = Duration::from_millis(50);
const SECOND_US: u64 = 1_000_000;
/// How long Goose may take to leave once its users have.
const ENGINE_LEAVES: Duration = Duration::from_secs(10);

/// Why a run ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum Cut {
    /// Somebody pressed ctrl-c or sent SIGTERM.
    #[error("interrupted")]
    Interrupted,
    /// The server or the channel that this run had started is gone.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// The engine could not drive its load.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The results could not be written.
    #[error(transparent)]
    Results(#[from] ResultsError),
}

/// What was seen of one run.
#[derive(Debug)]
pub struct Observed {
    /// Requests of the steady phase.
    pub cells: Cells,
    /// Journeys.
    pub tally: Tally,
    /// From when to when the steady phase lasted, microseconds since the epoch; absent if it never began.
    pub steady_us: Option<(u64, u64)>,
    /// CPU time used within `cpu_span`.
    pub cpu: CpuUse,
    /// The part of the steady phase that the CPU times cover: all of it but for a timer's tick at each end.
    pub cpu_span: Duration,
    /// How long the journeys under way went on after the steady phase.
    pub closing: Duration,
    /// Why it ended early, if it did.
    pub cut: Option<Cut>,
}

impl Observed {
    /// How many requests of the steady phase were done.
    #[must_use]
    pub fn done(&self) -> u64 {
        Step::ALL.into_iter().map(|step| self.cells.span(step, Span::Response).len()).sum()
    }

    /// How long the steady phase lasted, in seconds.
    #[must_use]
    pub fn steady_s(&self) -> f64 {
        let (from, until) = self.steady_us.unwrap_or_default();
        Duration::from_micros(until - from).as_secs_f64()
    }
}

/// Everything that a run is watched with.
pub struct Watch<'a> {
    /// The load.
    pub load: Arc<Load>,
    /// What this run started.
    pub children: &'a mut Children,
    /// Ctrl-c.
    pub interrupt: &'a Interrupt,
    /// Where everything recorded goes.
    pub journal: &'a mut Journal,
    /// What a person sees.
    pub progress: &'a mut Progress,
    /// How long journeys under way may go on.
    pub grace: Duration,
}

/// Drives the load to its end and gives what was seen; also when it was cut short.
pub async fn observe<E: Engine + Copy + Send + 'static>(engine: E, watch: Watch<'_>) -> Observed {
    let driving = tokio::spawn(engine.drive(Arc::clone(&watch.load)));
    let mut observer = Observer::new(watch, driving);
    let cut = loop {
        let wake = observer.next_wake();
        tokio::select! {
            () = tokio::time::sleep_until(wake.into()) => {}
            () = observer.watch.interrupt.wait() => break Some(Cut::Interrupted),
        }
        match observer.glance() {
            Ok(Goes::On) => {}
            Ok(Goes::Home) => break None,
            Err(cut) => break Some(cut),
        }
    };
    observer.finish(engine, cut).await
}

enum Goes {
    On,
    Home,
}

struct Observer<'a> {
    watch: Watch<'a>,
    driving: JoinHandle<Result<(), EngineError>>,
    drain: Drain,
    cells: Cells,
    tally: Tally,
    started_us: u64,
    last_second_us: u64,
    cpu_from: Option<(u64, CpuUse)>,
    cpu_until: Option<(u64, CpuUse)>,
    /// Of every phase: requests in the last second, and sums so far.
    last_requests: u64,
    settled: u64,
    paid: u64,
    errors: u64,
}

impl<'a> Observer<'a> {
    fn new(watch: Watch<'a>, driving: JoinHandle<Result<(), EngineError>>) -> Self {
        let now_us = watch.load.clock.now_us();
        Self {
            watch,
            driving,
            drain: Drain::default(),
            cells: empty_cells(),
            tally: Tally::default(),
            started_us: now_us,
            last_second_us: now_us,
            cpu_from: None,
            cpu_until: None,
            last_requests: 0,
            settled: 0,
            paid: 0,
            errors: 0,
        }
    }

    /// The next glance, or the next boundary of a phase if that comes before it.
    fn next_wake(&self) -> std::time::Instant {
        let clock = &self.watch.load.clock;
        let now_us = clock.now_us();
        let glance_us = now_us + as_us(GLANCE);
        let boundaries = self.watch.load.phases.steady_us().map_or([u64::MAX; 2], |(from, until)| [from, until]);
        let next_us = boundaries.into_iter().filter(|us| *us > now_us).fold(glance_us, u64::min);
        clock.instant(next_us)
    }

    fn glance(&mut self) -> Result<Goes, Cut> {
        let now_us = self.watch.load.clock.now_us();
        self.read_cpu(now_us);
        if now_us - self.last_second_us >= SECOND_US {
            self.second(now_us)?;
        }
        self.watch.children.check_alive()?;
        if self.driving.is_finished() {
            return Ok(Goes::Home);
        }
        let phases = &self.watch.load.phases;
        if phases.phase(now_us) == Phase::Closing {
            let (_, until_us) = phases.steady_us().unwrap_or((now_us, now_us));
            let is_quiet = self.watch.load.stop.journeys_under_way() == 0;
            if is_quiet || now_us.saturating_sub(until_us) >= as_us(self.watch.grace) {
                return Ok(Goes::Home);
            }
        }
        Ok(Goes::On)
    }

    fn read_cpu(&mut self, now_us: u64) {
        let Some((from_us, until_us)) = self.watch.load.phases.steady_us() else { return };
        let children = &self.watch.children;
        let pid = |child: &Option<ChildProcess>| child.as_ref().map(ChildProcess::pid);
        let read = || Some((now_us, CpuUse::read(pid(&children.server), pid(&children.channel))));
        if self.cpu_from.is_none() && now_us >= from_us {
            self.cpu_from = read();
        }
        if self.cpu_until.is_none() && now_us >= until_us {
            self.cpu_until = read();
        }
    }

    /// Takes what was recorded since the last time into the log and the sums.
    fn take_in(&mut self, now_us: u64) -> Result<(), Cut> {
        let phases = &self.watch.load.phases;
        let interval = self.drain.take(&self.watch.load.recorder);
        self.last_requests = interval.requests;
        self.settled += interval.settled;
        self.paid += interval.paid;
        self.errors += interval.errors;
        let from_us = std::mem::replace(&mut self.last_second_us, now_us);
        let mut written = Ok(());
        for record in interval.journeys.drain(..) {
            self.tally.add(&record, |us| phases.is_steady(us));
            written = written.and_then(|()| self.watch.journal.journey(&record));
        }
        written = written.and_then(|()| self.watch.journal.interval(from_us, now_us, interval, &self.tally));
        self.tally.clear_spans();
        self.cells.absorb(interval);
        Ok(written?)
    }

    fn second(&mut self, now_us: u64) -> Result<(), Cut> {
        let span_us = now_us - self.last_second_us;
        self.take_in(now_us)?;
        let load = &self.watch.load;
        let phase = load.phases.phase(now_us);
        let ends_us = match (phase, load.phases.steady_us()) {
            (Phase::Warmup, Some((from, _))) => Some(from),
            (Phase::Steady, Some((_, until))) => Some(until),
            _ => None,
        };
        let all = self.cells.all_steps(Span::Response);
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let requests_per_s = self.last_requests as f64 * 1e6 / span_us.max(1) as f64;
        self.watch.progress.show(&Moment {
            elapsed: Duration::from_micros(now_us - self.started_us),
            phase,
            left: ends_us.map(|us| Duration::from_micros(us.saturating_sub(now_us))),
            users: load.phases.users_started(),
            requests_per_s,
            p99_us: (!all.is_empty()).then(|| all.value_at_quantile(0.99)),
            settled: self.settled,
            paid: self.paid,
            errors: self.errors,
            under_way: load.stop.journeys_under_way(),
        });
        Ok(())
    }

    /// Ends the steady phase if it goes on, stops every user, waits for the engine and takes in what is left.
    async fn finish<E: Engine>(mut self, engine: E, cut: Option<Cut>) -> Observed {
        let load = Arc::clone(&self.watch.load);
        let ended_us = load.clock.now_us();
        load.phases.end_now(ended_us);
        self.read_cpu(ended_us);
        load.stop.cut(cut.is_none());
        let mut cut = cut;
        if let Err(error) = self.engine_left(engine).await {
            cut.get_or_insert(error.into());
        }
        if let Err(error) = self.take_in(load.clock.now_us()) {
            cut.get_or_insert(error);
        }
        self.watch.progress.end_line();
        let steady_us = load.phases.steady_us();
        let (cpu, cpu_span) = match (self.cpu_from, self.cpu_until) {
            (Some((from_us, from)), Some((until_us, until))) => {
                (until.since(from), Duration::from_micros(until_us - from_us))
            }
            _ => (CpuUse::default(), Duration::ZERO),
        };
        Observed {
            cells: self.cells,
            tally: self.tally,
            steady_us,
            cpu,
            cpu_span,
            closing: Duration::from_micros(ended_us.saturating_sub(steady_us.map_or(ended_us, |(_, until)| until))),
            cut,
        }
    }

    async fn engine_left<E: Engine>(&mut self, engine: E) -> Result<(), EngineError> {
        let deadline = tokio::time::Instant::now() + ENGINE_LEAVES;
        loop {
            engine.hold_back();
            tokio::select! {
                ended = &mut self.driving => return ended.unwrap_or_else(|panic| Err(EngineError::Goose(panic.to_string()))),
                () = tokio::time::sleep(GLANCE) => {}
            }
            if tokio::time::Instant::now() >= deadline {
                // Its users are gone and everything is recorded: what it still does concerns nobody.
                self.driving.abort();
                return Ok(());
            }
        }
    }
}

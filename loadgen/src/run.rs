//! `payrig run`: from a plan to a results folder, a summary and an exit code.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use hdrhistogram::Histogram;
use payrig_results::{
    Audit, AuditVerdict, Ended, ExitCode, FigureTable, JOURNEYS_FILE, JourneyTotals, LoadModel, Machine, Run,
    SCHEMA_VERSION, SpanUs, ThresholdResult, Validity, Version, Versions, plan_hash, utc_time,
};
use payrig_scenarios::{Generator, Step};
use tokio::runtime::Runtime;

use crate::audit::audit;
use crate::cli::RunArgs;
use crate::engine::goose::GooseEngine;
use crate::engine::{Engine, Load, Stop};
use crate::interrupt::Interrupt;
use crate::journal::Journal;
use crate::notes::notes;
use crate::observe::{Cut, Observed, Watch, observe};
use crate::phases::{Clock, Phases};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::recorder::{Recorder, Span};
use crate::report::{Style, text};
use crate::tally::JourneySpan;
use crate::target::Server;
use crate::verdict::threshold::Subject;
use crate::verdict::{Sums, judge};

/// Something that went wrong, and what the process ends with for it.
#[derive(Debug)]
struct Finding {
    code: ExitCode,
    text: String,
}

impl Finding {
    fn runtime(error: impl std::fmt::Display) -> Self {
        Self { code: ExitCode::RuntimeError, text: error.to_string() }
    }
}

/// Does what `payrig run` was asked to.
#[must_use]
pub fn run(args: &RunArgs) -> ExitCode {
    let outcome = Plan::from_args(args)
        .map_err(|error| Finding { code: ExitCode::Usage, text: error.to_string() })
        .and_then(|plan| Session::new(args, plan)?.run());
    match outcome {
        Ok(code) => code,
        Err(finding) => {
            complain(&finding);
            finding.code
        }
    }
}

fn complain(finding: &Finding) {
    let _ = writeln!(std::io::stderr(), "payrig: {}", finding.text);
}

/// One run with everything that it holds on to.
struct Session<'a> {
    args: &'a RunArgs,
    plan: Plan,
    interrupt: Arc<Interrupt>,
    runtime: Runtime,
    engine_threads: usize,
    clock: Clock,
}

impl<'a> Session<'a> {
    fn new(args: &'a RunArgs, plan: Plan) -> Result<Self, Finding> {
        let interrupt = Interrupt::install(i32::from(ExitCode::Interrupted.code())).map_err(Finding::runtime)?;
        // Half of the cores, so that the other half is left to a server on this machine; the main thread only watches.
        let engine_threads = std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(engine_threads)
            .enable_all()
            .build()
            .map_err(Finding::runtime)?;
        Ok(Self { args, plan, interrupt, runtime, engine_threads, clock: Clock::start() })
    }

    fn run(&self) -> Result<ExitCode, Finding> {
        let mut progress = Progress::new(self.args.quiet, self.args.no_tui);
        let results = &self.plan.results;
        std::fs::create_dir_all(results)
            .map_err(|error| Finding::runtime(format!("cannot make the folder {}: {error}", results.display())))?;
        let mut server = Server::open(&self.plan.target, results, &self.interrupt).map_err(|error| {
            let code = if self.interrupt.is_set() { ExitCode::Interrupted } else { ExitCode::RuntimeError };
            Finding { code, text: error.to_string() }
        })?;
        let server_version = self.runtime.block_on(server.version());
        let (target, seed) = (server.description.clone(), self.plan.seed);
        progress.say(&format!("{} against {target} (--seed {seed})", self.plan.profile.name));

        let mut journal =
            Journal::create(results, &self.plan.profile.name, self.clock.now_us()).map_err(Finding::runtime)?;
        let observed = self.observe(&mut server, &mut journal, &mut progress);
        let mut findings = findings(&observed);
        let (audit, broken) = self.audit(&server, &journal, &observed, &mut progress);
        findings.extend(broken);
        let channel = server.channel.clone();
        findings.extend(server.close(journal.partial_dir()).iter().map(Finding::runtime));
        let sums = JudgedSums { journal: &journal, steady_s: observed.steady_s() };
        let thresholds: Vec<_> = self.plan.thresholds.iter().map(|threshold| judge(threshold, &sums)).collect();
        let notes = channel.into_iter().chain(notes(&observed, self.engine_threads)).collect();
        let told = Told { description: target, server: server_version, audit, notes };
        let draft = self.draft(&observed, thresholds, &findings, told);
        let code = draft.exit_code;
        let (dir, run) = journal.into_writer().finish(draft).map_err(Finding::runtime)?;
        self.show(&run, &dir).map_err(Finding::runtime)?;
        if self.args.json {
            progress.say(&format!("results  {}", dir.display()));
        }
        findings.iter().for_each(complain);
        Ok(code_of(code))
    }

    fn observe(&self, server: &mut Server, journal: &mut Journal, progress: &mut Progress) -> Observed {
        let plan = &self.plan;
        let run_id = format!("{:x}{:04x}", self.clock.origin_us(), rand::random::<u16>());
        let load = Arc::new(Load {
            base: server.base.clone(),
            users: plan.users,
            hatch_rate: plan.hatch_rate,
            timeout: plan.timeout,
            authorization: plan.authorization.clone(),
            generator: Generator::new(&plan.profile, plan.seed, 0, &run_id),
            recorder: Recorder::new(self.engine_threads),
            clock: self.clock,
            phases: Phases::new(plan.users, plan.warmup, plan.run_time),
            stop: Stop::default(),
        });
        let (children, interrupt, grace) = (&mut server.children, self.interrupt.as_ref(), plan.grace);
        let watch = Watch { load, children, interrupt, journal, progress, grace };
        self.runtime.block_on(observe(GooseEngine, watch))
    }

    /// The audit's verdict, and what speaks against the run because of it.
    fn audit(
        &self,
        server: &Server,
        journal: &Journal,
        observed: &Observed,
        progress: &mut Progress,
    ) -> (Audit, Option<Finding>) {
        let not_run = |why: &str| (Audit::not_run(why), None);
        let Some(patience) = self.plan.audit_wait else { return not_run("--no-audit") };
        if observed.cut.is_some() {
            return not_run("the run was cut short");
        }
        let Some(doors) = server.doors else {
            return not_run("nobody said where the server's books are: --admin ADDR names its admin listener");
        };
        progress.say("audit: waiting until nothing moves any more");
        let journeys = journal.partial_dir().join(JOURNEYS_FILE);
        match audit(doors, &journeys, patience, &self.interrupt) {
            Err(error) => (Audit::not_run(error.to_string()), Some(Finding::runtime(error))),
            Ok((audit, waited)) => {
                progress.say(&format!("audit: done after {:.1} s", waited.as_secs_f64()));
                let code = match audit.verdict {
                    AuditVerdict::Failed => Some(ExitCode::AuditFailed),
                    AuditVerdict::NotRun => Some(ExitCode::Interrupted),
                    AuditVerdict::Passed => None,
                };
                let text = audit.findings.first().cloned().unwrap_or_default();
                (audit, code.map(|code| Finding { code, text: format!("audit: {text}") }))
            }
        }
    }

    fn draft(&self, observed: &Observed, thresholds: Vec<ThresholdResult>, findings: &[Finding], told: Told) -> Run {
        let crossed = thresholds.iter().any(|threshold| !threshold.is_kept).then_some(ExitCode::ThresholdCrossed);
        let code = ExitCode::deciding(findings.iter().map(|finding| finding.code).chain(crossed));
        let (from_us, to_us) = observed.steady_us.unwrap_or_default();
        let plan = self.plan.to_json();
        Run {
            schema_version: SCHEMA_VERSION,
            scenario: self.plan.profile.name.clone(),
            engine: GooseEngine.name().to_owned(),
            model: LoadModel::Closed,
            seed: self.plan.seed,
            command: without_secrets(std::env::args()),
            target: told.description,
            plan_hash: plan_hash(&plan),
            plan,
            started_at: utc_time(self.clock.origin_us()),
            span: SpanUs { from_us: self.clock.origin_us(), to_us: self.clock.now_us() },
            steady: SpanUs { from_us, to_us },
            ended: match &observed.cut {
                None => Ended::Completed,
                Some(Cut::Interrupted) => Ended::Interrupted,
                Some(_) => Ended::Aborted,
            },
            versions: Versions { harness: harness_version(), server: told.server },
            machine: Machine::read(),
            validity: Validity::not_judged("this version does not judge the validity of a measurement"),
            figures: FigureTable::default(),
            failures: failures(observed),
            journeys: JourneyTotals::default(),
            thresholds,
            audit: told.audit,
            notes: told.notes,
            exit_code: code.code(),
        }
    }

    fn show(&self, run: &Run, dir: &std::path::Path) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        let shown = if self.args.json {
            serde_json::to_writer_pretty(&mut out, run).map_err(std::io::Error::from).and_then(|()| writeln!(out))
        } else {
            write!(out, "{}", text(run, dir, Style::of_stdout()))
        };
        shown.map_err(|error| std::io::Error::new(error.kind(), format!("cannot write to standard output: {error}")))
    }
}

/// What there is to tell of a run beyond its figures.
struct Told {
    /// What was driven.
    description: String,
    server: Option<Version>,
    audit: Audit,
    notes: Vec<String>,
}

/// The command line without what must not stand in a file.
fn without_secrets(words: impl Iterator<Item = String>) -> Vec<String> {
    const SECRET: &str = "--api-key";
    let mut is_next = false;
    words
        .map(|word| {
            let is_secret = std::mem::replace(&mut is_next, word == SECRET);
            match word.split_once('=') {
                Some((SECRET, _)) => format!("{SECRET}=***"),
                _ if is_secret => "***".to_owned(),
                _ => without_passwords(&word),
            }
        })
        .collect()
}

/// A word in which URLs may stand, such as amqp://USER:PASSWORD@HOST, without their passwords.
fn without_passwords(word: &str) -> String {
    let mut told = String::with_capacity(word.len());
    let mut rest = word;
    while let Some((before, after)) = rest.split_once("://") {
        let authority = after.split(['/', '?', '#', ' ', ',', '"', '\'']).next().unwrap_or_default();
        let (login, host) = authority.rsplit_once('@').unwrap_or_default();
        let (user, password) = login.split_once(':').unwrap_or_default();
        told.push_str(before);
        told.push_str("://");
        if !password.is_empty() {
            told.push_str(&format!("{user}:***@{host}"));
        } else {
            told.push_str(authority);
        }
        rest = &after[authority.len()..];
    }
    told + rest
}

fn code_of(code: u8) -> ExitCode {
    let known = ExitCode::PRECEDENCE.into_iter().find(|known| known.code() == code);
    known.unwrap_or(ExitCode::Pass)
}

/// What speaks against the run as such, thresholds aside.
fn findings(observed: &Observed) -> Vec<Finding> {
    match &observed.cut {
        Some(Cut::Interrupted) => {
            vec![Finding {
                code: ExitCode::Interrupted,
                text: "interrupted; the results up to then are written".to_owned(),
            }]
        }
        Some(cut) => vec![Finding::runtime(cut)],
        None if observed.done() == 0 => {
            vec![Finding::runtime("no request of the steady phase was done: nothing was measured")]
        }
        None => Vec::new(),
    }
}

fn failures(observed: &Observed) -> BTreeMap<String, BTreeMap<String, u64>> {
    let mut failures: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for (step, ending, count) in &observed.cells.failed {
        *failures.entry(step.name().to_owned()).or_default().entry(ending.to_string()).or_default() += count;
    }
    failures
}

fn harness_version() -> Version {
    Version {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        git_revision: option_env!("PAYRIG_GIT_REVISION").map(str::to_owned),
    }
}

/// What thresholds are judged on: what the log of the results folder holds.
struct JudgedSums<'a> {
    journal: &'a Journal,
    steady_s: f64,
}

impl Sums for JudgedSums<'_> {
    fn response(&self, step: Option<Step>) -> Histogram<u64> {
        self.journal.requests(step, Span::Response)
    }

    fn failed(&self, step: Option<Step>) -> u64 {
        self.journal.requests(step, Span::Failed).len()
    }

    fn journeys(&self, subject: Subject) -> Histogram<u64> {
        let span = match subject {
            Subject::Response => return self.response(None),
            Subject::Settle => {
                let by_server = self.journal.journeys(JourneySpan::SettleServer);
                if !by_server.is_empty() {
                    return by_server;
                }
                // A server that does not say: the most that it can have been.
                JourneySpan::SettleClientTo
            }
            Subject::Paid => JourneySpan::PaidClientTo,
            Subject::QueueWait => JourneySpan::QueueWait,
            Subject::Channel => JourneySpan::Channel,
            Subject::RetryWait => JourneySpan::RetryWait,
            Subject::Own => JourneySpan::Own,
        };
        self.journal.journeys(span)
    }

    fn steady_s(&self) -> f64 {
        self.steady_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_left_out_of_the_command_line_however_it_is_given() {
        let told = |words: &[&str]| without_secrets(words.iter().map(|word| (*word).to_owned())).join(" ");
        assert_eq!(told(&["payrig", "run", "--api-key", "SECRET", "-u", "8"]), "payrig run --api-key *** -u 8");
        assert_eq!(told(&["payrig", "--api-key=SECRET", "--seed", "7"]), "payrig --api-key=*** --seed 7");
        assert_eq!(told(&["payrig", "run", "--api-key"]), "payrig run --api-key");
    }

    #[test]
    fn passwords_in_urls_are_left_out() {
        let told = |words: &[&str]| without_secrets(words.iter().map(|word| (*word).to_owned())).join(" ");
        assert_eq!(told(&["--queue=amqp://u:p@h:1/%2f?prefix=x"]), "--queue=amqp://u:***@h:1/%2f?prefix=x");
        assert_eq!(
            told(&["--server-args", "--cache redis://:p@h --store mongodb://u:a@b@h/d"]),
            "--server-args --cache redis://:***@h --store mongodb://u:***@h/d"
        );
        assert_eq!(told(&["-H", "http://127.0.0.1:8080", "redis://u@h"]), "-H http://127.0.0.1:8080 redis://u@h");
    }
}

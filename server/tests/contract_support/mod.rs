//! One contract a seam, run on every backend. A backend that is not there is reported as skipped (ignored), never as
//! passed; with `PAYRIG_REQUIRE_SERVICES=1` it fails instead.

#![allow(dead_code, reason = "each suite uses the part that it needs")]

use std::{any::Any, pin::Pin, sync::Arc, time::Duration};

use libtest_mimic::{Arguments, Failed, Trial};
use payrig_api::{ChannelStyle, Currency, Simulate, Submission, TaskInfo};
use payrig_server::model::{OpenTask, PayTask, TaskId};

pub(crate) mod documents;

pub(crate) type Running = Pin<Box<dyn Future<Output = ()>>>;

/// How time passes for a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Time {
    /// As the test says: everything happens in this process.
    Paused,
    /// By itself: somebody outside has a clock of its own.
    Real,
}

/// A backend at work, empty; it ends with what is kept for it.
pub(crate) struct Opened<S> {
    pub(crate) seam: S,
    pub(crate) time: Time,
    passing: Option<Box<dyn Fn(Duration) -> Running>>,
    _kept: Box<dyn Any>,
}

/// A backend that a suite runs on.
pub(crate) struct Backend<S> {
    /// Its name in the report.
    pub(crate) name: &'static str,
    /// Why it is not to be had here, if so: the name of a variable that has to be set, say.
    pub(crate) missing: Option<String>,
    /// Opens an empty one, on the runtime of the case.
    pub(crate) open: fn(Time) -> Opened<S>,
}

/// Which clock a case needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Needs {
    /// Several threads, and the real clock.
    Threads,
    /// Time that passes when the test says so.
    Clock,
}

/// One promise of a seam.
pub(crate) struct Case<S> {
    pub(crate) name: &'static str,
    pub(crate) needs: Needs,
    pub(crate) run: fn(Opened<S>) -> Running,
}

#[allow(unused_macros, reason = "some tests have a harness without backends")]
/// A list of cases: `cases![Threads: a, b; Clock: c]`, each an `async fn(Opened<_>)`.
macro_rules! cases {
    ($($needs:ident: $($name:ident),+ $(,)?);+ $(;)?) => {
        [$($($crate::contract_support::Case {
            name: stringify!($name),
            needs: $crate::contract_support::Needs::$needs,
            run: |opened| Box::pin($name(opened)),
        },)+)+]
    };
}
#[allow(unused_imports, reason = "as above")]
pub(crate) use cases;

impl<S> Opened<S> {
    pub(crate) fn new(seam: S, time: Time, kept: impl Any) -> Self {
        Self { seam, time, passing: None, _kept: Box::new(kept) }
    }

    /// The same, where somebody outside can be told that time has passed.
    pub(crate) fn with_passing(self, passing: impl Fn(Duration) -> Running + 'static) -> Self {
        Self { passing: Some(Box::new(passing)), ..self }
    }

    /// Lets so much time pass.
    pub(crate) async fn pass(&self, time: Duration) {
        if let Some(passing) = &self.passing {
            return passing(time).await;
        }
        if self.time == Time::Real {
            return tokio::time::sleep(time).await;
        }
        // In small steps, so that whatever falls due on the way happens when it is due.
        let step = Duration::from_millis(100);
        let mut left = time;
        while !left.is_zero() {
            let now = left.min(step);
            tokio::time::advance(now).await;
            settle().await;
            left -= now;
        }
    }
}

/// Lets the tasks of a runtime with one thread do what they can do now.
pub(crate) async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

/// Runs the cases on the backends and ends the process.
pub(crate) fn main<S: 'static>(seam: &str, backends: &[Backend<S>], cases: &[Case<S>]) -> ! {
    let required = std::env::var_os("PAYRIG_REQUIRE_SERVICES").is_some_and(|value| value == "1");
    let mut trials = Vec::new();
    for backend in backends {
        for case in cases {
            let name = format!("{seam}::{}::{}", backend.name, case.name);
            trials.push(match &backend.missing {
                None => {
                    let (open, needs, run) = (backend.open, case.needs, case.run);
                    Trial::test(name, move || run_one(open, needs, run))
                }
                Some(why) if required => {
                    let why = why.clone();
                    Trial::test(name, move || Err(Failed::from(format!("it is required and not there: {why}"))))
                }
                Some(why) => Trial::test(format!("{name} (skipped: {why})"), || Ok(())).with_ignored_flag(true),
            });
        }
    }
    let mut arguments = Arguments::from_args();
    if backends.iter().any(|backend| backend.missing.is_some()) {
        // Asking for ignored tests must not turn what is missing into what has passed.
        arguments.include_ignored = false;
        arguments.ignored = false;
    }
    libtest_mimic::run(&arguments, trials).exit()
}

fn run_one<S>(open: fn(Time) -> Opened<S>, needs: Needs, run: fn(Opened<S>) -> Running) -> Result<(), Failed> {
    let runtime = match needs {
        Needs::Threads => tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build(),
        Needs::Clock => tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build(),
    };
    let time = if needs == Needs::Clock { Time::Paused } else { Time::Real };
    runtime?.block_on(async { run(open(time)).await });
    Ok(())
}

/// Nothing that hangs may hang for ever; far beyond what any machine needs.
pub(crate) async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(120);
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| panic!("{what} hangs"))
}

/// A task that nobody has seen before, for this order.
pub(crate) fn task(order_no: &str, style: ChannelStyle, simulate: Option<Simulate>) -> Arc<PayTask> {
    let submission = Submission {
        order_no: order_no.to_owned(),
        amount_minor: 1_234,
        currency: Currency::CNY,
        channel: style,
        items: None,
        task_info: TaskInfo::default(),
        simulate,
    };
    Arc::new(PayTask::from_submission(TaskId::fresh(1_800_000_000_000_000), "default".into(), submission))
}

/// The first round of such a task.
pub(crate) fn open(order_no: &str) -> Arc<OpenTask> {
    let task = task(order_no, ChannelStyle::Alipay, None);
    Arc::new(OpenTask { task, round: 1, accepted_at_us: 1_800_000_000_000_000, attempts_before: 0, key: None })
}

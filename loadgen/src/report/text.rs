//! The text summary of a run.

use std::fmt::Write;
use std::io::IsTerminal;
use std::path::Path;

use payrig_results::{
    AuditVerdict, Ended, Figures, LoadModel, Run, Series, StepFigures, ThresholdResult, ValidityVerdict,
};
use payrig_scenarios::{Outcome, Step};

use super::table::Table;
use crate::recorder::Span;
use crate::units::{human_count, human_rate, human_us};
use crate::verdict::threshold::human;

/// Whether colours are used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Plain text.
    Plain,
    /// Colours of a terminal.
    Colour,
}

impl Style {
    /// Colours on a terminal, unless `NO_COLOR` is set to anything.
    #[must_use]
    pub fn of_stdout() -> Self {
        let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if is_unwanted || !std::io::stdout().is_terminal() { Self::Plain } else { Self::Colour }
    }

    fn paint(self, text: &str, code: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }

    fn bold(self, text: &str) -> String {
        self.paint(text, "1")
    }

    fn bad(self, text: &str) -> String {
        self.paint(text, "1;31")
    }

    fn good(self, text: &str) -> String {
        self.paint(text, "32")
    }
}

/// The summary of a run that stands in this folder.
#[must_use]
pub fn text(run: &Run, dir: &Path, style: Style) -> String {
    let mut out = String::new();
    head(&mut out, run, style);
    requests(&mut out, run, style);
    stages(&mut out, run, style);
    journeys(&mut out, run, style);
    thresholds(&mut out, run, style);
    audit(&mut out, run, style);
    notes(&mut out, run, style);
    let _ = writeln!(out, "\nresults  {}", dir.display());
    out
}

fn head(out: &mut String, run: &Run, style: Style) {
    let plan = &run.plan;
    let model = match run.model {
        LoadModel::Closed => "closed model (Goose users)",
        LoadModel::Open => "open model (arrival rate)",
    };
    let _ = writeln!(out, "{}", style.bold(&format!("{}  {model}  seed {}", run.scenario, run.seed)));
    let server = run.versions.server.as_ref().map(|server| format!("  ({} {})", server.name, server.version));
    let revision = run.versions.harness.git_revision.as_deref().map(|revision| format!(" at {:.12}", revision));
    let _ = writeln!(out, "  target   {}{}", run.target, server.unwrap_or_default());
    let _ = writeln!(
        out,
        "  load     {} users, started at {}/s; warm-up {} left out; steady phase {:.1} s of {} planned",
        plan["users"],
        plan["hatch_rate_per_s"],
        seconds(&plan["warmup_ms"]),
        run.steady.length_us() as f64 / 1e6,
        seconds(&plan["run_time_ms"]),
    );
    let cpu = run.machine.cpu_model.as_deref().unwrap_or(&run.machine.arch);
    let _ = writeln!(
        out,
        "  where    {} {}{}, {} cores, {cpu}",
        run.versions.harness.name,
        run.versions.harness.version,
        revision.unwrap_or_default(),
        run.machine.cores,
    );
    match run.ended {
        Ended::Completed => {}
        Ended::Interrupted => {
            let _ = writeln!(out, "  {}", style.bad("interrupted: the figures are of what there was until then"));
        }
        Ended::Aborted => {
            let _ = writeln!(out, "  {}", style.bad("broken off: the figures are of what there was until then"));
        }
    }
    if run.validity.verdict == ValidityVerdict::Invalid {
        let _ = writeln!(out, "  {}", style.bad(&format!("invalid: {}", run.validity.reasons.join("; "))));
    }
}

fn seconds(ms: &serde_json::Value) -> String {
    format!("{} s", ms.as_f64().unwrap_or_default() / 1e3)
}

fn heading(out: &mut String, style: Style, title: &str, explained: &str) {
    let _ = writeln!(out, "\n{}  {explained}", style.bold(title));
}

const QUANTILES: [&str; 6] = ["p50", "p90", "p95", "p99", "p99.9", "max"];

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn quantiles(figures: Option<&Figures>) -> [String; 6] {
    let Some(f) = figures.filter(|f| f.n > 0) else { return std::array::from_fn(|_| "-".to_owned()) };
    [f.p50_us, f.p90_us, f.p95_us, f.p99_us, f.p99_9_us, f.max_us].map(|us| human_us(us as f64))
}

fn clock(step: &StepFigures, span: Span) -> Option<&Figures> {
    step.clocks.get(span.name())?.get(Series::ALL)
}

fn requests(out: &mut String, run: &Run, style: Style) {
    heading(
        out,
        style,
        "requests",
        "response time: from the scheduled instant to the last byte, of requests that were done",
    );
    let mut table = Table::default();
    table.row(["step", "count", "rate/s"].into_iter().chain(QUANTILES).chain(["errors"]));
    let steps = Step::ALL.into_iter().filter_map(|step| Some((step.name(), run.figures.steps.get(step.name())?)));
    for (name, step) in steps.chain([("all", &run.figures.all_steps)]) {
        let errors = if step.errors == 0 {
            "0".to_owned()
        } else {
            format!("{} ({:.2} %)", human_count(step.errors), step.error_rate * 100.0)
        };
        let words = [name.to_owned(), human_count(step.n), human_rate(step.rate_per_s)];
        table.row(words.into_iter().chain(quantiles(clock(step, Span::Response))).chain([errors]));
    }
    let all = &run.figures.all_steps;
    for (name, span) in [("- service", Span::Service), ("- send lag", Span::SendLag), ("- failed", Span::Failed)] {
        let figures = clock(all, span);
        if span != Span::Failed || figures.is_some_and(|figures| figures.n > 0) {
            let words = [name.to_owned(), human_count(figures.map_or(0, |f| f.n)), String::new()];
            table.row(words.into_iter().chain(quantiles(figures)));
        }
    }
    out.push_str(&table.lines());
    let _ = writeln!(
        out,
        "  service: from sending to the last byte. send lag: what the harness was late by (its timers tick once a millisecond)."
    );
    for (step, endings) in &run.failures {
        let words: Vec<_> = endings.iter().map(|(ending, n)| format!("{} {ending}", human_count(*n))).collect();
        let _ = writeln!(out, "  {} {step}: {}", style.bad("failed"), words.join(", "));
    }
}

fn stages(out: &mut String, run: &Run, style: Style) {
    heading(out, style, "stages", "of each settled round, by the server's own clock");
    let stage = |name: &str| run.figures.stages.get(name).and_then(|by_class| by_class.get(Series::ALL));
    let mut table = Table::default();
    table.row(["stage", "count"].into_iter().chain(QUANTILES));
    for name in ["queue_wait", "channel", "retry_wait", "own"] {
        let figures = stage(name);
        let words = [name.to_owned(), human_count(figures.map_or(0, |f| f.n))];
        table.row(words.into_iter().chain(quantiles(figures)));
    }
    out.push_str(&table.lines());
    let _ = writeln!(out, "  own is all that is none of the others: what the flow itself cost.");
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn journeys(out: &mut String, run: &Run, style: Style) {
    heading(out, style, "journeys", "that began in the steady phase, whenever they ended");
    let span = |name: &str| run.figures.journey.get(name).and_then(|by_class| by_class.get(Series::ALL));
    let mut table = Table::default();
    table.row(["span", "count"].into_iter().chain(QUANTILES));
    for (title, name) in [
        ("settle, server's clock", "settle_server"),
        ("settle, client: at least", "settle_client_from"),
        ("settle, client: at most", "settle_client_to"),
        ("paid, client: at least", "paid_client_from"),
        ("paid, client: at most", "paid_client_to"),
    ] {
        let figures = span(name);
        let words = [title.to_owned(), human_count(figures.map_or(0, |f| f.n))];
        table.row(words.into_iter().chain(quantiles(figures)));
    }
    out.push_str(&table.lines());
    let _ = writeln!(out, "  a client sees it only at its polls: the truth lies between `at least` and `at most`.");
    let counts = &run.journeys.steady;
    let known = Outcome::NAMES.iter().filter_map(|name| Some((*name, *counts.outcomes.get(*name)?)));
    let outcomes: Vec<_> = known
        .map(|(name, n)| {
            let text = format!("{name} {} ({:.1} %)", human_count(n), n as f64 * 100.0 / counts.n.max(1) as f64);
            if matches!(name, "refused" | "gave_up" | "error") { style.bad(&text) } else { text }
        })
        .collect();
    let outcomes = if outcomes.is_empty() { "none".to_owned() } else { outcomes.join(", ") };
    let _ = writeln!(out, "  outcomes    {} journeys: {outcomes}", human_count(counts.n));
    let scenarios: Vec<_> = counts.scenarios.iter().map(|(name, n)| format!("{name} {}", human_count(*n))).collect();
    if scenarios.len() > 1 {
        let _ = writeln!(out, "  scenarios   {}", scenarios.join(", "));
    }
    let each = |sum: u64| format!("{:.2}", sum as f64 / counts.accepted.max(1) as f64);
    let _ = writeln!(
        out,
        "  a payment   {} polls, {} attempts, {} manual retries, {} submissions",
        each(counts.polls),
        each(counts.attempts),
        each(counts.manual_retries),
        each(counts.submits),
    );
    let left_out = run.journeys.all.n - counts.n;
    if left_out > 0 {
        let _ = writeln!(out, "  left out    {} journeys that began before the steady phase", human_count(left_out));
    }
    let violations = &run.journeys.all.violations;
    if !violations.is_empty() {
        let words: Vec<_> = violations.iter().map(|(kind, n)| format!("{} {kind}", human_count(*n))).collect();
        let _ = writeln!(out, "  {}", style.bad(&format!("BROKEN PROMISES seen by payers: {}", words.join(", "))));
    }
}

/// How many findings are shown; the others are in `run.json`.
const FINDINGS_SHOWN: usize = 20;

fn audit(out: &mut String, run: &Run, style: Style) {
    let (word, findings) = match run.audit.verdict {
        AuditVerdict::Passed => {
            (style.good("passed"), "the server's books, the channel's ledger and the clients agree")
        }
        AuditVerdict::Failed => {
            (style.bad("FAILED"), "the server's books, the channel's ledger and the clients disagree")
        }
        AuditVerdict::NotRun => ("not run".to_owned(), ""),
    };
    heading(out, style, "audit", "of the money, when nothing moved any more");
    let _ = writeln!(out, "  {word}  {findings}");
    for finding in run.audit.findings.iter().take(FINDINGS_SHOWN) {
        let _ = writeln!(out, "  - {finding}");
    }
    let more = run.audit.findings.len().saturating_sub(FINDINGS_SHOWN);
    if more > 0 {
        let _ = writeln!(out, "  and {more} more in run.json");
    }
}

fn thresholds(out: &mut String, run: &Run, style: Style) {
    if run.thresholds.is_empty() {
        return;
    }
    heading(out, style, "thresholds", "on the whole steady phase");
    for ThresholdResult { text, observed, unit, is_kept, .. } in &run.thresholds {
        let verdict = if *is_kept { style.good("pass") } else { style.bad("FAIL") };
        let seen = observed.map_or("nothing was seen that it speaks about".to_owned(), |figure| human(figure, unit));
        let _ = writeln!(out, "  {verdict}  {text}  ({seen})");
    }
}

fn notes(out: &mut String, run: &Run, style: Style) {
    if run.notes.is_empty() {
        return;
    }
    heading(out, style, "notes", "");
    for note in &run.notes {
        let _ = writeln!(out, "  - {note}");
    }
}

//! What a reader of the results should know beyond the figures: costs, and what could not be seen.

use std::time::Duration;

use crate::observe::Observed;
use crate::recorder::{Cells, Span};
use crate::tally::JourneySpan;
use crate::units::{human_count, human_us};
use crate::watch::CpuUse;

/// Above this share of its cores the harness itself may have been the limit.
const BUSY_LIMIT: f64 = 0.9;

/// Two ticks of this engine's timers: so late a request may be without anybody's fault.
const SEND_LAG_LIMIT_US: u64 = 2_000;

/// The notes of a run, each one sentence.
#[must_use]
pub fn notes(observed: &Observed, engine_threads: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if observed.steady_us.is_none_or(|(from, until)| from == until) {
        notes.push("the run ended before its steady phase began: there are no figures".to_owned());
    }
    notes.extend(server_cost(observed));
    notes.extend(observed.cpu.channel.map(|cpu| format!("channel CPU: {}", cost(observed, cpu))));
    notes.extend(harness_cost(&observed.cells, observed.cpu, observed.cpu_span, engine_threads));
    notes.extend(send_lag(&observed.cells));
    if observed.closing > Duration::ZERO {
        notes.push(format!(
            "journeys under way at the end of the steady phase went on for {:.1} s; their requests of that time are in no figure",
            observed.closing.as_secs_f64()
        ));
    }
    if observed.cells.unknown > 0 {
        notes.push(format!(
            "{} requests were under way when the run was cut short; they are in no figure",
            human_count(observed.cells.unknown)
        ));
    }
    notes.extend(unseen(observed));
    for (reason, count) in &observed.tally.reasons {
        let journeys = if *count == 1 { "journey" } else { "journeys" };
        notes.push(format!("{} {journeys} {reason}", human_count(*count)));
    }
    for (kind, (_, first)) in &observed.tally.violations {
        notes.push(format!("the first broken promise of the kind {kind}: {first}"));
    }
    notes
}

fn server_cost(observed: &Observed) -> Option<String> {
    let Some(cpu) = observed.cpu.server else {
        let is_seen = observed.cpu.harness.is_some();
        return is_seen.then(|| {
            "server CPU: not seen: this run did not start the server, or the server ended too early".to_owned()
        });
    };
    Some(format!("server CPU: {}", cost(observed, cpu)))
}

/// What a process of the run cost, by what it was for.
#[expect(clippy::cast_precision_loss, reason = "for people")]
fn cost(observed: &Observed, cpu: Duration) -> String {
    let tally = &observed.tally;
    let requests = requests(&observed.cells);
    let each = |n: u64| if n == 0 { "-".to_owned() } else { format!("{:.1} us", cpu.as_secs_f64() * 1e6 / n as f64) };
    format!(
        "{} a request, {} a settled round ({} in the steady phase), {} a paid payment ({}); {:.0} % of one core",
        each(requests),
        each(tally.settled_in_steady),
        human_count(tally.settled_in_steady),
        each(tally.paid_in_steady),
        human_count(tally.paid_in_steady),
        share(cpu, observed.cpu_span) * 100.0,
    )
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn harness_cost(cells: &Cells, cpu: CpuUse, span: Duration, engine_threads: usize) -> Option<String> {
    let cpu = cpu.harness?;
    let busy = share(cpu, span) / engine_threads as f64;
    let requests = requests(cells).max(1);
    let each_us = cpu.as_secs_f64() * 1e6 / requests as f64;
    let warning =
        if busy > BUSY_LIMIT { "; it may itself have been the limit: do not trust these figures" } else { "" };
    let threads = if engine_threads == 1 {
        "its engine thread".to_owned()
    } else {
        format!("its {engine_threads} engine threads")
    };
    Some(format!("harness CPU: {each_us:.1} us a request; {threads} busy {:.0} %{warning}", busy * 100.0))
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn send_lag(cells: &Cells) -> Option<String> {
    let p99_us = cells.all_steps(Span::SendLag).value_at_quantile(0.99);
    (p99_us > SEND_LAG_LIMIT_US).then(|| {
        format!(
            "send lag: 1 % of requests were sent over {} late, so the harness or this machine was short of CPU, and response \
             times hold that too; service times hold less of it",
            human_us(p99_us as f64)
        )
    })
}

fn requests(cells: &Cells) -> u64 {
    cells.all_steps(Span::Response).len() + cells.all_steps(Span::Failed).len()
}

fn share(cpu: Duration, span: Duration) -> f64 {
    if span.is_zero() { 0.0 } else { cpu.as_secs_f64() / span.as_secs_f64() }
}

fn unseen(observed: &Observed) -> Vec<String> {
    let mut notes = Vec::new();
    if observed.tally.without_cashier > 0 {
        notes.push(format!(
            "this server names no cashier_url: {} journeys ended when they were settled, and paying was not tested",
            human_count(observed.tally.without_cashier)
        ));
    }
    let seen = |span| observed.tally.counts[span as usize];
    if seen(JourneySpan::SettleClientTo) > 0 {
        if seen(JourneySpan::SettleServer) == 0 {
            notes.push("this server gives no settled_at: settle time is known by the client's polls only".to_owned());
        }
        if seen(JourneySpan::Own) == 0 {
            notes.push("this server gives no stages (queue_wait_us, channel_us, retry_wait_us, own_us)".to_owned());
        }
    }
    notes
}

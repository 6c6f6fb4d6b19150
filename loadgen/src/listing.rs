//! `payrig scenarios`.

use std::io::Write;

use payrig_results::ExitCode;
use payrig_scenarios::Profile;

use crate::cli::ScenariosArgs;

/// Lists the built-in profiles.
#[must_use]
pub fn scenarios(args: &ScenariosArgs) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let written = if args.json { json(&mut out) } else { plain(&mut out) };
    match written {
        Ok(()) => ExitCode::Pass,
        // Whoever reads a list through `head` has what was wanted.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::Pass,
        Err(_) => ExitCode::RuntimeError,
    }
}

fn json(out: &mut impl Write) -> std::io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &Profile::all())?;
    writeln!(out)
}

fn plain(out: &mut impl Write) -> std::io::Result<()> {
    for profile in Profile::all() {
        writeln!(out, "{:<14}{}", profile.name, profile.description)?;
        let sum: u32 = profile.weights.values().sum();
        if profile.weights.len() > 1 {
            let parts: Vec<_> = profile
                .weights
                .iter()
                .map(|(scenario, weight)| {
                    format!("{} {:.0} %", scenario.name(), f64::from(*weight) * 100.0 / f64::from(sum))
                })
                .collect();
            writeln!(out, "{:<14}{}", "", parts.join(", "))?;
        }
        if !profile.thresholds.is_empty() {
            writeln!(out, "{:<14}judged by {}", "", profile.thresholds.join(", "))?;
        }
    }
    writeln!(out, "\nRun one with `payrig run NAME`, or write a profile of your own and give its path.")
}

//! The command `payrig`.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use payrig::cli::{Cli, Command};
use payrig::{child, listing, run};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => run::run(&args).into(),
        Command::Scenarios(args) => listing::scenarios(&args).into(),
        Command::Tied { command } => {
            let _ = writeln!(std::io::stderr(), "payrig: {}", child::become_tied(&command));
            payrig_results::ExitCode::RuntimeError.into()
        }
    }
}

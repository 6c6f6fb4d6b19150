//! `payrig-channel`: flags to a channel, and serve.
#![expect(clippy::print_stderr, reason = "this is where the program speaks to people")]

use std::process::ExitCode;

use clap::Parser as _;
use payrig_channel::program::{Command, Config, make_keys, run};
use tracing_subscriber::EnvFilter;

/// Documents are made on one thread and freed on another, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    log_to_stderr();
    let config = Config::parse();
    let done = match &config.command {
        Some(Command::MakeKeys(flags)) => make_keys(flags),
        None => run(&config.start),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("payrig-channel: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Structured logs on stderr: warnings, or what `RUST_LOG` says.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
}

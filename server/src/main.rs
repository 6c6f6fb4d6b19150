//! `payrig-server`: flags to a configuration, a configuration to a server, and serve.

use std::process::ExitCode;

use clap::Parser as _;
use payrig_server::{
    assemble::Server,
    config::{Command, RawConfig},
    start,
    stop::Stopped,
};

/// Documents are made on one thread and freed on another, which costs the system's allocator a fifth of an acceptance.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A second signal.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    start::log_to_stderr();
    let raw = RawConfig::parse();
    if let Some(Command::MakeMerchant { id }) = &raw.command {
        return start::make_merchant(id);
    }
    let config = match raw.with_file().and_then(RawConfig::validate) {
        Ok(config) => config,
        Err(error) => return start::complain(&error, start::USAGE),
    };
    if config.config_check {
        return match start::show(&config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => start::complain(&error, 1),
        };
    }
    start::warn_of_weak_promises(&config);
    let print_address = config.print_address;
    let server = match Server::assemble(config) {
        Ok(server) => server,
        Err(error) => return start::complain(&error, 1),
    };
    let (address, admin) = (server.address(), server.admin_address());
    match server.run(&|| start::announce(address, admin, print_address)) {
        Ok(Stopped::Drained) => ExitCode::SUCCESS,
        Ok(Stopped::OutOfTime) => ExitCode::FAILURE,
        Ok(Stopped::AtOnce) => ExitCode::from(INTERRUPTED),
        Err(error) => start::complain(&error, 1),
    }
}

//! What the program says when it starts.
#![expect(clippy::print_stderr, reason = "this is where the program speaks to people")]

use std::{error::Error, io::Write as _, net::SocketAddr, process::ExitCode};

use tracing_subscriber::EnvFilter;

use crate::{
    config::{Config, StoreKind},
    merchants::{ApiKey, checked_id},
    parts::{AcceptMode, SyncMode},
};

/// The exit code where a flag or a file is not as expected.
pub const USAGE: u8 = 2;

/// Structured logs on stderr: warnings, or what `RUST_LOG` says. The RabbitMQ library's own are left out, which show whole
/// messages: what goes wrong there is said by whoever uses it.
pub fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,lapin=off"));
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
}

/// Says what went wrong and gives the exit code.
#[must_use]
pub fn complain(error: &dyn Error, code: u8) -> ExitCode {
    eprintln!("payrig-server: {error}");
    ExitCode::from(code)
}

/// Shows a checked configuration.
///
/// # Errors
/// Where standard output takes nothing.
pub fn show(config: &Config) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{config:#?}")
}

/// Makes a key for a merchant. The entry goes to stdout, so that it can be appended to a file; the key goes to stderr,
/// so that it does not go there with it.
#[must_use]
pub fn make_merchant(id: &str) -> ExitCode {
    let id = match checked_id(id) {
        Ok(id) => id,
        Err(error) => return complain(&error, USAGE),
    };
    let key = match ApiKey::fresh() {
        Ok(key) => key,
        Err(error) => return complain(&error, 1),
    };
    let entry = format!("[[merchants]]\nid = \"{id}\"\nkeys = [\"{}\"]\n", key.hash());
    if let Err(error) = std::io::stdout().write_all(entry.as_bytes()) {
        return complain(&error, 1);
    }
    eprintln!("API key of {id}, shown this once: {}", key.reveal());
    ExitCode::SUCCESS
}

/// Says what the chosen settings no longer promise.
pub fn warn_of_weak_promises(config: &Config) {
    if config.settings.accept == AcceptMode::Early {
        eprintln!(
            "payrig-server: --accept early: a 202 is given before the write; a crash or a conflict (another task \
             pays the order, the same key at the same moment) may lose accepted tasks (promise 1)."
        );
    }
    if config.settings.sync == SyncMode::OnQuery {
        eprintln!(
            "payrig-server: --sync on-query: results are shown before they are stored; a crash may lose or take back what \
             was shown (promises 1 to 3 hold only while the cache lives and nobody cancels)."
        );
    }
    if config.store == StoreKind::Memory {
        eprintln!("payrig-server: --store memory: keeps nothing beyond this process; for benches only.");
    }
}

/// Says where the server listens.
pub fn announce(address: SocketAddr, admin: Option<SocketAddr>, print_address: bool) {
    if print_address {
        // Whoever waits for the line must get it now; nobody may be there to read it any more.
        let mut out = std::io::stdout();
        let _ = writeln!(out, "listening on http://{address}").and_then(|()| out.flush());
    } else {
        eprintln!("payrig-server {} listening on http://{address}", env!("CARGO_PKG_VERSION"));
    }
    if let Some(admin) = admin {
        eprintln!("payrig-server: admin books on http://{admin}/admin/books");
    }
}

//! Starting, signals and stopping.
//!
//! One runtime of a thread a core that steals work: under RSA one call costs hundreds of microseconds of signing, and
//! the connections and notifications that happen to sit on one core must not wait for it while the other is idle.
#![expect(clippy::print_stderr, reason = "this is where the program speaks to people")]

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::config::{MakeKeys, Start};
use crate::http::{App, Face, Limits, serve};
use crate::keys::{self, ChannelKeys, KeysError};
use crate::ledger::{Ledger, LedgerError, MemoryLedger};
use crate::metrics::Metrics;
use crate::options::Options;
use crate::sending::{self, ToSend};
use crate::sign::Algorithm;
use crate::simulated::SimulatedChannel;

/// Why the program did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; --{flag} takes another address, and its port 0 takes a free port")]
    Listen {
        /// The flag that names it.
        flag: &'static str,
        /// Which one.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The ledger cannot be opened or read.
    #[error("cannot open the ledger: {0}; --data-dir takes another folder")]
    Ledger(#[from] LedgerError),
    /// The keys cannot be read or made.
    #[error("cannot use the keys: {0}")]
    Keys(#[from] KeysError),
    /// The data folder cannot be made.
    #[error("cannot make {}: {source}", path.display())]
    Folder {
        /// Which one.
        path: std::path::PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The system refuses threads, timers or signals.
    #[error("the system refuses what a program needs: {0}")]
    System(#[from] io::Error),
}

/// `make-keys`: says on stdout which serial the channel's new key has.
///
/// # Errors
/// [`ProgramError::Keys`].
pub fn make_keys(flags: &MakeKeys) -> Result<(), ProgramError> {
    let serial = if flags.rotate {
        keys::rotate(&flags.dir, flags.signature)?
    } else {
        keys::make(&flags.dir, flags.signature.unwrap_or(Algorithm::RsaSha256))?
    };
    let _ = writeln!(io::stdout(), "{}: the active channel key is {serial}", flags.dir.display());
    Ok(())
}

/// Serves until SIGTERM or SIGINT; SIGHUP reads the keys again.
///
/// # Errors
/// [`ProgramError`].
pub fn run(flags: &Start) -> Result<(), ProgramError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve_until_stopped(flags))
}

async fn serve_until_stopped(flags: &Start) -> Result<(), ProgramError> {
    let signals = Signals::listen()?;
    let public = bind("listen", flags.listen).await?;
    let admin = match flags.admin_listen {
        Some(address) => Some(bind("admin-listen", address).await?),
        None => None,
    };
    let (address, admin_address) = (public.local_addr()?, admin.as_ref().map(TcpListener::local_addr).transpose()?);
    let keys = keys_of(flags)?;
    let ledger = if flags.memory {
        eprintln!("payrig-channel: --memory: keeps nothing beyond this process; for measuring only.");
        Ledger::from(MemoryLedger::new())
    } else {
        Ledger::open(&flags.data_dir.join("ledger"))?
    };
    let options = Options {
        profile: flags.profile.clone(),
        notification_capacity: flags.notifications as usize,
        keys: Some(keys),
        ..Options::default()
    };
    let (channel, notifications) = SimulatedChannel::start(ledger, options).await?;
    let to_send = ToSend { notifications, scale: flags.time_scale };
    let metrics = Arc::new(Metrics::new());
    let (stop, stopping) = watch::channel(false);
    let app = |face| Arc::new(App { channel: channel.clone(), metrics: Arc::clone(&metrics), face });
    let limits = Limits { connections: flags.connections as usize, ..Limits::default() };
    let public = tokio::spawn(serve(public, app(Face::Public), limits, stopping.clone()));
    let admin = admin.map(|admin| {
        tokio::spawn(serve(admin, app(Face::Admin), Limits { connections: 64, ..limits }, stopping.clone()))
    });
    let sending = tokio::spawn(sending::run(channel.clone(), Arc::clone(&metrics), to_send, stopping));
    announce(address, admin_address, flags.print_address);
    signals.until_stopped(&channel, flags).await;
    tracing::info!("stopping");
    stop.send_replace(true);
    let _ = public.await;
    if let Some(admin) = admin {
        let _ = admin.await;
    }
    let _ = sending.await;
    Ok(())
}

async fn bind(flag: &'static str, address: SocketAddr) -> Result<TcpListener, ProgramError> {
    // No SO_REUSEPORT: a second channel on a port in use is an error.
    TcpListener::bind(address).await.map_err(|source| ProgramError::Listen { flag, address, source })
}

fn keys_of(flags: &Start) -> Result<ChannelKeys, ProgramError> {
    let dir = flags.keys_dir();
    if keys::is_empty(&dir)? {
        if let Some(path) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(path).map_err(|source| ProgramError::Folder { path: path.to_owned(), source })?;
        }
        let serial = keys::make(&dir, flags.signature)?;
        eprintln!("payrig-channel: made {} keys in {}; the channel's is {serial}", flags.signature, dir.display());
    }
    Ok(ChannelKeys::load(&dir)?)
}

/// Says where the channel listens.
fn announce(address: SocketAddr, admin: Option<SocketAddr>, print_address: bool) {
    if print_address {
        // Whoever waits for the line must get it now; nobody may be there to read it any more.
        let mut out = io::stdout();
        let _ = writeln!(out, "listening on http://{address}").and_then(|()| out.flush());
    } else {
        eprintln!("payrig-channel {} listening on http://{address}", env!("CARGO_PKG_VERSION"));
    }
    if let Some(admin) = admin {
        eprintln!("payrig-channel: admin books on http://{admin}/admin/books");
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn until_stopped(mut self, channel: &SimulatedChannel, flags: &Start) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => match ChannelKeys::load(&flags.keys_dir()) {
                    Ok(keys) => {
                        eprintln!("payrig-channel: keys read again; the active one is {}", keys.own.serial());
                        channel.set_keys(keys);
                    }
                    Err(error) => eprintln!("payrig-channel: the keys stay as they were: {error}"),
                },
            }
        }
    }
}

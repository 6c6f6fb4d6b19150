//! The flags of `payrig-channel`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::profile::Profile;
use crate::sending::TimeScale;
use crate::sign::Algorithm;

/// A simulated third-party payment channel, Alipay style and WeChat style, with a durable ledger of its own.
#[derive(Parser, Clone, Debug)]
#[command(name = "payrig-channel", version, args_conflicts_with_subcommands = true)]
pub struct Config {
    /// Something else than serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve.
    #[command(flatten)]
    pub start: Start,
}

/// What the program can do beside serving.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Makes the keys of platform and channel in a folder.
    MakeKeys(MakeKeys),
}

/// `make-keys`.
#[derive(Args, Clone, Debug)]
pub struct MakeKeys {
    /// The folder; empty or absent, but for --rotate.
    pub dir: PathBuf,
    /// How to sign: rsa-sha256, ed25519 or hmac-sha256 [default: rsa-sha256, with --rotate that of the active key].
    #[arg(long, value_name = "ALGORITHM")]
    pub signature: Option<Algorithm>,
    /// Add a channel key to the folder and make it the active one.
    #[arg(long)]
    pub rotate: bool,
}

/// The flags of serving.
#[derive(Args, Clone, Debug)]
pub struct Start {
    /// Where server and payers come; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,
    /// The folder of the ledger.
    #[arg(long, value_name = "DIR", default_value = "./payrig-channel-data")]
    pub data_dir: PathBuf,
    /// The folder of the keys [default: DATA_DIR/keys]; new ones are made if it is empty or absent.
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
    /// What goes wrong: words such as `quiet` or `latency=40ms,transient=2%,seed=7`.
    #[arg(long, value_name = "WORDS", default_value = "")]
    pub profile: Profile,
    /// How new keys sign: rsa-sha256, ed25519 or hmac-sha256. Keys that are there stay.
    #[arg(long, value_name = "ALGORITHM", default_value = "rsa-sha256")]
    pub signature: Algorithm,
    /// How many times faster than published notifications are repeated.
    #[arg(long, value_name = "TIMES", default_value = "1", value_parser = time_scale)]
    pub time_scale: TimeScale,
    /// Where the books and the profile are, on loopback; nowhere unless given.
    #[arg(long, value_name = "ADDRESS", value_parser = loopback)]
    pub admin_listen: Option<SocketAddr>,
    /// Print `listening on http://ADDRESS` as the first line on stdout.
    #[arg(long)]
    pub print_address: bool,
    /// How many connections may be open; more wait.
    #[arg(long, value_name = "N", default_value = "4096", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub connections: u32,
    /// How many notifications may wait; more are dropped and counted.
    #[arg(long, value_name = "N", default_value = "65536", value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    pub notifications: u32,
    /// Keep the ledger in memory only: for measuring.
    #[arg(long)]
    pub memory: bool,
}

impl Start {
    /// The folder of the keys.
    #[must_use]
    pub fn keys_dir(&self) -> PathBuf {
        self.keys.clone().unwrap_or_else(|| self.data_dir.join("keys"))
    }
}

fn time_scale(text: &str) -> Result<TimeScale, String> {
    text.parse().ok().and_then(TimeScale::new).ok_or_else(|| "a whole number from 1".to_owned())
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "an address such as 127.0.0.1:8091".to_owned())?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("a loopback address: the books are open to all".to_owned())
    }
}

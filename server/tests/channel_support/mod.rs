//! The channel as a process of its own: the test's own binary, started again as `payrig-channel`.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
};

use clap::Parser as _;
use payrig_channel::{
    Algorithm, keys,
    program::{Config, run},
};
use serde_json::Value;

use crate::support::{Connection, PATIENCE, Reply};

/// Says to a test binary that it is the channel, with these arguments.
const ARGUMENTS: &str = "TEST_CHANNEL_ARGUMENTS";
/// The test of the standard harness that then is.
const ENTRY: &str = "be_the_channel";

/// Where the books of each channel are, by where it listens.
static ADMINS: Mutex<Option<HashMap<SocketAddr, SocketAddr>>> = Mutex::new(None);

/// What a test binary does first: if it was started as the channel it is the channel, until it is stopped.
pub(crate) fn be_the_channel_if_asked() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let arguments: Vec<String> = serde_json::from_str(&arguments).expect("a list of arguments");
    let config = Config::try_parse_from(std::iter::once("payrig-channel".to_owned()).chain(arguments));
    run(&config.expect("arguments of the channel").start).expect("the channel serves until it is stopped");
    std::process::exit(0);
}

/// A running channel. Its folder outlives it, so that another may follow.
pub(crate) struct ChannelProcess {
    child: Child,
    folder: Arc<tempfile::TempDir>,
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
}

impl ChannelProcess {
    /// A quiet channel with fresh keys of this algorithm.
    pub(crate) fn start(algorithm: Algorithm) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        keys::make(&folder.path().join("keys"), algorithm).expect("a folder that is empty");
        Self::start_in(folder, "127.0.0.1:0".parse().expect("an address"), "quiet")
    }

    /// A channel on what an earlier one left, at this address, with this profile.
    pub(crate) fn start_in(folder: Arc<tempfile::TempDir>, address: SocketAddr, profile: &str) -> Self {
        let text = |path: PathBuf| path.to_str().expect("a path of letters").to_owned();
        let arguments = [
            "--listen".to_owned(),
            address.to_string(),
            "--admin-listen".to_owned(),
            "127.0.0.1:0".to_owned(),
            "--data-dir".to_owned(),
            text(folder.path().join("channel")),
            "--keys".to_owned(),
            text(folder.path().join("keys")),
            "--profile".to_owned(),
            profile.to_owned(),
            "--time-scale".to_owned(),
            "100".to_owned(),
        ];
        let mut command = Command::new(std::env::current_exe().expect("the test's own binary"));
        command.args(["--exact", ENTRY, "--ignored", "--nocapture"]);
        command.env(ARGUMENTS, serde_json::to_string(&arguments).expect("texts"));
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a child");
        let stderr = child.stderr.take().expect("its stderr");
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                // Whoever waits has heard enough after two lines.
                let _ = tell.send(line);
            }
        });
        let mut said = String::new();
        let mut after = |words: &str| loop {
            let line = told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("nobody said {words:?}: {said}"));
            if let Some((_, rest)) = line.split_once(words) {
                let address = rest.trim_end_matches("/admin/books");
                return address.parse::<SocketAddr>().expect("an address");
            }
            said.push_str(&line);
        };
        let (address, admin) = (after(" listening on http://"), after("admin books on http://"));
        let mut admins = ADMINS.lock().unwrap_or_else(PoisonError::into_inner);
        admins.get_or_insert_default().insert(address, admin);
        Self { child, folder, address, admin }
    }

    /// `kill -9`, and another one on its folder and at its address.
    pub(crate) fn kill(mut self) -> (Arc<tempfile::TempDir>, SocketAddr) {
        self.end();
        (Arc::clone(&self.folder), self.address)
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The folder of both sides' keys.
    pub(crate) fn keys(&self) -> PathBuf {
        keys_of(&self.folder)
    }

    /// `http://HOST:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Another profile from now on.
    pub(crate) fn set_profile(&self, words: &str) {
        let reply = Connection::open(self.admin).request("PUT", "/admin/profile", &[], words.as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    /// What its books say of a payment.
    pub(crate) fn row(&self, out_trade_no: &str) -> Option<Value> {
        row_at(self.address, out_trade_no)
    }
}

impl Drop for ChannelProcess {
    fn drop(&mut self) {
        self.end();
    }
}

/// The folder of keys in a channel's folder.
pub(crate) fn keys_of(folder: &Arc<tempfile::TempDir>) -> PathBuf {
    Path::new(folder.path()).join("keys")
}

/// What the books of the channel at this address say of a payment.
pub(crate) fn row_at(address: SocketAddr, out_trade_no: &str) -> Option<Value> {
    let admins = ADMINS.lock().unwrap_or_else(PoisonError::into_inner);
    let admin = *admins.as_ref()?.get(&address)?;
    drop(admins);
    let reply: Reply = Connection::open(admin).request("GET", "/admin/ledger?limit=10000", &[], b"");
    let page = reply.ok(200);
    page["items"].as_array().expect("rows").iter().find(|row| row["out_trade_no"] == out_trade_no).cloned()
}

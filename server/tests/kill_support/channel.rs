//! The channel as a program of its own: started, killed and started again on the same port, folder and keys.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

use super::server::{Server, Starting};

/// A channel that keeps its place while its processes come and go.
pub(crate) struct Place {
    folder: PathBuf,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Place {
    /// A new one in this folder, on ports that are free now. HMAC keys: what is tested here is not the arithmetic.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.join("channel"), address: free(), admin: free() }
    }

    /// Where server and payers reach it.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its books are.
    pub(crate) fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// The folder of both sides' keys.
    pub(crate) fn keys(&self) -> PathBuf {
        self.folder.join("keys")
    }

    /// Nothing of what it took or closed is known any more; its keys stay. Only while it does not run.
    pub(crate) fn forget(&self) {
        std::fs::remove_dir_all(self.folder.join("ledger")).expect("it had a ledger");
    }

    /// Starts it with this profile and does not wait.
    pub(crate) fn spawn(&self, profile: &str) -> Starting {
        let mut command = Command::new(program());
        command.arg("--data-dir").arg(&self.folder).args(["--listen", &self.address.to_string()]);
        command.args(["--admin-listen", &self.admin.to_string(), "--print-address"]);
        command.args(["--signature", "hmac-sha256", "--time-scale", "30", "--profile", profile]).env("NO_COLOR", "1");
        Starting::spawn(command)
    }

    /// Starts it and waits until it serves.
    pub(crate) fn start(&self, profile: &str) -> Server {
        self.spawn(profile).ready()
    }

    /// The server's flags for it.
    pub(crate) fn flags(&self) -> [String; 4] {
        let keys = self.keys().display().to_string();
        ["--channel".to_owned(), format!("http://{}", self.address), "--channel-keys".to_owned(), keys]
    }
}

/// A port that nobody has now. Whoever is killed on it gets it again: nobody else is given one that has just been used.
pub(crate) fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound")
}

/// `payrig-channel`, beside the server: another package's program, which cargo builds for a test only if asked.
fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_payrig-server")).with_file_name("payrig-channel");
    assert!(program.exists(), "{} is missing: cargo build -p payrig-channel", program.display());
    program
}

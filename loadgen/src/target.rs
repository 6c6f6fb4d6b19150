//! The server under test: started or found, asked what it is, and looked for again when the run is over.

use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use payrig_results::Version;
use reqwest::Url;
use serde::Deserialize;

use crate::child::{ChildError, ChildServer, ServerCommand};
use crate::interrupt::Interrupt;
use crate::plan::Target;

const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
const VERSION_PATIENCE: Duration = Duration::from_secs(2);

/// Why there is nothing to drive.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Nobody answers there.
    #[error("cannot reach the server at {url}: {why}; is it running, and is -H right?")]
    Unreachable {
        /// Where.
        url: Url,
        /// Why.
        why: String,
    },
    /// The server that was to be started did not.
    #[error(transparent)]
    Child(#[from] ChildError),
}

/// The server under test while a run goes on.
#[derive(Debug)]
pub struct Server {
    /// Where it is.
    pub base: Url,
    /// The process, where this run started it.
    pub child: Option<ChildServer>,
    /// How it is told of in the results.
    pub description: String,
    /// What the program calls itself, where it is known to answer `--version`.
    program_version: Option<Version>,
}

impl Server {
    /// Starts the server (with its folder under `results`), or sees that somebody listens.
    ///
    /// # Errors
    /// Nobody does, or it did not start.
    pub fn open(target: &Target, results: &Path, interrupt: &Interrupt) -> Result<Self, TargetError> {
        match target {
            Target::Running(url) => {
                reach(url)?;
                Ok(Self { base: url.clone(), child: None, description: url.to_string(), program_version: None })
            }
            Target::Child { command, wait } => Self::start(command, *wait, results, interrupt),
        }
    }

    fn start(
        command: &ServerCommand,
        wait: Duration,
        results: &Path,
        interrupt: &Interrupt,
    ) -> Result<Self, TargetError> {
        let child = ChildServer::start(command, wait, results, interrupt)?;
        let text = format!("http://{}/", child.address());
        let base = Url::parse(&text)
            .map_err(|error| ChildError::NoAddress { program: command.program(), line: format!("{text} ({error})") })?;
        Ok(Self {
            description: format!("{base} started by this run: {}", command.display()),
            base,
            child: Some(child),
            program_version: command.version(),
        })
    }

    /// What the server calls itself: the program, or else its `OpenAPI` document; none where neither tells.
    pub async fn version(&self) -> Option<Version> {
        if let Some(version) = &self.program_version {
            return Some(version.clone());
        }
        #[derive(Deserialize)]
        struct Document {
            info: Info,
        }
        #[derive(Deserialize)]
        struct Info {
            title: String,
            version: String,
        }
        let client = reqwest::Client::builder().no_proxy().timeout(VERSION_PATIENCE).build().ok()?;
        let reply = client.get(self.base.join("/openapi.json").ok()?).send().await.ok()?;
        let document: Document = serde_json::from_slice(&reply.bytes().await.ok()?).ok()?;
        Some(Version { name: document.info.title, version: document.info.version, git_revision: None })
    }

    /// Stops the server, or sees that one that was there is there still.
    ///
    /// # Errors
    /// It ended badly, or is gone.
    pub fn close(self, keep_log_in: &Path) -> Result<(), TargetError> {
        match self.child {
            Some(child) => Ok(child.stop(keep_log_in)?),
            None => reach(&self.base),
        }
    }
}

fn reach(url: &Url) -> Result<(), TargetError> {
    let unreachable = |why: String| TargetError::Unreachable { url: url.clone(), why };
    let addresses = url.socket_addrs(|| None).map_err(|error| unreachable(error.to_string()))?;
    let mut last = "its name has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_PATIENCE) {
            Ok(_) => return Ok(()),
            Err(error) => last = error.to_string(),
        }
    }
    Err(unreachable(last))
}

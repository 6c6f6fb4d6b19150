//! The server under test: started or found, asked what it is, and looked for again when the run is over.

use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use payrig_results::Version;
use reqwest::Url;
use serde::Deserialize;

use crate::audit::Doors;
use crate::child::{ChildCommand, ChildError, ChildProcess};
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

/// The server under test while a run goes on, with the third party where that is a process of its own.
#[derive(Debug)]
pub struct Server {
    /// Where it is.
    pub base: Url,
    /// What this run started.
    pub children: Children,
    /// How it is told of in the results.
    pub description: String,
    /// What is known of its payment channel, for the results.
    pub channel: Option<String>,
    /// Where its books are, if anywhere.
    pub doors: Option<Doors>,
    /// What the program calls itself, where it is known to answer `--version`.
    program_version: Option<Version>,
}

/// The processes that a run started.
#[derive(Default, Debug)]
pub struct Children {
    /// The server under test.
    pub server: Option<ChildProcess>,
    /// The third party.
    pub channel: Option<ChildProcess>,
}

impl Children {
    /// Says so if one has ended by itself.
    ///
    /// # Errors
    /// It has: how, with the end of its stderr.
    pub fn check_alive(&mut self) -> Result<(), ChildError> {
        self.server.iter_mut().chain(&mut self.channel).try_for_each(ChildProcess::check_alive)
    }
}

impl Server {
    /// Starts the server and its channel (with their folders under `results`), or sees that somebody listens.
    ///
    /// # Errors
    /// Nobody does, or one did not start; then the other is gone too.
    pub fn open(target: &Target, results: &Path, interrupt: &Interrupt) -> Result<Self, TargetError> {
        match target {
            Target::Running { url, doors } => {
                reach(url)?;
                Ok(Self {
                    base: url.clone(),
                    children: Children::default(),
                    description: url.to_string(),
                    channel: None,
                    doors: *doors,
                    program_version: None,
                })
            }
            Target::Child { server, channel: None, wait } => {
                let told = server.value_of("--channel").or_else(|| server.is_ours().then(|| "simulated".to_owned()));
                let channel = told.map(|channel| format!("payment channel: {channel}, as the server has it"));
                Self::start(server, None, channel, (*wait, results, interrupt))
            }
            Target::Child { server, channel: Some(channel), wait } => {
                let third = ChildProcess::start(&with_admin(channel), *wait, results, interrupt)?;
                let address = third.address();
                let keys = third.data().join("keys").into_os_string();
                let at = format!("http://{address}").into();
                let server = server.clone().with(["--channel".into(), at, "--channel-keys".into(), keys]);
                let version = channel.version().map(|version| format!(" ({} {})", version.name, version.version));
                let note = format!(
                    "payment channel: a process of its own at http://{address}: {}{}",
                    channel.display(),
                    version.unwrap_or_default()
                );
                let third = Some((third, channel.is_ours()));
                Self::start(&server, third, Some(note), (*wait, results, interrupt))
            }
        }
    }

    fn start(
        command: &ChildCommand,
        third: Option<(ChildProcess, bool)>,
        channel: Option<String>,
        (wait, results, interrupt): (Duration, &Path, &Interrupt),
    ) -> Result<Self, TargetError> {
        let mut server = ChildProcess::start(&with_admin(command), wait, results, interrupt)?;
        // Books are known only of programs of ours, and only all together.
        let are_ours = command.is_ours() && third.as_ref().is_none_or(|(_, is_ours)| *is_ours);
        let mut third = third.map(|(third, _)| third);
        let doors = if are_ours {
            let channel = third.as_mut().map(|third| third.admin_address(interrupt)).transpose()?;
            Some(Doors { server: server.admin_address(interrupt)?, channel, is_ours_alone: true })
        } else {
            None
        };
        let text = format!("http://{}/", server.address());
        let base = Url::parse(&text)
            .map_err(|error| ChildError::NoAddress { child: command.called(), line: format!("{text} ({error})") })?;
        Ok(Self {
            description: format!("{base} started by this run: {}", command.display()),
            base,
            children: Children { server: Some(server), channel: third },
            channel,
            doors,
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

    /// Stops the server and then its channel, which a server that drains may still ask; or sees that a server that was
    /// there is there still. What went wrong with either.
    #[must_use]
    pub fn close(self, keep_logs_in: &Path) -> Vec<TargetError> {
        let Children { server, channel } = self.children;
        let Some(server) = server else { return reach(&self.base).err().into_iter().collect() };
        let ended = [Some(server), channel].into_iter().flatten().map(|child| child.stop(keep_logs_in));
        ended.filter_map(Result::err).map(TargetError::from).collect()
    }
}

/// With an admin listener on a free port, where the program is known to have one.
fn with_admin(command: &ChildCommand) -> ChildCommand {
    let admin = ["--admin-listen".into(), "127.0.0.1:0".into()];
    let is_asked_for = command.is_ours() && command.value_of("--admin-listen").is_none();
    command.clone().with(if is_asked_for { admin.to_vec() } else { Vec::new() })
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

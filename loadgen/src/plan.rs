//! Flags become one validated plan; everything after it can rely on it.

use std::path::PathBuf;
use std::time::Duration;

use payrig_scenarios::Profile;
use reqwest::{Url, header::HeaderValue};

use crate::audit::Doors;
use crate::child::{ChildCommand, Role};
use crate::cli::RunArgs;
use crate::verdict::threshold::{self, Threshold};

/// Users where none are asked for.
const DEFAULT_USERS: usize = 100;
/// Within this time all users are started where no rate is given: one gap between polls, so that they do not march in step.
const DEFAULT_RAMP_S: f64 = 2.0;
const MAX_USERS: usize = 100_000;

/// A flag or a profile that cannot be used: what was wrong, where, and what to do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

fn usage<T>(message: impl Into<String>) -> Result<T, UsageError> {
    Err(UsageError(message.into()))
}

/// What a run will do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The mix of journeys.
    pub profile: Profile,
    /// Who answers.
    pub target: Target,
    /// How many users.
    pub users: usize,
    /// Users started a second.
    pub hatch_rate: f64,
    /// All users run so long before anything is judged.
    pub warmup: Duration,
    /// The steady phase.
    pub run_time: Duration,
    /// How long journeys under way may go on after it.
    pub grace: Duration,
    /// When a request without its whole reply is given up.
    pub timeout: Duration,
    /// `Authorization` of every call but the cashier's.
    pub authorization: Option<HeaderValue>,
    /// The seed of all data and think times.
    pub seed: u64,
    /// What is promised: the profile's own first, then those of the command line.
    pub thresholds: Vec<Threshold>,
    /// How long the audit may wait for the books to come to rest; none: no audit.
    pub audit_wait: Option<Duration>,
    /// Where run folders are made.
    pub results: PathBuf,
}

/// The server under test.
#[derive(Clone, Debug)]
pub enum Target {
    /// One that runs already.
    Running {
        /// Where.
        url: Url,
        /// Where its books are, if anybody said so.
        doors: Option<Doors>,
    },
    /// One that is started for this run.
    Child {
        /// What to start.
        server: ChildCommand,
        /// The third party to start before it; without one the server has its own.
        channel: Option<ChildCommand>,
        /// How long each may take to get ready.
        wait: Duration,
    },
}

impl Plan {
    /// Checks the flags and reads the profile.
    ///
    /// # Errors
    /// The first flag at fault, in words for the person who typed it.
    pub fn from_args(args: &RunArgs) -> Result<Self, UsageError> {
        refuse_later_flags(args)?;
        let profile = if args.scenario.ends_with(".toml") {
            Profile::load(&args.scenario)
        } else {
            Profile::named(&args.scenario)
        };
        let profile = profile.map_err(|error| UsageError(error.to_string()))?;
        let users = args.users.unwrap_or(DEFAULT_USERS);
        if !(1..=MAX_USERS).contains(&users) {
            return usage(format!("--users {users}: at least 1 and at most {MAX_USERS}"));
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let hatch_rate = args.hatch_rate.unwrap_or((users as f64 / DEFAULT_RAMP_S).max(1.0));
        if !hatch_rate.is_finite() || !(0.01..=1e6).contains(&hatch_rate) {
            return usage(format!("--hatch-rate {hatch_rate}: users a second, from 0.01 to 1000000"));
        }
        at_least("--run-time", args.run_time, Duration::from_millis(100))?;
        at_least("--timeout", args.timeout, Duration::from_millis(1))?;
        at_least("--server-wait", args.server_wait, Duration::from_millis(1))?;
        Ok(Self {
            thresholds: thresholds(&profile, args)?,
            profile,
            target: target(args)?,
            users,
            hatch_rate,
            warmup: args.warmup,
            run_time: args.run_time,
            grace: args.grace,
            timeout: args.timeout,
            authorization: args.api_key.as_deref().map(authorization).transpose()?,
            // Short enough to be typed again, and for every JSON reader.
            seed: args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>())),
            audit_wait: (!args.no_audit).then_some(args.audit_wait),
            results: args.results.clone(),
        })
    }

    /// What decides the load and its judgement, for the results: not where it runs and where it is written, so that two
    /// runs against two servers can have the same plan.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let ms = |span: Duration| span.as_secs_f64() * 1e3;
        serde_json::json!({
            "profile": self.profile,
            "users": self.users,
            "hatch_rate_per_s": self.hatch_rate,
            "warmup_ms": ms(self.warmup),
            "run_time_ms": ms(self.run_time),
            "grace_ms": ms(self.grace),
            "timeout_ms": ms(self.timeout),
            "seed": self.seed,
            "thresholds": self.thresholds.iter().map(|threshold| &threshold.text).collect::<Vec<_>>(),
        })
    }
}

fn at_least(flag: &str, given: Duration, least: Duration) -> Result<(), UsageError> {
    if given < least {
        return usage(format!("{flag} {given:?}: at least {least:?}"));
    }
    Ok(())
}

fn refuse_later_flags(args: &RunArgs) -> Result<(), UsageError> {
    let open = [("-R/--rate", args.rate.is_some()), ("--stage", !args.stage.is_empty()), ("--poisson", args.poisson)];
    if let Some((flag, _)) = open.into_iter().find(|(_, given)| *given) {
        return usage(format!(
            "{flag} asks for an arrival rate: the open engine is not in this version; use -u USERS (a closed model)"
        ));
    }
    if args.abort_on_fail {
        return usage("--abort-on-fail is not in this version; thresholds are judged when the run is over");
    }
    if args.report_file.is_some() {
        return usage("--report-file is not in this version; the run's folder holds run.json and latency.hlog");
    }
    Ok(())
}

fn thresholds(profile: &Profile, args: &RunArgs) -> Result<Vec<Threshold>, UsageError> {
    let own = profile.thresholds.iter().map(|text| (format!("in the profile {}: ", profile.name), text));
    let flags = args.threshold.iter().map(|text| ("--threshold: ".to_owned(), text));
    own.chain(flags)
        .map(|(origin, text)| threshold::parse(text).map_err(|error| UsageError(format!("{origin}{error}"))))
        .collect()
}

fn target(args: &RunArgs) -> Result<Target, UsageError> {
    if let Some(host) = &args.host {
        let doors = args.admin.map(|server| Doors { server, channel: args.channel_admin, is_ours_alone: false });
        return Ok(Target::Running { url: base_url(host)?, doors });
    }
    let server = ChildCommand::new(Role::Server, args.server.as_deref(), &args.server_args).map_err(UsageError)?;
    let (server, channel) = with_channel(with_backends(server, args)?, args)?;
    Ok(Target::Child { server, channel, wait: args.server_wait })
}

/// The server with the backends that were asked for. What they may be is the server's to say.
fn with_backends(server: ChildCommand, args: &RunArgs) -> Result<ChildCommand, UsageError> {
    let backends = [("--queue", &args.queue), ("--cache", &args.cache), ("--store", &args.store)];
    backends.into_iter().try_fold(server, |server, (flag, value)| match value {
        None => Ok(server),
        Some(_) if server.value_of(flag).is_some() => usage(format!("{flag} is in --server-args too: name it once")),
        Some(value) => Ok(server.with([flag.into(), value.into()])),
    })
}

/// The server with the channel that was asked for, and the third process that this takes.
fn with_channel(server: ChildCommand, args: &RunArgs) -> Result<(ChildCommand, Option<ChildCommand>), UsageError> {
    let text = args.channel.as_deref();
    let (kind, words) = text.map_or(("", None), |text| match text.split_once(':') {
        Some((kind, words)) => (kind, Some(words)),
        None => (text, None),
    });
    if kind != "http" && (args.channel_command.is_some() || !args.channel_args.is_empty()) {
        return usage("--channel-command and --channel-args start a channel: add --channel http");
    }
    if text.is_some() && server.value_of("--channel").is_some() {
        return usage("--channel is in --server-args too: name the channel once");
    }
    match kind {
        "" if text.is_none() => Ok((server, None)),
        "simulated" => Ok((server.with(["--channel".into(), text.unwrap_or_default().into()]), None)),
        "http" if words.is_some_and(|words| words.starts_with("//")) => {
            let text = text.unwrap_or_default();
            usage(format!(
                "--channel {text}: for a channel that runs already use --server-args \"--channel {text} ...\""
            ))
        }
        "http" => {
            let command = args.channel_command.as_deref();
            let channel = ChildCommand::new(Role::Channel, command, &args.channel_args).map_err(UsageError)?;
            let profile = words.map(|words| ["--profile".into(), words.into()]);
            Ok((server, Some(channel.with(profile.into_iter().flatten()))))
        }
        _ => usage(format!(
            "--channel {}: simulated or http, each with :WORDS if you like, such as http:latency=0ms,seed=7",
            text.unwrap_or_default()
        )),
    }
}

fn authorization(key: &str) -> Result<HeaderValue, UsageError> {
    // The key itself is not repeated: it would stand in logs.
    let wrong = "--api-key: expected the key as `payrig-server make-merchant` prints it: visible characters, no spaces";
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return usage(wrong);
    }
    let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| UsageError(wrong.to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A server's address as people type it, with or without `http://`.
fn base_url(host: &str) -> Result<Url, UsageError> {
    let text = if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
    let url = match Url::parse(&text) {
        Ok(url) => url,
        Err(error) => return usage(format!("-H {host}: {error}; write it like http://127.0.0.1:8080")),
    };
    if !matches!(url.scheme(), "http" | "https") {
        return usage(format!("-H {host}: only http and https can be driven; write it like http://127.0.0.1:8080"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return usage(format!("-H {host}: only scheme, host and port; the contract's paths are put behind it"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn plan(flags: &[&str]) -> Result<Plan, UsageError> {
        let words = ["payrig", "run"].iter().chain(flags);
        match Cli::try_parse_from(words).expect("clap takes it").command {
            Command::Run(args) => Plan::from_args(&args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults_are_as_documented() {
        let plan = plan(&["-H", "127.0.0.1:8080"]).unwrap();
        assert_eq!((plan.users, plan.hatch_rate), (100, 50.0));
        assert_eq!((plan.warmup, plan.run_time), (Duration::from_secs(5), Duration::from_secs(60)));
        assert_eq!(plan.profile.name, "mixed");
        assert!(
            matches!(plan.target, Target::Running { url, doors: None } if url.as_str() == "http://127.0.0.1:8080/")
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (flags, words) in [
            (&["-R", "2000"][..], "open engine is not in this version"),
            (&["--stage", "30s:2000"], "open engine"),
            (&["--poisson"], "open engine"),
            (&["--abort-on-fail"], "not in this version"),
            (&["-u", "0"], "at least 1"),
            (&["-r", "0"], "users a second"),
            (&["-t", "1ms"], "--run-time"),
            (&["-H", "ftp://x"], "http://127.0.0.1:8080"),
            (&["-H", "http://x/v1"], "only scheme, host and port"),
            (&["chekout"], "double-click"),
            (&["/no/such.toml"], "/no/such.toml"),
            (&["--threshold", "p99"], "character 4"),
            (&["--server", "'unclosed"], "quote"),
            (&["--channel", "paypal"], "simulated or http"),
            (&["--channel", ""], "simulated or http"),
            (&["--channel", "http://127.0.0.1:1"], "runs already"),
            (&["--channel-command", "x"], "add --channel http"),
            (&["--channel", "simulated", "--channel-args", "x"], "add --channel http"),
            (&["--channel", "http", "--channel-command", ""], "./target/release/payrig-channel"),
            (&["--channel", "http", "--server-args", "--channel simulated"], "name the channel once"),
            (&["--channel", "http", "--server-args", "--channel=simulated"], "name the channel once"),
            (&["--queue", "memory", "--server-args", "--queue memory"], "name it once"),
            (&["--api-key", "a b"], "no spaces"),
        ] {
            let error = plan(flags).expect_err(words);
            assert!(error.0.contains(words), "{flags:?}: {error}");
        }
    }

    #[test]
    fn the_channel_is_the_servers_or_a_third_process() {
        let commands = |flags: &[&str]| match plan(flags).unwrap().target {
            Target::Child { server, channel, .. } => (server.display(), channel.map(|channel| channel.display())),
            other => panic!("{other:?}"),
        };
        let own = |flags: &[&str]| commands(&[&["--server", "s", "--channel-command", "c"], flags].concat());
        assert_eq!(commands(&["--server", "s"]), ("s".to_owned(), None));
        let (server, channel) = commands(&["--server", "s", "--channel", "simulated:seed=7"]);
        assert_eq!((server.as_str(), channel), ("s --channel simulated:seed=7", None));
        let (server, channel) = own(&["--channel", "http:latency=0ms,seed=7", "--channel-args", "--time-scale 9"]);
        assert_eq!((server.as_str(), channel.as_deref()), ("s", Some("c --time-scale 9 --profile latency=0ms,seed=7")));
        assert_eq!(own(&["--channel", "http"]).1.as_deref(), Some("c"));
        let (_, channel) = commands(&["--channel", "http"]);
        assert!(channel.unwrap().ends_with("/payrig-channel"));
    }

    #[test]
    fn a_key_is_kept_out_of_sight() {
        let plan = plan(&["-H", "127.0.0.1:1", "--api-key", "SECRET"]).unwrap();
        assert_eq!(plan.authorization.as_ref().map(HeaderValue::as_bytes), Some(&b"Bearer SECRET"[..]));
        assert!(!format!("{plan:?}{}", plan.to_json()).contains("SECRET"));
    }

    #[test]
    fn thresholds_of_the_profile_come_first() {
        let plan = plan(&["mixed", "--threshold", "p99<1s"]).unwrap();
        let texts: Vec<_> = plan.thresholds.iter().map(|threshold| threshold.text.as_str()).collect();
        assert_eq!(texts, ["error-rate<1%", "p99<1s"]);
    }
}

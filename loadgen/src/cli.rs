//! The command line: names and help only; what the flags mean together is decided in `plan`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::units::parse_duration;

/// Drives payment journeys against a server and says what a payer would have felt.
#[derive(Parser, Debug)]
#[command(name = "payrig", version, max_term_width = 110, infer_subcommands = false)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 pass, 1 runtime error, 2 usage, 4 the books do not agree, 99 a threshold was crossed, 130 interrupted (results are written).
Examples:
  payrig run                                     the mixed scenario against a reference server of its own
  payrig run checkout -H http://127.0.0.1:8080 -u 200 -t 2m --threshold \"p99<250ms for submit\"";

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run a scenario and report: by step, by stage, by outcome
    #[command(after_help = EXIT_CODES)]
    Run(Box<RunArgs>),
    /// List the built-in scenarios
    Scenarios(ScenariosArgs),
    /// Start a program that ends together with this one (what `run` starts its server and channel through).
    #[command(name = crate::child::TIED_SUBCOMMAND, hide = true)]
    Tied {
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<std::ffi::OsString>,
    },
}

/// Flags of `payrig scenarios`.
#[derive(Args, Debug)]
pub struct ScenariosArgs {
    /// Print a JSON list, and nothing else, on stdout
    #[arg(long)]
    pub json: bool,
}

/// Flags of `payrig run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// A built-in scenario's name (see `payrig scenarios`) or the path of a profile (.toml)
    #[arg(default_value = "mixed", value_name = "SCENARIO")]
    pub scenario: String,

    /// The server under test, as http://host:port; without it a reference server is started and stopped
    #[arg(short = 'H', long, value_name = "URL", help_heading = "Target")]
    pub host: Option<String>,
    /// The server to start when there is no --host: a command as in a shell [default: payrig-server beside payrig]
    #[arg(long, value_name = "CMD", conflicts_with = "host", help_heading = "Target")]
    pub server: Option<String>,
    /// More arguments for that server, as in a shell; repeatable
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true, conflicts_with = "host", help_heading = "Target")]
    pub server_args: Vec<String>,
    /// The task queue of that server: memory, or amqp://USER:PASSWORD@HOST:PORT/VHOST [default: as the server has it]
    #[arg(long, value_name = "QUEUE", conflicts_with = "host", help_heading = "Target")]
    pub queue: Option<String>,
    /// The result cache of that server: memory, redis://HOST:PORT or redis-cluster://HOST:PORT [default: as the server has it]
    #[arg(long, value_name = "CACHE", conflicts_with = "host", help_heading = "Target")]
    pub cache: Option<String>,
    /// The document store of that server: embedded, memory, or mongodb://HOST:PORT/DATABASE [default: as the server has it]
    #[arg(long, value_name = "STORE", conflicts_with = "host", help_heading = "Target")]
    pub store: Option<String>,
    /// The payment channel of that server, with what it is like: simulated or simulated:WORDS in the server's own process, or
    /// http or http:WORDS, a third process that is started and stopped with it [default: as the server has it]
    #[arg(long, value_name = "CHANNEL", conflicts_with = "host", help_heading = "Target")]
    pub channel: Option<String>,
    /// The channel to start with --channel http: a command as in a shell [default: payrig-channel beside payrig]
    #[arg(long, value_name = "CMD", conflicts_with = "host", help_heading = "Target")]
    pub channel_command: Option<String>,
    /// More arguments for that channel, as in a shell; repeatable
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true, conflicts_with = "host", help_heading = "Target")]
    pub channel_args: Vec<String>,
    /// The API key of a merchant, for a server that has merchants; sent with every call but the cashier's
    #[arg(long, value_name = "KEY", env = "PAYRIG_API_KEY", hide_env_values = true, help_heading = "Target")]
    pub api_key: Option<String>,
    /// How long that server, and that channel, may take to get ready
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = parse_duration, help_heading = "Target")]
    pub server_wait: Duration,

    /// Users, each making one journey after another: a closed model [default: 100]
    #[arg(short = 'u', long, value_name = "N", help_heading = "Load")]
    pub users: Option<usize>,
    /// Users started a second [default: all within 2 s]
    #[arg(short = 'r', long, value_name = "RATE", allow_negative_numbers = true, help_heading = "Load")]
    pub hatch_rate: Option<f64>,
    /// How long the steady phase lasts, which alone is judged, such as 300ms, 30s or 1h30m
    #[arg(short = 't', long, value_name = "TIME", default_value = "60s", value_parser = parse_duration, help_heading = "Load")]
    pub run_time: Duration,
    /// How long all users run before the steady phase begins; left out of every figure
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration, help_heading = "Load")]
    pub warmup: Duration,
    /// How long journeys under way at the end of the steady phase may go on; what is left then counts as unfinished
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = parse_duration, help_heading = "Load")]
    pub grace: Duration,
    /// After how long a request without its whole reply counts as lost
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration, help_heading = "Load")]
    pub timeout: Duration,
    /// The seed of all data and think times; the same seed gives the same journeys [default: random, printed]
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub seed: Option<u64>,

    /// No audit of the money after the run
    #[arg(long, help_heading = "Judging")]
    pub no_audit: bool,
    /// How long the audit waits until nothing moves any more
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration, help_heading = "Judging")]
    pub audit_wait: Duration,
    /// The admin listener of a server that runs already, as host:port: without it there is no audit of that server
    #[arg(long, value_name = "ADDR", requires = "host", help_heading = "Judging")]
    pub admin: Option<SocketAddr>,
    /// The admin listener of its channel, where that is a process of its own
    #[arg(long, value_name = "ADDR", requires = "admin", help_heading = "Judging")]
    pub channel_admin: Option<SocketAddr>,
    /// A promise to judge, such as "p99<250ms for submit", "error-rate<1%", "rate>=2000", "settle p95<4s"; repeatable
    #[arg(long, value_name = "EXPR", help_heading = "Judging")]
    pub threshold: Vec<String>,

    /// Where the run's folder is made
    #[arg(long, value_name = "DIR", default_value = "results/runs", help_heading = "Output")]
    pub results: PathBuf,
    /// Print the run's results as JSON, and nothing else, on stdout
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// No progress on stderr
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
    /// Progress as plain lines, also on a terminal
    #[arg(long, help_heading = "Output")]
    pub no_tui: bool,

    // Flags of engines and judgements that this version has not: known, so that the answer is better than "unknown flag".
    #[arg(short = 'R', long, value_name = "RATE", hide = true)]
    pub(crate) rate: Option<String>,
    #[arg(long, value_name = "TIME:RATE", hide = true)]
    pub(crate) stage: Vec<String>,
    #[arg(long, hide = true)]
    pub(crate) poisson: bool,
    #[arg(long, hide = true)]
    pub(crate) abort_on_fail: bool,
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) report_file: Option<PathBuf>,
}

//! The Goose engine: a closed model of users, each making one journey after another.
//!
//! Goose starts the users and holds them; requests, clocks and figures are the run's own, because Goose times to the
//! first byte and keeps its own aggregates.

use std::sync::Arc;
use std::time::Duration;

use ::goose::client::GooseClientBuilder;
use ::goose::config::GooseConfiguration;
use ::goose::goose::{Scenario, Transaction, TransactionFunction};
use ::goose::metrics::GooseCoordinatedOmissionMitigation;
use ::goose::{GooseAttack, GooseError};
use reqwest::Client;

use super::payer::Payer;
use super::{Engine, EngineError, Load};

/// Shorter than a server's usual idle timeout (75 s), so that no request meets a connection that is just being closed.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// Between two looks of a user that is done at whether Goose lets it go.
const AFTERLIFE: Duration = Duration::from_millis(20);

/// Users that Goose starts and holds.
#[derive(Clone, Copy, Default, Debug)]
pub struct GooseEngine;

impl Engine for GooseEngine {
    fn name(&self) -> &'static str {
        "goose"
    }

    fn model(&self) -> &'static str {
        "closed model (Goose users)"
    }

    async fn drive(self, load: Arc<Load>) -> Result<(), EngineError> {
        silence_goose();
        let client = client(load.timeout)?;
        let scenario = Scenario::new("payers").register_transaction(Transaction::new(life(Arc::clone(&load), client)));
        let attack = GooseAttack::initialize_with_config(configuration(&load))
            .and_then(|attack| {
                // Without this each user would get a client of its own, with its own pool: 155 KB a user.
                attack.set_client_builder_without_cookies(GooseClientBuilder::new().without_cookies().gzip(false))
            })
            .map_err(|error| goose_failed(&error))?;
        attack.register_scenario(scenario).execute().await.map(drop).map_err(|error| goose_failed(&error))
    }

    fn hold_back(&self) {
        // Goose clears it once when it starts, so whoever needs it has to say so until Goose is done.
        ::goose::trigger_killswitch("the run is over");
    }
}

fn goose_failed(error: &GooseError) -> EngineError {
    EngineError::Goose(error.to_string())
}

/// The whole life of a user is one transaction: between two transactions Goose would run code of its own, and it stops
/// a user only there, at a moment that is Goose's choice.
fn life(load: Arc<Load>, client: Client) -> TransactionFunction {
    Arc::new(move |user| {
        let (load, client) = (Arc::clone(&load), client.clone());
        let number = user.weighted_users_index as u64;
        Box::pin(async move {
            if load.phases.is_over(load.clock.now_us()) {
                // Goose calls again until it has told the user to leave.
                tokio::time::sleep(AFTERLIFE).await;
            } else {
                Payer::new(&load, &client, number).live().await;
            }
            Ok(())
        })
    })
}

fn configuration(load: &Load) -> GooseConfiguration {
    let mut goose = GooseConfiguration::default();
    goose.host = Some(load.base.to_string());
    goose.users = Some(load.users);
    goose.increase_rate = Some(load.hatch_rate.to_string());
    // Neither a run time (whole seconds, and users stopped at Goose's choice) nor iterations (then Goose prints to stdout
    // how many users it started): the run ends it.
    goose.quiet = 2;
    // A telnet controller on a fixed port by default: two runs on one machine would meet there.
    goose.no_telnet = true;
    goose.no_gzip = true;
    goose.no_metrics = true;
    goose.no_print_metrics = true;
    goose.no_error_summary = true;
    goose.no_transaction_metrics = true;
    goose.no_scenario_metrics = true;
    goose.co_mitigation = Some(GooseCoordinatedOmissionMitigation::Disabled);
    goose
}

/// One client and one pool for all users. Goose's own builder can turn off neither proxies nor redirects: with
/// `HTTP_PROXY` set, a run would measure the proxy.
fn client(timeout: Duration) -> Result<Client, reqwest::Error> {
    Client::builder()
        .timeout(timeout)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .pool_idle_timeout(POOL_IDLE)
        .tcp_nodelay(true)
        .user_agent(concat!("payrig/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Goose installs a global logger that writes to stdout, unless there is one already.
fn silence_goose() {
    struct ErrorsOnly;
    impl log::Log for ErrorsOnly {
        fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
            metadata.level() == log::Level::Error
        }
        fn log(&self, record: &log::Record<'_>) {
            if self.enabled(record.metadata()) {
                eprintln!("{}: {}", record.target(), record.args());
            }
        }
        fn flush(&self) {}
    }
    // A second run in one process finds it set.
    let _ = log::set_logger(&ErrorsOnly);
}

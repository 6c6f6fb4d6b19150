//! The seam between a run and what drives its load.

pub mod goose;
mod payer;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::AbortHandle;
use payrig_scenarios::Generator;
use reqwest::{Url, header::HeaderValue};

use crate::phases::{Clock, Phases};
use crate::recorder::Recorder;

/// What an engine drives, and where it leaves what it saw. Shared by all users.
#[derive(Debug)]
pub struct Load {
    /// Where paths of the contract are put behind.
    pub base: Url,
    /// How many users.
    pub users: usize,
    /// Users started a second.
    pub hatch_rate: f64,
    /// When a request without its whole reply is given up.
    pub timeout: Duration,
    /// `Authorization` of every call but the cashier's.
    pub authorization: Option<HeaderValue>,
    /// Makes each user's journeys.
    pub generator: Generator,
    /// Where requests and journeys are recorded.
    pub recorder: Recorder,
    /// The run's clock.
    pub clock: Clock,
    /// The run's phases.
    pub phases: Phases,
    /// How the users can be stopped.
    pub stop: Stop,
}

/// How a run that is over reaches its users.
#[derive(Default, Debug)]
pub struct Stop {
    handles: Mutex<Handles>,
    under_way: AtomicUsize,
}

#[derive(Default, Debug)]
struct Handles {
    users: Vec<AbortHandle>,
    is_cut: bool,
    counts_as_failed: bool,
}

impl Stop {
    /// Journeys that have begun and not ended.
    #[must_use]
    pub fn journeys_under_way(&self) -> usize {
        self.under_way.load(Ordering::Acquire)
    }

    /// Stops every user where it stands, also those that start later; their journeys are recorded as unfinished.
    ///
    /// Their requests under way failed if they had all the time that they could ask for; where a person or a broken
    /// server cut the run short, nobody knows, and they are in no figure.
    pub fn cut(&self, requests_count_as_failed: bool) {
        let mut handles = self.lock();
        handles.is_cut = true;
        handles.counts_as_failed = requests_count_as_failed;
        for user in handles.users.drain(..) {
            user.abort();
        }
    }

    fn counts_as_failed(&self) -> bool {
        self.lock().counts_as_failed
    }

    fn lock(&self) -> MutexGuard<'_, Handles> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, user: AbortHandle) {
        let mut handles = self.lock();
        if handles.is_cut {
            user.abort();
        } else {
            handles.users.push(user);
        }
    }
}

/// Why an engine could not drive its load.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Goose refused to start or broke down.
    #[error("the Goose engine failed: {0}")]
    Goose(String),
    /// The HTTP client could not be made.
    #[error("the HTTP client cannot be made: {0}")]
    Client(#[from] reqwest::Error),
}

/// Something that drives journeys until the phases say that the run is over.
pub trait Engine {
    /// The name in results.
    fn name(&self) -> &'static str;

    /// What kind of model it is, for every place where its numbers stand.
    fn model(&self) -> &'static str;

    /// Drives the load; returns when every user has left.
    ///
    /// # Errors
    /// It could not start.
    fn drive(self, load: Arc<Load>) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Makes users that have not started yet stay away, once the run is over.
    fn hold_back(&self);
}

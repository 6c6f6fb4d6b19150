//! One connection that is there again by itself: a session is a connection from its making to its loss, and a keeper makes
//! the next one, for ever, with growing pauses.
//!
//! The library's own recovery is not used. It brings back neither a pending confirm nor a delivery in hand, which is all
//! that would be worth something, and there would be two recoveries to understand instead of one.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt as _};
use lapin::{Channel, Connection, ConnectionProperties, Event};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{error::RabbitError, settings::RabbitSettings, topology::Topology};
use crate::metrics::{Metrics, Named};

/// How long making a connection and everything on it may take.
pub(super) const WITHIN: Duration = Duration::from_secs(5);
/// The pause before a lost connection is made again; twice as long after each failure.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A connection that lived so long was a good one: the pauses begin anew.
const LIVED: Duration = Duration::from_secs(10);
/// How often a connection is looked at that says nothing. Its events say almost everything.
const LOOK: Duration = Duration::from_secs(1);

/// What a connection is for. RabbitMQ stops everything that comes over a connection that it blocks, acknowledgements too:
/// hence one for each direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Direction {
    Publishing,
    Consuming,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publishing => "publishing",
            Self::Consuming => "consuming",
        })
    }
}

type Events = Pin<Box<dyn Stream<Item = Event> + Send>>;

/// A connection from its making to its loss.
pub(super) struct Session {
    connection: Connection,
    /// Counted up from 1 over the sessions of a link.
    number: u64,
    over: CancellationToken,
    made: Instant,
}

impl Session {
    /// The session's number.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// Another channel.
    pub(super) async fn channel(&self) -> lapin::Result<Channel> {
        self.connection.create_channel().await
    }

    /// Resolves once it is lost.
    pub(super) async fn over(&self) {
        self.over.cancelled().await;
    }

    /// Gives it up: something is wrong with it, and the next one will be better.
    pub(super) fn end(&self, why: &str) {
        if !self.over.is_cancelled() {
            tracing::warn!(why, "a connection to RabbitMQ is given up");
            self.over.cancel();
        }
    }
}

/// How a link stands.
#[derive(Clone)]
enum State {
    Up(Arc<Session>),
    /// RabbitMQ takes nothing over it now, and says why.
    Blocked(Arc<Session>, Arc<str>),
    Down(Arc<str>),
}

/// A connection that is there again by itself.
pub(super) struct Link {
    settings: RabbitSettings,
    topology: Topology,
    direction: Direction,
    metrics: Arc<Metrics>,
    state: watch::Sender<State>,
    sessions: AtomicU64,
    closed: CancellationToken,
}

impl Link {
    /// Makes the first connection and everything that is declared. The link's [`keep`](Self::keep) has to be run.
    ///
    /// # Errors
    /// Where that cannot be done now.
    pub(super) async fn open(
        settings: RabbitSettings,
        topology: Topology,
        direction: Direction,
        metrics: Arc<Metrics>,
    ) -> Result<(Arc<Self>, Kept), RabbitError> {
        let state = watch::Sender::new(State::Down("not connected yet".into()));
        let (sessions, closed) = (AtomicU64::new(0), CancellationToken::new());
        let link = Self { settings, topology, direction, metrics, state, sessions, closed };
        let first = link.connect().await?;
        link.state.send_replace(State::Up(Arc::clone(&first.session)));
        Ok((Arc::new(link), first))
    }

    /// The session, where it is up and not blocked.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) fn usable(&self) -> Result<Arc<Session>, Arc<str>> {
        match &*self.state.borrow() {
            State::Up(session) => Ok(Arc::clone(session)),
            State::Blocked(_, why) | State::Down(why) => Err(Arc::clone(why)),
        }
    }

    /// Waits until it is up and not blocked.
    pub(super) async fn wait_until_usable(&self) {
        let mut state = self.state.subscribe();
        // The sender is in this link, so it is there.
        let _ = state.wait_for(|state| matches!(state, State::Up(_))).await;
    }

    /// Waits for a session after the one with this number, blocked or not.
    pub(super) async fn session_after(&self, number: u64) -> Option<Arc<Session>> {
        let mut state = self.state.subscribe();
        let is_later = |state: &State| match state {
            State::Up(session) | State::Blocked(session, _) => session.number > number,
            State::Down(_) => false,
        };
        match &*state.wait_for(is_later).await.ok()? {
            State::Up(session) | State::Blocked(session, _) => Some(Arc::clone(session)),
            State::Down(_) => None,
        }
    }

    /// Whether RabbitMQ takes nothing over it now.
    pub(super) fn is_blocked(&self) -> bool {
        matches!(&*self.state.borrow(), State::Blocked(..))
    }

    /// Lets go of the connection for good, in good order where it is up.
    pub(super) async fn close(&self) {
        self.closed.cancel();
        if let Ok(session) = self.usable() {
            let _ = timeout(WITHIN, session.connection.close(200, "stopping".into())).await;
            session.over.cancel();
        }
    }

    async fn connect(&self) -> Result<Kept, RabbitError> {
        let connected = timeout(WITHIN, self.connect_and_declare()).await;
        connected.unwrap_or_else(|_| Err(RabbitError::too_slow(&self.settings, WITHIN.as_secs())))
    }

    async fn connect_and_declare(&self) -> Result<Kept, RabbitError> {
        let settings = &self.settings;
        let name = format!("payrig {} {}", settings.prefix(), self.direction);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = Connection::connect_uri(settings.uri.clone(), properties).await;
        let connection = connection.map_err(|error| RabbitError::of_connection(settings, &error))?;
        // One listener only: the library gives each event to one of them.
        let events: Events = Box::pin(connection.events_listener());
        let channel = connection.create_channel().await;
        let channel = channel.map_err(|error| RabbitError::of_call(settings, "open a channel", &error))?;
        self.topology.declare(settings, &channel).await?;
        let number = self.sessions.fetch_add(1, Ordering::Relaxed) + 1;
        let (over, made) = (CancellationToken::new(), Instant::now());
        Ok(Kept { session: Arc::new(Session { connection, number, over, made }), events })
    }

    /// Keeps the link up until it is closed: to be run as a task.
    pub(super) async fn keep(self: Arc<Self>, first: Kept) {
        let mut kept = first;
        let mut pause = FIRST_PAUSE;
        loop {
            let why = tokio::select! {
                why = self.watch(&mut kept) => why,
                () = self.closed.cancelled() => return,
            };
            self.state.send_replace(State::Down(why.as_str().into()));
            kept.session.over.cancel();
            self.count(Direction::lost(self.direction));
            tracing::warn!(address = self.settings.address(), direction = %self.direction, why, "RabbitMQ is lost");
            if kept.session.made.elapsed() >= LIVED {
                pause = FIRST_PAUSE;
            }
            drop(kept);
            tokio::select! {
                next = self.reconnect(&mut pause) => kept = next,
                () = self.closed.cancelled() => return,
            }
            self.count(Direction::found(self.direction));
            tracing::warn!(address = self.settings.address(), direction = %self.direction, "RabbitMQ is there again");
            self.state.send_replace(State::Up(Arc::clone(&kept.session)));
        }
    }

    /// Tries again and again.
    async fn reconnect(&self, pause: &mut Duration) -> Kept {
        loop {
            // Nodes that lost the same server do not come back in step.
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
            *pause = (*pause * 2).min(LONGEST_PAUSE);
            match self.connect().await {
                Ok(kept) => return kept,
                Err(error) => {
                    tracing::warn!(%error, "RabbitMQ is still lost");
                    self.state.send_replace(State::Down(error.to_string().into()));
                }
            }
        }
    }

    /// Follows a session to its end; tells why it ended.
    async fn watch(&self, kept: &mut Kept) -> String {
        let Kept { session, events } = kept;
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                () = session.over() => return "it was given up".to_owned(),
                event = events.next() => event,
                _ = look.tick() => match session.connection.status().connected() {
                    true => continue,
                    false => return "the connection is closed".to_owned(),
                },
            };
            match event {
                Some(Event::ConnectionBlocked(reason)) => {
                    self.count("blocked");
                    tracing::warn!(reason, "RabbitMQ takes no messages now");
                    let why = format!("RabbitMQ takes no messages now: {reason}");
                    self.state.send_replace(State::Blocked(Arc::clone(session), why.into()));
                }
                Some(Event::ConnectionUnblocked) => {
                    self.count("unblocked");
                    tracing::warn!("RabbitMQ takes messages again");
                    self.state.send_replace(State::Up(Arc::clone(session)));
                }
                // A channel's end too: what used it has lost it, and a new session is the one way to a new one.
                Some(Event::Error(error)) => return error.to_string(),
                Some(_) => {}
                None => return "its events ended".to_owned(),
            }
        }
    }

    fn count(&self, name: &'static str) {
        self.metrics.rabbitmq_links.get_or_create(&Named { name }).inc();
    }
}

impl Direction {
    const fn lost(self) -> &'static str {
        match self {
            Self::Publishing => "publishing_lost",
            Self::Consuming => "consuming_lost",
        }
    }

    const fn found(self) -> &'static str {
        match self {
            Self::Publishing => "publishing_found",
            Self::Consuming => "consuming_found",
        }
    }
}

/// A session and what it says, in the keeper's hands.
pub(super) struct Kept {
    session: Arc<Session>,
    events: Events,
}

//! The circuit breaker around the channel's calls: a state machine without a clock or a lock of its own.
//!
//! *Closed*: every call is let through, and how the last ones went is counted. *Open*: none is, for a while that doubles
//! from one opening to the next. *Half-open*: a few are let through, and the majority of them decides.
//!
//! What counts is whether the channel answers at all. A refusal by code is an answer.

/// When it opens, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// So many failures in a row open it.
    pub in_a_row: u32,
    /// So many calls of a span at least, before the share of failures says anything.
    pub at_least: u32,
    /// Failures among a hundred calls that open it.
    pub percent: u32,
    /// How long calls count, in microseconds: at least this, at most twice.
    pub span_us: u64,
    /// How long it stays open the first time, in microseconds; doubled each time.
    pub rest_us: u64,
    /// How long it stays open at most, in microseconds.
    pub rest_at_most_us: u64,
    /// How many calls are let through before it is decided; odd.
    pub probes: u32,
}

impl Default for Limits {
    /// A channel of which a third of the calls fails stays in use: 20 failures in a row are rarer than one in 1e9 calls.
    /// A dead one is found out within 20 calls, and one that is back within 4 s.
    fn default() -> Self {
        Self {
            in_a_row: 20,
            at_least: 50,
            percent: 60,
            span_us: 5_000_000,
            rest_us: 500_000,
            rest_at_most_us: 4_000_000,
            probes: 5,
        }
    }
}

/// Where it stands, for people and metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Position {
    /// Calls are let through.
    Closed,
    /// A few are, to see.
    HalfOpen,
    /// None is.
    Open,
}

impl Position {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }
}

/// How a call went, as far as the breaker cares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Went {
    /// The channel answered, whatever it said.
    Answered,
    /// It did not, or said that it cannot.
    Unanswered,
    /// Nobody waited for the end.
    Abandoned,
}

/// A call that was let through; it counts only if nothing has changed since.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a probe that never ends keeps its place"]
pub struct Ticket {
    age: u64,
}

/// The call is not let through; ask again after so many microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// At least 1.
    pub retry_in_us: u64,
}

/// The state machine.
#[derive(Clone, Debug)]
pub struct Breaker {
    limits: Limits,
    state: State,
    /// Counts changes of state, so that a ticket of an earlier one is known.
    age: u64,
    /// How long it is open the next time.
    next_rest_us: u64,
    /// Since when it has been closed, in microseconds.
    well_since_us: u64,
    /// How often it opened.
    opened: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed { in_a_row: u32, now: Tally, before: Tally, since_us: u64 },
    Open { until_us: u64 },
    HalfOpen { under_way: u32, answered: u32, unanswered: u32 },
}

/// Calls of a span.
#[derive(Clone, Copy, Default, Debug)]
struct Tally {
    calls: u32,
    failures: u32,
}

/// While others probe, whoever was refused comes back after this long.
const WHILE_PROBING_US: u64 = 250_000;

impl Breaker {
    /// A closed one.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        let state = State::Closed {
            in_a_row: 0,
            now: Tally { calls: 0, failures: 0 },
            before: Tally { calls: 0, failures: 0 },
            since_us: 0,
        };
        Self { limits, state, age: 0, next_rest_us: limits.rest_us, well_since_us: 0, opened: 0 }
    }

    /// Where it stands now.
    #[must_use]
    pub const fn position(&self, now_us: u64) -> Position {
        match self.state {
            State::Closed { .. } => Position::Closed,
            State::Open { until_us } if now_us < until_us => Position::Open,
            State::Open { .. } | State::HalfOpen { .. } => Position::HalfOpen,
        }
    }

    /// How often it opened.
    #[must_use]
    pub const fn opened(&self) -> u64 {
        self.opened
    }

    /// Whether a call would be refused now, without asking for it.
    #[must_use]
    pub fn would_refuse(&self, now_us: u64) -> Option<Refused> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { until_us } if now_us < until_us => Some(Refused { retry_in_us: until_us - now_us }),
            State::Open { .. } => None,
            State::HalfOpen { under_way, answered, unanswered } => (under_way + answered + unanswered
                >= self.limits.probes)
                .then_some(Refused { retry_in_us: WHILE_PROBING_US }),
        }
    }

    /// Asks for a call. Whoever gets a ticket says how it went with [`Self::went`].
    ///
    /// # Errors
    /// [`Refused`] while it is open, or as many are probing as may.
    pub fn ask(&mut self, now_us: u64) -> Result<Ticket, Refused> {
        if let Some(refused) = self.would_refuse(now_us) {
            return Err(refused);
        }
        match &mut self.state {
            State::Closed { .. } => {}
            State::HalfOpen { under_way, .. } => *under_way += 1,
            State::Open { .. } => self.enter(State::HalfOpen { under_way: 1, answered: 0, unanswered: 0 }),
        }
        Ok(Ticket { age: self.age })
    }

    /// Says how a call went. A call from before the last change says nothing about now.
    pub fn went(&mut self, now_us: u64, ticket: &Ticket, went: Went) {
        if ticket.age != self.age {
            return;
        }
        match &mut self.state {
            State::Closed { in_a_row, now, before, since_us } => {
                if went == Went::Abandoned {
                    return;
                }
                let age_us = now_us.saturating_sub(*since_us);
                if age_us >= self.limits.span_us {
                    *before = if age_us < 2 * self.limits.span_us { *now } else { Tally::default() };
                    *now = Tally::default();
                    *since_us = now_us;
                }
                let failed = went == Went::Unanswered;
                *in_a_row = if failed { in_a_row.saturating_add(1) } else { 0 };
                now.calls = now.calls.saturating_add(1);
                now.failures = now.failures.saturating_add(u32::from(failed));
                let (calls, failures) =
                    (now.calls.saturating_add(before.calls), now.failures.saturating_add(before.failures));
                let too_many = calls >= self.limits.at_least
                    && u64::from(failures) * 100 >= u64::from(calls) * u64::from(self.limits.percent);
                if failed && (*in_a_row >= self.limits.in_a_row || too_many) {
                    self.open(now_us);
                }
            }
            State::HalfOpen { under_way, answered, unanswered } => {
                *under_way = under_way.saturating_sub(1);
                match went {
                    Went::Answered => *answered += 1,
                    Went::Unanswered => *unanswered += 1,
                    Went::Abandoned => {}
                }
                let majority = self.limits.probes / 2 + 1;
                if *answered >= majority {
                    self.well_since_us = now_us;
                    self.enter(State::Closed {
                        in_a_row: 0,
                        now: Tally::default(),
                        before: Tally::default(),
                        since_us: now_us,
                    });
                } else if *unanswered >= majority {
                    self.open(now_us);
                }
            }
            State::Open { .. } => {}
        }
    }

    fn open(&mut self, now_us: u64) {
        self.opened += 1;
        if matches!(self.state, State::Closed { .. })
            && now_us.saturating_sub(self.well_since_us) >= 2 * self.limits.span_us
        {
            // It has been well for a while: this outage is a new one.
            self.next_rest_us = self.limits.rest_us;
        }
        self.enter(State::Open { until_us: now_us.saturating_add(self.next_rest_us) });
        self.next_rest_us = (self.next_rest_us.saturating_mul(2)).min(self.limits.rest_at_most_us);
    }

    const fn enter(&mut self, state: State) {
        self.state = state;
        self.age += 1;
    }
}

#[cfg(test)]
mod tests;

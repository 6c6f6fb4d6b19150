//! Journeys of payers as pure state machines, and the profiles that mix them: no I/O (but reading a profile), no clock, no
//! hidden randomness.
//!
//! An engine makes one [`Generator`] a user, takes journeys from it, and drives each: it hands in an [`Event`] with the
//! present instant and does the one [`Action`] that comes back, until [`Action::Done`]. What happened is in the
//! journey's [`JourneyRecord`] at any moment, also when the engine stops half-way.

mod dice;
mod generator;
mod journey;
mod plan;
mod profile;
mod record;
mod step;

pub use generator::Generator;
pub use journey::Journey;
pub use plan::Scenario;
pub use profile::{Profile, ProfileError, Settings, Span};
pub use record::{
    JourneyRecord, OrderSeen, Outcome, PaySeen, ProblemSeen, RoundSeen, Shown, StagesSeen, Violation, ViolationKind,
};
pub use step::{Action, Event, Method, Request, Step, Target};

//! A seeded sequence of journeys for one user.

use std::sync::Arc;
use std::time::Duration;

use crate::dice::Dice;
use crate::plan::Plan;
use crate::{Journey, Profile, Scenario, Settings};

/// How much of the run's id goes into an order number, which has 64 characters at most.
const RUN_ID_MAX: usize = 20;

/// The journeys of one user: the same profile, seed and user give the same sequence with the same data; only order
/// numbers and keys carry the run's id, so that two runs against one server do not collide.
#[derive(Clone, Debug)]
pub struct Generator {
    weights: Arc<[(Scenario, u32)]>,
    settings: Arc<Settings>,
    seed: u64,
    user: u64,
    run_id: Arc<str>,
    journeys: u64,
}

impl Generator {
    /// A generator for this user. `run_id` names the run uniquely (a time or a random word): its first 20 letters and
    /// digits go into each order number.
    #[must_use]
    pub fn new(profile: &Profile, seed: u64, user: u64, run_id: &str) -> Self {
        let run_id: String = run_id.chars().filter(char::is_ascii_alphanumeric).take(RUN_ID_MAX).collect();
        Self {
            weights: profile.weights.iter().map(|(scenario, weight)| (*scenario, *weight)).collect(),
            settings: Arc::new(profile.settings.clone()),
            seed,
            user,
            run_id: run_id.into(),
            journeys: 0,
        }
    }

    /// The same for another user, sharing what does not change.
    #[must_use]
    pub fn for_user(&self, user: u64) -> Self {
        Self { user, journeys: 0, ..self.clone() }
    }

    /// The next journey of this user.
    pub fn journey(&mut self) -> Journey {
        let at = self.journeys;
        self.journeys += 1;
        let mut dice = Dice::new(self.seed, self.user, at);
        let (scenario, _) = self.weights[dice.weighted(self.weights.iter().map(|(_, weight)| *weight))];
        let order_no = format!("{}-{}-{}-{}", self.run_id, Base36(self.seed), Base36(self.user), Base36(at));
        let plan = Plan::draw(scenario, order_no, &self.settings, &mut dice);
        Journey::new(plan, Arc::clone(&self.settings), dice, (self.user, at))
    }

    /// How long this user rests before the next journey, where users drive the load. Part of the same sequence: it
    /// depends on how many journeys were taken, and on nothing else.
    #[must_use]
    pub fn pause(&self) -> Duration {
        let mut dice = Dice::new(!self.seed, self.user, self.journeys);
        Duration::from_micros(self.settings.pause_ms.draw_us(&mut dice))
    }
}

/// A number in digits and small letters.
struct Base36(u64);

impl std::fmt::Display for Base36 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut digits = Vec::with_capacity(13);
        let mut left = self.0;
        loop {
            digits.push(char::from_digit((left % 36) as u32, 36).unwrap_or('0'));
            left /= 36;
            if left == 0 {
                break;
            }
        }
        f.write_str(&digits.into_iter().rev().collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Event};

    fn first_body(journey: &mut Journey) -> Vec<u8> {
        match journey.next(Event::Start, 0) {
            Action::Send(request) => request.body.expect("a submission has a body"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_submissions_and_another_gives_others() {
        let profile = Profile::named("mixed").expect("built in");
        let bodies = |seed, user| -> Vec<Vec<u8>> {
            let mut generator = Generator::new(&profile, seed, user, "r1");
            (0..50).map(|_| first_body(&mut generator.journey())).collect()
        };
        assert_eq!(bodies(1, 2), bodies(1, 2));
        assert_ne!(bodies(1, 2), bodies(1, 3));
        assert_ne!(bodies(1, 2), bodies(2, 2));
    }

    #[test]
    fn every_submission_is_valid_and_every_order_number_is_its_own() {
        let profile = Profile::named("mixed").expect("built in");
        let mut numbers = std::collections::HashSet::new();
        for user in [0, 1, u64::MAX] {
            let mut generator = Generator::new(&profile, u64::MAX, user, "2026-01-01T00:00:00Z/with:signs-and-more");
            for _ in 0..500 {
                let body = first_body(&mut generator.journey());
                let submission: payrig_api::Submission = serde_json::from_slice(&body).expect("a submission");
                submission.validate().expect("valid");
                assert!(numbers.insert(submission.order_no));
            }
        }
    }
}

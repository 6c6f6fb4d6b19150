//! The profile in force, which can be changed while the channel runs, and what it decides about notifications.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::dice::{Cast, Dice};
use crate::notification::Claim;
use crate::profile::Profile;

/// The profile of this moment.
pub(crate) struct Present(ArcSwap<InForce>);

/// A profile and when it came into force: its outages and spells count from then.
pub(crate) struct InForce {
    pub(crate) profile: Profile,
    /// In the channel's running time.
    since: Duration,
}

/// What befalls the first sending of a notification, beside being lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NewsFate {
    /// When it is sent, after the payment.
    pub(crate) delay: Duration,
    /// When a second copy is sent.
    pub(crate) copy: Option<Duration>,
    /// When another one says something else, and what.
    pub(crate) contradiction: Option<(Claim, Duration)>,
}

impl Present {
    pub(crate) fn new(profile: Profile) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(InForce { profile, since: Duration::ZERO })))
    }

    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<InForce>> {
        self.0.load()
    }

    /// Puts a profile into force at this running time.
    pub(crate) fn set(&self, profile: Profile, running: Duration) {
        self.0.store(Arc::new(InForce { profile, since: running }));
    }

    /// Whether a sending (from 0) of an order's notification never arrives.
    pub(crate) fn loses(&self, out_trade_no: &str, sending: u32) -> bool {
        let in_force = self.load();
        let profile = &in_force.profile;
        let mut dice = Dice::cast(profile.seed, out_trade_no, Cast::Sending, u64::from(sending));
        dice.millionth() < profile.notify_faults.lost.ppm()
    }
}

impl InForce {
    /// How long it has been in force, at this running time of the channel.
    pub(crate) fn running(&self, running: Duration) -> Duration {
        running.saturating_sub(self.since)
    }

    /// How long the channel is still down, at this running time.
    pub(crate) fn down_for(&self, running: Duration) -> Option<Duration> {
        let running = self.running(running);
        let outage = self.profile.outages.iter().find(|outage| outage.covers(running))?;
        Some(outage.end().saturating_sub(running))
    }

    /// What befalls the news of a payment: a pure function of profile and order.
    pub(crate) fn news_fate(&self, out_trade_no: &str) -> NewsFate {
        let profile = &self.profile;
        let faults = &profile.notify_faults;
        // The delay has a die of its own, so that the other words do not change what a seed means without them.
        let mut delay = profile.notify.draw(&mut Dice::cast(profile.seed, out_trade_no, Cast::Notify, 1));
        let mut dice = Dice::cast(profile.seed, out_trade_no, Cast::Notify, 2);
        if let Some(late) = faults.late.draw(&mut dice) {
            delay = delay.saturating_add(late);
        }
        if let Some(most) = faults.reorder.draw(&mut dice) {
            let most_us = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
            delay = delay.saturating_add(Duration::from_micros(dice.below(most_us)));
        }
        let mut other = |number, chance: crate::profile::Chance| {
            let happens = dice.millionth() < chance.ppm();
            happens.then(|| profile.notify.draw(&mut Dice::cast(profile.seed, out_trade_no, Cast::Notify, number)))
        };
        let copy = other(3, faults.duplicate);
        let contradiction = other(4, faults.contradict).map(|delay| {
            let kinds = [Claim::Closed, Claim::OtherAmount, Claim::OtherTransaction];
            let draw = Dice::cast(profile.seed, out_trade_no, Cast::Contradiction, 0).below(kinds.len() as u64);
            (kinds[usize::try_from(draw).unwrap_or(0)], delay)
        });
        NewsFate { delay, copy, contradiction }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notifications_fare_as_the_profile_says() {
        let text =
            "quiet,notify-lost=5%,notify-duplicate=20%,notify-late=2%/30s,notify-reorder=10%/1s,notify-contradict=1%";
        let profile: Profile = text.parse().unwrap();
        let seed = profile.seed;
        let present = Present::new(profile);
        let n = 100_000;
        let mut counts = [0_u32; 5];
        let mut kinds = [0_u32; 3];
        for number in 0..n {
            let name = format!("t-{number}");
            let fate = present.load().news_fate(&name);
            let is_late = fate.delay >= Duration::from_secs(30);
            let is_held = !is_late && !fate.delay.is_zero();
            let happened =
                [present.loses(&name, 0), fate.copy.is_some(), is_late, is_held, fate.contradiction.is_some()];
            for (count, happened) in counts.iter_mut().zip(happened) {
                *count += u32::from(happened);
            }
            match fate.contradiction.map(|(claim, _)| claim) {
                Some(Claim::Closed) => kinds[0] += 1,
                Some(Claim::OtherAmount) => kinds[1] += 1,
                Some(Claim::OtherTransaction) => kinds[2] += 1,
                _ => {}
            }
        }
        println!("seed {seed}: {counts:?} and {kinds:?} of {n}");
        let expected = [5_000, 20_000, 2_000, 9_800, 1_000];
        for (count, expected) in counts.into_iter().zip(expected) {
            assert!(count.abs_diff(expected) < 200 + expected / 50, "{counts:?}, not {expected}");
        }
        assert!(kinds.iter().all(|kind| *kind > 200), "{kinds:?}");
        assert!((0..100).any(|sending| present.loses("t-1", sending)), "each sending has its own chance");
        assert!((0..100).any(|sending| !present.loses("t-1", sending)));
    }

    #[test]
    fn outages_count_from_when_a_profile_came_into_force() {
        let present = Present::new("quiet,outage=1s..3s".parse().unwrap());
        let down = |present: &Present, s| present.load().down_for(Duration::from_secs(s));
        assert_eq!(down(&present, 0), None);
        assert_eq!(down(&present, 1), Some(Duration::from_secs(2)));
        present.set("quiet,outage=0s..5s".parse().unwrap(), Duration::from_secs(100));
        assert_eq!(down(&present, 102), Some(Duration::from_secs(3)));
        assert_eq!(down(&present, 105), None);
    }
}

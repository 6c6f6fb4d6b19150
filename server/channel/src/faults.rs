//! What befalls one call: by the caller's wish first, then by the profile's chances.

use std::time::Duration;

use crate::dice::{Cast, Dice};
use crate::error::ChannelError;
use crate::order::Wish;
use crate::profile::Profile;

/// What goes wrong with a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Nothing takes effect, for now.
    Transient { code: &'static str, why: &'static str },
    /// Nothing takes effect, ever.
    Permanent { code: &'static str, why: &'static str },
    /// The effect takes place and the caller does not learn of it.
    LostAnswer,
}

const BY_WISH: &str = "asked for by simulate";
const BY_CHANCE: &str = "by the profile's chance";
pub(crate) const DOWN: &str = "outage";

impl Fault {
    /// What the caller asked for. The parts add up: first the transient failures, then the refusal or the lost answers.
    pub(crate) fn wished(wish: &Wish) -> Option<Self> {
        let simulate = wish.simulate?;
        let lost_until = simulate.fail_first.saturating_add(simulate.lose_answer);
        if wish.attempt <= simulate.fail_first {
            Some(Self::Transient { code: "SYSTEM_ERROR", why: BY_WISH })
        } else if simulate.permanent {
            Some(Self::Permanent { code: "NO_AUTH", why: BY_WISH })
        } else if wish.attempt <= lost_until {
            Some(Self::LostAnswer)
        } else {
            None
        }
    }

    /// What chance decides for a call; only prepay is ever refused for good.
    fn drawn(profile: &Profile, cast: Cast, dice: &mut Dice) -> Option<Self> {
        let permanent = if cast == Cast::Prepay { profile.permanent.ppm() } else { 0 };
        let transient = permanent + profile.transient.ppm();
        let lost = transient + profile.lost_answer.ppm();
        let draw = dice.millionth();
        if draw < permanent {
            Some(Self::Permanent { code: profile.permanent_codes.pick(draw), why: BY_CHANCE })
        } else if draw < transient {
            // Which of the codes follows from the same draw: the next one belongs to the latency.
            Some(Self::Transient { code: profile.transient_codes.pick(draw), why: BY_CHANCE })
        } else if draw < lost {
            Some(Self::LostAnswer)
        } else {
            None
        }
    }
}

impl From<Fault> for ChannelError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Transient { code, why } => Self::Transient { code, why },
            Fault::Permanent { code, why } => Self::Permanent { code, why },
            Fault::LostAnswer => Self::NoAnswer,
        }
    }
}

/// What befalls one call, known before it happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fate {
    pub(crate) latency: Duration,
    pub(crate) fault: Option<Fault>,
}

impl Fate {
    /// The fate of one call, a pure function of profile, call and the channel's running time (outages).
    pub(crate) fn of(
        profile: &Profile,
        cast: Cast,
        out_trade_no: &str,
        number: u64,
        wish: Option<&Wish>,
        running: Duration,
    ) -> Self {
        let mut dice = Dice::cast(profile.seed, out_trade_no, cast, number);
        let drawn = Fault::drawn(profile, cast, &mut dice);
        let wished_ms = wish.and_then(|wish| wish.simulate).and_then(|simulate| simulate.latency_ms);
        let latency = wished_ms.map_or_else(|| profile.latency_now(running).draw(&mut dice), Duration::from_millis);
        let fault = if profile.is_down(running) {
            Some(Fault::Transient { code: "SYSTEM_ERROR", why: DOWN })
        } else {
            wish.and_then(Fault::wished).or(drawn)
        };
        Self { latency, fault }
    }
}

#[cfg(test)]
mod tests {
    use payrig_api::Simulate;

    use super::*;

    #[test]
    fn wishes_add_up() {
        let simulate = Simulate { fail_first: 2, lose_answer: 1, ..Simulate::default() };
        let faults = |simulate: Simulate| -> Vec<_> {
            (1..=4).map(|attempt| Fault::wished(&Wish { attempt, simulate: Some(simulate) })).collect()
        };
        let busy = Some(Fault::Transient { code: "SYSTEM_ERROR", why: BY_WISH });
        let refused = Some(Fault::Permanent { code: "NO_AUTH", why: BY_WISH });
        assert_eq!(faults(simulate), [busy, busy, Some(Fault::LostAnswer), None]);
        assert_eq!(faults(Simulate { permanent: true, ..simulate }), [busy, busy, refused, refused]);
        assert_eq!(faults(Simulate::default()), [None; 4]);
        assert_eq!(Fault::wished(&Wish::PLAIN), None);
    }

    #[test]
    fn faults_come_as_often_as_the_profile_says() {
        let profile = Profile::default();
        let n = 200_000_u64;
        let mut counts = [0_u64; 3];
        for number in 0..n {
            match Fate::of(&profile, Cast::Prepay, "statistics", number, None, Duration::ZERO).fault {
                Some(Fault::Transient { .. }) => counts[0] += 1,
                Some(Fault::Permanent { .. }) => counts[1] += 1,
                Some(Fault::LostAnswer) => counts[2] += 1,
                None => {}
            }
        }
        println!("seed {}: {counts:?} of {n}", profile.seed);
        assert!((3_600..4_400).contains(&counts[0]), "transient {}", counts[0]);
        assert!((850..1_150).contains(&counts[1]), "permanent {}", counts[1]);
        assert!((850..1_150).contains(&counts[2]), "lost {}", counts[2]);
    }

    #[test]
    fn only_prepay_is_refused_for_good_and_an_outage_stops_all() {
        let profile: Profile = "quiet,permanent=100%,outage=1s..2s,latency=3ms".parse().unwrap();
        let at = |cast, seconds| Fate::of(&profile, cast, "x", 1, None, Duration::from_secs(seconds));
        assert!(matches!(at(Cast::Prepay, 0).fault, Some(Fault::Permanent { .. })));
        assert_eq!(at(Cast::Query, 0), Fate { latency: Duration::from_millis(3), fault: None });
        assert_eq!(at(Cast::Query, 1).fault, Some(Fault::Transient { code: "SYSTEM_ERROR", why: DOWN }));
        assert_eq!(at(Cast::Query, 2).fault, None);
    }
}

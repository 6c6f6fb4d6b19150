//! When a notification that nobody acknowledged is sent again: pure functions of style and number.

use std::num::NonZeroU32;
use std::time::Duration;

use payrig_api::ChannelStyle;

/// How much faster than published the schedule runs: 1 is the published one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeScale(NonZeroU32);

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn m(minutes: u64) -> Duration {
    s(60 * minutes)
}

const fn h(hours: u64) -> Duration {
    m(60 * hours)
}

/// Published by WeChat Pay v3: 15s/15s/30s/3m/10m/20m/30m x3/60m/3h x3/6h x2.
const WECHAT: [Duration; 15] =
    [s(15), s(15), s(30), m(3), m(10), m(20), m(30), m(30), m(30), m(60), h(3), h(3), h(3), h(6), h(6)];
/// Published by Alipay: 4m/10m/10m/1h/2h/6h/15h.
const ALIPAY: [Duration; 7] = [m(4), m(10), m(10), h(1), h(2), h(6), h(15)];

impl TimeScale {
    /// As published.
    pub const PUBLISHED: Self = Self(NonZeroU32::MIN);

    /// So many times faster; nothing for 0.
    #[must_use]
    pub const fn new(times: u32) -> Option<Self> {
        match NonZeroU32::new(times) {
            Some(times) => Some(Self(times)),
            None => None,
        }
    }

    /// How many times faster.
    #[must_use]
    pub const fn times(self) -> u32 {
        self.0.get()
    }
}

/// How long after the failure of sending number `sending` (from 0) the next one comes; none after the last.
#[must_use]
pub fn wait_after(style: ChannelStyle, sending: u32, scale: TimeScale) -> Option<Duration> {
    let waits: &[Duration] = match style {
        ChannelStyle::Alipay => &ALIPAY,
        ChannelStyle::Wechat => &WECHAT,
    };
    let wait = waits.get(usize::try_from(sending).ok()?)?;
    Some(*wait / scale.times())
}

/// How long a notification is repeated at most, answers not counted.
#[must_use]
pub fn whole(style: ChannelStyle, scale: TimeScale) -> Duration {
    (0..).map_while(|sending| wait_after(style, sending, scale)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(style: ChannelStyle, times: u32) -> Vec<u128> {
        let scale = TimeScale::new(times).unwrap();
        (0..).map_while(|sending| wait_after(style, sending, scale)).map(|wait| wait.as_millis()).collect()
    }

    #[test]
    fn the_schedules_are_the_published_ones() {
        let seconds = |text: &str| -> Vec<u128> {
            text.split('/')
                .flat_map(|word| {
                    let (wait, times) = word.split_once(" x").unwrap_or((word, "1"));
                    let wait = wait.parse::<humantime::Duration>().unwrap().as_millis();
                    std::iter::repeat_n(wait, times.parse().unwrap())
                })
                .collect()
        };
        assert_eq!(waits(ChannelStyle::Wechat, 1), seconds("15s/15s/30s/3m/10m/20m/30m x3/60m/3h x3/6h x2"));
        assert_eq!(waits(ChannelStyle::Alipay, 1), seconds("4m/10m/10m/1h/2h/6h/15h"));
    }

    #[test]
    fn the_scale_divides() {
        for style in [ChannelStyle::Alipay, ChannelStyle::Wechat] {
            let scaled: Vec<_> = waits(style, 1).into_iter().map(|wait| wait / 100).collect();
            assert_eq!(waits(style, 100), scaled);
            assert!(whole(style, TimeScale::PUBLISHED) > Duration::from_secs(24 * 3_600));
        }
        assert_eq!(TimeScale::new(0), None);
    }
}

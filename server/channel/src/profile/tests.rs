//! Profiles as text: what is taken, what is refused and how, and that writing and reading agree.

use proptest::prelude::*;

use super::words::parse_duration;
use super::*;
use crate::dice::{Cast, Dice};

const STEADY: &str = "latency=lognormal(p50=40ms,p99=250ms),transient=2%,permanent=0.5%,lost-answer=0.5%,\
                      notify=lognormal(p50=80ms,p99=1s),seed=7";

#[test]
fn the_words_of_the_manual_are_read() {
    let profile: Profile = "latency=lognormal(p50=40ms,p99=250ms),transient=2%,permanent=0.5%,lost-answer=0.5%,\
                            outage=30s..35s,notify=lognormal(p50=80ms,p99=1s),seed=7"
        .parse()
        .unwrap();
    let outage = Outage::new(Duration::from_secs(30), Duration::from_secs(35)).unwrap();
    assert_eq!(profile, Profile { outages: vec![outage], ..Profile::default() });
    assert_eq!(Profile::default().to_string(), STEADY);
    assert_eq!("".parse(), Ok(Profile::default()));
    let quiet: Profile = "quiet, seed=9, latency=2ms".parse().unwrap();
    assert_eq!(quiet, Profile { seed: 9, latency: Delay::Constant(Duration::from_millis(2)), ..Profile::quiet() });
}

#[test]
fn a_table_has_the_same_words() {
    let toml = "latency = 'lognormal(p50=40ms,p99=250ms)'\ntransient = '2%'\noutage = ['1s..2s', '1m..1m5s']\nseed = 8";
    let table: Profile = toml::from_str(toml).unwrap();
    let text: Profile = "outage=1s..2s,outage=1m..1m5s,seed=8".parse().unwrap();
    assert_eq!(table, text);
    let error = toml::from_str::<Profile>("transient = '2'").unwrap_err().to_string();
    assert!(error.contains("transient=2") && error.contains("0.5%"), "{error}");
    #[derive(Deserialize)]
    struct Config {
        channel: Profile,
    }
    let config: Config = toml::from_str("channel = 'quiet,seed=3'").unwrap();
    assert_eq!(config.channel, Profile { seed: 3, ..Profile::quiet() });
    let table: Profile = toml::from_str("quiet = true\nseed = 3").unwrap();
    assert_eq!(table, config.channel);
}

#[test]
fn what_cannot_be_taken_is_named_with_what_can() {
    for (text, word, accepted) in [
        ("latenzy=3ms", "latenzy", "latency="),
        ("seed=1,", "", "latency="),
        ("seed=1,quiet", "quiet", "quiet"),
        ("latency=3", "latency=3", "lognormal(p50"),
        ("latency=lognormal(p50=40ms)", "latency=lognormal(p50=40ms)", "p99"),
        ("latency=lognormal(p50=0ms,p99=1s)", "latency=lognormal(p50=0ms,p99=1s)", "1us"),
        ("notify=lognormal(p50=2s,p99=1s)", "notify=lognormal(p50=2s,p99=1s)", "p50 <= p99"),
        ("transient=0.02", "transient=0.02", "%"),
        ("transient=101%", "transient=101%", "100%"),
        ("permanent=-1%", "permanent=-1%", "%"),
        ("transient=99%,permanent=1%,lost-answer=1%", "transient=99%", "sum"),
        ("outage=5s..5s", "outage=5s..5s", "from..to"),
        ("outage=5s", "outage=5s", "from..to"),
        ("spells=20s", "spells=20s", "good/bad"),
        ("spells=0ms/1s", "spells=0ms/1s", "1ms"),
        ("bad-latency=1s", "bad-latency=1s", "spells"),
        ("transient-codes=RULE_LIMIT", "transient-codes=RULE_LIMIT", "BANK_ERROR"),
        ("permanent-codes=", "permanent-codes=", "NO_AUTH"),
        ("slow-body=5s", "slow-body=5s", "chance/duration"),
        ("notify-late=2/5s", "notify-late=2/5s", "chance/duration"),
        ("notify-lost=5", "notify-lost=5", "%"),
        ("seed=x", "seed=x", "integer"),
        ("seed=1,seed=2", "seed=2", "once"),
    ] {
        let error = text.parse::<Profile>().expect_err(text);
        assert!(error.word.contains(word), "{text}: {error}");
        assert!(error.accepted.contains(accepted), "{text}: {error}");
    }
}

#[test]
fn durations_are_numbers_with_units() {
    assert_eq!(parse_duration("1h30m"), Some(Duration::from_secs(5_400)));
    assert_eq!(parse_duration("1s500ms"), Some(Duration::from_millis(1_500)));
    for wrong in ["", "5", "ms", "1.5s", "1s1s", "1ms1s", "-1s", "1000000000h", "99999999999999999999s", "1 s", "1é"] {
        assert!(parse_duration(wrong).is_none(), "{wrong}");
    }
}

#[test]
fn a_drawn_delay_has_its_median_and_p99() {
    let delay = Profile::default().latency;
    let mut draws: Vec<_> =
        (0..20_000).map(|n| delay.draw(&mut Dice::cast(7, "delay", Cast::Prepay, n)).as_secs_f64()).collect();
    draws.sort_by(f64::total_cmp);
    let (p50, p99) = (draws[10_000], draws[19_800]);
    assert!((0.038..0.042).contains(&p50), "p50 {p50}");
    assert!((0.225..0.280).contains(&p99), "p99 {p99}");
}

#[test]
fn spells_come_as_often_as_they_last_and_are_bad_once_a_cycle() {
    let profile: Profile = "quiet,latency=1ms,spells=20s/2s,bad-latency=9ms".parse().unwrap();
    let at = |ms| *profile.latency_now(Duration::from_millis(ms));
    let bad = Delay::Constant(Duration::from_millis(9));
    for cycle in 0..50_u64 {
        let slots: Vec<bool> = (0..220).map(|slot| at(cycle * 22_000 + slot * 100) == bad).collect();
        let (count, changes) =
            (slots.iter().filter(|bad| **bad).count(), slots.windows(2).filter(|pair| pair[0] != pair[1]).count());
        assert!((19..=21).contains(&count) && changes <= 2, "cycle {cycle}, seed {}: {count} bad slots", profile.seed);
    }
    let other: Profile = "quiet,latency=1ms,spells=20s/2s,bad-latency=9ms,seed=8".parse().unwrap();
    let differs = |ms| other.latency_now(Duration::from_millis(ms)) != profile.latency_now(Duration::from_millis(ms));
    assert!((0..1_000_000).step_by(500).any(differs), "the seed moves the bad spells");
}

#[test]
fn words_for_http_alone_are_named() {
    for (text, expected) in [
        ("notify-lost=5%,notify-duplicate=1%,spells=1s/1s,notify-late=1%/1s,notify-reorder=1%/1s", None),
        ("slow-body=1%/1s", Some("slow-body")),
        ("notify-contradict=1%", Some("notify-contradict")),
    ] {
        assert_eq!(text.parse::<Profile>().unwrap().only_over_http(), expected);
    }
}

fn some_duration(least_us: u64) -> impl Strategy<Value = Duration> {
    (least_us..600_000_000).prop_map(Duration::from_micros)
}

fn some_delay() -> impl Strategy<Value = Delay> {
    prop_oneof![
        some_duration(0).prop_map(Delay::Constant),
        (some_duration(1), some_duration(1))
            .prop_map(|(one, other)| Delay::LogNormal { p50: one.min(other), p99: one.max(other) }),
    ]
}

fn some_chance() -> impl Strategy<Value = Chance> {
    (0..=333_333_u32).prop_map(Chance::from_ppm)
}

fn some_rare() -> impl Strategy<Value = Rare> {
    (some_chance(), some_duration(0)).prop_map(|(chance, length)| Rare { chance, length })
}

fn some_outages() -> impl Strategy<Value = Vec<Outage>> {
    let outage = (some_duration(0), some_duration(1))
        .prop_map(|(from, length)| Outage::new(from, from + length).expect("it ends after it begins"));
    proptest::collection::vec(outage, 0..3)
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        delays in (some_delay(), some_delay()),
        chances in (some_chance(), some_chance(), some_chance()),
        outages in some_outages(),
        spells in proptest::option::of((some_duration(1_000), some_duration(1_000), some_delay())),
        codes in ("(SYSTEM_ERROR|BANK_ERROR|FREQUENCY_LIMITED)(/SYSTEM_ERROR)?", "(NO_AUTH|RULE_LIMIT)(/PARAM_ERROR)?"),
        rare in (some_rare(), some_rare(), some_rare()),
        notify_chances in (some_chance(), some_chance(), some_chance()),
        seed in any::<u64>(),
    ) {
        let profile = Profile {
            latency: delays.0,
            transient: chances.0,
            permanent: chances.1,
            lost_answer: chances.2,
            outages,
            notify: delays.1,
            spells: spells.and_then(|(good, bad, _)| Spells::new(good, bad)),
            bad_latency: spells.map_or(Profile::quiet().bad_latency, |(_, _, delay)| delay),
            transient_codes: Codes::read_transient(&codes.0).unwrap(),
            permanent_codes: Codes::read_permanent(&codes.1).unwrap(),
            slow_body: rare.0,
            notify_faults: NotifyFaults {
                lost: notify_chances.0,
                duplicate: notify_chances.1,
                late: rare.1,
                reorder: rare.2,
                contradict: notify_chances.2,
            },
            seed,
        };
        let text = profile.to_string();
        prop_assert_eq!(&text.parse::<Profile>().unwrap(), &profile, "{}", &text);
        let json = serde_json::to_string(&profile).unwrap();
        prop_assert_eq!(serde_json::from_str::<Profile>(&json).unwrap(), profile);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[a-z0-9=.,()%é-]{0,60}") {
        let _ = text.parse::<Profile>();
        let _ = parse_duration(&text);
    }
}

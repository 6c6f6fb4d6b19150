//! Journeys against a server that answers anything at all: they end within their bounds, keep their rhythm, never panic.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use payrig_scenarios::{Action, Event, Generator, JourneyRecord, Outcome, Profile, Step};
use proptest::prelude::*;

/// What the adversary does to one request.
#[derive(Clone, Debug)]
enum Trick {
    Lost,
    Reply {
        status: u16,
        retry_after_s: Option<u64>,
        body: String,
    },
    /// The engine itself is wrong.
    WrongEvent,
}

fn body() -> impl Strategy<Value = String> {
    let id = prop_oneof![8 => Just("t1"), 1 => Just("t2"), 1 => Just("../x")];
    let state = prop_oneof![
        4 => Just("running"), 1 => Just("queued"), 1 => Just("retrying"), 4 => Just("succeeded"), 2 => Just("failed"),
        1 => Just("cancelled"), 1 => Just("unheard-of")
    ];
    let round =
        prop_oneof![Just("null".to_owned()), (0_u8..=255).prop_map(|round| round.to_string()), Just("1".into())];
    let payment_state = prop_oneof![
        6 => Just("awaiting_payer"), 1 => Just("paid"), 1 => Just("closed"), 1 => Just("lost")
    ];
    let params = prop_oneof![
        4 => Just(r#"{"cashier_url":"http://c.test/"}"#), 2 => Just(r#"{"cashier_url":"/pay"}"#),
        1 => Just(r#"{"cashier_url":"ftp://c"}"#), 1 => Just("{}"), 1 => Just("7"), 1 => Just("null")
    ];
    let payment = (payment_state, params).prop_map(|(state, params)| {
        format!(r#","payment":{{"payment_no":"p","state":"{state}","pay_params":{params}}}"#)
    });
    let payment = prop_oneof![2 => Just(String::new()), 3 => payment];
    let task = (id, state, round, payment).prop_map(|(id, state, round, payment)| {
        format!(r#"{{"task":{{"task_id":"{id}","state":"{state}","round":{round},"attempt":{round}}}{payment}}}"#)
    });
    let order = (prop_oneof![Just("unpaid"), Just("paid"), Just("shipped")], prop::collection::vec(any::<u64>(), 0..3))
        .prop_map(|(state, children)| {
            let children: Vec<String> = children.iter().map(|minor| format!(r#"{{"amount_minor":{minor}}}"#)).collect();
            format!(r#"{{"order_no":"ORDER","state":"{state}","children":[{}]}}"#, children.join(","))
        });
    prop_oneof![
        16 => task, 4 => order, 1 => Just(String::new()), 1 => Just("<html>".to_owned()), 1 => Just(r#"{"task":{}}"#.to_owned()),
        1 => Just(r#"{"transaction_id":"x","type":"urn:x"}"#.to_owned()),
        1 => Just(r#"{"type":"urn:payrig:problem:retries-used-up"}"#.to_owned()), 1 => ".*"
    ]
}

fn trick() -> impl Strategy<Value = Trick> {
    let status = prop_oneof![
        12 => Just(200_u16), 4 => Just(202), 2 => Just(409), 2 => Just(503), 1 => Just(429), 1 => Just(404), 1 => Just(500),
        1 => 100_u16..600
    ];
    let retry_after = prop_oneof![3 => Just(None), 1 => (0_u64..10).prop_map(Some), 1 => any::<u64>().prop_map(Some)];
    let reply = (status, retry_after, body()).prop_map(|(status, retry_after_s, body)| Trick::Reply {
        status,
        retry_after_s,
        body,
    });
    prop_oneof![60 => reply, 6 => Just(Trick::Lost), 1 => Just(Trick::WrongEvent)]
}

/// A server that is mostly good, so that journeys get far before it is not.
fn kind_tricks() -> impl Strategy<Value = Vec<Trick>> {
    let reply = |state: &str, payment: &str| {
        let body = format!(r#"{{"task":{{"task_id":"t1","state":"{state}"}}{payment}}}"#);
        Just(Trick::Reply { status: 202, retry_after_s: None, body })
    };
    let order = |state: &str| {
        let body = format!(r#"{{"order_no":"ORDER","state":"{state}"}}"#);
        Just(Trick::Reply { status: 201, retry_after_s: None, body })
    };
    let awaiting = r#","payment":{"state":"awaiting_payer","pay_params":{"cashier_url":"/pay"}}"#;
    let too_late = Just(Trick::Reply { status: 409, retry_after_s: None, body: String::new() });
    let overloaded = Just(Trick::Reply { status: 503, retry_after_s: Some(4), body: String::new() });
    let trick = prop_oneof![
        9 => reply("running", ""), 4 => order("unpaid"), 6 => order("paid"), 4 => order("shipped"),
        3 => reply("succeeded", r#","payment":{"state":"paid"}"#), 9 => reply("succeeded", awaiting), 3 => reply("failed", ""), 1 => too_late,
        2 => overloaded, 2 => Just(Trick::Lost), 1 => trick()
    ];
    prop::collection::vec(trick, 1..40)
}

fn profile() -> impl Strategy<Value = &'static str> {
    prop_oneof![2 => Just("mixed"), 1 => Just("order")]
}

struct Walk {
    record: JourneyRecord,
    sends: u32,
    last_wait_us: Option<u128>,
    last_retry_after_s: u64,
}

fn check(action: &Action, record: &JourneyRecord, walk: &mut Walk) {
    match action {
        Action::Send(request) => {
            walk.sends += 1;
            assert!(request.step != Step::Retry || !record.cashier_took_money(), "a retry after paying");
            match request.step {
                Step::Query | Step::QueryPaid => {
                    let max_us = 3_000_000.max(u128::from(walk.last_retry_after_s.min(30)) * 1_000_000);
                    let wait_us = walk.last_wait_us.expect("a poll after a wait");
                    let is_early = (150_000..=250_000).contains(&wait_us);
                    assert!(is_early || (2_000_000..=max_us).contains(&wait_us), "{wait_us}");
                }
                Step::Submit => assert!(request.idempotency_key.is_some()),
                // The first look at an order comes with the news of its payment, the last with that of its parcels.
                Step::CreateOrder | Step::Order => {}
                _ => assert!(walk.last_wait_us.is_some(), "{:?} without a wait", request.step),
            }
            walk.last_wait_us = None;
        }
        Action::Wait(wait) => {
            assert!(walk.last_wait_us.is_none(), "two waits in a row");
            walk.last_wait_us = Some(wait.as_micros());
        }
        Action::Done => {}
    }
}

fn walk(profile: &Profile, seed: u64, tricks: &[Trick]) -> Walk {
    let mut journey = Generator::new(profile, seed, 1, "run").journey();
    let mut walk = Walk { record: JourneyRecord::default(), sends: 0, last_wait_us: None, last_retry_after_s: 0 };
    let (mut now_us, mut at) = (5, 0);
    let mut action = journey.next(Event::Start, now_us);
    loop {
        check(&action, journey.record(), &mut walk);
        now_us += 10;
        let trick = &tricks[at % tricks.len()];
        action = match (&action, trick) {
            (Action::Done, _) => break,
            (Action::Wait(_), Trick::WrongEvent) => journey.next(Event::Lost, now_us),
            (Action::Wait(wait), _) => {
                now_us += u64::try_from(wait.as_micros()).unwrap();
                journey.next(Event::Waited, now_us)
            }
            (Action::Send(_), trick) => {
                at += 1;
                walk.last_retry_after_s = 0;
                match trick {
                    Trick::Lost => journey.next(Event::Lost, now_us),
                    Trick::WrongEvent => journey.next(Event::Start, now_us),
                    Trick::Reply { status, retry_after_s, body } => {
                        walk.last_retry_after_s = retry_after_s.unwrap_or(0);
                        let body = body.replace("ORDER", &journey.record().order_no);
                        let event =
                            Event::Reply { status: *status, retry_after_s: *retry_after_s, body: body.as_bytes() };
                        journey.next(event, now_us)
                    }
                }
            }
        };
        let settings = &profile.settings;
        let bound = settings.max_polls + settings.max_order_reads + 12 * settings.max_tries;
        assert!(walk.sends <= bound, "not over after {} requests: {:?}", walk.sends, journey.record());
    }
    assert_eq!(journey.next(Event::Waited, now_us), Action::Done);
    walk.record = journey.record().clone();
    walk
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_server_is_survived(seed: u64, name in profile(), tricks in prop::collection::vec(trick(), 1..30)) {
        let record = walk(&Profile::named(name).unwrap(), seed, &tricks).record;
        prop_assert_ne!(&record.outcome, &Outcome::Unfinished);
        prop_assert!(record.started_us <= record.ended_us);
        let text = serde_json::to_string(&record).unwrap();
        prop_assert_eq!(serde_json::from_str::<JourneyRecord>(&text).unwrap(), record);
    }

    #[test]
    fn a_server_that_is_mostly_good_is_survived(seed: u64, name in profile(), tricks in kind_tricks()) {
        let profile = Profile::named(name).unwrap();
        let first = walk(&profile, seed, &tricks).record;
        prop_assert_ne!(&first.outcome, &Outcome::Unfinished);
        prop_assert_eq!(first, walk(&profile, seed, &tricks).record);
    }
}

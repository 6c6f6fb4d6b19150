//! What the breaker promises, over any calls that end in any order and at any time.

use proptest::prelude::*;

use super::{Breaker, Limits, Position, Refused, Ticket, Went};

const LIMITS: Limits =
    Limits { in_a_row: 4, at_least: 10, percent: 60, span_us: 1_000, rest_us: 100, rest_at_most_us: 800, probes: 3 };

/// Something that happens, after so many microseconds.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A call is wanted.
    Ask,
    /// One of those under way ends.
    End(usize, Went),
}

fn went() -> impl Strategy<Value = Went> {
    prop_oneof![4 => Just(Went::Answered), 4 => Just(Went::Unanswered), 1 => Just(Went::Abandoned)]
}

fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let event = prop_oneof![Just(Event::Ask), (0_usize..64, went()).prop_map(|(which, went)| Event::End(which, went))];
    prop::collection::vec((prop_oneof![0_u64..20, 0_u64..400], event), 0..400)
}

/// Asks so often that it is open.
fn opened(now_us: u64) -> Breaker {
    let mut breaker = Breaker::new(LIMITS);
    for _ in 0..LIMITS.in_a_row {
        let ticket = breaker.ask(now_us).expect("it is closed");
        breaker.went(now_us, &ticket, Went::Unanswered);
    }
    breaker
}

proptest! {
    #[test]
    fn it_lets_through_all_or_few_or_none(events in events()) {
        let mut breaker = Breaker::new(LIMITS);
        let (mut now_us, mut under_way): (u64, Vec<Ticket>) = (1_000_000, Vec::new());
        // Tickets that were given since it was last open.
        let mut probing = 0_u32;
        for (later_us, event) in events {
            now_us += later_us;
            let before = breaker.position(now_us);
            let foretold = breaker.would_refuse(now_us);
            match event {
                Event::Ask => {
                    let asked = breaker.ask(now_us);
                    prop_assert_eq!(asked.as_ref().err().copied(), foretold, "who asks is told what was foretold");
                    match (before, &asked) {
                        (Position::Closed, _) => prop_assert!(asked.is_ok()),
                        (Position::Open, _) => prop_assert!(asked.is_err()),
                        (Position::HalfOpen, Ok(_)) => {
                            probing += 1;
                            prop_assert!(probing <= LIMITS.probes, "more than a few probes");
                        }
                        (Position::HalfOpen, Err(_)) => {}
                    }
                    if let Err(Refused { retry_in_us }) = asked {
                        prop_assert!(retry_in_us > 0);
                    }
                    under_way.extend(asked);
                }
                Event::End(which, went) => {
                    if !under_way.is_empty() {
                        let ticket = under_way.swap_remove(which % under_way.len());
                        let is_probe = before == Position::HalfOpen && ticket.age == breaker.age;
                        breaker.went(now_us, &ticket, went);
                        if is_probe && went == Went::Abandoned {
                            probing -= 1;
                        }
                    }
                }
            }
            if breaker.position(now_us) != Position::HalfOpen {
                probing = 0;
            }
        }
    }

    /// Whatever has happened to it: once calls are answered again it closes, within as many rests as it doubles them.
    #[test]
    fn it_is_never_stuck(events in events()) {
        let mut breaker = Breaker::new(LIMITS);
        let mut now_us = 1_000_000;
        let mut under_way: Vec<Ticket> = Vec::new();
        for (later_us, event) in events {
            now_us += later_us;
            match event {
                Event::Ask => under_way.extend(breaker.ask(now_us)),
                Event::End(which, went) if !under_way.is_empty() => {
                    let ticket = under_way.swap_remove(which % under_way.len());
                    breaker.went(now_us, &ticket, went);
                }
                Event::End(..) => {}
            }
        }
        // Every call ends: its deadline sees to it.
        for ticket in under_way {
            breaker.went(now_us, &ticket, Went::Unanswered);
        }
        let began_us = now_us;
        while breaker.position(now_us) != Position::Closed {
            match breaker.ask(now_us) {
                Ok(ticket) => breaker.went(now_us, &ticket, Went::Answered),
                Err(Refused { retry_in_us }) => now_us += retry_in_us,
            }
            prop_assert!(now_us - began_us <= LIMITS.rest_at_most_us, "it is refused for ever");
        }
    }

    /// A channel that mostly answers is never left alone, however its failures fall.
    #[test]
    fn it_stays_closed_where_failures_are_few(drawn in prop::collection::vec(any::<bool>(), 1..600), gap_us in 1_u64..50) {
        let mut breaker = Breaker::new(LIMITS);
        let (mut calls, mut failures) = (0_u32, 0_u32);
        for (number, may_fail) in drawn.into_iter().enumerate() {
            let now_us = 1_000_000 + number as u64 * gap_us;
            // At most every second call, so that no span of them has more than 60 % of failures or four in a row.
            let fails = may_fail && number % 2 == 1;
            calls += 1;
            failures += u32::from(fails);
            let ticket = breaker.ask(now_us);
            prop_assert!(ticket.is_ok(), "{failures} of {calls}");
            breaker.went(now_us, &ticket.unwrap_or(Ticket { age: 0 }), if fails { Went::Unanswered } else { Went::Answered });
        }
        prop_assert_eq!(breaker.opened(), 0);
    }
}

#[test]
fn failures_in_a_row_open_it_and_it_says_for_how_long() {
    let mut breaker = opened(1_000);
    assert_eq!((breaker.position(1_000), breaker.opened()), (Position::Open, 1));
    assert_eq!(breaker.ask(1_040), Err(Refused { retry_in_us: 60 }));
    assert_eq!(breaker.position(1_100), Position::HalfOpen);
}

#[test]
fn a_share_of_failures_opens_it_too() {
    let mut breaker = Breaker::new(LIMITS);
    let mut calls = 0;
    // Two of three fail, and never more than two in a row.
    while breaker.position(1_000) == Position::Closed {
        let ticket = breaker.ask(1_000).expect("it is closed");
        breaker.went(1_000, &ticket, if calls % 3 == 2 { Went::Answered } else { Went::Unanswered });
        calls += 1;
        assert!(calls < 100);
    }
    assert!(calls >= LIMITS.at_least);
}

#[test]
fn old_failures_are_forgotten() {
    let mut breaker = Breaker::new(LIMITS);
    for number in 0..100_u64 {
        let now_us = number * LIMITS.span_us;
        let ticket = breaker.ask(now_us).expect("it is closed");
        breaker.went(now_us, &ticket, if number % 4 == 3 { Went::Answered } else { Went::Unanswered });
    }
    assert_eq!(breaker.opened(), 0, "three of four fail, but there are never ten in two spans");
}

#[test]
fn the_majority_of_the_probes_decides() {
    for (answers, position) in [([true, false, true], Position::Closed), ([false, true, false], Position::Open)] {
        let mut breaker = opened(1_000);
        let tickets: Vec<Ticket> = (0..3).map(|_| breaker.ask(1_100).expect("a probe")).collect();
        assert!(breaker.ask(1_100).is_err(), "three probe, and no more");
        for (ticket, answered) in tickets.iter().zip(answers) {
            breaker.went(1_150, ticket, if answered { Went::Answered } else { Went::Unanswered });
        }
        assert_eq!(breaker.position(1_150), position);
    }
}

#[test]
fn a_call_of_before_says_nothing_about_now() {
    let mut breaker = Breaker::new(LIMITS);
    let early: Vec<Ticket> = (0..10).map(|_| breaker.ask(1_000).expect("it is closed")).collect();
    for ticket in &early[..4] {
        breaker.went(1_000, ticket, Went::Unanswered);
    }
    assert_eq!(breaker.position(1_000), Position::Open);
    let probe = breaker.ask(1_100).expect("a probe");
    for ticket in &early[4..] {
        breaker.went(1_100, ticket, Went::Unanswered);
    }
    assert_eq!(breaker.position(1_100), Position::HalfOpen);
    breaker.went(1_100, &probe, Went::Answered);
    assert_eq!(breaker.position(1_100), Position::HalfOpen, "one answer is no majority");
}

#[test]
fn rests_double_up_to_the_longest_and_begin_anew_after_a_while() {
    let mut breaker = opened(1_000);
    let mut now_us = 1_000;
    let mut rests = Vec::new();
    for _ in 0..5 {
        let Err(Refused { retry_in_us }) = breaker.ask(now_us) else { panic!("it is open") };
        rests.push(retry_in_us);
        now_us += retry_in_us;
        for _ in 0..2 {
            let ticket = breaker.ask(now_us).expect("a probe");
            breaker.went(now_us, &ticket, Went::Unanswered);
        }
    }
    assert_eq!(rests, [100, 200, 400, 800, 800]);
    now_us += LIMITS.rest_at_most_us;
    for _ in 0..2 {
        let ticket = breaker.ask(now_us).expect("a probe");
        breaker.went(now_us, &ticket, Went::Answered);
    }
    now_us += 2 * LIMITS.span_us;
    for _ in 0..4 {
        let ticket = breaker.ask(now_us).expect("it is closed");
        breaker.went(now_us, &ticket, Went::Unanswered);
    }
    assert_eq!(breaker.ask(now_us), Err(Refused { retry_in_us: LIMITS.rest_us }));
}

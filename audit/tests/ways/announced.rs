//! Orders that are marked paid wrongly, totals that count otherwise, parcels that do not sum.

use payrig_audit::{Finding, Round};

use super::{Mutation, pick, remove, some_awaiting};

pub(crate) const ANNOUNCED: &[Mutation] = &[
    (
        "a paid order that is not marked",
        |world, choose| drop(remove(&mut world.orders().paid, choose, |_| true)),
        |finding| matches!(finding, Finding::OrderNotMarked { .. }),
    ),
    (
        "no order is marked",
        |world, _| world.orders().paid.clear(),
        |finding| matches!(finding, Finding::OrderNotMarked { .. }),
    ),
    (
        "an order that is marked twice",
        |world, choose| {
            let twice = pick(&mut world.orders().paid, choose, |_| true).clone();
            world.orders().paid.push(twice);
        },
        |finding| matches!(finding, Finding::OrderMarkedWrongly { truth, .. } if truth == "is marked before"),
    ),
    (
        "an order that is marked over another amount",
        |world, choose| pick(&mut world.orders().paid, choose, |_| true).amount_minor += 1,
        |finding| matches!(finding, Finding::OrderMarkedWrongly { truth, .. } if truth.starts_with("is tx-")),
    ),
    (
        "an order that is marked with another transaction",
        |world, choose| pick(&mut world.orders().paid, choose, |_| true).transaction_id.push('x'),
        |finding| matches!(finding, Finding::OrderMarkedWrongly { truth, .. } if truth.starts_with("is tx-")),
    ),
    (
        "another order that is marked",
        |world, choose| pick(&mut world.orders().paid, choose, |_| true).order_no.push('x'),
        |finding| matches!(finding, Finding::OrderMarkedWrongly { truth, .. } if truth.starts_with("settled order ")),
    ),
    (
        "an order that is marked and not paid",
        |world, choose| {
            let payment_no = some_awaiting(world, choose);
            pick(&mut world.orders().paid, choose, |_| true).payment_no = payment_no;
        },
        |finding| matches!(finding, Finding::OrderMarkedWrongly { truth, .. } if truth == "settled no order"),
    ),
    (
        "a payment that does not count",
        |world, choose| drop(remove(&mut world.orders().daily_totals, choose, |_| true)),
        |finding| matches!(finding, Finding::TotalsDiffer { counted, .. } if counted.is_empty()),
    ),
    (
        "a payment that counts twice",
        |world, choose| {
            let twice = pick(&mut world.orders().daily_totals, choose, |_| true).clone();
            world.orders().daily_totals.push(twice);
        },
        |finding| matches!(finding, Finding::TotalsDiffer { counted, .. } if counted.len() == 2),
    ),
    (
        "a payment that counts another amount",
        |world, choose| pick(&mut world.orders().daily_totals, choose, |_| true).amount_minor -= 1,
        |finding| matches!(finding, Finding::TotalsDiffer { expected: Some(_), .. }),
    ),
    (
        "a payment that counts for another merchant",
        |world, choose| pick(&mut world.orders().daily_totals, choose, |_| true).merchant.push('x'),
        |finding| matches!(finding, Finding::TotalsDiffer { expected: Some(_), .. }),
    ),
    (
        "a payment that counts and was never made",
        |world, choose| {
            let mut stray = pick(&mut world.orders().daily_totals, choose, |_| true).clone();
            stray.payment_no = Round::new("STRAY", 1);
            world.orders().daily_totals.push(stray);
        },
        |finding| matches!(finding, Finding::TotalsDiffer { expected: None, .. }),
    ),
    (
        "parcels that do not sum",
        |world, choose| pick(&mut world.orders().shipments, choose, |_| true).children[0].amount_minor += 1,
        |finding| matches!(finding, Finding::ShipmentDiffers { paid_minor: Some(_), .. }),
    ),
    (
        "parcels of an order that another payment paid",
        |world, choose| pick(&mut world.orders().shipments, choose, |_| true).payment_no.round += 3,
        |finding| matches!(finding, Finding::ShipmentDiffers { paid_minor: None, .. }),
    ),
];

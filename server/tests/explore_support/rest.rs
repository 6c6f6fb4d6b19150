//! What follows by itself once nobody does anything any more, and the checks on the way.

use std::rc::Rc;

use super::{
    actor::finish,
    books::Books,
    life::{LATE_US, Life},
    model::{Moment, violations},
    ops::{Ears, Sub, query, service, submit},
};

/// Everything that is wrong now, by the books and by what clients were told and shown.
pub(crate) fn check(life: &Life, ears: &Ears, moment: Moment) -> Vec<String> {
    let books = finish(Books::read(&life.plain.store, &life.simulation));
    let heard = ears.borrow();
    let mut wrong = violations(&books, &heard.told, moment);
    wrong.extend(heard.shown.taken_back.iter().cloned());
    wrong.extend(heard.absurd.iter().cloned());
    wrong.iter_mut().for_each(|wrong| *wrong = format!("{moment:?}: {wrong}"));
    wrong
}

/// The server comes to rest; these submissions are sent again by their keys; then the pay window passes, twice. No
/// operation may be under way.
pub(crate) fn go_on_to_the_end(life: &mut Rc<Life>, ears: &Ears, again: Vec<Sub>) -> Vec<String> {
    life.come_to_rest();
    let mut wrong = check(life, ears, Moment::AtRest);
    for sub in again {
        let (service, mut publisher) = service(&life.plain);
        // The service goes with its answer; where nothing was handed in, the publisher then has nothing to wait for.
        let submitting = async move { submit(&service, sub, ears).await };
        finish(async { tokio::join!(submitting, publisher.publish_next()) });
    }
    life.drain();
    ask_about_all(life, ears);
    wrong.extend(check(life, ears, Moment::AtRest));
    let now_us = life.plain.clock.now_us();
    for later_us in [31_000_000, LATE_US, 2 * LATE_US] {
        let alone = Rc::get_mut(life).expect("no operation is under way");
        alone.sleep_until(now_us + later_us);
        life.come_to_rest();
        ask_about_all(life, ears);
        wrong.extend(check(life, ears, Moment::AtRest));
    }
    wrong.extend(check(life, ears, Moment::AtTheEnd));
    wrong
}

/// Everybody who was shown a task asks about it again.
pub(crate) fn ask_about_all(life: &Life, ears: &Ears) {
    let known = ears.borrow().shown.tasks();
    for task in known {
        let (service, _publisher) = service(&life.plain);
        finish(query(&service, task, ears));
    }
}

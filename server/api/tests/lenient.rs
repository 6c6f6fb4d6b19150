//! A foreign server need only give a task's id and state; whatever else it sends does no harm.

use payrig_api::{PaymentState, SeenReply, TaskState};

fn seen(text: &str) -> SeenReply {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn the_smallest_reply_is_read() {
    let reply = seen(r#"{"task":{"task_id":"T-1","state":"queued"}}"#);
    assert_eq!((reply.task.task_id.as_str(), reply.task.state), ("T-1", TaskState::Queued));
    assert!(reply.payment.is_none());
    assert_eq!((reply.task.round, reply.task.attempt, reply.task.settled_at), (None, None, None));
}

#[test]
fn what_is_not_known_is_passed_over_and_null_is_absent() {
    let reply = seen(
        r#"{"trace":"x","task":{"state":"succeeded","task_id":"7","links":{"self":"/7"},"round":null,"own_us":12},
            "payment":{"state":"paid","fee":3,"payment_no":null,"pay_params":{"prepay_id":"p"}}}"#,
    );
    assert_eq!((reply.task.round, reply.task.own_us), (None, Some(12)));
    let payment = reply.payment.unwrap();
    assert_eq!((payment.state, payment.payment_no.as_deref()), (PaymentState::Paid, None));
    assert_eq!(payment.cashier_url(), None);
}

#[test]
fn a_cashier_is_found_where_there_is_one() {
    let with = |params: &str| {
        let text = format!(
            r#"{{"task":{{"task_id":"7","state":"succeeded"}},"payment":{{"state":"awaiting_payer","pay_params":{params}}}}}"#
        );
        seen(&text).payment.unwrap().cashier_url()
    };
    assert_eq!(with(r#"{"cashier_url":"http://pay/","n":1}"#).as_deref(), Some("http://pay/"));
    assert_eq!(with(r#"{"cashier_url":null}"#), None);
    assert_eq!(with(r#"{"cashier_url":7}"#), None);
    assert_eq!(with("null"), None);
    assert_eq!(with(r#""text""#), None);
}

#[test]
fn every_state_has_one_name() {
    use TaskState::{Cancelled, Failed, Queued, Retrying, Running, Succeeded};
    for state in [Queued, Running, Retrying, Succeeded, Failed, Cancelled] {
        let text = format!("\"{}\"", state.name());
        assert_eq!(serde_json::to_string(&state).unwrap(), text);
        assert_eq!(serde_json::from_str::<TaskState>(&text).unwrap(), state);
    }
}

#[test]
fn without_id_or_state_it_is_no_task() {
    for text in [r#"{"task":{"task_id":"T"}}"#, r#"{"task":{"state":"queued"}}"#, r#"{"task_id":"T","state":"queued"}"#]
    {
        assert!(serde_json::from_str::<SeenReply>(text).is_err(), "{text}");
    }
}

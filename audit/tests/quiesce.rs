//! Waiting for rest, against an admin listener whose books change from look to look as a script has it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use payrig_audit::{Admin, Moment, Rest, Seen, check, quiesce, quiesce_unless};
use serde_json::{Value, json};

/// More than any of these takes, and little enough for one that hangs to fail.
const PATIENCE: Duration = Duration::from_secs(20);

/// Serves the rows that a script gives for each look (from 1) and collection, and these counts.
fn admin(counts: Value, script: impl Fn(usize, &str) -> Vec<Value> + Send + 'static) -> Admin {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address: SocketAddr = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        let mut look = 0;
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.expect("a connection"));
            let lines: Vec<String> =
                stream.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let first = lines.first().cloned().unwrap_or_default();
            let path = first.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
            // The first collection that is read.
            look += usize::from(path == "/admin/books/open_tasks");
            let body = match path.strip_prefix("/admin/books/") {
                Some(name) => {
                    let items: Vec<_> = script(look, name).into_iter().map(|doc| json!({ "doc": doc })).collect();
                    json!({ "items": items, "next": null })
                }
                None if path == "/admin/ledger" => json!({ "items": script(look, "ledger"), "next": null }),
                None => counts.clone(),
            };
            let answer = format!("HTTP/1.1 200 OK\r\n\r\n{body}");
            stream.get_mut().write_all(answer.as_bytes()).expect("it is read");
        }
    });
    Admin::new(&address.to_string(), Duration::from_secs(60)).expect("an address")
}

fn notice() -> Value {
    json!({ "payment_no": "TASK-1", "amount_minor": 7 })
}

#[test]
fn one_look_at_rest_is_not_believed_however_late_it_is() {
    let admin = admin(json!({}), |look, book| if look > 1 && book == "notices" { vec![notice()] } else { Vec::new() });
    let rest = quiesce(&admin, Duration::ZERO).expect("it can be read");
    assert_eq!(rest.moving, ["notice TASK-1"]);
}

#[test]
fn two_looks_in_a_row_have_to_agree() {
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looks);
    let admin = admin(json!({}), move |look, book| {
        counted.store(look, Relaxed);
        if look == 2 && book == "notices" { vec![notice()] } else { Vec::new() }
    });
    let rest = quiesce(&admin, PATIENCE).expect("it can be read");
    assert!(rest.moving.is_empty() && looks.load(Relaxed) == 4, "{looks:?} looks: {:?}", rest.moving);
}

#[test]
fn whoever_has_had_enough_gets_what_still_moves() {
    let admin = admin(json!({}), |_, book| if book == "notices" { vec![notice()] } else { Vec::new() });
    let Rest { moving, .. } = quiesce_unless(&admin, PATIENCE, || true).expect("it can be read");
    assert_eq!(moving, ["notice TASK-1"]);
}

#[test]
fn notifications_that_wait_for_a_repeat_are_neither_waited_for_nor_accused() {
    let admin = admin(json!({ "notifications_pending": 0, "notifications_repeating": 3 }), |_, _| Vec::new());
    let rest = quiesce(&admin, PATIENCE).expect("it can be read");
    assert!(rest.waited < PATIENCE, "they were waited for: {:?}", rest.waited);
    assert_eq!(check(&rest.books, &Seen::default(), Moment::AtRest), []);
}

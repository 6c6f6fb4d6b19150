//! The store on MongoDB-compatible servers, beyond the contract: what a reader of the database finds there, lost answers,
//! broken and held connections, and what is refused at start.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests of a harness of their own; seeds are printed")]

mod contract_support;
mod mongo_support;
#[path = "mongo_support/numbers.rs"]
mod numbers;
mod support;

use std::{sync::Arc, time::Duration};

use contract_support::{Backend, Opened, Time, cases, documents::one_of_each, in_time};
use mongo_support::{Place, main_server, proxy::Proxy, second_server, store_at};
use mongodb::bson::{Bson, Document as Fields, doc};
use numbers::{check_numbers, whole, within_63_bits};
use payrig_server::{
    model::{Closing, Collection, Document, End, PaymentEnd, TaskId},
    store::{
        DocumentStore as _, Key, StoreError,
        mongodb::{MongoError, MongoSettings, MongoStore},
    },
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

type On = Opened<Place>;

fn main() {
    let backends = [
        Backend {
            name: main_server().name,
            missing: main_server().missing,
            open: |time| Opened::new(Place::fresh(&main_server()), time, ()),
        },
        Backend {
            name: second_server().name,
            missing: second_server().missing,
            open: |time| Opened::new(Place::fresh(&second_server()), time, ()),
        },
    ];
    let cases = cases![Threads:
        a_reader_finds_fields, a_lost_answer_is_found_out, of_equal_documents_only_one_went_in,
        a_lost_answer_of_a_delete_is_not_guessed, broken_connections_cost_no_document, what_is_held_goes_on,
        who_holds_for_long_is_given_up, a_later_schema_is_refused, a_second_start_finds_the_first,
        a_start_without_a_server_says_so, the_flow_runs_on_it,
    ];
    contract_support::main("mongodb", &backends, &cases);
}

fn closing(number: u64, reason: &str) -> Document {
    let payment_no = TaskId::floor(number * 1_000).round(1);
    Document::Closing(Closing { payment_no, reason: reason.to_owned(), at_us: 1 })
}

fn end_of(number: u64) -> Document {
    let payment_no = TaskId::floor(number * 1_000).round(1);
    let end = End::Closed { reason: "r".to_owned() };
    Document::PaymentEnd(PaymentEnd { payment_no, end, at_us: 1 })
}

fn key(document: &Document) -> Key {
    Key::new(document.collection(), document.id())
}

async fn insert(store: &MongoStore, group: Vec<Document>) -> Result<usize, StoreError> {
    in_time("an insert", store.insert(vec![group])).await.map(|inserted| inserted[0])
}

async fn get(store: &MongoStore, document: &Document) -> Option<Document> {
    store.get(document.collection(), &document.id()).await.expect("the store answers")
}

async fn a_reader_finds_fields(on: On) {
    let (store, _) = store_at(&on.seam.url()).await;
    let group: Vec<Document> = one_of_each().into_iter().map(within_63_bits).collect();
    assert_eq!(insert(&store, group.clone()).await.unwrap(), group.len());
    let mut measures = 0;
    for document in &group {
        let name = document.collection().name();
        let raw = on.seam.raw(name, &document.id()).await.unwrap_or_else(|| panic!("no {name} {}", document.id()));
        assert!(matches!(raw.get("_by"), Some(Bson::ObjectId(_))), "{raw}");
        check_numbers(&raw, &mut measures);
        assert_eq!(get(&store, document).await.as_ref(), Some(document), "{raw}");
    }
    assert!(measures > 50, "{measures}");
    let payment = group.iter().find(|document| document.collection() == Collection::Payments).unwrap();
    let raw = on.seam.raw("payments", &payment.id()).await.unwrap();
    assert_eq!(raw.get_document("pay_params").unwrap(), &doc! { "sign": "…" }, "parameters are fields too");
    assert_eq!(raw.get_str("payment_no").ok(), Some(payment.id().as_str()));
}

async fn a_lost_answer_is_found_out(on: On) {
    let proxy = Proxy::before(on.seam.host()).await;
    let (store, metrics) = store_at(&on.seam.url_by(&proxy.address.to_string())).await;
    // The server does it, and the answer does not come: found out and gone on with, to the end of the group.
    proxy.lose_answers("insert", 1);
    let group = vec![closing(1, "ours"), end_of(1)];
    assert_eq!(insert(&store, group.clone()).await.unwrap(), 2);
    assert_eq!((proxy.lost(), metrics.mongodb_adopted.get()), (1, 1));
    for document in &group {
        assert_eq!(get(&store, document).await.as_ref(), Some(document));
    }
    // What was another's before is another's still.
    proxy.lose_answers("insert", 1);
    let two = vec![vec![closing(1, "theirs"), end_of(2)], vec![closing(2, "ours"), end_of(3)]];
    assert_eq!(in_time("an insert", store.insert(two)).await.unwrap(), [0, 2]);
    assert_eq!(get(&store, &end_of(2)).await, None, "what stands behind is not tried");
}

async fn of_equal_documents_only_one_went_in(on: On) {
    const ROUNDS: u64 = 30;
    let proxy = Proxy::before(on.seam.host()).await;
    let (lossy, _) = store_at(&on.seam.url_by(&proxy.address.to_string())).await;
    let (plain, _) = store_at(&on.seam.url()).await;
    for round in 0..ROUNDS {
        proxy.lose_answers("insert", usize::from(round % 3 != 0));
        // The same content to the last byte: only who put it down can be told it went in.
        let (one, other) =
            tokio::join!(insert(&lossy, vec![closing(round, "same")]), insert(&plain, vec![closing(round, "same")]));
        assert_eq!(one.unwrap() + other.unwrap(), 1, "round {round}");
    }
    assert!(proxy.lost() > 0);
}

async fn a_lost_answer_of_a_delete_is_not_guessed(on: On) {
    let proxy = Proxy::before(on.seam.host()).await;
    let (store, _) = store_at(&on.seam.url_by(&proxy.address.to_string())).await;
    insert(&store, vec![closing(1, ""), closing(2, "")]).await.unwrap();
    proxy.lose_answers("delete", 1);
    let deleted = in_time("a delete", store.delete(vec![key(&closing(1, ""))])).await;
    assert!(matches!(deleted, Err(StoreError::Unknown(_))), "{deleted:?}");
    assert_eq!(get(&store, &closing(1, "")).await, None);
    // Who need not know is done.
    proxy.lose_answers("delete", 1);
    in_time("a delete", store.forget(vec![key(&closing(2, "")), key(&closing(1, ""))])).await.unwrap();
    assert_eq!(proxy.lost(), 2);
    assert_eq!(get(&store, &closing(2, "")).await, None);
}

/// Two write the same ids through connections that break all the time: whoever is told that he was first is, and nobody
/// else is told so.
async fn broken_connections_cost_no_document(on: On) {
    const WRITERS: u64 = 4;
    const ROUNDS: u64 = 200;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let proxy = Arc::new(Proxy::before(on.seam.host()).await);
    let url = on.seam.url_by(&proxy.address.to_string());
    let (done, mut is_done) = tokio::sync::watch::channel(false);
    let breaking = {
        let (proxy, mut random) = (Arc::clone(&proxy), StdRng::seed_from_u64(seed));
        tokio::spawn(async move {
            loop {
                // The driver looks for a server it has lost twice a second: with less between two breaks nothing goes on.
                let pause = Duration::from_millis(random.random_range(50..900));
                match random.random() {
                    true => proxy.break_all(),
                    false => proxy.lose_answers("insert", 2),
                }
                if tokio::time::timeout(pause, is_done.wait_for(|done| *done)).await.is_ok() {
                    return;
                }
            }
        })
    };
    let mut writers = Vec::new();
    for by in 0..WRITERS {
        let (store, _) = store_at(&on.seam.url()).await;
        let (lossy, _) = connect_at_last(&url).await;
        let store = if by % 2 == 0 { lossy } else { store };
        writers.push(tokio::spawn(async move {
            let mut told = Vec::new();
            for round in 0..ROUNDS {
                let group = vec![closing(round, &by.to_string()), end_of(1_000 * (by + 1) + round)];
                told.push(insert(&store, group).await.ok());
            }
            told
        }));
    }
    let mut told = Vec::new();
    for writer in writers {
        told.push(in_time("a writer", writer).await.unwrap());
    }
    let _ = done.send(true);
    in_time("the breaking", breaking).await.unwrap();
    let (store, _) = store_at(&on.seam.url()).await;
    let mut known = 0;
    for round in 0..ROUNDS {
        let first = match get(&store, &closing(round, "")).await {
            Some(Document::Closing(first)) => first.reason,
            _ => panic!("nobody put {round} down"),
        };
        for (by, told) in (0..WRITERS).zip(&told) {
            let behind = get(&store, &end_of(1_000 * (by + 1) + round)).await.is_some();
            match told[usize::try_from(round).unwrap()] {
                Some(2) => assert_eq!((first.as_str(), behind), (by.to_string().as_str(), true), "round {round}"),
                Some(0) => assert_eq!((first == by.to_string(), behind), (false, false), "round {round}"),
                Some(other) => panic!("{other} of a group whose second nobody else writes, round {round}"),
                None => continue,
            }
            known += 1;
        }
    }
    println!("{known} of {} fates known, {} answers lost", WRITERS * ROUNDS, proxy.lost());
    assert!(known > 0);
}

/// Connects while connections break: as often as it takes.
async fn connect_at_last(url: &str) -> (MongoStore, Arc<payrig_server::metrics::Metrics>) {
    let settings = MongoSettings::parse(url).unwrap();
    in_time("a connection", async {
        loop {
            let metrics = Arc::new(payrig_server::metrics::Metrics::new());
            if let Ok(store) = MongoStore::connect(&settings, Arc::clone(&metrics)).await {
                return (store, metrics);
            }
        }
    })
    .await
}

async fn what_is_held_goes_on(on: On) {
    let proxy = Proxy::before(on.seam.host()).await;
    let (store, metrics) = store_at(&on.seam.url_by(&proxy.address.to_string())).await;
    insert(&store, vec![closing(1, "")]).await.unwrap();
    proxy.hold();
    let inserting = {
        let store = store.clone();
        tokio::spawn(async move { insert(&store, vec![closing(2, ""), end_of(2)]).await })
    };
    // Until the first try is given up and a second is on its way; then everything held comes at once, both of them.
    let given_up = async {
        while metrics.mongodb_retried.get() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    in_time("a second try", given_up).await;
    proxy.let_pass();
    assert_eq!(in_time("the insert", inserting).await.unwrap().unwrap(), 2);
    assert_eq!(get(&store, &end_of(2)).await, Some(end_of(2)));
}

async fn who_holds_for_long_is_given_up(on: On) {
    let proxy = Proxy::before(on.seam.host()).await;
    let (store, _) = store_at(&on.seam.url_by(&proxy.address.to_string())).await;
    insert(&store, vec![closing(1, "")]).await.unwrap();
    proxy.hold();
    let answer = insert(&store, vec![closing(2, ""), end_of(2)]).await;
    assert!(matches!(answer, Err(StoreError::Unknown(_))), "{answer:?}");
    // By now it is known that nobody answers, so that nobody has to wait for it.
    let at_once = async {
        while !matches!(store.insert(vec![vec![closing(3, "")]]).await, Err(StoreError::Unavailable(_))) {}
        assert!(matches!(store.get(Collection::Closings, "0").await, Err(StoreError::Unavailable(_))));
        assert!(matches!(store.range(Collection::Closings, None, None, 1).await, Err(StoreError::Unavailable(_))));
        assert!(matches!(store.forget(vec![key(&closing(1, ""))]).await, Err(StoreError::Unavailable(_))));
    };
    in_time("a refusal", at_once).await;
    proxy.let_pass();
    let again = async {
        while insert(&store, vec![closing(9, "")]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    in_time("the store to come back", again).await;
    assert_eq!(get(&store, &closing(1, "")).await, Some(closing(1, "")));
}

async fn a_later_schema_is_refused(on: On) {
    let (store, _) = store_at(&on.seam.url()).await;
    drop(store);
    let schema = on.seam.database().await.collection::<Fields>("schema");
    let found = schema.find_one(doc! { "_id": "payrig" }).await.unwrap().unwrap();
    assert_eq!(whole(&found, "version"), Some(1));
    schema.delete_one(doc! { "_id": "payrig" }).await.unwrap();
    schema.insert_one(doc! { "_id": "payrig", "version": 2_i64 }).await.unwrap();
    let settings = MongoSettings::parse(&on.seam.url()).unwrap();
    let refused = MongoStore::connect(&settings, Arc::default()).await.err().unwrap();
    assert!(matches!(refused, MongoError::Newer { found: 2, known: 1, .. }), "{refused}");
    let ran = support::run(support::command(&["--listen", "127.0.0.1:0", "--store", &on.seam.url()]));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("has schema 2 and this payrig-server knows 1"), "{}", ran.stderr);
}

async fn a_second_start_finds_the_first(on: On) {
    let (first, _) = store_at(&on.seam.url()).await;
    insert(&first, vec![closing(1, "kept")]).await.unwrap();
    drop(first);
    // Several at the same time, too.
    let url = on.seam.url();
    let (one, other) = tokio::join!(store_at(&url), store_at(&url));
    for (store, _) in [one, other] {
        assert_eq!(get(&store, &closing(1, "")).await, Some(closing(1, "kept")));
    }
}

async fn a_start_without_a_server_says_so(on: On) {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = on.seam.url_by(&nobody.to_string()).replacen("://", "://someone:hunter2@", 1);
    let ran = support::run(support::command(&["--listen", "127.0.0.1:0", "--store", &url]));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let told = ran.stderr.lines().filter(|line| !line.contains("durable")).collect::<Vec<_>>();
    assert_eq!(told.len(), 1, "one message: {}", ran.stderr);
    for words in ["--store mongodb://127.0.0.1:", "no MongoDB-compatible server answers", "check the address"] {
        assert!(told[0].contains(words), "{}", ran.stderr);
    }
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
}

async fn the_flow_runs_on_it(on: On) {
    assert_eq!(on.time, Time::Real);
    let url = on.seam.url();
    let flow = tokio::task::spawn_blocking(move || {
        use support::payer::{pay, submission};
        let mut server = support::Server::start(&["--store", &url]);
        let body = submission("wechat");
        let id = support::payer::task_id(&server.submit(&body, Some("key-1")).ok(202));
        let settled = server.wait_for(&id, "succeeded");
        pay(&settled["payment"]["pay_params"]).ok(200);
        server.wait_for_payment(&id, "paid");
        assert_eq!(server.get("/readyz").json()["status"], "ready");
        support::until("everything to be worked off", || {
            server.book("/admin/books/open_tasks").is_empty().then_some(())
        });
        // Another process finds everything in the database, and repeats are repeats.
        let folder = server.folder();
        server.signal(rustix::process::Signal::KILL);
        server.wait();
        let again = support::Server::start_in(folder, &["--store", &url]);
        let shown = again.task(&id);
        assert_eq!((&shown["task"]["state"], &shown["payment"]["state"]), (&"succeeded".into(), &"paid".into()));
        assert_eq!(shown["payment"]["pay_params"], settled["payment"]["pay_params"]);
        assert_eq!(support::payer::task_id(&again.submit(&body, Some("key-1")).ok(202)), id);
        id
    });
    let id = in_time("the flow", flow).await.unwrap();
    let outcome = on.seam.raw("pay_tasks", &format!("{id}:1")).await.unwrap();
    let payment = on.seam.raw("payments", &format!("{id}-1")).await.unwrap();
    println!("pay_tasks {outcome:#}\npayments {payment:#}");
    assert_eq!(outcome.get_str("state").ok(), Some("succeeded"));
    assert_eq!(whole(&payment, "amount_minor"), Some(1_999));
    assert!(payment.get_document("pay_params").unwrap().contains_key("cashier_url"));
}

//! Merchants: who needs a key and for what, that nobody reaches another's tasks, payments or keys by any call, and that
//! the file is read again while the server runs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{fs, path::PathBuf, sync::Arc};

use payrig_api::{
    IDEMPOTENCY_KEY,
    calls::{CALLS, Call, Verb},
};
use serde_json::{Value, json};
use support::{
    Connection, Reply, Server, command,
    openmetrics::Metrics,
    payer::{fresh_order, pay, simulated, submission, task_id},
    run, until,
};

/// An id that nobody ever got, and a payment's number that goes with it.
const ABSENT: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// What `make-merchant` prints: the entry and the key.
fn made(id: &str) -> (String, String) {
    let ran = run(command(&["make-merchant", id]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let key = ran.stderr.trim_end().rsplit_once(' ').unwrap().1.to_owned();
    assert!(key.starts_with("payrig_") && !ran.stdout.contains(&key));
    (ran.stdout, key)
}

/// A server with a file of merchants.
struct Shop {
    server: Server,
    file: PathBuf,
}

impl Shop {
    /// With these entries.
    fn open(entries: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let file = folder.path().join("merchants.toml");
        fs::write(&file, entries).unwrap();
        let server = Server::start_in(folder, &["--merchants", file.to_str().unwrap()]);
        Self { server, file }
    }

    /// A call without a key.
    fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        self.server.connect().request(method, path, headers, body.as_bytes())
    }

    fn metrics(&self) -> Metrics {
        Metrics::read(&self.server.get("/metrics").text())
    }

    /// Has the file read again, and waits until it was.
    fn reload(&self, entries: &str, outcome: &str) {
        let series = format!("payrig_merchants_reloads_total{{name=\"{outcome}\"}}");
        let count = || self.metrics().get(&series);
        let before = count();
        fs::write(&self.file, entries).unwrap();
        self.server.signal(rustix::process::Signal::HUP);
        until("the file to be read again", || (count() > before).then_some(()));
    }

    /// Whether a merchant has this key.
    fn knows(&self, key: &str) -> bool {
        let reply = Client { shop: self, key: key.to_owned() }.get(&format!("/v1/pay-tasks/{ABSENT}"));
        match reply.status {
            401 => false,
            404 => true,
            status => panic!("{status}"),
        }
    }
}

/// Somebody with a key.
struct Client<'a> {
    shop: &'a Shop,
    key: String,
}

impl Client<'_> {
    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let authorization = format!("Bearer {}", self.key);
        let headers: Vec<_> = headers.iter().copied().chain([("Authorization", authorization.as_str())]).collect();
        self.shop.call(method, path, &headers, body)
    }

    fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[], "")
    }

    fn post(&self, path: &str, body: &Value) -> Reply {
        self.request("POST", path, &[("Content-Type", "application/json")], &body.to_string())
    }

    fn order(&self, order_no: &str) -> Value {
        self.get(&format!("/v1/orders/{order_no}")).ok(200)
    }

    fn submit(&self, body: &Value, key: &str) -> Reply {
        let headers = [("Content-Type", "application/json"), (IDEMPOTENCY_KEY, key)];
        self.request("POST", "/v1/pay-tasks", &headers, &body.to_string())
    }

    fn task(&self, id: &str) -> Value {
        self.get(&format!("/v1/pay-tasks/{id}")).ok(200)
    }

    /// Submits and polls until what the pointer shows in the reply is this.
    fn brought_to(&self, body: &Value, pointer: &str, state: &str) -> Value {
        let id = task_id(&self.submit(body, &fresh_order()).ok(202));
        until(state, || Some(self.task(&id)).filter(|reply| reply.pointer(pointer).is_some_and(|shown| shown == state)))
    }

    /// Tasks in every state in which they stay for a while, for orders that are created with them.
    fn tasks(&self) -> Vec<Value> {
        let submission = |style: &str| of_an_order(submission(style));
        let simulated = |style: &str, wishes: &Value| of_an_order(simulated(style, wishes));
        let state = "/task/state";
        let cancelled = self.brought_to(&submission("alipay"), state, "succeeded");
        let path = format!("/v1/pay-tasks/{}/cancel", task_id(&cancelled));
        let closed = self.request("POST", &path, &[], "").ok(200);
        assert_eq!(closed["payment"]["state"], "closed");
        let paid = self.brought_to(&submission("wechat"), state, "succeeded");
        pay(&paid["payment"]["pay_params"]).ok(200);
        let id = task_id(&paid);
        let paid = until("paid", || Some(self.task(&id)).filter(|reply| reply["payment"]["state"] == "paid"));
        vec![
            closed,
            paid,
            self.brought_to(&submission("alipay"), "/payment/state", "awaiting_payer"),
            self.brought_to(&simulated("wechat", &json!({"permanent": true})), state, "failed"),
            self.brought_to(&simulated("wechat", &json!({"latency_ms": 60_000})), state, "running"),
        ]
    }
}

/// With what is bought, so that there is an order.
fn of_an_order(mut submission: Value) -> Value {
    let price = submission["amount_minor"].clone();
    submission["items"] = json!([{"sku": "s", "quantity": 1, "unit_price_minor": price}]);
    submission
}

fn bearer_is_asked_for(reply: &Reply, challenge: &str, what: &str) {
    let problem = reply.problem(401, "unauthorized");
    assert_eq!(problem["field"], "Authorization", "{what}");
    assert_eq!(reply.header("www-authenticate"), Some(challenge), "{what}");
}

#[test]
fn a_merchants_calls_need_a_key_and_the_others_none() {
    let (entry, key) = made("acme");
    let shop = Shop::open(&entry);
    let client = Client { shop: &shop, key };
    let missing: [&[(&str, &str)]; 4] = [
        &[],
        &[("Authorization", "Basic YWNtZTp4")],
        &[("Authorization", &client.key)],
        &[("Authorization", "Bearer a"), ("Authorization", "Bearer b")],
    ];
    let unknown = [format!("Bearer {}x", client.key), "Bearer x".to_owned(), format!("bearer {}", entry.trim())];
    for call in CALLS {
        let path = call.path.replace(['{', '}'], "");
        let ask = |headers: &[(&str, &str)]| shop.call(call.verb.method().as_str(), &path, headers, "");
        if !call.is_a_merchants() {
            assert_ne!(ask(&[]).header("www-authenticate"), Some("Bearer realm=\"payrig\""), "{}", call.name);
            continue;
        }
        for headers in missing {
            bearer_is_asked_for(&ask(headers), "Bearer realm=\"payrig\"", call.name);
        }
        for value in &unknown {
            // A header has one line.
            let value = value.lines().next().unwrap();
            let challenge = "Bearer realm=\"payrig\", error=\"invalid_token\"";
            bearer_is_asked_for(&ask(&[("Authorization", value)]), challenge, call.name);
        }
        let reply = client.request(call.verb.method().as_str(), &path, &[], "");
        assert_ne!(reply.status, 401, "{}: {}", call.name, reply.text());
    }
    for open in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(shop.server.get(open).status, 200, "{open}");
    }
    let merchants = u32::try_from(CALLS.iter().filter(|call| call.is_a_merchants()).count()).unwrap();
    for (name, each) in [("missing", missing.len()), ("unknown", unknown.len())] {
        let expected = f64::from(merchants) * f64::from(u32::try_from(each).unwrap());
        assert_eq!(shop.metrics().get(&format!("payrig_unauthorized_total{{name=\"{name}\"}}")), expected, "{name}");
    }
}

#[test]
fn without_merchants_nobody_needs_a_key_and_one_harms_nobody() {
    let server = Server::start(&[]);
    let id = server.accepted(&submission("alipay"));
    for headers in [&[][..], &[("Authorization", "Bearer x")]] {
        server.connect().request("GET", &format!("/v1/pay-tasks/{id}"), headers, b"").ok(200);
    }
    let slots = server.book("/admin/books/order_slots");
    assert!(slots.iter().all(|slot| slot["id"].as_str().unwrap().starts_with("default:")), "{slots:?}");
}

/// Everything of an answer but its date.
fn without_date(reply: &Reply) -> Reply {
    let mut reply = reply.clone();
    reply.headers.retain(|(name, _)| name != "date");
    reply
}

/// The call's path with these ids in it.
fn path_to(path: &str, task: &str) -> String {
    path.replace("{task_id}", task).replace("{payment_no}", &format!("{task}-1"))
}

/// What a stranger is told of every task of the owner is what is told of a task that never was; and nothing changes.
fn hides(call: &Call, owner: &Client<'_>, tasks: &[Value], stranger: &Client<'_>) {
    let method = call.verb.method();
    let absent = stranger.request(method.as_str(), &path_to(call.path, ABSENT), &[], "");
    absent.problem(404, "not-found");
    for before in tasks {
        let id = task_id(before);
        let path = path_to(call.path, &id);
        let told = stranger.request(method.as_str(), &path, &[], "");
        assert_eq!(without_date(&told), without_date(&absent), "{} {path}: {before}", call.name);
        assert_eq!(&owner.task(&id), before, "{} {path} changed something", call.name);
    }
}

/// The same order numbers and idempotency keys are another merchant's own.
fn keys_and_orders_are_ones_own(owner: &Client<'_>, stranger: &Client<'_>) {
    let (first, key) = (submission("alipay"), fresh_order());
    let owners = task_id(&owner.submit(&first, &key).ok(202));
    let mut other = submission("wechat");
    other["order_no"] = first["order_no"].clone();
    // The same order under the same key with another body: for one merchant this would be 422, and 409 without the key.
    let strangers = task_id(&stranger.submit(&other, &key).ok(202));
    assert_ne!(strangers, owners);
    owner.submit(&other, &key).problem(422, "key-reused");
    let problem = stranger.submit(&first, &fresh_order()).problem(409, "order-in-use");
    assert_eq!(problem["task_id"], json!(strangers), "only one's own task stands in the way");
    for (client, body, id) in [(owner, &first, &owners), (stranger, &other, &strangers)] {
        assert_eq!(&task_id(&client.submit(body, &key).ok(202)), id, "a repeat is one's own task");
        let shown = client.task(id);
        assert_eq!((&shown["task"]["order_no"], &shown["task"]["channel"]), (&first["order_no"], &body["channel"]));
    }
    // The stranger cancels and pays what is his; the owner's payment goes its own way.
    until("both succeeded", || {
        [(owner, &owners), (stranger, &strangers)]
            .iter()
            .all(|(client, id)| client.task(id)["task"]["state"] == "succeeded")
            .then_some(())
    });
    stranger.request("POST", &format!("/v1/pay-tasks/{strangers}/cancel"), &[], "").ok(200);
    assert_eq!(owner.task(&owners)["payment"]["state"], "awaiting_payer");
    pay(&owner.task(&owners)["payment"]["pay_params"]).ok(200);
    until("paid", || Some(owner.task(&owners)).filter(|reply| reply["payment"]["state"] == "paid"));
    assert_eq!(stranger.task(&strangers)["payment"]["state"], "closed");
}

/// Whoever pays needs the parameters that the server signed; with those of another payment nobody pays this one.
fn parameters_are_of_one_payment(owner: &Client<'_>, stranger: &Client<'_>) {
    let [ours, theirs] = [owner, stranger].map(|client| {
        client.brought_to(&submission("wechat"), "/task/state", "succeeded")["payment"]["pay_params"].clone()
    });
    for (field, value) in theirs.as_object().unwrap() {
        if ours.get(field) != Some(value) {
            let mut mixed = ours.clone();
            mixed[field] = value.clone();
            assert_ne!(pay(&mixed).status, 200, "{field}");
        }
    }
}

/// The same number is another merchant's own order.
fn order_numbers_are_ones_own(owner: &Client<'_>, stranger: &Client<'_>) {
    let order_no = fresh_order();
    let new = |amount_minor: u64| json!({"order_no": order_no, "amount_minor": amount_minor, "currency": "CNY"});
    let owners = owner.post("/v1/orders", &new(100)).ok(201);
    // For one merchant other content would be 409.
    let strangers = stranger.post("/v1/orders", &new(200)).ok(201);
    owner.post("/v1/orders", &new(200)).problem(409, "order-differs");
    assert_eq!((&owners["amount_minor"], &strangers["amount_minor"]), (&json!(100), &json!(200)));
    assert_eq!((owner.order(&order_no), stranger.order(&order_no)), (owners, strangers));
}

/// What a stranger is told of an order, paid or not, is what is told of one that never was; and nothing changes.
fn hides_orders(call: &Call, owner: &Client<'_>, tasks: &[Value], stranger: &Client<'_>) {
    let ask = |client: &Client<'_>, order_no: &str| {
        let path = call.path.replace("{order_no}", order_no);
        match call.verb {
            Verb::Get => client.get(&path),
            Verb::Post => client.post(&path, &json!({"mode": "none"})),
        }
    };
    let absent = ask(stranger, ABSENT);
    absent.problem(404, "not-found");
    for task in tasks {
        let order_no = task["task"]["order_no"].as_str().unwrap();
        // The tasks that pay these orders are there; with items the orders are too.
        let before = owner.get(&format!("/v1/orders/{order_no}"));
        let told = ask(stranger, order_no);
        assert_eq!(without_date(&told), without_date(&absent), "{} {order_no}: {task}", call.name);
        assert_eq!(without_date(&owner.get(&format!("/v1/orders/{order_no}"))), without_date(&before));
    }
}

/// Notifications are the channel's, signed over the merchant too (`notify.rs`); a merchant's key signs nothing.
fn unsigned_news_is_none(owner: &Client<'_>, tasks: &[Value], stranger: &Client<'_>) {
    for task in tasks {
        let (id, payment_no) = (task_id(task), format!("{}-1", task_id(task)));
        let news = json!({"out_trade_no": payment_no, "transaction_id": "t", "merchant": "acme", "amount_minor": 1});
        for style in ["alipay", "wechat"] {
            let told = stranger.post(&format!("/v1/notify/{style}"), &news);
            assert!((400..500).contains(&told.status), "{}", told.text());
        }
        assert_eq!(&owner.task(&id), task);
    }
}

/// Must hold for every call there is: a call that is new to the contract has to say here how it holds.
#[test]
fn no_call_reaches_another_merchant() {
    let ((first, owners_key), (second, strangers_key)) = (made("acme"), made("acme.2"));
    let shop = Shop::open(&(first + &second));
    let owner = Client { shop: &shop, key: owners_key };
    let stranger = Client { shop: &shop, key: strangers_key };
    let tasks = owner.tasks();
    for call in CALLS {
        match call.name {
            "query" | "retry" | "cancel" | "payment" => hides(&call, &owner, &tasks, &stranger),
            "create_order" => order_numbers_are_ones_own(&owner, &stranger),
            "order" | "ship_order" => hides_orders(&call, &owner, &tasks, &stranger),
            "submit" => keys_and_orders_are_ones_own(&owner, &stranger),
            "notify" => unsigned_news_is_none(&owner, &tasks, &stranger),
            "cashier" => parameters_are_of_one_payment(&owner, &stranger),
            "healthz" | "readyz" | "metrics" | "openapi" => {
                let text = shop.server.get(call.path).text();
                assert!(!text.contains("acme"), "{} names a merchant", call.name);
                assert!(tasks.iter().all(|task| !text.contains(&task_id(task))), "{} names a task", call.name);
            }
            name => panic!("{name} is new: say here why one merchant cannot reach another's by it"),
        }
    }
    // And one's own are where they were.
    for task in &tasks {
        assert_eq!(&owner.task(&task_id(task)), task);
    }
}

#[test]
fn the_file_is_read_again_and_a_broken_one_changes_nothing() {
    let ((acme, old), (_, new), (other, others)) = (made("acme"), made("acme"), made("other"));
    let shop = Shop::open(&acme);
    assert!(shop.knows(&old) && !shop.knows(&new) && !shop.knows(&others));
    let mine = Client { shop: &shop, key: old.clone() };
    let id = task_id(&mine.submit(&submission("alipay"), &fresh_order()).ok(202));

    // A call under way when the file is read again goes on as whoever it was.
    let mut half_way = Connection::open(shop.server.address);
    let body = submission("wechat").to_string();
    let head = format!(
        "POST /v1/pay-tasks HTTP/1.1\r\nHost: payrig\r\nContent-Type: application/json\r\nAuthorization: Bearer {old}\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    half_way.send(head.as_bytes());
    half_way.is_told_to_go_on();

    // Both keys while one follows the other, and another merchant beside them.
    let hash_of = |key: &str| payrig_server::merchants::KeyHash::of(key.as_bytes());
    let both = format!("[[merchants]]\nid = \"acme\"\nkeys = [\"{}\", \"{}\"]\n{other}", hash_of(&old), hash_of(&new));
    shop.reload(&both, "done");
    assert!(shop.knows(&old) && shop.knows(&new) && shop.knows(&others));

    for broken in
        ["", "[[merchants]]\nid = \"acme\"\nkeys = [\"sha256:00\"]\n", &both[..both.len() - 3], &both.repeat(2)]
    {
        shop.reload(broken, "refused");
        assert!(shop.knows(&old) && shop.knows(&new) && shop.knows(&others), "after {broken:?}");
    }
    shop.server.wait_for_line("the merchants' file was not taken; those read before stay");

    shop.reload(&format!("[[merchants]]\nid = \"acme\"\nkeys = \"{}\"\n", hash_of(&new)), "done");
    assert!(!shop.knows(&old) && shop.knows(&new) && !shop.knows(&others));
    half_way.send(body.as_bytes());
    let late = task_id(&half_way.reply_to("POST").ok(202));
    // What the old key made is the merchant's, whatever its key.
    let mine = Client { shop: &shop, key: new };
    for id in [id, late] {
        mine.task(&id);
    }
}

//! Merchants: who needs a key and for what, that nobody reaches another's tasks, payments or keys by any call, and that
//! the file is read again while the server runs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod merchants_support;
mod notify_support;
mod support;

use merchants_support::{ABSENT, Client, Shop, made};
use notify_support::{News, now_s};
use payrig_api::{
    ChannelStyle,
    calls::{CALLS, Call, Verb},
};
use payrig_channel::{
    Algorithm,
    keys::{self, ChannelKeys},
};
use serde_json::{Value, json};
use support::{
    Connection, Reply, Server,
    payer::{fresh_order, pay, submission, task_id},
    until,
};

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
        let before = owner.order(order_no);
        let told = ask(stranger, order_no);
        assert_eq!(without_date(&told), without_date(&absent), "{} {order_no}: {task}", call.name);
        assert_eq!(owner.order(order_no), before);
    }
}

/// Notifications are the channel's, signed over the merchant too: what names another than the payment's is refused,
/// however well it is signed, and a merchant's key signs nothing.
fn news_names_the_payments_own_merchant() {
    let ((first, owners_key), (second, strangers_key)) = (made("acme"), made("acme.2"));
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    keys::make(&keys, Algorithm::HmacSha256).unwrap();
    let key = ChannelKeys::load(&keys).unwrap().own;
    // Nobody ever listens on port 1, and in Alipay style no channel is needed to make a payment.
    let channel = ["--channel", "http://127.0.0.1:1", "--channel-keys", keys.to_str().unwrap()];
    let shop = Shop::open_with(&(first + &second), &channel);
    let owner = Client { shop: &shop, key: owners_key };
    let stranger = Client { shop: &shop, key: strangers_key };
    for style in [ChannelStyle::Alipay, ChannelStyle::Wechat] {
        let body = submission("alipay");
        let waiting = owner.brought_to(&body, "/payment/state", "awaiting_payer");
        let id = task_id(&waiting);
        let say = |merchant: &str| {
            let news = News { merchant: merchant.to_owned(), ..News::of(&id, &body) };
            let signed = notify_support::sign(style, &news, &key, now_s(), &notify_support::nonce());
            notify_support::send(&mut shop.server.connect(), &signed).unwrap()
        };
        for other in ["acme.2", "acme.", "default"] {
            say(other).problem(401, "unauthorized");
        }
        let unsigned = json!({"out_trade_no": format!("{id}-1"), "merchant": "acme", "amount_minor": 1_999});
        stranger.post(&format!("/v1/notify/{}", style.name()), &unsigned).problem(401, "unauthorized");
        assert_eq!(owner.task(&id), waiting);
        assert!(shop.server.book("/admin/books/notices").is_empty());
        assert_eq!(say("acme").status, 200, "the same about its own merchant is believed");
        until("paid", || (owner.task(&id)["payment"]["state"] == "paid").then_some(()));
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
            "notify" => news_names_the_payments_own_merchant(),
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

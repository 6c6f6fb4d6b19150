//! The `OpenAPI` document names every call, and what the types write is what its schemas say.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod samples;

use std::collections::BTreeSet;

use jsonschema::Validator;
use payrig_api::{NewOrder, Ship, Submission, calls::CALLS};
use serde::Serialize;
use serde_json::{Value, json};

fn document() -> Value {
    serde_json::from_str(&payrig_api::openapi::document()).unwrap()
}

/// The schema of this name, with all others for its references.
fn schema(name: &str) -> Validator {
    let components = document()["components"].clone();
    assert!(components["schemas"][name].is_object(), "no schema {name}");
    let schema = json!({"$ref": format!("#/components/schemas/{name}"), "components": components});
    jsonschema::draft202012::new(&schema).unwrap()
}

fn is_valid<T: Serialize>(schema: &Validator, name: &str, value: &T) {
    let value = serde_json::to_value(value).unwrap();
    let errors: Vec<String> = schema.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{name}: {errors:?}");
}

#[test]
fn every_call_is_there_and_nothing_else() {
    let document = document();
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        found.extend(item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    let known: BTreeSet<(String, String)> =
        CALLS.iter().map(|call| (call.verb.method().to_string(), call.path.to_owned())).collect();
    assert_eq!(found, known);
}

#[test]
fn every_call_has_its_statuses_and_headers() {
    let document = document();
    for call in CALLS {
        let operation = &document["paths"][call.path][call.verb.method().as_str().to_lowercase()];
        let responses = operation["responses"].as_object().unwrap();
        for problem in call.problems {
            let content = &responses[&problem.status().to_string()]["content"]["application/problem+json"];
            assert_eq!(content["schema"]["$ref"], "#/components/schemas/Problem", "{}", call.name);
        }
        for success in call.answers {
            let headers = &responses[&success.status.to_string()]["headers"];
            assert_eq!(headers.as_object().map_or(0, serde_json::Map::len), success.headers.len(), "{}", call.name);
        }
        let parameters = operation["parameters"].as_array().map_or(0, Vec::len);
        assert_eq!(parameters, call.path.matches('{').count() + usize::from(call.name == "submit"), "{}", call.name);
    }
    let submit = &document["paths"]["/v1/pay-tasks"]["post"];
    assert_eq!(submit["parameters"][0]["name"], "Idempotency-Key");
    assert!(submit["responses"]["202"]["headers"]["Location"].is_object());
    assert!(submit["responses"]["503"]["headers"]["Retry-After"].is_object());
}

#[test]
fn a_merchants_calls_say_how_to_be_one() {
    let document = document();
    let scheme = &document["components"]["securitySchemes"]["merchantKey"];
    assert_eq!((&scheme["type"], &scheme["scheme"]), (&json!("http"), &json!("bearer")));
    for call in CALLS {
        let operation = &document["paths"][call.path][call.verb.method().as_str().to_lowercase()];
        let challenge = &operation["responses"]["401"]["headers"]["WWW-Authenticate"];
        let keyed = call.is_a_merchants();
        let security = if keyed { json!([{"merchantKey": []}, {}]) } else { Value::Null };
        assert_eq!((&operation["security"], challenge.is_object()), (&security, keyed), "{}", call.name);
        // What is signed or shows nothing of a merchant needs no key; whatever else there will be does.
        let open = ["/simulated/", "/v1/notify/", "/healthz", "/readyz", "/metrics", "/openapi.json"];
        assert_eq!(keyed, !open.iter().any(|open| call.path.starts_with(open)), "{}", call.name);
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn the_golden_examples_are_valid() {
    let of = schema("Submission");
    samples::submissions().iter().for_each(|(name, value)| is_valid(&of, name, value));
    let of = schema("TaskReply");
    samples::task_replies().iter().for_each(|(name, value)| is_valid(&of, name, value));
    let of = schema("Payment");
    samples::payments().iter().for_each(|(name, value)| is_valid(&of, name, value));
    let of = schema("Transaction");
    samples::transactions().iter().for_each(|(name, value)| is_valid(&of, name, value));
    let of = schema("NewOrder");
    samples::new_orders().iter().for_each(|(name, value)| is_valid(&of, name, value));
    let of = schema("Ship");
    samples::ships().iter().for_each(|(name, value)| is_valid(&of, name, value));
    let of = schema("Order");
    samples::orders().iter().for_each(|(name, value)| is_valid(&of, name, value));
    let of = schema("Health");
    samples::health().iter().for_each(|(name, value)| is_valid(&of, name, value));
    let of = schema("Problem");
    samples::problems().iter().for_each(|(name, value)| is_valid(&of, name, value));
}

/// What the schema refuses the server refuses too, and the other way round.
#[test]
fn the_schema_and_the_reader_of_submissions_agree() {
    let schema = schema("Submission");
    let good = json!({"order_no": "A-1", "amount_minor": 600, "currency": "CNY", "channel": "alipay"});
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let without = |field: &str| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(field);
        body
    };
    let items = |item: Value| with("items", json!([item]));
    let table = [
        (good.clone(), true),
        (with("items", Value::Null), true),
        (with("task_info", json!({})), true),
        (with("simulate", json!({"fail_first": 1})), true),
        (items(json!({"sku": "s", "quantity": 2, "unit_price_minor": 300})), true),
        (json!([]), false),
        (json!("A-1"), false),
        (without("order_no"), false),
        (without("amount_minor"), false),
        (without("currency"), false),
        (without("channel"), false),
        (with("order_no", json!("")), false),
        (with("order_no", json!("a".repeat(65))), false),
        (with("order_no", json!("a b")), false),
        (with("order_no", json!("a:b")), false),
        (with("order_no", json!(7)), false),
        (with("amount_minor", json!(0)), false),
        (with("amount_minor", json!(-1)), false),
        (with("amount_minor", json!(1.5)), false),
        (with("amount_minor", json!(9_007_199_254_740_992_u64)), false),
        (with("amount_minor", json!("600")), false),
        (with("currency", json!("XXX")), false),
        (with("channel", json!("paypal")), false),
        (with("unknown", json!(1)), false),
        (with("task_info", json!([true, 3])), false),
        (with("task_info", Value::Null), false),
        (with("task_info", json!({"retry_times": 6})), false),
        (with("task_info", json!({"unknown": 6})), false),
        (with("simulate", json!({"latency_ms": 60_001})), false),
        (with("simulate", json!({"unknown": 1})), false),
        (with("items", json!([])), false),
        (items(json!({"sku": "", "quantity": 2, "unit_price_minor": 300})), false),
        (items(json!({"sku": "s", "quantity": 0, "unit_price_minor": 300})), false),
        (items(json!(["s", 2, 300])), false),
    ];
    for (body, good) in table {
        let text = body.to_string();
        assert_eq!(Submission::from_json(text.as_bytes()).is_ok(), good, "the reader: {text}");
        assert_eq!(schema.is_valid(&body), good, "the schema: {text}");
    }
}

#[test]
fn the_schemas_and_the_readers_of_orders_agree() {
    let orders = schema("NewOrder");
    let good = json!({"order_no": "A-1", "amount_minor": 600, "currency": "CNY"});
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let item = json!({"sku": "s", "quantity": 2, "unit_price_minor": 300, "seller": "a", "warehouse": "b"});
    let mut bad_item = item.clone();
    bad_item["seller"] = json!("");
    let table = [
        (good.clone(), true),
        (with("items", Value::Null), true),
        (with("items", json!([item])), true),
        // A discount.
        (json!({"order_no": "A-1", "amount_minor": 1, "currency": "CNY", "items": [item]}), true),
        (with("items", json!([])), false),
        (with("items", json!([bad_item])), false),
        (with("order_no", json!("a/b")), false),
        (with("amount_minor", json!(0)), false),
        (with("currency", json!("XXX")), false),
        (with("channel", json!("alipay")), false),
        (json!([]), false),
    ];
    for (body, good) in table {
        let text = body.to_string();
        assert_eq!(NewOrder::from_json(text.as_bytes()).is_ok(), good, "the reader: {text}");
        assert_eq!(orders.is_valid(&body), good, "the schema: {text}");
    }
    let ships = schema("Ship");
    for (body, good) in [
        (json!({"mode": "none"}), true),
        (json!({"mode": "by_merchant"}), true),
        (json!({"mode": "by_warehouse"}), true),
        (json!({"mode": "ByMerchant"}), false),
        (json!({"mode": null}), false),
        (json!({"mode": {"none": null}}), false),
        (json!({}), false),
        (json!({"mode": "none", "more": 1}), false),
    ] {
        let text = body.to_string();
        assert_eq!(Ship::from_json(text.as_bytes()).is_ok(), good, "the reader: {text}");
        assert_eq!(ships.is_valid(&body), good, "the schema: {text}");
    }
}

//! Whatever is wrong with a submission, the problem names the field at fault and what was expected there.

use payrig_api::{NewOrder, Problem, ProblemType, Ship, Submission};

const GOOD: &str = r#"{"order_no":"A-1","amount_minor":600,"currency":"CNY","channel":"alipay"}"#;

fn problem(body: &[u8]) -> Problem {
    match Submission::from_json(body) {
        Ok(submission) => panic!("{:?} was read as {submission:?}", String::from_utf8_lossy(body)),
        Err(problem) => *problem,
    }
}

/// The good body with one more member, or another value for one that is there.
fn with(name: &str, value: &str) -> String {
    let mut members: Vec<String> = GOOD.trim_matches(['{', '}']).split(',').map(str::to_owned).collect();
    members.retain(|member| !member.starts_with(&format!("\"{name}\"")));
    members.push(format!("\"{name}\":{value}"));
    format!("{{{}}}", members.join(","))
}

#[test]
fn the_field_at_fault_is_named() {
    let amount = "an integer from 1 to 9007199254740991";
    let retries = "an integer from 0 to 5, the built-in cap";
    let table = [
        ("amount_minor", "0", "amount_minor", amount),
        ("amount_minor", "-1", "amount_minor", amount),
        ("amount_minor", "1.5", "amount_minor", amount),
        ("amount_minor", "1e400", "amount_minor", amount),
        ("amount_minor", "9007199254740992", "amount_minor", amount),
        ("amount_minor", "18446744073709551616", "amount_minor", amount),
        ("amount_minor", "\"600\"", "amount_minor", amount),
        ("amount_minor", "null", "amount_minor", amount),
        ("order_no", "7", "order_no", "1 to 64 visible ASCII characters without ':' and '/'"),
        ("order_no", r#""a\u0000b""#, "order_no", "1 to 64 visible ASCII characters without ':' and '/'"),
        ("channel", "\"paypal\"", "channel", "\"alipay\" or \"wechat\""),
        ("currency", "\"cny\"", "currency", "an ISO 4217 code that is taken here: AED, AUD"),
        ("task_info", "{\"retry_times\":6}", "task_info.retry_times", retries),
        ("task_info", "{\"retry_times\":300}", "task_info.retry_times", retries),
        ("task_info", "{\"retry_times\":-1}", "task_info.retry_times", retries),
        ("task_info", "{\"need_retry\":1}", "task_info.need_retry", "true or false"),
        ("task_info", "{\"retries\":1}", "task_info.retries", "no such field; there is `need_retry` or `retry_times`"),
        ("task_info", "[true,3]", "task_info", "a JSON object"),
        ("items", "{}", "items", "a list of 1 to 200 items, or no list"),
        ("items", "[7]", "items[0]", "a JSON object"),
        ("items", "[{\"sku\":\"s\",\"quantity\":1}]", "items[0].unit_price_minor", "an unsigned integer"),
        (
            "items",
            "[{\"sku\":\"s\",\"quantity\":1,\"unit_price_minor\":599}]",
            "items",
            "items that sum to amount_minor (600), not to 599",
        ),
        ("simulate", "{\"fail_first\":256}", "simulate.fail_first", "an integer from 0 to 255"),
        ("simulate", "{\"latency_ms\":60001}", "simulate.latency_ms", "an integer from 0 to 60000 (milliseconds)"),
        ("simulate", "{\"explode\":true}", "simulate.explode", "no such field; there is one of `fail_first`"),
        ("colour", "1", "colour", "no such field; there is one of `order_no`"),
    ];
    for (name, value, field, expected) in table {
        let body = with(name, value);
        let problem = problem(body.as_bytes());
        assert_eq!(problem.kind, ProblemType::InvalidField, "{body}");
        assert_eq!(problem.field.as_deref(), Some(field), "{body}");
        let said = problem.expected.unwrap_or_default();
        assert!(said.starts_with(expected), "{body}: {said}");
    }
}

#[test]
fn a_missing_field_is_named() {
    for missing in ["order_no", "amount_minor", "currency", "channel"] {
        let members: Vec<&str> =
            GOOD.trim_matches(['{', '}']).split(',').filter(|member| !member.contains(missing)).collect();
        let problem = problem(format!("{{{}}}", members.join(",")).as_bytes());
        assert_eq!((problem.kind, problem.field.as_deref()), (ProblemType::InvalidField, Some(missing)));
    }
}

#[test]
fn other_bodies_are_named_as_a_whole() {
    for body in ["[]", "null", "7", "\"text\"", r#"["A-1",600,"CNY","alipay"]"#] {
        let problem = problem(body.as_bytes());
        assert_eq!((problem.kind, problem.field.as_deref()), (ProblemType::InvalidField, Some("body")), "{body}");
        assert_eq!(problem.expected.as_deref(), Some("a JSON object"));
    }
    let twice = GOOD.replace("{", r#"{"order_no":"A-0","#);
    assert_eq!(problem(twice.as_bytes()).field.as_deref(), Some("order_no"));
}

#[test]
fn what_is_no_json_is_malformed() {
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let nested = with("order_no", &deep);
    let texts: [&[u8]; 7] =
        [b"", b"{", b"{]", b"\0", b"{\"order_no\":\"\xff\"}", b"{\"order_no\"", GOOD.as_bytes().get(..30).unwrap()];
    for body in texts.into_iter().chain([b"nonsense".as_slice(), format!("{GOOD} {GOOD}").as_bytes()]) {
        assert_eq!(problem(body).kind, ProblemType::MalformedBody, "{:?}", String::from_utf8_lossy(body));
    }
    // Refused at the first bracket, or at the depth that the reader bears: it never overflows the stack.
    assert_eq!(problem(deep.as_bytes()).kind, ProblemType::InvalidField);
    assert_eq!(problem(nested.as_bytes()).field.as_deref(), Some("order_no"));
}

#[test]
fn a_channel_of_another_type_is_a_wrong_field_and_no_broken_json() {
    for channel in ["null", "5", "[]", "{\"wechat\":null}", "\"card\""] {
        let body = format!(r#"{{"order_no":"1","amount_minor":1,"currency":"CNY","channel":{channel}}}"#);
        let problem = Submission::from_json(body.as_bytes()).unwrap_err();
        assert_eq!((problem.kind, problem.field.as_deref()), (ProblemType::InvalidField, Some("channel")), "{channel}");
    }
}

#[test]
fn orders_and_shipments_name_the_field_at_fault_too() {
    let order = |more: &str| {
        let body = format!(r#"{{"order_no":"A-1","currency":"CNY"{more}}}"#);
        let problem = NewOrder::from_json(body.as_bytes()).unwrap_err();
        assert_eq!(problem.kind, ProblemType::InvalidField, "{body}");
        (problem.field.clone().unwrap_or_default(), problem.expected.clone().unwrap_or_default())
    };
    assert_eq!(order("").0, "amount_minor");
    assert_eq!(order(r#","amount_minor":0"#), ("amount_minor".into(), "an integer from 1 to 9007199254740991".into()));
    let (field, expected) = order(r#","amount_minor":1,"items":[{"sku":"s","quantity":-1,"unit_price_minor":1}]"#);
    assert_eq!((field.as_str(), expected.as_str()), ("items[0].quantity", "an integer from 1 to 4294967295"));
    let (field, expected) = order(r#","amount_minor":1,"channel":"alipay""#);
    assert_eq!(field, "channel");
    assert!(expected.starts_with("no such field"), "{expected}");
    let modes = "\"none\", \"by_merchant\" or \"by_warehouse\"";
    for body in [r#"{"mode":"by_seller"}"#, r#"{"mode":3}"#, r#"{"mode":null}"#, "{}"] {
        let problem = Ship::from_json(body.as_bytes()).unwrap_err();
        assert_eq!((problem.kind, problem.field.as_deref()), (ProblemType::InvalidField, Some("mode")), "{body}");
        assert_eq!(problem.expected.as_deref(), Some(modes), "{body}");
    }
    assert_eq!(NewOrder::from_json(b"{").unwrap_err().kind, ProblemType::MalformedBody);
}

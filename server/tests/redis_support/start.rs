//! The start, and a whole server, with a Redis that is not what it should be.

use std::{sync::Mutex, time::Duration};

use crate::{
    redis_support::{
        self, Place, cluster,
        proxy::{Manners, Proxy},
        single, try_cache,
    },
    support,
};

pub(crate) fn what_is_wrong_at_start_is_said() {
    let server = redis_support::address(&single());
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = nobody.local_addr().unwrap();
    let proxy = Proxy::before(server);
    proxy.behave(Manners { refuses: true, ..Manners::default() });
    for (url, says) in [
        (
            format!("redis://:s3cret@{silent}"),
            vec![format!("--cache redis://{silent}/0: "), "nothing answers there".to_owned()],
        ),
        (format!("redis://127.0.0.1:{}", proxy.port), vec!["nothing answers there".to_owned()]),
        ("redis://127.0.0.1:1".to_owned(), vec!["nothing answers there".to_owned(), "start Redis there".to_owned()]),
        (format!("redis://nobody:s3cret@{server}"), vec!["refuses the user or the password".to_owned()]),
        (format!("redis-cluster://{server}"), vec!["no cluster: use redis://".to_owned()]),
        (format!("redis://{server}/200"), vec!["DB index is out of range".to_owned()]),
    ] {
        let error = try_cache(&url).err().unwrap_or_else(|| panic!("{url} is taken"));
        for words in says {
            assert!(error.contains(&words), "{words:?} is not in {error}");
        }
        assert!(!error.contains("s3cret"), "{error}");
    }
}

pub(crate) fn a_node_of_a_cluster_is_no_redis() {
    let url = format!("redis://{}", redis_support::address(&cluster()));
    let error = try_cache(&url).err().unwrap();
    assert!(error.contains("a node of a cluster: use redis-cluster://"), "{error}");
}

/// The whole server: what it accepted it finishes, and what it has shown it never takes back, with its cache there, slow,
/// cut off and back.
pub(crate) fn a_server_goes_on_without_it() {
    let place = Place::fresh(&single());
    let proxy = Proxy::before(redis_support::address(&single()));
    let server = support::Server::start(&["--cache", &place.by_way_of(proxy.port)]);
    let ready = |server: &support::Server| server.get("/readyz").ok(200);
    assert_eq!(ready(&server), serde_json::json!({"status": "ready", "cache": "up"}));
    let seen = Mutex::new(std::collections::HashMap::new());
    let submit = |number: usize| {
        let style = if number.is_multiple_of(2) { "alipay" } else { "wechat" };
        let body = serde_json::json!({
            "order_no": format!("o-{number}"), "amount_minor": 1, "currency": "CNY", "channel": style,
        });
        let reply = server.submit(&body, None).ok(202);
        reply["task"]["task_id"].as_str().unwrap().to_owned()
    };
    let settled = |id: &str| {
        let reply = server.get(&format!("/v1/pay-tasks/{id}")).ok(200);
        let state = reply["task"]["state"].as_str().unwrap().to_owned();
        let is_settled = state == "succeeded";
        let before = seen.lock().unwrap().insert(id.to_owned(), is_settled);
        assert!(is_settled || before != Some(true), "{id} was settled and is {state}");
        is_settled
    };
    let mut tasks = Vec::new();
    let phases = [
        Manners::default(),
        Manners { latency: Duration::from_millis(200), ..Manners::default() },
        Manners { holds_back: true, ..Manners::default() },
        Manners { resets_after: Some(700), ..Manners::default() },
        Manners { refuses: true, ..Manners::default() },
        Manners::default(),
    ];
    for (phase, manners) in phases.into_iter().enumerate() {
        let is_down = manners.holds_back || manners.refuses;
        proxy.behave(manners);
        if phase >= 4 {
            proxy.cut();
        }
        for number in 0..10 {
            tasks.push(submit(100 * phase + number));
            settled(&tasks[tasks.len() / 2]);
        }
        support::until("all to be settled", || tasks.iter().all(|id| settled(id)).then_some(()));
        if is_down {
            let degraded = serde_json::json!({"status": "degraded", "cache": "down"});
            support::until("the server to say so", || (ready(&server) == degraded).then_some(()));
            let metrics = support::openmetrics::Metrics::read(&server.get("/metrics").text());
            assert!(metrics.get("payrig_cache_up") < 0.5);
        }
    }
    support::until("the cache to be back", || (ready(&server)["cache"] == "up").then_some(()));
    assert!(tasks.iter().all(|id| settled(id)));
    let metrics = support::openmetrics::Metrics::read(&server.get("/metrics").text());
    assert!(metrics.get("payrig_cache_up") > 0.5);
    assert!(metrics.get("payrig_cache_connections_lost_total") > 0.5);
    assert!(metrics.get("payrig_cache_errors_total{name=\"down\"}") > 0.5);
    assert!(metrics.get("payrig_cache_latency_seconds_count{name=\"put\"}") > 0.5);
}

//! Flags, environment and file, and every way in which a start can be refused: what is wrong, where, and what to do.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{fs, sync::Arc};

use support::{Ran, Server, command, run};

/// A folder with a configuration file of this text; the path of the file.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("payrig.toml");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

fn check(arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut command = command(&["--config-check"]);
    command.args(arguments).envs(environment.iter().copied());
    run(command)
}

/// The configuration is refused with exit code 2 and one line that says all these things.
fn refused(ran: &Ran, says: &[&str]) {
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stdout.is_empty());
    for words in says {
        assert!(ran.stderr.contains(words), "{words:?} is not in {}", ran.stderr);
    }
}

#[test]
fn a_check_shows_the_configuration_and_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let ran = check(&["--data-dir", data.to_str().unwrap()], &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let defaults = [
        "listen: 127.0.0.1:8080",
        "store: Embedded",
        "accept: Durable",
        "sync: OnComplete",
        "pay_window: 900s",
        "connections: 10000",
        "head: 10s",
        "body: 10s",
        "answer: 30s",
        "idle: 75s",
        "drain_timeout: 30s",
        "admin_listen: None",
    ];
    for words in defaults {
        assert!(ran.stdout.contains(words), "{words:?} is not in {}", ran.stdout);
    }
    assert!(!data.exists());
}

#[test]
fn flags_go_before_the_environment_and_that_before_the_file() {
    let (_folder, path) = file("listen = \"127.0.0.1:1001\"\nworkers = 7\npay-window = \"2m\"\naccept = \"early\"\n");
    let file_only = check(&["--config", &path], &[]);
    for words in ["listen: 127.0.0.1:1001", "workers: 7", "pay_window: 120s", "accept: Early"] {
        assert!(file_only.stdout.contains(words), "{words:?} is not in {}", file_only.stdout);
    }
    let environment = [("PAYRIG_LISTEN", "127.0.0.1:1002"), ("PAYRIG_WORKERS", "8"), ("PAYRIG_CONFIG", path.as_str())];
    let with_environment = check(&[], &environment);
    for words in ["listen: 127.0.0.1:1002", "workers: 8", "pay_window: 120s"] {
        assert!(with_environment.stdout.contains(words), "{words:?} is not in {}", with_environment.stdout);
    }
    let with_flags = check(&["--listen", "127.0.0.1:1003", "--accept", "durable"], &environment);
    for words in ["listen: 127.0.0.1:1003", "workers: 8", "accept: Durable"] {
        assert!(with_flags.stdout.contains(words), "{words:?} is not in {}", with_flags.stdout);
    }
}

#[test]
fn every_setting_of_the_file_is_taken() {
    let (_merchants, merchants) = merchants();
    let (_folder, path) = file(&format!("listen = \"0.0.0.0:1001\"\nmerchants = \"{merchants}\"\n"));
    let ran = check(&["--config", &path], &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("merchants: 1,"), "{}", ran.stdout);
    let text = r#"
        listen = "0.0.0.0:1001"
        allow-anonymous = true
        data-dir = "elsewhere"
        queue = "memory"
        cache = "memory"
        store = "memory"
        channel = "simulated:latency=0ms,seed=9"
        accept = "early"
        sync = "on-query"
        pay-window = "1h30m"
        queue-capacity = 11
        cache-capacity = 12
        backlog = 13
        workers = 14
        threads = 15
        connections = 16
        drain-timeout = "17s"
        header-timeout = "18s"
        body-timeout = "19s"
        answer-timeout = "20s"
        idle-timeout = "21s"
        admin-listen = "[::1]:1002"
    "#;
    let (_folder, path) = file(text);
    let ran = check(&["--config", &path], &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let taken = [
        "0.0.0.0:1001",
        "\"elsewhere\"",
        "store: Memory",
        "Early",
        "OnQuery",
        "5400s",
        "queue_capacity: 11",
        "cache_capacity: 12",
        "backlog: 13",
        "workers: 14",
        "threads: 15",
        "connections: 16",
        "drain_timeout: 17s",
        "head: 18s",
        "body: 19s",
        "answer: 20s",
        "idle: 21s",
        "[::1]:1002",
    ];
    for words in taken {
        assert!(ran.stdout.contains(words), "{words:?} is not in {}", ran.stdout);
    }
}

#[test]
fn a_bad_file_is_refused_with_the_place() {
    let table = [
        ("colour = \"red\"\n", "colour"),
        ("workers = \"many\"\n", "workers"),
        ("workers = -1\n", "workers"),
        ("listen = 8080\n", "listen"),
        ("accept = \"never\"\n", "early"),
        ("print-address = true\n", "print-address"),
        ("listen = \n", "line 1"),
        ("[server]\nlisten = \"127.0.0.1:1\"\n", "server"),
    ];
    for (text, says) in table {
        let (_folder, path) = file(text);
        refused(&check(&["--config", &path], &[]), &["--config", &path, says]);
    }
    let (_folder, path) = file("data-dir = \"\"\n");
    refused(&check(&["--config", &path], &[]), &["--data-dir", "a folder"]);
    refused(&check(&["--config", "/nowhere/payrig.toml"], &[]), &["--config /nowhere/payrig.toml", "No such file"]);
}

#[test]
fn a_bad_value_is_refused_with_what_was_expected() {
    let table: [(&[&str], &[&str]); 25] = [
        (&["--listen", "8080"], &["--listen 8080", "127.0.0.1:8080"]),
        (&["--listen", "localhost:8080"], &["--listen localhost:8080", "an address and port"]),
        (&["--listen", "0.0.0.0:0"], &["--listen 0.0.0.0:0", "--allow-anonymous"]),
        (&["--listen", "[::]:0"], &["--listen [::]:0", "--allow-anonymous"]),
        (&["--admin-listen", "0.0.0.0:0"], &["--admin-listen 0.0.0.0:0", "loopback only"]),
        (&["--admin-listen", "0.0.0.0:0", "--allow-anonymous"], &["--admin-listen 0.0.0.0:0", "loopback only"]),
        (&["--queue", "kafka://u:secret@h"], &["--queue kafka://h", "memory", "amqp://"]),
        (&["--cache", "memcached://u:secret@h"], &["--cache memcached://...@h", "memory, redis://"]),
        (&["--store", "postgres://u:p@localhost"], &["--store postgres://..", "embedded, memory or mongodb://"]),
        (&["--store", "mongodb://u:p@localhost:port"], &["--store mongodb://"]),
        (&["--channel", "http://localhost"], &["--channel http://localhost", "expected http://HOST:PORT"]),
        (&["--channel", "simulated:latency=fast"], &["--channel simulated:latency=fast", "latency", "40ms"]),
        (&["--channel", "simulated:colour=red"], &["colour"]),
        (&["--channel", "simulated:slow-body=1%/3s"], &["slow-body", "payrig-channel", "http://HOST:PORT"]),
        (&["--channel", "simulated:quiet,notify-contradict=1%"], &["notify-contradict", "payrig-channel"]),
        (&["--accept", "never"], &["--accept", "durable", "early"]),
        (&["--sync", "never"], &["--sync", "on-complete", "on-query"]),
        (&["--pay-window", "soon"], &["--pay-window soon", "30s"]),
        (&["--pay-window", "10ms"], &["--pay-window 10ms", "at least 1s"]),
        (&["--idle-timeout", "0s"], &["--idle-timeout 0s", "more than nothing"]),
        (&["--connections", "0"], &["--connections 0", "1 to 16777215"]),
        (&["--backlog", "18446744073709551615"], &["--backlog 18446744073709551615", "1 to 16777215"]),
        (&["--workers", "16777216"], &["--workers 16777216", "1 to 16777215"]),
        (&["--backlog=-1"], &["--backlog"]),
        (&["--colour", "red"], &["--colour"]),
    ];
    for (arguments, says) in table {
        refused(&check(arguments, &[]), says);
    }
    refused(&check(&[], &[("PAYRIG_WORKERS", "many")]), &["many", "--workers"]);
    let allowed = check(&["--listen", "0.0.0.0:0", "--allow-anonymous"], &[]);
    assert_eq!(allowed.code, Some(0), "{}", allowed.stderr);
}

/// The password is nobody's business, neither where the configuration is shown nor where it is wrong.
#[cfg(feature = "rabbitmq")]
#[test]
fn rabbitmq_is_named_without_its_password() {
    let shown = check(&["--queue", "amqp://u:s3cret@rabbit.example/pay?prefix=blue"], &[]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    for part in ["rabbit.example:5672", "user: \"u\"", "vhost: \"pay\"", "prefix: \"blue\""] {
        assert!(shown.stdout.contains(part), "{part}: {}", shown.stdout);
    }
    assert!(!shown.stdout.contains("s3cret"), "{}", shown.stdout);
    let wrong = check(&["--queue", "amqp://u:s3cret@h/a/b"], &[]);
    assert!(!wrong.stderr.contains("s3cret"), "{}", wrong.stderr);
    refused(&wrong, &["--queue amqp://h/a/b", "%2f"]);
}

/// One message and an exit code, not a stack of attempts.
#[cfg(feature = "rabbitmq")]
#[test]
fn a_rabbitmq_that_is_not_there_ends_the_start() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let (queue, data) = (format!("amqp://u:s3cret@127.0.0.1:{port}"), folder.path().display().to_string());
    let ran = run(command(&["--queue", &queue, "--listen", "127.0.0.1:0", "--data-dir", &data]));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let said = format!("payrig-server: cannot reach RabbitMQ at 127.0.0.1:{port}: ");
    assert!(ran.stderr.starts_with(&said) && ran.stderr.contains("--queue"), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
}

#[cfg(not(feature = "rabbitmq"))]
#[test]
fn a_server_without_rabbitmq_says_so() {
    refused(&check(&["--queue", "amqp://u:s3cret@h"], &[]), &["--queue amqp://h", "built without RabbitMQ"]);
}

/// A file with one merchant; its path.
fn merchants() -> (tempfile::TempDir, String) {
    let ran = run(command(&["make-merchant", "acme"]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    file(&ran.stdout)
}

#[test]
fn merchants_open_the_way_beyond_loopback() {
    let (_folder, path) = merchants();
    for (arguments, environment) in [
        (&["--listen", "0.0.0.0:0", "--merchants", &path][..], &[][..]),
        (&["--listen", "0.0.0.0:0"], &[("PAYRIG_MERCHANTS", path.as_str())]),
    ] {
        let ran = check(arguments, environment);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(ran.stdout.contains("merchants: 1,") && !ran.stdout.contains("sha256"), "{}", ran.stdout);
    }
    refused(&check(&["--listen", "0.0.0.0:0"], &[]), &["--listen 0.0.0.0:0", "--merchants FILE"]);
    refused(
        &check(&["--merchants", &path, "--allow-anonymous"], &[]),
        &["--merchants", &path, "leave out --allow-anonymous"],
    );
}

#[test]
fn a_bad_file_of_merchants_is_refused_with_the_place() {
    let table = [
        ("", "names no merchant"),
        ("[[merchants]]\nid = \"a\"\nkey = 7\n", "line 3: unknown field `key`"),
        ("[[merchants]]\nid = \"a:b\"\nkeys = []\n", "merchant \"a:b\""),
        ("[[merchants]]\nid = \"a\"\nkeys = [\"payrig_x\"]\n", "merchant a, key 1: expected `sha256:`"),
    ];
    for (text, says) in table {
        let (_folder, path) = file(text);
        refused(&check(&["--merchants", &path], &[]), &["--merchants", &path, says]);
    }
    refused(&check(&["--merchants", "/nowhere/m.toml"], &[]), &["--merchants /nowhere/m.toml", "No such file"]);
    refused(&run(command(&["make-merchant", "a:b"])), &["merchant \"a:b\"", "1 to 64"]);
}

#[test]
fn the_address_is_the_first_line() {
    let server = Server::start(&[]);
    assert_eq!(server.first_line, format!("listening on http://{}", server.address));
    assert_ne!(server.address.port(), 0);
    server.still_serves();
}

#[test]
fn a_port_in_use_is_a_clear_error() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let address = server.address.to_string();
    let mut second = command(&["--listen", &address]);
    second.arg("--data-dir").arg(folder.path().join("data"));
    let ran = run(second);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains(&format!("cannot listen on {address}")), "{}", ran.stderr);
    assert!(ran.stderr.contains("--listen"), "it says what to do: {}", ran.stderr);
    assert!(!folder.path().join("data").exists(), "nothing was touched");
    server.still_serves();
}

#[test]
fn a_data_folder_in_use_is_a_clear_error() {
    let server = Server::start(&[]);
    let mut second = command(&["--listen", "127.0.0.1:0"]);
    second.arg("--data-dir").arg(server.folder().path().join("data"));
    let ran = run(second);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains("is in use by another process"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--data-dir"), "it says what to do: {}", ran.stderr);
    server.still_serves();
}

#[test]
fn a_data_folder_that_is_none_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "x").unwrap();
    let mut start = command(&["--listen", "127.0.0.1:0"]);
    start.arg("--data-dir").arg(&path);
    let ran = run(start);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains(path.to_str().unwrap()), "{}", ran.stderr);
}

#[test]
fn weak_promises_are_said_at_start() {
    let server = Server::start(&["--accept", "early", "--sync", "on-query", "--store", "memory"]);
    for words in ["--accept early", "--sync on-query", "--store memory"] {
        server.wait_for_line(words);
    }
    server.still_serves();
    let quiet = Server::start(&[]);
    quiet.still_serves();
    assert_eq!(quiet.stderr().lines().count(), 1, "quiet but for the admin's address: {}", quiet.stderr());
}

#[test]
fn sigterm_ends_an_idle_server_with_success() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    for _ in 0..3 {
        let mut server = Server::start_in(Arc::clone(&folder), &[]);
        server.terminate();
        assert_eq!(server.wait(), Some(0), "{}", server.stderr());
    }
}

#[test]
fn a_channel_over_http_needs_its_keys_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let keys = keys.to_str().unwrap();
    let url = "http://127.0.0.1:8090";
    let ran = check(&["--channel", url, "--channel-keys", keys, "--channel-timeout", "300ms"], &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for shown in ["127.0.0.1:8090", "300ms", "calls: 512", "public_url: None", "put_off: 28.8s"] {
        assert!(ran.stdout.contains(shown), "{shown} is not in {}", ran.stdout);
    }
    let text = format!("channel = \"{url}\"\nchannel-keys = \"{keys}\"\npublic-url = \"http://payrig.example:80\"\n");
    let (_kept, path) = file(&text);
    let ran = check(&["--config", &path], &[("PAYRIG_CHANNEL_CALLS", "7")]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("payrig.example:80") && ran.stdout.contains("calls: 7"), "{}", ran.stdout);
    for (arguments, says) in [
        (vec!["--channel", url], vec!["--channel", "--channel-keys DIR"]),
        (vec!["--channel", "http://127.0.0.1"], vec!["http://HOST:PORT"]),
        (vec!["--channel", "http://127.0.0.1:8090/v3"], vec!["nothing after it"]),
        (vec!["--channel", "https://127.0.0.1:8090"], vec!["this version has", "http://HOST:PORT"]),
        (vec!["--channel-keys", keys], vec!["--channel-keys", "only with --channel http://"]),
        (vec!["--public-url", "http://a:1"], vec!["--public-url", "only with"]),
        (
            vec!["--channel", url, "--channel-keys", keys, "--public-url", "a:1"],
            vec!["--public-url", "http://HOST:PORT"],
        ),
        (
            vec!["--channel", url, "--channel-keys", keys, "--channel-timeout", "0s"],
            vec!["--channel-timeout", "more than"],
        ),
        (vec!["--channel", url, "--channel-keys", keys, "--channel-calls", "0"], vec!["--channel-calls", "1 to"]),
        (
            vec!["--channel", url, "--channel-keys", keys, "--listen", "0.0.0.0:0", "--allow-anonymous"],
            vec!["--public-url"],
        ),
    ] {
        refused(&check(&arguments, &[]), &says);
    }
    // The folder is looked at when the server starts.
    let data = folder.path().join("data");
    let start =
        ["--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap(), "--channel", url, "--channel-keys", keys];
    let ran = run(command(&start));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("--channel-keys") && ran.stderr.contains("merchant.key"), "{}", ran.stderr);
}

//! The tests' stub as a program that starts as `payrig-server` does; also a null server to measure the harness against.

#[path = "../tests/stub/mod.rs"]
mod stub;

use std::io::Write;
use std::time::Duration;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--exit-at-once") {
        eprintln!("stub: something is wrong with the disk");
        std::process::exit(3);
    }
    if has("--never-ready") {
        eprintln!("stub: waiting for godot");
        std::thread::sleep(Duration::from_secs(3600));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        writeln!(std::io::stdout(), "listening on http://{address}").expect("stdout");
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).expect("a handler");
        let crash_after = if has("--crash-soon") { Duration::from_millis(1500) } else { Duration::MAX };
        tokio::select! {
            () = stub::serve(listener, stub::Behaviour::default()) => {}
            _ = terminate.recv() => {
                if has("--slow-to-stop") {
                    std::thread::sleep(Duration::from_secs(15));
                }
                std::process::exit(if has("--stop-badly") { 7 } else { 0 });
            }
            () = tokio::time::sleep(crash_after) => {
                eprintln!("stub: thread panicked at the worst moment");
                std::process::exit(101);
            }
        }
    });
}

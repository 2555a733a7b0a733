//! What a call costs another server and us, with the same phones on the same machine, one after the other. The other
//! server echoes; ours listens for speech on every frame and speaks. It starts no server but ours and asserts nothing.
//!
//! `cargo bench --bench peer -- --server 127.0.0.1:5090 --service 600 --process asterisk`
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::print_stdout)]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "shared/phones.rs"]
mod phones;
mod shared;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use common::Gateway;
use phones::Phones;
use serde_json::{Value, json};

/// All are in the call by then.
const WARM: Duration = Duration::from_secs(25);
const MEASURED: Duration = Duration::from_secs(20);

fn main() {
    if std::env::args().any(|a| a == "--test") {
        return;
    }
    let argument = |name: &str| std::env::args().skip_while(|a| a != name).nth(1);
    let calls: usize = argument("--calls").and_then(|n| n.parse().ok()).unwrap_or(100);
    let mut gateway = Gateway::start_with("peer", "", &["export DAUYS__CALLS__MAX=240"]);
    let scratch = gateway.scratch.0.clone();
    let mut results = vec![];
    if let (Some(server), Some(process)) = (argument("--server"), argument("--process")) {
        let server: SocketAddr = server.parse().expect("--server takes an address and a port");
        let pid = pid_of(&process).expect("--process names a running process");
        let service = argument("--service").unwrap_or_else(|| "600".to_owned());
        results.push(measure(
            &process,
            pid,
            Phones::start(&scratch, server, &service, &phones::quiet(), calls, 40_000),
        ));
    }
    let ours = SocketAddr::from(([127, 0, 0, 1], gateway.sip));
    let callers = Phones::start(&scratch, ours, "front-desk", &phones::quiet(), calls, 44_000);
    results.push(measure("dauys", gateway.pid(), callers));
    gateway.stop();
    let raw =
        json!({ "machine": shared::machine(), "calls": calls, "seconds": MEASURED.as_secs(), "results": results });
    let mut table = format!("Machine: {} (shared). {calls} G.711 calls at once.\n\n", shared::machine());
    table += "| server | core per call | failed calls |\n|---|---|---|\n";
    for r in &results {
        let percent = r["cpu_s"].as_f64().unwrap_or(0.0) / MEASURED.as_secs_f64() / calls as f64 * 100.0;
        table +=
            &format!("| {} | {percent:.3} % | {} |\n", r["name"].as_str().unwrap_or_default(), r["phones"]["failed"]);
    }
    println!("{table}");
    shared::write("peer", &raw, &table);
}

/// The CPU of the whole process while all phones are in their calls.
fn measure(name: &str, pid: u32, callers: Phones) -> Value {
    let stat = format!("/proc/{pid}/stat");
    std::thread::sleep(WARM);
    let before = shared::busy_s(&stat);
    std::thread::sleep(MEASURED);
    let cpu_s = shared::busy_s(&stat) - before;
    let phones = callers.end(Duration::from_secs(2));
    json!({ "name": name, "cpu_s": (cpu_s * 100.0).round() / 100.0, "phones": phones })
}

fn pid_of(name: &str) -> Option<u32> {
    let is_it = |folder: &Path| fs::read_to_string(folder.join("comm")).is_ok_and(|comm| comm.trim() == name);
    let mut processes = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path());
    processes.find(|p| is_it(p))?.file_name()?.to_str()?.parse().ok()
}

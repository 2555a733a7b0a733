//! The invariants of ARCHITECTURE.md, each as a test. It reads the tree; it runs none of it.
#![allow(clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every tracked-looking Rust file: path from the root, and text.
fn rust_files() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).expect("a readable folder").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = vec![];
    walk(root(), &mut found);
    assert!(found.len() > 50, "the walk found only {} files", found.len());
    let relative = |p: &PathBuf| p.strip_prefix(root()).expect("below the root").to_path_buf();
    found.iter().map(|p| (relative(p), fs::read_to_string(p).expect("UTF-8 source"))).collect()
}

/// Code without `//` comments and without what follows `#[cfg(test)]` at a line's start.
fn code(text: &str) -> String {
    let end = text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].lines().map(|l| l.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn is_test(path: &Path) -> bool {
    path.components().any(|c| c.as_os_str() == "tests" || c.as_os_str() == "benches")
        || path.file_stem().is_some_and(|s| s.to_string_lossy().ends_with("tests"))
}

/// No file (below `folder`, tests aside unless `tests_too`) may contain any of the words.
fn absent(folder: &str, words: &[&str], except: &[&str], tests_too: bool) {
    let mut found = vec![];
    for (path, text) in rust_files() {
        let excepted = except.iter().any(|e| path.starts_with(e));
        if !path.starts_with(folder) || excepted || (is_test(&path) && !tests_too) {
            continue;
        }
        let code = if tests_too { text } else { code(&text) };
        found.extend(words.iter().filter(|w| code.contains(**w)).map(|w| format!("{}: {w}", path.display())));
    }
    assert!(found.is_empty(), "{found:#?}");
}

fn dependencies(manifest: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(manifest)).expect("a manifest");
    let table: toml::Table = text.parse().expect("TOML");
    table["dependencies"].as_table().expect("a table").keys().cloned().collect()
}

#[test]
fn dependencies_point_one_way() {
    let check = |manifest: &str, forbidden: &[&str]| {
        for dependency in dependencies(manifest) {
            assert!(!forbidden.contains(&dependency.as_str()), "{manifest} depends on {dependency}");
        }
    };
    let io = ["tokio", "mio", "socket2", "tracing", "reqwest", "dauys"];
    check("sip/Cargo.toml", &[&io[..], &["dauys-media", "dauys-models"]].concat());
    check("media/Cargo.toml", &[&io[..], &["dauys-sip", "dauys-models"]].concat());
    check("models/Cargo.toml", &["dauys", "dauys-sip", "tokio"]);
    check("privacy/Cargo.toml", &[&io[..], &["dauys-sip", "dauys-media", "dauys-models", "getrandom"]].concat());
}

#[test]
fn sip_and_media_know_no_socket_clock_task_or_file() {
    let words = [
        "tokio",
        "UdpSocket",
        "TcpStream",
        "TcpListener",
        "Instant::now",
        "SystemTime",
        "std::thread",
        "std::fs",
        "std::process",
        "std::env::var",
        "async fn",
        ".await",
    ];
    absent("sip/src", &words, &[], false);
    absent("media/src", &words, &[], false);
}

#[test]
fn decisions_know_no_socket_clock_or_task() {
    let words = ["tokio", "UdpSocket", "Instant::now", "SystemTime", "std::thread", "async fn", ".await"];
    absent("src/dialogue", &words, &[], false);
    absent("privacy/src", &words, &[], false);
    absent("privacy/src", &["std::fs", "std::process", "std::env", "getrandom"], &[], false);
    absent("src/net/resolve", &words, &[], false);
    absent("src/trunk", &words, &[], false);
    absent("src/trunk.rs", &words, &[], false);
    absent("src/route.rs", &words, &[], false);
    for file in [
        "machine.rs",
        "mouth.rs",
        "endpointing.rs",
        "brain.rs",
        "history.rs",
        "action.rs",
        "answering.rs",
        "tone.rs",
        "consent.rs",
        "ogg.rs",
        "recording.rs",
        "machine",
    ] {
        absent(&format!("src/call/{file}"), &words, &[], false);
    }
}

#[test]
fn the_clock_is_read_in_one_place() {
    absent("", &["Instant::now()", "SystemTime::now()", "Zoned::now()"], &["src/clock.rs", "tests", "benches"], false);
}

/// Data leaves by the broker's tickets. What fetches model files, what reads the times of rehearsed calls and what calls as
/// a page does carry nobody's data.
#[test]
fn data_leaves_by_one_way() {
    let clients = ["reqwest", "hyper::client", "hyper_util::client", "ureq", "isahc", "attohttpc", "curl::"];
    absent("src", &clients, &["src/egress.rs", "src/egress", "src/caller", "src/rehearse/stages.rs"], false);
    absent("models", &clients, &["models/src/pull/fetch.rs"], false);
    for crate_of_ours in ["sip", "media", "privacy"] {
        absent(crate_of_ours, &clients, &[], true);
    }
    let egress = fs::read_to_string(root().join("src/egress.rs")).expect("the way out");
    assert!(egress.contains("redirect::Policy::none()") && egress.contains("no_proxy()"));
    let parcel = fs::read_to_string(root().join("src/egress/parcel.rs")).expect("the way out");
    let logged = parcel.find("log.write(row.clone())").expect("it is logged");
    assert!(logged < parcel.find(".send().await").expect("it is sent"), "logged before the first byte leaves");
}

#[test]
fn every_queue_has_a_bound() {
    let words = ["unbounded_channel", "mpsc::unbounded", "channel::unbounded", "sync::mpsc::channel("];
    absent("", &words, &["tests/tidy.rs"], true);
}

#[test]
fn unsafe_has_one_home() {
    absent("", &["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"], &["models/espeak", "tests/tidy.rs"], true);
    let espeak = fs::read_to_string(root().join("models/espeak/src/lib.rs")).expect("the crate");
    assert!(espeak.contains("// SAFETY:"));
}

#[test]
fn nothing_is_unfinished() {
    absent("", &["todo!(", "unimplemented!(", "FIXME"], &["tests/tidy.rs"], true);
}

#[test]
fn a_file_says_what_it_is_and_fits() {
    let mut wrong = vec![];
    for (path, text) in rust_files() {
        let lines = text.lines().count();
        if lines > 600 {
            wrong.push(format!("{}: {lines} lines, 600 at most", path.display()));
        }
        if !text.starts_with("//! ") {
            wrong.push(format!("{}: the first line is `//! ` and says what the file is", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_function_fits_on_a_screen() {
    let mut wrong = vec![];
    for (path, text) in rust_files().iter().filter(|(p, _)| !is_test(p)) {
        let lines: Vec<&str> = text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let head = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            let head = head.trim_start_matches("const ").trim_start_matches("async ");
            if !head.starts_with("fn ") || line.ends_with(';') {
                continue;
            }
            let close = format!("{}}}", " ".repeat(indent));
            let length = lines[start..].iter().position(|l| *l == close).unwrap_or(0);
            if length > 70 {
                wrong.push(format!("{}:{}: {length} lines, 70 at most", path.display(), start + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_config_loads() {
    let mut loaded = 0;
    for entry in fs::read_dir(root().join("configs")).expect("configs").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "toml") {
            let config = dauys::config::Config::load(&path).unwrap_or_else(|e| panic!("{e}"));
            dauys::gateway::load_agents(&config).unwrap_or_else(|e| panic!("{e}"));
            loaded += 1;
        }
    }
    assert!(loaded >= 2);
    for entry in fs::read_dir(root().join("configs/agents")).expect("agents").flatten() {
        let text = fs::read_to_string(entry.path()).expect("readable");
        dauys::dialogue::Agent::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", entry.path().display()));
    }
}

/// A line such as `# key = value` or `# [section]` is an example; it must be a good one.
#[test]
fn commented_examples_load_too() {
    let path = root().join("configs/production.toml");
    let text = fs::read_to_string(&path).expect("a configuration");
    let example = |line: &str| {
        let key = line.split(" = ").next().is_some_and(|k| k != line && !k.contains(' '));
        line.starts_with('[') || key
    };
    let mut uncommented = 0;
    let lines = text.lines().map(|line| match line.strip_prefix("# ").filter(|l| example(l)) {
        Some(toml) => {
            uncommented += 1;
            toml
        }
        None => line,
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    let config = dauys::config::Config::parse(&path, &text, std::iter::empty()).unwrap_or_else(|e| panic!("{e}"));
    assert!(uncommented > 30, "{uncommented} examples");
    assert_eq!((config.trunks.len(), config.registers.len(), config.routes.len()), (1, 1, 3));
    assert!(config.llm.is_some() && config.sip.tls.is_some());
}

#[test]
fn the_map_fits() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the map");
    assert!(text.lines().count() <= 300);
}

//! A process of its own, since what is tried here holds for a whole process: no core dumps, no files for others.
#![allow(clippy::expect_used)]

use std::os::unix::fs::PermissionsExt as _;

use nix::sys::resource::{Resource, getrlimit};

#[test]
fn nothing_of_this_process_is_dumped_or_left_for_others() {
    dauys::vault::harden::harden();
    assert_eq!(getrlimit(Resource::RLIMIT_CORE), Ok((0, 0)));
    assert_eq!(nix::sys::prctl::get_dumpable(), Ok(false));
    check_locked();
    let path = std::env::temp_dir().join(format!("dauys-harden-{}", std::process::id()));
    std::fs::write(&path, b"x").expect("writes");
    let mode = std::fs::metadata(&path).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::remove_file(&path).expect("cleans up");
}

/// What is made after it is locked too, where this process may lock without a bound. Where it may not, nothing is.
fn check_locked() {
    let number = |name: &str| -> String {
        let text = std::fs::read_to_string("/proc/self/status").expect("readable");
        text.lines().find_map(|l| l.strip_prefix(name)).expect("it is there").trim().to_owned()
    };
    let locked_kib = || number("VmLck:").trim_end_matches(" kB").parse::<usize>().expect("a number");
    let capable = u64::from_str_radix(&number("CapEff:"), 16).expect("a set") & (1 << 14) != 0;
    let unlimited = getrlimit(Resource::RLIMIT_MEMLOCK).expect("a limit").0 == nix::sys::resource::RLIM_INFINITY;
    let before = locked_kib();
    let more = std::hint::black_box(vec![1u8; 8 << 20]);
    let grown = locked_kib() - before;
    assert_eq!(grown >= more.len() >> 10, capable || unlimited, "{before} KiB were locked, then {grown} more");
}

//! A process of its own, since what is tried here holds for a whole process: no core dumps, no files for others.

use std::os::unix::fs::PermissionsExt as _;

use nix::sys::resource::{Resource, getrlimit};

#[test]
fn nothing_of_this_process_is_dumped_or_left_for_others() {
    dauys::vault::harden::harden();
    assert_eq!(getrlimit(Resource::RLIMIT_CORE), Ok((0, 0)));
    assert_eq!(nix::sys::prctl::get_dumpable(), Ok(false));
    let path = std::env::temp_dir().join(format!("dauys-harden-{}", std::process::id()));
    std::fs::write(&path, b"x").expect("writes");
    let mode = std::fs::metadata(&path).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::remove_file(&path).expect("cleans up");
}

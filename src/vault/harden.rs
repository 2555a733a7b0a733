//! What keeps this process's memory and files to itself: no core dumps, no files that others read. It does not
//! lock memory: that needs rights most installations do not give; encrypt the swap, or have none.

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, umask};

/// Before any content is in memory. What the system refuses is said and costs nothing else.
pub fn harden() {
    // New files are their owner's alone.
    umask(Mode::from_bits_truncate(0o077));
    let limited = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    // Also where a core would go to a program instead of a file, which asks no limit.
    let undumpable = nix::sys::prctl::set_dumpable(false);
    if let Err(error) = limited.and(undumpable) {
        tracing::warn!(%error, "core dumps could not be turned off: a crash may leave callers' words on the disk");
    }
}

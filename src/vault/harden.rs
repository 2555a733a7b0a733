//! What keeps this process's memory and files to itself: no core dumps, no swap where that is allowed, no files that
//! others read. What a hypervisor or a hibernating system writes down is beyond it.

use nix::libc::MCL_ONFAULT;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};

/// CAP_IPC_LOCK, as a bit of a set of capabilities.
const IPC_LOCK: u64 = 1 << 14;

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
    lock_memory();
}

/// Each page stays in memory from when it is first touched on, so that none goes to the swap.
fn lock_memory() {
    if !may_lock() {
        tracing::info!(
            "memory may go to the swap: allow CAP_IPC_LOCK or an unlimited RLIMIT_MEMLOCK, encrypt the swap, or have none"
        );
        return;
    }
    let on_fault = MlockAllFlags::from_bits_retain(MCL_ONFAULT);
    if let Err(error) = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | on_fault) {
        tracing::info!(%error, "memory could not be locked and may go to the swap");
    }
}

/// Without a bound only: under one, locking works at first and memory cannot be had later.
fn may_lock() -> bool {
    let unlimited = getrlimit(Resource::RLIMIT_MEMLOCK).is_ok_and(|(soft, _)| soft == RLIM_INFINITY);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    unlimited || has_capability(&status)
}

fn has_capability(status: &str) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_some_and(|set| set & IPC_LOCK != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_to_lock_is_read_from_the_effective_set() {
        let with = |set: &str| has_capability(&format!("Name:\tdauys\nCapPrm:\t000001ffffffffff\nCapEff:\t{set}\n"));
        assert!(with("000001ffffffffff") && with("0000000000004000"));
        assert!(!with("0000000000000000") && !with("000001ffffffbfff") && !has_capability(""));
    }
}

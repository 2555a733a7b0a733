//! Puts a media thread before all others, as far as the system lets us. It changes the calling thread only.

use thread_priority::{
    NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};
use tracing::debug;

/// The lowest of the real-time priorities is still before every ordinary thread.
const REAL_TIME: u8 = 1;
/// In hundredths of what niceness spans: about -10.
const NICE: u8 = 75;

/// Real time, or else niceness, or else nothing: without the right to it (CAP_SYS_NICE, or a limit on `rtprio`)
/// calls are served all the same, only less evenly on a busy machine.
pub(crate) fn raise() {
    let set = |priority: u8, policy| {
        let priority = priority.try_into().map(ThreadPriority::Crossplatform).ok();
        priority.is_some_and(|p| set_thread_priority_and_policy(thread_native_id(), p, policy).is_ok())
    };
    if set(REAL_TIME, ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin)) {
        debug!("a media thread runs in real time");
    } else if set(NICE, ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other)) {
        debug!("a media thread runs with a raised priority");
    } else {
        debug!("a media thread runs like any other: raising its priority is not permitted");
    }
}

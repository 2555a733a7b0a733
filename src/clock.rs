//! The only reader of the clock. Everything else takes time as an argument; nothing here waits.
#![allow(clippy::disallowed_methods)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic now, for timers and measurements.
pub fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since the Unix epoch, for records that people read.
pub fn unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// Since the Unix epoch: the clock by which the kernel stamps datagrams. It may be set, forwards and backwards.
pub fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Today where the gateway runs; "next Thursday" is counted from here.
pub fn today() -> jiff::civil::Date {
    jiff::Zoned::now().date()
}

/// RFC 3339 in UTC, for the API.
pub fn rfc3339(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms).map(|t| t.to_string()).unwrap_or_default()
}

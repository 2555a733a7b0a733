//! Logs and metrics. Private data has a type that prints nothing; metric labels are closed sets.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Wraps what must not reach a log: prints how long it was, never what it was.
pub struct Pii<'a, T: ?Sized>(pub &'a T);

impl<T: AsRef<str> + ?Sized> fmt::Display for Pii<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.as_ref().len())
    }
}

impl<T: AsRef<str> + ?Sized> fmt::Debug for Pii<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Upper bounds of the latency histograms, in seconds.
const TURN_BUCKETS_S: [f64; 12] = [0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.5, 5.0];
/// Most turns are in time: the steps lie where trouble begins.
const LATENESS_BUCKETS_S: [f64; 10] = [0.02, 0.04, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0];
const JITTER_BUCKETS_S: [f64; 8] = [0.001, 0.003, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16];
const MOS_BUCKETS: [f64; 9] = [1.5, 2.0, 2.5, 3.0, 3.4, 3.6, 4.0, 4.2, 4.5];
const LOSS_BUCKETS: [f64; 8] = [0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2];

/// Logs to stderr; `DAUYS_LOG` takes a filter such as `info,dauys=debug`.
pub fn init_logs() {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = EnvFilter::try_from_env("DAUYS_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // They log the names they ask for, which are those of people's providers; our own errors say what failed.
    // And SCTP has a line for every packet that a page could get wrong.
    let mut silent = vec!["hickory_net=off", "hickory_proto=off", "hickory_resolver=off", "sctp_proto=off"];
    // And WebSockets log whole messages: what people write.
    silent.extend(["tungstenite=off", "tokio_tungstenite=off"]);
    // PostgreSQL says of each table that it is there already.
    silent.push("sqlx::postgres::notice=warn");
    let filter = silent.iter().filter_map(|d| d.parse().ok()).fold(filter, EnvFilter::add_directive);
    // A log that cannot be written (a full disk) must not end a call: its errors are dropped, not raised.
    let logs = fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    // A second call (tests in one process) keeps the first.
    let _ = logs.try_init();
}

/// The process-wide recorder behind `/metrics`.
pub fn init_metrics() -> Result<PrometheusHandle, BuildError> {
    // Tests start several gateways in one process; the first recorder serves them all.
    static FIRST: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut first = FIRST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*first {
        return Ok(handle.clone());
    }
    let seconds = Matcher::Suffix("_seconds".into());
    let full = |name: &str| Matcher::Full(name.into());
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(seconds, &TURN_BUCKETS_S)?
        .set_buckets_for_metric(full("dauys_turn_lateness_seconds"), &LATENESS_BUCKETS_S)?
        .set_buckets_for_metric(full("dauys_engine_wait_seconds"), &LATENESS_BUCKETS_S)?
        .set_buckets_for_metric(full("dauys_call_jitter_seconds"), &JITTER_BUCKETS_S)?
        .set_buckets_for_metric(full("dauys_call_mos"), &MOS_BUCKETS)?
        .set_buckets_for_metric(full("dauys_call_loss_ratio"), &LOSS_BUCKETS)?
        .build_recorder();
    let handle = recorder.handle();
    // Whoever embeds the gateway may have one of their own; theirs then has the figures.
    let _ = metrics::set_global_recorder(recorder);
    describe();
    Ok(first.insert(handle).clone())
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_gauge!("dauys_calls_active", "Calls in progress");
    describe_counter!("dauys_calls_total", "Calls ended, by outcome");
    describe_counter!("dauys_calls_refused_total", "Calls refused before an answer, by reason");
    describe_counter!("dauys_calls_failed_total", "Calls ended by a mistake in the gateway's own code");
    describe_histogram!("dauys_turn_seconds", "Caller's last speech to the agent's first frame");
    describe_histogram!("dauys_turn_lateness_seconds", "How much later a turn was answered than its silence asked for");
    describe_histogram!("dauys_engine_wait_seconds", "Asked of an engine to its first answer, by engine");
    describe_gauge!("dauys_strained", "1 while calls are refused because those in progress are answered late");
    describe_histogram!("dauys_recognition_seconds", "Recognition asked to text received");
    describe_counter!("dauys_turns_total", "Turns committed, by judgement");
    describe_counter!("dauys_barge_ins_total", "Times the caller spoke over the agent, by what the agent did");
    describe_counter!("dauys_ticks_late_total", "Media ticks that ran more than 10 ms late");
    describe_histogram!(
        "dauys_call_mos",
        "Conversational quality of ended calls by the E-model (ITU-T G.107), by band"
    );
    describe_histogram!("dauys_call_loss_ratio", "Share of a call's packets that were not there in time");
    describe_histogram!("dauys_call_jitter_seconds", "Interarrival jitter at a call's end (RFC 3550)");
    describe_counter!("dauys_media_trouble_total", "Times that media was in trouble, by kind");
    describe_counter!("dauys_ticks_total", "Media ticks, by how late they were done");
    describe_counter!("dauys_sip_dropped_total", "SIP messages dropped without an answer, by reason");
    describe_gauge!("dauys_trunk_up", "0 while a trunk's server does not answer");
    describe_gauge!("dauys_registered", "1 while a registration holds");
    describe_counter!("dauys_orders_refused_total", "Orders to call somebody that were refused");
    describe_counter!("dauys_store_unkept_total", "Lines and sound without a consent on the disk, by what");
    describe_counter!("dauys_audit_entries_total", "Entries written to the audit log");
    describe_counter!("dauys_retention_rows_total", "Rows that went because their term was over");
    describe_gauge!("dauys_erasure_alarms", "Erasures that need somebody, by kind");
    describe_counter!("dauys_store_errors_total", "Writes that the store could not make");
    describe_counter!("dauys_transcript_gaps_total", "Transcript lines lost to a full queue");
}

#[cfg(test)]
mod tests {
    use super::Pii;

    #[test]
    fn private_data_prints_its_size_only() {
        assert_eq!(format!("{} {:?}", Pii("+7 701 000"), Pii("Anna")), "<10 bytes> <4 bytes>");
    }
}

//! The web bench's raw figures and its table. It measures nothing.

use serde_json::{Value, json};

use crate::shared;

/// What there is from other runs.
pub fn read() -> Value {
    let text = std::fs::read_to_string(shared::root().join("benches/results/web.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_else(|_| json!({}))
}

pub fn write(raw: &Value) {
    let table = table(raw);
    println!("{table}");
    shared::write("web", raw, &table);
}

fn table(raw: &Value) -> String {
    let mut text =
        "Command: `cargo bench --bench web`. Calls as web pages make them: WHIP, ICE, DTLS-SRTP, Opus, a data \
                    channel, all on loopback; callers and gateway on the same cores, which are shared.\n\n\
                    | what | measured |\n|---|---|\n"
            .to_owned();
    let mut row = |what: &str, value: String| text += &format!("| {what} | {value} |\n");
    let times = |t: &Value| format!("p50 {}, p95 {}, max {} ms", t["p50"], t["p95"], t["max"]);
    let connect = &raw["connect"];
    if connect.is_object() {
        row("**connecting**", machine(connect));
        let what = format!("from the offer to the agent's first speech, {} calls", connect["calls"]);
        row(&what, times(&connect["heard_ms"]));
        row("of that, until the call was reached by ICE", times(&connect["reached_ms"]));
    }
    let summary = &raw["talk"]["summary"];
    if summary.is_object() {
        row("**talking**", machine(&raw["talk"]));
        let speech = &summary["speech_ms"];
        let what = format!("voice to voice, {} turns of {} calls", speech["count"], summary["answered_calls"]);
        row(&what, times(speech));
        row("turns that failed", summary["failed_turns"].to_string());
    }
    let hold = &raw["hold"];
    if hold.is_object() {
        row("**holding**", machine(hold));
        held(hold, &mut row);
    }
    text
}

fn machine(part: &Value) -> String {
    part["machine"].as_str().unwrap_or("an unknown machine").to_owned()
}

fn held(hold: &Value, row: &mut impl FnMut(&str, String)) {
    let what = format!("{} calls held for {} s, media only", hold["calls"], hold["seconds"]);
    row(&what, format!("{} media threads", hold["shards"]));
    let kib = &hold["resident_kib_per_call"];
    row("resident memory per call, at first and at the end", format!("{} KiB, {} KiB", kib["begun"], kib["held"]));
    let late = &hold["lateness_ms"];
    row(
        "packets to pages: came, lost, late",
        format!("{}, {}, {}", hold["packets"], hold["lost"], hold["late_frames"]),
    );
    row("behind their 20 ms grid, p50, p99, p99.9, max", {
        format!("{}, {}, {}, {} ms", late["p50"], late["p99"], late["p99.9"], late["max"])
    });
    row("the pages' own worst", format!("{} ms", hold["generator_behind_ms"]));
    let heard = &hold["heard"];
    let concealed = &heard["frames_concealed"];
    row("packets from pages: came, lost, late; frames concealed", {
        format!("{}, {}, {}; {concealed}", heard["packets"], heard["lost"], heard["late"])
    });
    let gateway = &hold["gateway"];
    row("cores: gateway, pages", format!("{}, {:.3}", gateway["cores"], hold["own_cores"].as_f64().unwrap_or(0.0)));
    let by = |map: &Value| -> String {
        let parts = map.as_object().into_iter().flatten().map(|(name, count)| format!("{name}: {count}"));
        parts.collect::<Vec<_>>().join(", ")
    };
    row("cores by thread", by(&gateway["threads"]));
    row("ticks by how late, ms", by(&gateway["ticks_by_late_ms"]));
    row("data channels open at the end, texts on them", format!("{}, {}", hold["channels_open"], hold["texts"]));
}

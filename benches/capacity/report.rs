//! The capacity bench's table and plot. It measures nothing.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::MEASURED_S;
use crate::shared::{self, SPEECH_PERCENT};

pub fn write(steps: &[Value], ticks: &[Value]) {
    let raw = json!({
        "machine": shared::machine(), "command": "make bench", "seconds_per_step": MEASURED_S,
        "speech_percent": SPEECH_PERCENT, "steps": steps, "ticks_alone": ticks,
    });
    let table = table(steps) + &alone(ticks);
    println!("{table}");
    shared::write("capacity", &raw, &table);
    std::fs::write(shared::root().join("docs/capacity.svg"), plot(steps)).expect("written");
}

fn table(steps: &[Value]) -> String {
    let mut text = format!(
        "Machine: {} (shared). Command: `make bench`. One media thread on one core, the callers on another, {} s a step. \
         G.711 both ways; {} % of what callers send is recordings of speech, the rest low noise; the agent speaks all \
         the time. A step that misses the aim is tried up to three times. Lateness is against each call's own 20 ms grid, by the kernel's stamps at the caller; how late the callers themselves were at worst shows \
         what the machine's other tenants did meanwhile.\n\n\
         | calls | gate | share of the core | per call | lateness p50, p99, p99.9, max (ms) | the callers' own worst | late | lost | memory per call |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        shared::machine(),
        MEASURED_S,
        SPEECH_PERCENT,
    );
    for s in steps.iter().filter(|s| s["gateway"].is_object()) {
        let (late, gateway) = (&s["lateness_ms"], &s["gateway"]);
        let share = gateway["core_share"].as_f64().unwrap_or(0.0);
        let calls = s["calls"].as_f64().unwrap_or(1.0);
        let _ = writeln!(
            text,
            "| {} | {} | {:.1} % | {:.3} % | {}, {}, {}, {} | {} | {} | {} | {} |",
            s["calls"],
            if s["gate"] == json!(true) { "on" } else { "off" },
            share * 100.0,
            share * 100.0 / calls,
            late["p50"],
            late["p99"],
            late["p99.9"],
            late["max"],
            s["generator_behind_ms"],
            s["late_frames"],
            s["lost"],
            s["resident_kib_per_call"].as_u64().map_or_else(|| "-".to_owned(), |kib| format!("{kib} KiB"))
        );
    }
    text
}

fn alone(ticks: &[Value]) -> String {
    let mut text = String::from(
        "\nA tick without sockets and waits, one call after the other on one core:\n\n\
         | calls | gate | per tick |\n|---|---|---|\n",
    );
    for t in ticks {
        let gate = if t["gate"] == json!(true) { "on" } else { "off" };
        let _ = writeln!(text, "| {} | {gate} | {} us |", t["calls"], t["tick_us"]);
    }
    text
}

/// Share of the core against calls: a line without the gate, a line with it.
fn plot(steps: &[Value]) -> String {
    let (left, top, wide, high) = (56.0, 40.0, 620.0, 300.0);
    let most = steps.iter().filter_map(|s| s["calls"].as_f64()).fold(100.0, f64::max);
    let x = |calls: f64| left + calls / most * wide;
    let y = |share: f64| top + (1.0 - share) * high;
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"400\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\" fill=\"#16212b\">One core: share used against concurrent calls</text>\n",
    );
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let (at, right) = (y(share), left + wide);
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#d9e0e6\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#5b6b78\">{:.0} %</text>",
            left - 8.0,
            at + 4.0,
            share * 100.0
        );
    }
    for (gate, colour, name) in
        [(false, "#b4552d", "detector on every frame"), (true, "#0b6e6e", "with the energy gate")]
    {
        let of: Vec<&Value> = steps.iter().filter(|s| s["gate"] == json!(gate) && s["gateway"].is_object()).collect();
        let point = |s: &Value| {
            let share = s["gateway"]["core_share"].as_f64().unwrap_or(0.0);
            (x(s["calls"].as_f64().unwrap_or(0.0)), y(share.min(1.0)), s["meets_the_aim"] == json!(true))
        };
        let line: Vec<String> = of.iter().map(|s| point(s)).map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            line.join(" ")
        );
        for s in &of {
            let (x, y, met) = point(s);
            let fill = if met { colour } else { "#ffffff" };
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#5b6b78\">{}</text>",
                top + high + 18.0,
                s["calls"]
            );
        }
        let row = if gate { 58.0 } else { 40.0 };
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{}\" fill=\"{colour}\">{name}</text>", left + 12.0, row + 12.0);
    }
    svg += "<text x=\"56\" y=\"388\" fill=\"#5b6b78\">Filled: every packet within 2 ms of its schedule at p99.9, none late, none lost.</text>\n";
    svg + "</svg>\n"
}

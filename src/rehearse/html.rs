//! The report: one page that needs nothing from elsewhere, for light and dark. It shows what `result` found and
//! computes nothing.

use std::fmt::Write as _;

use crate::rehearse::measure::{Outcome, Sort, Turn};
use crate::rehearse::plots::{breakdown, distribution, outcome_word, timeline};
use crate::rehearse::result::{Call, Quantiles, RunResult, Share};

/// Calls whose timeline is drawn though nothing was wrong in them, and with those that failed.
const GOOD_CALLS: usize = 3;
const CALLS_MAX: usize = 40;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #16212b; --soft: #5b6b78; --line: #d9e0e6; --paper: #f6f8fa; --card: #fff;
  --accent: #0b6e6e; --other: #c26a1b; --good: #1d7a46; --bad: #b3261e;
  --p0: #9aa8b4; --p1: #7fc4c0; --p2: #0b6e6e; --p3: #e0a458; --p4: #8a5a9e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eef2; --soft: #9db0bd; --line: #2c3a45; --paper: #10171d;
  --card: #18222a; --accent: #5ec4c0; --other: #e9a25f; --good: #6fce96; --bad: #ff8a80;
  --p0: #62727f; --p1: #a5dbd8; --p2: #3fa9a5; --p3: #e0a458; --p4: #b890cc; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { margin: 0; font-size: 1.7rem; } h2 { font-size: 1.1rem; margin: 0 0 .6rem; } h3 { font-size: .95rem; margin: 1.1rem 0 .3rem; }
.soft { color: var(--soft); } p { margin: .3rem 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem 1.2rem; margin-top: 1rem; overflow-x: auto; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: .8rem; margin-top: 1rem; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .7rem .9rem; }
.tile b { display: block; font-size: 1.6rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tile.good { border-left: .3rem solid var(--good); } .tile.bad { border-left: .3rem solid var(--bad); }
.good b, td.good { color: var(--good); } .bad b, td.bad, .bad-text { color: var(--bad); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { text-align: left; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; color: var(--soft); } td.n, th.n { text-align: right; }
svg { width: 100%; min-width: 40rem; height: auto; display: block; font: 12px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg .soft { fill: var(--soft); } .mid { text-anchor: middle; } .end { text-anchor: end; } .strong { font-weight: 600; }
.grid { stroke: var(--line); } .bar { fill: var(--accent); opacity: .75; } .curve { fill: none; stroke: var(--other); stroke-width: 2; }
.mark { stroke: var(--ink); stroke-dasharray: 3 3; } .wrong { stroke: var(--bad); stroke-width: 2.5; }
rect.caller { fill: var(--other); } rect.agent { fill: var(--accent); }
.part0 { fill: var(--p0); background: var(--p0); } .part1 { fill: var(--p1); background: var(--p1); }
.part2 { fill: var(--p2); background: var(--p2); } .part3 { fill: var(--p3); background: var(--p3); }
.part4 { fill: var(--p4); background: var(--p4); }
.legend span { margin-right: 1.2rem; white-space: nowrap; } .legend i { display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem; margin-right: .4rem; }
.legend .caller { background: var(--other); } .legend .agent { background: var(--accent); } .legend .bad { background: var(--bad); }
summary { cursor: pointer; color: var(--accent); }
";

/// For text and attribute values.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

pub fn page(result: &RunResult) -> String {
    let title = escape(&result.scenario);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title} – Dauys</title>\n\
         <style>{STYLE}</style>\n<main>\n<h1>{title}</h1>\n"
    );
    page += &head(result);
    page += &tiles(result);
    page += &latency(result);
    page += &over(result);
    page += &pauses(result);
    page += &timelines(result);
    page += &all_turns(result);
    page + "</main>\n</html>\n"
}

fn head(r: &RunResult) -> String {
    let load = &r.load;
    let mut line = vec![format!("{} at once", load.at_once)];
    line.extend(load.codec.map(|c| format!("{c:?}").to_uppercase()));
    line.extend(load.srtp.then(|| "SRTP".into()));
    line.extend((r.line.loss_percent > 0.0).then(|| format!("{} % loss", r.line.loss_percent)));
    line.extend((r.line.jitter_ms > 0).then(|| format!("{} ms jitter", r.line.jitter_ms)));
    line.extend(r.line.noise_dbfs.map(|n| format!("room noise at {n} dBFS")));
    line.extend(r.line.echo_db.map(|e| format!("echo {e} dB down after {} ms", r.line.echo_delay_ms)));
    let mut text = format!(
        "<p class=\"soft\">{} calls, {} turns, {}. {} s from {} on {}; Dauys {}.</p>\n",
        r.summary.calls,
        r.summary.turns,
        escape(&line.join(", ")),
        r.took_s,
        escape(r.started.split('.').next().unwrap_or_default()),
        escape(&r.machine),
        r.dauys
    );
    let g = &r.generator;
    let late =
        format!("its 20 ms ticks were up to {:.0} ms late, 99 % of them less than {} ms", g.late_max_ms, g.late_p99_ms);
    text += &if g.on_time {
        format!("<p class=\"soft\">The simulated callers kept their time: {late}.</p>\n")
    } else {
        format!(
            "<p class=\"bad-text\"><strong>The simulated callers were late: {late}.</strong> These numbers are their fault \
             as much as the agent's; use fewer callers, or another machine for them.</p>\n"
        )
    };
    text
}

fn tiles(r: &RunResult) -> String {
    let s = &r.summary;
    let ms = |v: Option<u32>| v.map(|v| format!("{v} ms"));
    let share = |v: Share| v.percent().map(|p| format!("{p:.1} %"));
    let tile = |name: &str, value: Option<String>, aim: &str| {
        let Some(value) = value else { return String::new() };
        let met = r.aims.iter().find(|a| a.name == aim);
        let class = met.map_or("", |a| if a.met { " good" } else { " bad" });
        let wanted = met.map_or(String::new(), |a| format!("{}: {}", if a.met { "met" } else { "missed" }, a.wanted));
        format!("<div class=\"tile{class}\">{name}<b>{value}</b><span class=\"soft\">{wanted}</span></div>\n")
    };
    let failed = Some(format!("{}", s.failed()));
    [
        tile("voice to voice, p50", ms(s.speech_ms.p50), "p50_ms"),
        tile("voice to voice, p95", ms(s.speech_ms.p95), "p95_ms"),
        tile("failed turns and calls", failed, "failed_max"),
        tile("cut off in pauses", share(s.cut_offs), "cut_offs_percent_max"),
        tile("interruptions yielded to", share(s.yielded), "yield_percent_min"),
        tile("silent after, p50", ms(s.silence_ms.p50), "silence_p50_ms"),
        tile("silent after, p95", ms(s.silence_ms.p95), "silence_p95_ms"),
        tile("sounds spoken on through", share(s.went_on), "go_on_percent_min"),
    ]
    .into_iter()
    .fold("<div class=\"tiles\">\n".to_owned(), |all, one| all + &one)
        + "</div>\n"
}

fn latency(r: &RunResult) -> String {
    let turns: Vec<&Turn> = r.calls.iter().flat_map(|c| &c.turns).collect();
    let answered = turns.iter().filter(|t| t.sort == Sort::Speech && t.outcome == Outcome::Answered);
    let Some(plot) = distribution(answered.filter_map(|t| t.voice_to_voice_ms).collect()) else { return String::new() };
    let mut text = format!(
        "<section class=\"card\">\n<h2>From the caller's last speech to the agent's first</h2>\n\
         <p class=\"soft\">Milliseconds on the wire. Bars: how many answers. Line: the share that took no longer.</p>\n{plot}"
    );
    text += &quantile_table(&[
        ("answers to speech", r.summary.speech_ms),
        ("to the answer itself, behind a filler or not", r.summary.content_ms),
        ("after a key", r.summary.key_ms),
        ("after an interruption", r.summary.interruption_ms),
        ("prompts", r.summary.prompt_ms),
    ]);
    text += "</section>\n";
    if let Some(plot) = breakdown(&turns) {
        let _ = write!(
            text,
            "<section class=\"card\">\n<h2>What the time was spent on</h2>\n\
             <p class=\"soft\">Means by utterance, slowest first. The gateway's own stages, and what is left of the time on the \
             wire, add up to the whole.</p>\n{plot}</section>\n"
        );
    }
    text
}

fn quantile_table(rows: &[(&str, Quantiles)]) -> String {
    let mut text =
        "<table><tr><th>milliseconds</th><th class=\"n\">count</th><th class=\"n\">p50</th><th class=\"n\">p95</th>\
                    <th class=\"n\">p99</th><th class=\"n\">longest</th></tr>\n"
            .to_owned();
    for (name, q) in rows.iter().filter(|(_, q)| q.count > 0) {
        let _ = write!(text, "<tr><td>{name}</td><td class=\"n\">{}</td>", q.count);
        for value in [q.p50, q.p95, q.p99, q.max] {
            let _ = write!(text, "<td class=\"n\">{}</td>", value.map_or("–".into(), |v| v.to_string()));
        }
        text += "</tr>\n";
    }
    text + "</table>\n"
}

fn share_table(rows: &[(&str, Share)]) -> String {
    let mut text =
        "<table><tr><th></th><th class=\"n\">count</th><th class=\"n\">of</th><th class=\"n\">%</th></tr>\n".to_owned();
    for (name, share) in rows {
        if let Some(percent) = share.percent() {
            let _ = writeln!(
                text,
                "<tr><td>{name}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{percent:.1}</td></tr>",
                share.count, share.of
            );
        }
    }
    text + "</table>\n"
}

fn over(r: &RunResult) -> String {
    let s = &r.summary;
    if s.yielded.of + s.went_on.of == 0 {
        return String::new();
    }
    let compared = r.calls.iter().flat_map(|c| &c.turns).filter_map(|t| t.over.as_ref());
    let (all, with) = compared.fold((0, 0), |(a, w), o| (a + 1, w + usize::from(o.compared)));
    format!(
        "<section class=\"card\">\n<h2>Speaking over the agent</h2>\n<p class=\"soft\">From the packet with the caller's first \
         sound. {with} of {all} are compared with the same reply heard whole; the others go by level alone.</p>\n{}{}</section>\n",
        share_table(&[("interruptions yielded to", s.yielded), ("sounds that it spoke on through", s.went_on)]),
        quantile_table(&[
            ("12 dB quieter after", s.duck_ms),
            ("silent after", s.silence_ms),
            ("silence in a speech that went on", s.gap_ms),
            ("said twice where it resumed", s.twice_ms),
            ("left out where it resumed", s.left_out_ms),
        ])
    )
}

fn pauses(r: &RunResult) -> String {
    let all: Vec<_> = r.calls.iter().flat_map(|c| &c.turns).flat_map(|t| &t.pauses).collect();
    if all.is_empty() {
        return String::new();
    }
    let between = |name, from: u32, to: u32| {
        let inside = || all.iter().filter(|p| (from..to).contains(&p.ms));
        (name, Share { of: inside().count(), count: inside().filter(|p| p.cut_off).count() })
    };
    let rows = [
        between("300 to 449 ms", 300, 450),
        between("450 to 649 ms", 450, 650),
        between("650 to 849 ms", 650, 850),
        between("850 to 1099 ms", 850, 1_100),
        between("longer", 1_100, u32::MAX),
    ];
    format!(
        "<section class=\"card\">\n<h2>Pauses inside what was said</h2>\n<p class=\"soft\">After how many of them the agent \
         began before the caller had finished.</p>\n{}</section>\n",
        share_table(&rows)
    )
}

fn timelines(r: &RunResult) -> String {
    let wrong = |c: &&Call| c.failed() || c.turns.iter().any(|t| t.outcome == Outcome::CutOff);
    let first = r.calls.iter().take(GOOD_CALLS);
    let more: Vec<&Call> = first.chain(r.calls.iter().skip(GOOD_CALLS).filter(wrong)).collect();
    let mut text = "<section class=\"card\">\n<h2>Who spoke when</h2>\n<p class=\"legend\"><span><i class=\"caller\"></i>caller</span>\
                    <span><i class=\"agent\"></i>agent</span><span><i class=\"bad\"></i>something went wrong here</span></p>\n"
        .to_owned();
    for call in more.iter().take(CALLS_MAX) {
        let status = call.line.refused.map_or(String::new(), |s| format!(" with status {s}"));
        let _ = writeln!(
            text,
            "<h3>Call {}, {} <span class=\"soft\">– ended by: {}{status}</span></h3>",
            call.n + 1,
            escape(&call.caller),
            escape(&call.line.ended_by)
        );
        if call.line.answered_ms.is_some() {
            text += &timeline(call);
        }
    }
    if more.len() > CALLS_MAX {
        let _ = writeln!(text, "<p class=\"soft\">And {} more in result.json.</p>", more.len() - CALLS_MAX);
    }
    text + "</section>\n"
}

fn all_turns(r: &RunResult) -> String {
    let mut text = "<section class=\"card\">\n<details><summary>Every turn</summary>\n<table><tr><th class=\"n\">call</th><th>caller</th>\
                    <th>said</th><th>outcome</th><th class=\"n\">ms</th><th>judged</th><th class=\"n\">committed</th></tr>\n"
        .to_owned();
    for call in &r.calls {
        for turn in &call.turns {
            let class = if turn.outcome.failed() || turn.outcome == Outcome::CutOff { " class=\"bad\"" } else { "" };
            let stages = turn.stages.as_ref();
            let _ = writeln!(
                text,
                "<tr><td class=\"n\">{}</td><td>{}</td><td>{}</td><td{class}>{}</td><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{}</td></tr>",
                call.n + 1,
                escape(&call.caller),
                escape(&turn.said),
                outcome_word(turn),
                turn.voice_to_voice_ms.map_or("–".into(), |v| v.to_string()),
                stages.map_or("", |s| &s.judgement),
                stages.and_then(|s| s.committed_ms).map_or(String::new(), |v| v.to_string())
            );
        }
    }
    text + "</table></details>\n</section>\n"
}

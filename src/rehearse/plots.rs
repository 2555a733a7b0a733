//! The report's plots as inline SVG, in the page's own colours. It computes no figure but what a plot needs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::rehearse::html::escape;
use crate::rehearse::measure::{Outcome, Sort, Spans, Turn};
use crate::rehearse::result::{Call, quantile};
use crate::rehearse::stages::PARTS;

const WIDE: f32 = 920.0;
/// Widths of a bin of the histogram; the narrowest with which all values fit is taken.
const BINS_MS: [u32; 7] = [25, 50, 100, 200, 500, 1_000, 2_000];
const BINS_MAX: usize = 48;
/// Utterances in the breakdown at most.
const ROWS_MAX: usize = 30;
/// A call's timeline is broken into rows of so long.
const ROW_MS: u32 = 30_000;

fn svg(height: f32, title: &str, body: &str) -> String {
    format!("<svg viewBox=\"0 0 {WIDE} {height}\" role=\"img\" aria-label=\"{title}\">{body}</svg>\n")
}

/// How many answers took how long, and which share took no longer.
pub fn distribution(mut values: Vec<u32>) -> Option<String> {
    values.sort_unstable();
    let most = *values.last()?;
    let fits = |bin: &u32| (most / bin) < BINS_MAX as u32;
    let bin_ms = BINS_MS.into_iter().find(fits).unwrap_or(BINS_MS[BINS_MS.len() - 1]);
    let bins = ((most / bin_ms) as usize + 1).clamp(12, BINS_MAX);
    let mut counts = vec![0usize; bins];
    values.iter().for_each(|v| counts[((v / bin_ms) as usize).min(bins - 1)] += 1);
    let (left, right, top, bottom) = (44.0, WIDE - 44.0, 26.0, 230.0);
    let step = (right - left) / bins as f32;
    let x = |ms: f32| left + (ms / bin_ms as f32).min(bins as f32) * step;
    let highest = counts.iter().max().copied().unwrap_or(1).max(1) as f32;
    let mut body = String::new();
    for (share, name) in [(0.0, "0"), (0.25, "25 %"), (0.5, "50 %"), (0.75, "75 %"), (1.0, "100 %")] {
        let y = bottom - share * (bottom - top);
        let _ = write!(
            body,
            "<line class=\"grid\" x1=\"{left}\" x2=\"{right}\" y1=\"{y}\" y2=\"{y}\"/><text class=\"soft\" x=\"{}\" y=\"{}\">{name}</text>",
            right + 6.0,
            y + 4.0
        );
    }
    for (n, count) in counts.iter().enumerate().filter(|(_, c)| **c > 0) {
        let height = *count as f32 / highest * (bottom - top);
        let from = n as u32 * bin_ms;
        let more = if n + 1 == bins && most >= bins as u32 * bin_ms { " and more" } else { "" };
        let _ = write!(
            body,
            "<rect class=\"bar\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\" rx=\"2\"><title>{from} to {} ms{more}: {count}</title></rect>",
            left + n as f32 * step + 1.0,
            bottom - height,
            step - 2.0,
            from + bin_ms
        );
    }
    let mut line = format!("M{left} {bottom}");
    for (n, value) in values.iter().enumerate() {
        let y = bottom - (n + 1) as f32 / values.len() as f32 * (bottom - top);
        let _ = write!(line, "H{:.1}V{y:.1}", x(*value as f32));
    }
    let _ = write!(body, "<path class=\"curve\" d=\"{line}\"/>");
    let every = if bins > 24 { 8 } else { 4 };
    for n in (0..=bins).step_by(every) {
        let ms = n as u32 * bin_ms;
        let _ = write!(body, "<text class=\"soft mid\" x=\"{:.1}\" y=\"{}\">{ms}</text>", x(ms as f32), bottom + 18.0);
    }
    for (q, name, anchor) in [(0.5, "p50", "end"), (0.95, "p95", "start")] {
        let Some(value) = quantile(&values, q) else { continue };
        let at = x(value as f32);
        let _ = write!(
            body,
            "<line class=\"mark\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{}\" y2=\"{bottom}\"/><text class=\"{anchor} strong\" x=\"{at:.1}\" y=\"{}\">{name} {value}</text>",
            top - 8.0,
            top - 12.0
        );
    }
    Some(svg(bottom + 30.0, "distribution of voice to voice, milliseconds", &body))
}

/// What the time was spent on, by utterance: the mean of each part. Parts below zero are left out of the picture.
pub fn breakdown(turns: &[&Turn]) -> Option<String> {
    let mut groups: BTreeMap<&str, Vec<[i32; 5]>> = BTreeMap::new();
    for turn in turns.iter().filter(|t| t.sort == Sort::Speech && t.outcome == Outcome::Answered) {
        if let Some(parts) = turn.stages.as_ref().and_then(|s| s.parts()) {
            groups.entry(&turn.said).or_default().push(parts);
        }
    }
    let mean = |all: &[[i32; 5]]| -> [f32; 5] {
        std::array::from_fn(|n| all.iter().map(|p| p[n] as f32).sum::<f32>() / all.len().max(1) as f32)
    };
    let all: Vec<[i32; 5]> = groups.values().flatten().copied().collect();
    if all.is_empty() {
        return None;
    }
    let mut rows: Vec<(String, [f32; 5], usize)> =
        groups.iter().map(|(name, parts)| ((*name).to_owned(), mean(parts), parts.len())).collect();
    let total = |parts: &[f32; 5]| parts.iter().sum::<f32>();
    rows.sort_by(|a, b| total(&b.1).total_cmp(&total(&a.1)));
    rows.truncate(ROWS_MAX);
    rows.insert(0, ("all".into(), mean(&all), all.len()));
    let longest = rows.iter().map(|r| total(&r.1)).fold(1.0, f32::max);
    let (left, right, row) = (250.0, WIDE - 60.0, 22.0);
    let scale = (right - left) / longest;
    let mut body = String::new();
    for (n, (name, parts, count)) in rows.iter().enumerate() {
        let y = n as f32 * row + 4.0;
        let class = if n == 0 { "end strong" } else { "end" };
        let short: String = name.chars().take(36).collect();
        let _ =
            write!(body, "<text class=\"{class}\" x=\"{}\" y=\"{}\">{}</text>", left - 8.0, y + 13.0, escape(&short));
        let mut x = left;
        for (part, ms) in parts.iter().enumerate() {
            let width = ms.max(0.0) * scale;
            let _ = write!(
                body,
                "<rect class=\"part{part}\" x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\"><title>{}: {ms:.0} ms ({count} turns)</title></rect>",
                row - 6.0,
                PARTS[part]
            );
            x += width;
        }
        let _ = write!(body, "<text x=\"{:.1}\" y=\"{}\">{:.0}</text>", x + 6.0, y + 13.0, total(parts));
    }
    let legend: String =
        PARTS.iter().enumerate().map(|(n, name)| format!("<span><i class=\"part{n}\"></i>{name}</span>")).collect();
    let plot = svg(rows.len() as f32 * row + 8.0, "what the time was spent on, milliseconds", &body);
    Some(format!("<p class=\"legend\">{legend}</p>\n{plot}"))
}

/// Who spoke when: the caller above, the agent below, turns that failed in red.
pub fn timeline(call: &Call) -> String {
    let end = [&call.caller_speech, &call.agent_speech].iter().filter_map(|s| s.last()).map(|s| s[1]).max();
    let rows = end.unwrap_or(0) / ROW_MS + 1;
    let (left, right, row) = (64.0, WIDE - 10.0, 66.0);
    let scale = (right - left) / ROW_MS as f32;
    let mut body = String::new();
    for n in 0..rows {
        let (from, top) = (n * ROW_MS, n as f32 * row + 4.0);
        let _ = write!(
            body,
            "<text class=\"end soft\" x=\"{0}\" y=\"{1}\">caller</text><text class=\"end soft\" x=\"{0}\" y=\"{2}\">agent</text>",
            left - 8.0,
            top + 14.0,
            top + 34.0
        );
        for second in 0..=ROW_MS / 5_000 {
            let x = left + (second * 5_000) as f32 * scale;
            let _ = write!(
                body,
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{}\"/><text class=\"soft mid\" x=\"{x:.1}\" y=\"{}\">{}</text>",
                top + 40.0,
                top + 53.0,
                from / 1000 + second * 5
            );
        }
        spans(&mut body, &call.caller_speech, "caller", from, left, top + 2.0, scale);
        spans(&mut body, &call.agent_speech, "agent", from, left, top + 22.0, scale);
        for turn in &call.turns {
            mark(&mut body, turn, from, left, top, scale);
        }
    }
    svg(rows as f32 * row + 2.0, "who spoke when, seconds", &body)
}

fn spans(body: &mut String, spans: &Spans, class: &str, from: u32, left: f32, y: f32, scale: f32) {
    let to = from + ROW_MS;
    for [start, end] in spans.iter().filter(|s| s[1] >= from && s[0] < to) {
        let (a, b) = ((*start).max(from) - from, (*end).min(to) - from);
        let _ = write!(
            body,
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{y}\" width=\"{:.1}\" height=\"15\" rx=\"2\"><title>{:.2} to {:.2} s</title></rect>",
            left + a as f32 * scale,
            ((b - a) as f32 * scale).max(1.5),
            *start as f32 / 1000.0,
            *end as f32 / 1000.0
        );
    }
}

/// The time from last speech to first speech, or where something went wrong.
fn mark(body: &mut String, turn: &Turn, from: u32, left: f32, top: f32, scale: f32) {
    let Some(at) = turn.last_ms.filter(|at| (from..from + ROW_MS).contains(at)) else { return };
    let x = left + (at - from) as f32 * scale;
    let wrong = turn.outcome.failed()
        || matches!(turn.outcome, Outcome::CutOff | Outcome::Stopped | Outcome::TookAsTurn)
        || turn.over.as_ref().is_some_and(|o| turn.sort == Sort::Interruption && !o.yielded);
    if wrong {
        let word = outcome_word(turn);
        let _ = write!(
            body,
            "<line class=\"wrong\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{}\"><title>{}: {word}</title></line>",
            top + 40.0,
            escape(&turn.said)
        );
    }
}

pub fn outcome_word(turn: &Turn) -> &'static str {
    match turn.outcome {
        Outcome::Answered if turn.over.as_ref().is_some_and(|o| !o.yielded) => "answered, did not yield",
        Outcome::Answered => "answered",
        Outcome::CutOff => "cut off",
        Outcome::Unanswered => "no answer",
        Outcome::WentOn => "went on",
        Outcome::Stopped => "stopped",
        Outcome::TookAsTurn => "taken for a turn",
        Outcome::Quiet => "silent, as it should be",
        Outcome::Spoke => "spoke",
        Outcome::Ended => "ended the call",
        Outcome::NotEnded => "did not end the call",
        Outcome::Missed => "not played",
        Outcome::Unknown => "call over before",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_place_however_slow() {
        for most in [90, 700, 1_300, 8_000, 60_000] {
            let plot = distribution(vec![most / 4, most / 2, most]).unwrap();
            assert_eq!(plot.matches("class=\"bar\"").count(), 3, "{most}");
            assert!(plot.contains(&format!("p95 {most}")) && !plot.contains("and more"), "{most}");
        }
        assert!(distribution(vec![200_000]).unwrap().contains("and more"));
        assert!(distribution(vec![]).is_none());
    }
}

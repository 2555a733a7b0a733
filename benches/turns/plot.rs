//! Cut-offs against time, one line a way, as SVG. It measures nothing.

use std::fmt::Write as _;

use crate::ways::{Cost, DEFAULT, Way};

/// What of a way is drawn.
type Figure = fn(&Cost) -> i32;

const WIDE: f64 = 340.0;
const HIGH: f64 = 300.0;
const TOP: f64 = 70.0;
const MS_MAX: f64 = 1600.0;
const LEFTS: [f64; 2] = [70.0, 490.0];
const INK: &str = "#16212b";
const GREY: &str = "#5b6b78";

/// Left the median of the silence before an answer, right the 95th percentile.
pub fn plot(lines: &[Vec<Cost>]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"860\" height=\"430\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\" fill=\"{INK}\">When has a caller finished? Pauses answered into, against the wait for an answer</text>\n\
         <text x=\"12\" y=\"40\" fill=\"{GREY}\">Pauses of 500, 700 and 1000 ms inside a sentence; the wait is silence after whole utterances. Lower left is better. Large dot: the default.</text>\n"
    );
    let panels: [(&str, Figure); 2] =
        [("half of the answers within (p50)", |c| c.p50_ms), ("95 % of the answers within (p95)", |c| c.p95_ms)];
    for (left, (title, ms)) in LEFTS.into_iter().zip(panels) {
        svg += &axes(left, title);
        for line in lines {
            svg += &curve(left, line, ms);
        }
        svg += &labels(left, lines, ms);
    }
    svg + "</svg>\n"
}

fn x(left: f64, ms: i32) -> f64 {
    left + f64::from(ms) / MS_MAX * WIDE
}

fn y(share: f64) -> f64 {
    TOP + (1.0 - share) * HIGH
}

fn axes(left: f64, title: &str) -> String {
    let mut svg = String::new();
    for ms in (0..=1600).step_by(200) {
        let x = x(left, ms);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{}\" stroke=\"#e6ebef\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"{GREY}\">{ms}</text>",
            y(0.0),
            y(0.0) + 16.0
        );
    }
    for percent in (0..=100).step_by(20) {
        let y = y(f64::from(percent) / 100.0);
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" y1=\"{y:.1}\" x2=\"{}\" y2=\"{y:.1}\" stroke=\"#e6ebef\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"{GREY}\">{percent} %</text>",
            left + WIDE,
            left - 6.0,
            y + 4.0
        );
    }
    let (middle, bottom) = (left + WIDE / 2.0, y(0.0) + 38.0);
    let _ = writeln!(
        svg,
        "<text x=\"{middle}\" y=\"{bottom}\" text-anchor=\"middle\" fill=\"{INK}\">{title}, milliseconds</text>"
    );
    let (x, y) = (left - 48.0, TOP + HIGH / 2.0);
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{y}\" transform=\"rotate(-90 {x} {y})\" text-anchor=\"middle\" fill=\"{INK}\">pauses answered into</text>"
    );
    svg
}

fn colour(way: Way) -> &'static str {
    match way {
        Way::Silence { .. } => "#5b6b78",
        Way::Score { .. } => "#b85c00",
        Way::Words { .. } => "#6b4fa0",
        Way::Fusion { .. } => "#0b6e6e",
        Way::Moved { .. } => "#2f8f8f",
    }
}

fn curve(left: f64, line: &[Cost], ms: fn(&Cost) -> i32) -> String {
    let Some(first) = line.first() else { return String::new() };
    let colour = colour(first.way);
    let points: Vec<(f64, f64)> = line.iter().map(|c| (x(left, ms(c)), y(c.cut_off_all))).collect();
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let dash = if matches!(first.way, Way::Moved { .. }) { " stroke-dasharray=\"4 3\"" } else { "" };
    let mut svg = format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>\n",
        path.join(" ")
    );
    for ((x, y), cost) in points.iter().zip(line) {
        let r = if cost.way == DEFAULT { 6.0 } else { 2.5 };
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r}\" fill=\"{colour}\"/>");
    }
    svg
}

/// Each beside a point of its line where there is room.
fn labels(left: f64, lines: &[Vec<Cost>], ms: fn(&Cost) -> i32) -> String {
    let mut svg = String::new();
    for line in lines {
        let Some((first, last)) = line.first().zip(line.last()) else { continue };
        let (at, down) = match first.way {
            Way::Silence { .. } => (line.iter().rfind(|c| c.cut_off_all > 0.9).unwrap_or(first), 4.0),
            Way::Score { .. } => (line.get(line.len() / 2).unwrap_or(first), -6.0),
            Way::Words { .. } => (last, -9.0),
            Way::Fusion { .. } => (last, -3.0),
            Way::Moved { .. } => (first, 4.0),
        };
        let (x, y) = (x(left, ms(at)) + 8.0, y(at.cut_off_all) + down);
        let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{}\">{}</text>", colour(at.way), at.way.name());
    }
    svg
}

//! The figures as a page of tables and as JSON. It measures nothing.

use std::fmt::Write as _;

use dauys::call::Judgement;
use dauys::call::endpointing::probability;
use serde_json::{Value, json};

use crate::hearing::Look;
use crate::material::{Kind, Sample};
use crate::shared::{machine, quantile};
use crate::signs;
use crate::ways::{Cost, DEFAULT, PAUSES_MS, judged};

const JUDGEMENTS: [Judgement; 3] = [Judgement::Finished, Judgement::Unsure, Judgement::Unfinished];
/// Whole utterances that wait for longer are listed.
const SLOW_MS: i32 = 300;

pub fn page(samples: &[Sample], lines: &[Vec<Cost>]) -> String {
    let wholes = samples.iter().filter(|s| s.is_whole()).count();
    let mut text = format!(
        "Machine: {}. Command: `cargo bench --bench turns`. Time here is that of the sound: the engines' own is not in it.\n\n\
         {wholes} whole utterances and {} places inside them where a caller may pause, over a telephone line (µ-law), to the \
         detector, Moonshine, smart-turn and the dialogue, which is brought to where each belongs. \"Uh huh\" and \"okay\" \
         get no answer and are left out. All are Kokoro's voices, in English. The cuts come from the same recordings as the whole \
         utterances, and the weights were set by hand near a logistic fit to these: other voices and words will do worse.\n\n",
        machine(),
        samples.len() - wholes
    );
    for part in [sign_table(samples), score_table(samples), judgement_table(samples), cost_table(lines), wrong(samples)]
    {
        text += &part;
    }
    text
}

fn sign_table(samples: &[Sample]) -> String {
    let known = |whole| samples.iter().filter(|s| s.is_whole() == whole && !s.heard.looks.is_empty()).count();
    let (wholes, cuts) = (known(true), known(false));
    let mut text = format!(
        "## Signs at the first look\nThe last column is the log of how much oftener a sign is seen in wholes than in cuts: \
         what it would weigh if there were no other.\n\n\
         | sign | weight | of {wholes} wholes | of {cuts} cuts | alone |\n|---|---|---|---|---|\n"
    );
    for sign in signs::seen(samples) {
        let (in_wholes, in_cuts, alone) = match sign.counts {
            Some((in_wholes, in_cuts)) => {
                let rate = |seen: usize, of: usize| (seen as f64 + 0.5) / (of as f64 + 1.0);
                let alone = (rate(in_wholes, wholes) / rate(in_cuts, cuts)).ln();
                (in_wholes.to_string(), in_cuts.to_string(), format!("{alone:+.1}"))
            }
            None => ("all".into(), "all".into(), "see below".into()),
        };
        let _ = writeln!(text, "| {} | {:+.2} | {in_wholes} | {in_cuts} | {alone} |", sign.name, sign.weight);
    }
    text + "\n"
}

fn score_table(samples: &[Sample]) -> String {
    let mut text = String::from(
        "## The turn detector's score at the first look\n| | p10 | p25 | p50 | p75 | p90 | 0.5 and up |\n|---|---|---|---|---|---|---|\n",
    );
    for kind in Kind::ALL {
        let mut scores: Vec<f32> =
            of_kind(samples, kind).filter_map(|s| s.heard.looks.first()).map(|l| l.score).collect();
        scores.sort_unstable_by(f32::total_cmp);
        let at = |q| quantile(&scores, q).map_or("–".into(), |s| format!("{s:.2}"));
        let high = scores.iter().filter(|s| **s >= 0.5).count();
        let quantiles = [0.1, 0.25, 0.5, 0.75, 0.9].map(at).join(" | ");
        let _ = writeln!(text, "| {} | {quantiles} | {high} of {} |", kind.word(), scores.len());
    }
    text + "\n"
}

fn judgement_table(samples: &[Sample]) -> String {
    let mut text = String::from(
        "## Judgements\nAt the first look, and by all looks when the turn is over.\n\n\
         | | finished | unsure | unfinished | at last: finished | unsure | unfinished | no word, or taken for a cough |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for kind in Kind::ALL {
        let heeded = || of_kind(samples, kind).filter(|s| s.heard.looks.first().is_some_and(|l| !l.dismissed));
        let first = count(heeded().filter_map(|s| s.heard.looks.first()));
        let last = count(heeded().filter_map(|s| DEFAULT.commit(s)).map(|c| c.look));
        let rest = of_kind(samples, kind).count() - heeded().count();
        let _ = writeln!(text, "| {} | {first} | {last} | {rest} |", kind.word());
    }
    text + "\n"
}

fn of_kind(samples: &[Sample], kind: Kind) -> impl Iterator<Item = &Sample> {
    samples.iter().filter(move |s| s.kind == kind)
}

fn count<'a>(looks: impl Iterator<Item = &'a Look>) -> String {
    let all: Vec<Judgement> = looks.map(judged).collect();
    JUDGEMENTS.map(|j| all.iter().filter(|seen| **seen == j).count().to_string()).join(" | ")
}

fn cost_table(lines: &[Vec<Cost>]) -> String {
    let mut text = String::from(
        "## Cut-offs against time\nEach cut with a pause of each length: the share that would be answered into. Beside it the silence \
         after whole utterances until the answer. See [docs/turns.svg](../../docs/turns.svg).\n\n\
         | way | setting | 500 ms | 700 ms | 1000 ms | all | p50 ms | p95 ms |\n|---|---|---|---|---|---|---|---|\n",
    );
    let percent = |share: &f64| format!("{:.1} %", share * 100.0);
    for cost in lines.iter().flatten() {
        let mark = if cost.way == DEFAULT { "**" } else { "" };
        let each = cost.cut_off.iter().map(percent).collect::<Vec<_>>().join(" | ");
        let _ = writeln!(
            text,
            "| {mark}{}{mark} | {} | {each} | {mark}{}{mark} | {} | {} |",
            cost.way.name(),
            cost.way.setting(),
            percent(&cost.cut_off_all),
            cost.p50_ms,
            cost.p95_ms
        );
    }
    text + "\n"
}

/// What the default gets wrong, with words: these are the project's own recordings.
fn wrong(samples: &[Sample]) -> String {
    let mut text = String::from(
        "## What goes wrong\nPauses that are answered into; p is the probability that the caller has finished.\n\n\
         | recording | at ms | said by then | heard | p | answered after ms | signs |\n|---|---|---|---|---|---|---|\n",
    );
    let longest = PAUSES_MS.iter().max().copied().unwrap_or_default();
    for (sample, commit) in answers(samples, false).filter(|(_, c)| c.silence_ms < longest) {
        text += &row(sample, commit.look, commit.silence_ms);
    }
    let _ = writeln!(
        text,
        "\nWhole utterances that are answered after more than {SLOW_MS} ms.\n\n\
         | recording | at ms | said by then | heard | p | answered after ms | signs |\n|---|---|---|---|---|---|---|"
    );
    for (sample, commit) in answers(samples, true).filter(|(_, c)| c.silence_ms > SLOW_MS) {
        text += &row(sample, commit.look, commit.silence_ms);
    }
    let place = |s: &Sample| format!("{} at {} ms", s.file, s.cut_ms);
    let coughs = samples.iter().filter(|s| s.heard.looks.first().is_some_and(|look| look.dismissed)).map(place);
    let deaf = samples.iter().filter(|s| s.heard.looks.is_empty()).map(place);
    let _ = writeln!(text, "\nTaken for a cough: {}. No word recognised: {}.", list(coughs), list(deaf));
    text
}

fn list(places: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = places.collect();
    if all.is_empty() { "none".into() } else { all.join(", ") }
}

fn answers(samples: &[Sample], whole: bool) -> impl Iterator<Item = (&Sample, crate::ways::Commit<'_>)> {
    samples.iter().filter(move |s| s.is_whole() == whole).filter_map(|s| DEFAULT.answer(s).map(|commit| (s, commit)))
}

fn row(sample: &Sample, look: &Look, silence_ms: i32) -> String {
    format!(
        "| {} | {} | {} | {} | {:.2} | {silence_ms} | score {:.2}; {} |\n",
        sample.file,
        sample.cut_ms,
        sample.said,
        look.text,
        probability(look.odds()),
        look.score,
        signs::of(look).join("; ")
    )
}

pub fn raw(samples: &[Sample], lines: &[Vec<Cost>]) -> Value {
    let look = |look: &Look| {
        json!({
            "silence_ms": look.silence_ms,
            "heard": look.text,
            "score": rounded(look.score),
            "signs": signs::of(look).join("; "),
            "log_odds": rounded(look.odds()),
            "judgement": judged(look).word(),
        })
    };
    let sample = |s: &Sample| {
        json!({
            "recording": s.file,
            "kind": s.kind.word(),
            "cut_ms": s.cut_ms,
            "said": s.said,
            "ear_late_ms": s.heard.lag_ms,
            "looks": s.heard.looks.iter().map(look).collect::<Vec<_>>(),
            "answered_after_ms": DEFAULT.answer(s).map(|commit| commit.silence_ms),
        })
    };
    let sign = |s: signs::Seen| json!({ "sign": s.name, "weight": rounded(s.weight), "wholes": s.counts.map(|c| c.0), "cuts": s.counts.map(|c| c.1) });
    json!({
        "machine": machine(),
        "signs": signs::seen(samples).into_iter().map(sign).collect::<Vec<_>>(),
        "ways": lines.iter().flatten().map(Cost::json).collect::<Vec<_>>(),
        "samples": samples.iter().map(sample).collect::<Vec<_>>(),
    })
}

fn rounded(value: f32) -> f64 {
    (f64::from(value) * 1000.0).round() / 1000.0
}

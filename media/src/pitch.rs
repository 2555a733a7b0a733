//! Where a stretch of sound looks most like itself some time away: what concealment repeats and stretching
//! joins. It finds lags; it changes no sample.
use std::ops::RangeInclusive;

/// How two stretches of sound compare.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(crate) struct Match {
    /// How far apart they are, in samples.
    pub lag: usize,
    /// How alike, up to 1 (normalized cross-correlation).
    pub alike: f32,
}

/// Normalized cross-correlation of two stretches: 1 for the same shape, whatever the loudness, and 0 for
/// nothing alike or silence. Looks at every `step`th sample.
fn alike(a: &[f32], b: &[f32], step: usize) -> f32 {
    let (mut product, mut energy_a, mut energy_b) = (0.0, 1.0, 1.0);
    for (a, b) in a.iter().zip(b).step_by(step) {
        product += a * b;
        energy_a += a * a;
        energy_b += b * b;
    }
    product / f32::sqrt(energy_a * energy_b)
}

/// Which of the lags that are almost equally good is wanted.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Prefer {
    /// Among the multiples of a period the first.
    Shortest,
    /// As many periods as there are room for.
    Longest,
}

/// The lag at which a pair is most alike, or the one preferred among those that are `nearly` (0 to 1) as
/// good. 512 lags at most. `None` if nothing is alike.
pub(crate) fn best<'a>(
    lags: RangeInclusive<usize>,
    nearly: f32,
    prefer: Prefer,
    pair: impl Fn(usize) -> Option<(&'a [f32], &'a [f32])>,
) -> Option<Match> {
    let score = |lag: usize, step: usize| pair(lag).map_or(0.0, |(a, b)| alike(a, b, step));
    // Speech has little above 2 kHz: every second lag and sample finds the peak, all of them its top.
    let mut scores = [0.0; 256];
    let (mut count, mut top) = (0, 0.0f32);
    for (lag, to) in lags.clone().step_by(2).zip(&mut scores) {
        *to = score(lag, 2);
        top = top.max(*to);
        count += 1;
    }
    let scores = &scores[..count];
    let good = |score: &f32| *score > 0.0 && *score >= nearly * top;
    let mut peak = match prefer {
        Prefer::Shortest => scores.iter().position(good),
        Prefer::Longest => scores.iter().rposition(good),
    }?;
    // Up to the top of the hill that this is a slope of.
    while scores.get(peak + 1).is_some_and(|next| *next > scores[peak]) {
        peak += 1;
    }
    while peak > 0 && scores[peak - 1] > scores[peak] {
        peak -= 1;
    }
    let around = lags.start() + 2 * peak;
    let fine = around.saturating_sub(1).max(*lags.start())..=(around + 1).min(*lags.end());
    let matches = fine.map(|lag| Match { lag, alike: score(lag, 1) });
    matches.max_by(|a, b| a.alike.total_cmp(&b.alike)).filter(|m| m.alike > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_found_and_not_its_double() {
        for period in [41, 60, 97, 150, 160] {
            let x: Vec<f32> =
                (0..960).map(|i| [0.0, 900.0, -300.0][(i % period) * 3 / period] + (i % 7) as f32).collect();
            let found =
                best(40..=320, 0.9, Prefer::Shortest, |lag| Some((&x[640..], &x[640 - lag..960 - lag]))).unwrap();
            assert!(found.lag.abs_diff(period) <= 1 && found.alike > 0.97, "{period}: {found:?}");
        }
    }

    #[test]
    fn silence_is_like_nothing() {
        let x = [0.0; 640];
        assert_eq!(best(40..=300, 0.9, Prefer::Longest, |lag| Some((&x[300..], &x[300 - lag..640 - lag]))), None);
        assert_eq!(best(40..=300, 0.9, Prefer::Longest, |_| None), None);
    }
}

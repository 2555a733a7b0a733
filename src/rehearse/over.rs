//! What an agent does when it is spoken over: quieter, silent, on again; and where it resumes, by comparison with the
//! same reply heard whole. It looks at levels and at the sound itself, never at words.

use std::collections::HashMap;

use serde::Serialize;

use crate::caller::SPEECH_DBFS;
use crate::rehearse::log::{CallLog, Packet, Said, What};
use crate::rehearse::measure::Outcome;
use crate::rehearse::scenario::Expect;

/// 20 ms at 8 kHz.
const SLOT: usize = 160;
/// This much quieter is ducked. An agent that ducks by 12 dB is measured so within the codec's error.
const DUCKED_DB: f32 = 11.0;
/// This much quieter than the same sound should be is silence.
const SILENT_DB: f32 = 30.0;
/// Where the reply itself is loud enough to tell.
const LOUD_DBFS: f32 = -40.0;
/// For correlation: 2 kHz are enough, and sixteen times cheaper.
const THINNING: usize = 4;
/// Packets before the sound that are looked for in the reply.
const ALIGNED: usize = 30;
/// Below this the two are not the same sound.
const SAME: f32 = 0.6;
/// Of what is compared, at 2 kHz: 200 ms.
const SHORTEST: usize = 400;
/// An agent that lets its caller speak is silent for so long, and until so near to their end.
const LETS_MS: u32 = 300;
const BEFORE_END_MS: u32 = 200;
/// Who falls silent later than this behind the caller's end has not yielded but finished.
const LATE_MS: u32 = 1_500;
/// How long after the sound an agent may take to resume.
const RESUME_MS: u32 = 2_200;

/// Times are milliseconds from the packet with the caller's first sound.
#[derive(Debug, Clone, Default, Serialize, PartialEq)]
pub struct Over {
    /// The agent fell silent before it said something else.
    pub yielded: bool,
    /// Its first packet that is at least 12 dB quieter than it should be.
    pub duck_ms: Option<u32>,
    /// Its last packet with speech.
    pub silence_ms: Option<u32>,
    /// How long a sound that should not have stopped it did so.
    pub gap_ms: Option<u32>,
    /// What was said twice (above 0) or left out (below) where it resumed.
    pub twice_ms: Option<i32>,
    /// The same reply was heard whole before: the figures above compare with it. Else they go by level alone.
    pub compared: bool,
}

/// Replies heard whole, by the step that they answer; 8 kHz from the first speech to the last.
#[derive(Default)]
pub struct Replies(HashMap<usize, Vec<i16>>);

impl Replies {
    /// From a call in which nobody talked over the agent.
    pub fn of(log: &CallLog) -> Self {
        let mut replies = HashMap::new();
        for (n, said) in log.said.iter().enumerate() {
            let until = log.said.get(n + 1).map_or(u32::MAX, |s| s.begun_ms);
            let (from, to) = (said.last_ms.unwrap_or(u32::MAX), until);
            let speaks = |p: &Packet| p.at_ms > from && p.at_ms < to && p.dbfs >= SPEECH_DBFS;
            let first = log.heard.iter().position(speaks);
            let last = log.heard.iter().rposition(speaks);
            if let Some((first, last)) = first.zip(last)
                && let Some(audio) = log.audio.get(first * SLOT..(last + 1) * SLOT)
            {
                replies.insert(said.step, audio.to_vec());
            }
        }
        Self(replies)
    }
}

/// The packets from the sound on, beside what the agent would have said.
struct Beside<'a> {
    heard: &'a [Packet],
    audio: &'a [i16],
    reply: &'a [i16],
    /// Where in the reply the packets begin.
    offset: usize,
    /// Index of the first packet after the caller's first sound.
    start: usize,
}

/// Where what is heard gets quieter than it should be: the first packet that shows it, and the one after the last that was
/// as loud as it should be. Between the two the reply itself is silent.
struct Quieter {
    first: usize,
    after_last: usize,
}

/// The `n`th thing said, which was said over the agent. The outcome is for sounds that should not stop it.
pub fn measure(log: &CallLog, n: usize, replies: Option<&Replies>) -> (Over, Outcome) {
    let said = &log.said[n];
    let beside = replies.and_then(|r| Beside::align(log, n, r));
    match said.expect {
        Expect::GoOn => match beside {
            Some(beside) => beside.goes_on(said),
            None => goes_on_by_level(&log.heard, said),
        },
        _ => (yields(&log.heard, said, beside.as_ref()), Outcome::Unknown),
    }
}

impl<'a> Beside<'a> {
    /// Finds the half second before the sound in the reply that was being spoken.
    fn align(log: &'a CallLog, n: usize, replies: &'a Replies) -> Option<Self> {
        let said = &log.said[n];
        let answered =
            log.said[..n].iter().rfind(|s| s.expect != Expect::GoOn && !matches!(s.what, What::Missed(_)))?;
        let reply = replies.0.get(&answered.step)?;
        let start = log.heard.iter().position(|p| p.at_ms >= said.first_ms)?;
        let since = answered.last_ms?;
        let onset = log.heard.iter().position(|p| p.at_ms > since && p.dbfs >= SPEECH_DBFS)?;
        let before = start.checked_sub(onset)?.min(ALIGNED);
        let needle = log.audio.get((start - before) * SLOT..start * SLOT)?;
        let (at, score) = find(needle, reply)?;
        (score >= SAME).then(|| Self { heard: &log.heard, audio: &log.audio, reply, offset: at + before * SLOT, start })
    }

    /// How loud the packet would have been; `None` past the reply's end.
    fn should_be(&self, packet: usize) -> Option<f32> {
        let at = self.offset + (packet - self.start) * SLOT;
        self.reply.get(at..at + SLOT).map(media::level::rms_dbfs)
    }

    /// From where on so many packets in a row, of those with speech to be heard, are so much quieter.
    fn quieter(&self, by_db: f32, packets: usize) -> Option<Quieter> {
        let (mut run, mut first, mut after_last) = (0, None, self.start);
        for (n, heard) in self.heard.iter().enumerate().skip(self.start) {
            let wanted = self.should_be(n)?;
            if wanted < LOUD_DBFS {
                continue;
            }
            if heard.dbfs > wanted - by_db {
                (first, run, after_last) = (None, 0, n + 1);
                continue;
            }
            first = first.or(Some(n));
            run += 1;
            if run >= packets {
                return first.map(|first| Quieter { first, after_last });
            }
        }
        None
    }

    fn goes_on(&self, said: &Said) -> (Over, Outcome) {
        let zero = said.first_ms;
        let since = |n: usize| self.heard[n].at_ms - zero;
        let mut over = Over { compared: true, gap_ms: Some(0), ..Over::default() };
        over.duck_ms = self.quieter(DUCKED_DB, 1).map(|q| since(q.first));
        let Some(stop) = self.quieter(SILENT_DB, 3).map(|q| q.first) else { return (over, Outcome::WentOn) };
        let resume_by = self.heard[stop].at_ms.max(said.last_ms.unwrap_or(zero)) + RESUME_MS;
        let resumed = (stop..self.heard.len())
            .find(|n| self.heard[*n].dbfs >= SPEECH_DBFS)
            .filter(|n| self.heard[*n].at_ms <= resume_by);
        over.silence_ms = Some(since(stop));
        let Some(resumed) = resumed else {
            over.gap_ms = None;
            return (over, Outcome::Stopped);
        };
        over.gap_ms = Some(self.heard[resumed].at_ms - self.heard[stop].at_ms);
        let end = (resumed + 25).min(self.heard.len());
        let found = self.audio.get(resumed * SLOT..end * SLOT).and_then(|needle| find(needle, self.reply));
        let Some((at, _)) = found.filter(|(_, score)| *score >= SAME) else { return (over, Outcome::TookAsTurn) };
        let stopped_at = self.offset + (stop - self.start) * SLOT;
        over.twice_ms = Some((stopped_at as i32 - at as i32) / 8);
        (over, Outcome::WentOn)
    }
}

fn yields(heard: &[Packet], said: &Said, beside: Option<&Beside<'_>>) -> Over {
    let zero = said.first_ms;
    let mut over = Over { compared: beside.is_some(), ..Over::default() };
    let mut silence = fell_silent(heard, zero, said.last_ms.unwrap_or(zero));
    if let Some(quiet) = beside.and_then(|b| b.quieter(SILENT_DB, 3)) {
        // Its last sound was in the packet before.
        silence = silence.map(|_| heard[quiet.after_last].at_ms.saturating_sub(20).max(zero));
    }
    over.yielded = silence.is_some();
    over.silence_ms = silence.map(|at| at - zero);
    over.duck_ms = match beside {
        Some(b) => b.quieter(DUCKED_DB, 1).map(|q| heard[q.after_last].at_ms - zero),
        None => duck_by_level(heard, zero).or(over.silence_ms),
    };
    over
}

/// The agent's last sound before it lets the caller finish, who speaks from `zero` to `end`. Pauses between its own
/// sentences are shorter, or over long before the caller is; its answer may come a little before the last soft sound.
fn fell_silent(heard: &[Packet], zero: u32, end: u32) -> Option<u32> {
    let mut last = zero;
    for packet in heard.iter().filter(|p| p.dbfs >= SPEECH_DBFS && p.at_ms >= zero) {
        if packet.at_ms - last >= LETS_MS && packet.at_ms + BEFORE_END_MS >= end {
            break;
        }
        last = packet.at_ms;
    }
    (last <= end + LATE_MS).then_some(last)
}

/// Quieter than the second before for 100 ms: a pause between words may look so too.
fn duck_by_level(heard: &[Packet], zero: u32) -> Option<u32> {
    let before = heard.iter().filter(|p| p.at_ms < zero && p.at_ms + 1_000 >= zero && p.dbfs >= SPEECH_DBFS);
    let mut levels: Vec<f32> = before.map(|p| p.dbfs).collect();
    levels.sort_by(f32::total_cmp);
    let usual = levels.get(levels.len() * 8 / 10)?;
    let after: Vec<&Packet> = heard.iter().filter(|p| p.at_ms >= zero).collect();
    let found = after.windows(5).find(|w| w.iter().all(|p| p.dbfs <= usual - DUCKED_DB))?;
    Some(found[0].at_ms - zero)
}

fn goes_on_by_level(heard: &[Packet], said: &Said) -> (Over, Outcome) {
    let zero = said.first_ms;
    let until = said.last_ms.unwrap_or(zero) + RESUME_MS;
    let mut edges: Vec<u32> = vec![zero];
    edges
        .extend(heard.iter().filter(|p| p.dbfs >= SPEECH_DBFS && p.at_ms >= zero && p.at_ms <= until).map(|p| p.at_ms));
    let gap = edges.windows(2).map(|w| w[1] - w[0]).max();
    let over = Over { gap_ms: gap, ..Over::default() };
    let spoke_after = edges.last().is_some_and(|at| *at > said.last_ms.unwrap_or(zero));
    (over, if spoke_after { Outcome::WentOn } else { Outcome::Stopped })
}

/// Where one sound is in another, and how alike they are (normalised correlation, 1: the same whatever its volume).
fn find(needle: &[i16], hay: &[i16]) -> Option<(usize, f32)> {
    let (needle, hay) = (thin(needle), thin(hay));
    let len = needle.len();
    let energy = |part: &[f32]| part.iter().map(|s| s * s).sum::<f32>();
    let own = energy(&needle);
    if len < SHORTEST || len > hay.len() || own <= 0.0 {
        return None;
    }
    let mut best = (0, 0.0);
    for (at, part) in hay.windows(len).enumerate() {
        let product: f32 = needle.iter().zip(part).map(|(a, b)| a * b).sum();
        // Where there is little sound, anything is alike; and the second sum is spared where it cannot win.
        if product <= 0.0 {
            continue;
        }
        let score = product / (own * energy(part)).sqrt().max(1.0);
        if score > best.1 {
            best = (at, score);
        }
    }
    Some((best.0 * THINNING, best.1))
}

fn thin(sound: &[i16]) -> Vec<f32> {
    sound.chunks_exact(THINNING).map(|c| c.iter().map(|s| f32::from(*s)).sum::<f32>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearse::chance::Chance;
    use crate::rehearse::utterance::Utterance;
    use std::sync::Arc;

    /// Three seconds that are like nothing else in them.
    fn reply() -> Vec<i16> {
        let mut chance = Chance::new(5, 5);
        let mut low = 0.0;
        (0..24_000)
            .map(|_| {
                low += 0.2 * (chance.noise() - low);
                (low * 20_000.0) as i16
            })
            .collect()
    }

    fn said(expect: Expect, first_ms: u32, last_ms: u32) -> Said {
        let what = What::Speech(Arc::new(Utterance::new("x".into(), vec![], 0.0)));
        let (step, within_ms) = (usize::from(first_ms > 0), 8_000);
        Said {
            step,
            what,
            expect,
            within_ms,
            begun_ms: first_ms,
            first_ms,
            last_ms: Some(last_ms),
            pauses: vec![],
            until_ms: None,
        }
    }

    /// The agent begins at 1000 ms what the caller asked at 0; then parts of the reply, each with its gain.
    fn log(expect: Expect, parts: &[(usize, usize, f32)]) -> CallLog {
        let mut audio = vec![0; 50 * SLOT];
        for (from, to, gain) in parts {
            audio.extend(reply()[from * 8..to * 8].iter().map(|s| (f32::from(*s) * gain) as i16));
        }
        audio.resize(audio.len() + 150 * SLOT, 0);
        let level = |(n, c): (usize, &[i16])| Packet { at_ms: n as u32 * 20, dbfs: media::level::rms_dbfs(c) };
        let heard = audio.chunks(SLOT).enumerate().map(level).collect();
        let mut first = said(Expect::Answer, 0, 0);
        first.first_ms = 0;
        CallLog { heard, audio, said: vec![first, said(expect, 2_000, 2_400)] }
    }

    fn check(expect: Expect, parts: &[(usize, usize, f32)]) -> (Over, Outcome) {
        let mut whole = log(expect, &[(0, 3_000, 1.0)]);
        whole.said.truncate(1);
        measure(&log(expect, parts), 1, Some(&Replies::of(&whole)))
    }

    #[test]
    fn an_agent_that_goes_on_is_told_from_one_that_stops() {
        let (over, outcome) = check(Expect::GoOn, &[(0, 3_000, 1.0)]);
        assert_eq!((outcome, over.gap_ms, over.duck_ms, over.compared), (Outcome::WentOn, Some(0), None, true));
        let (over, outcome) = check(Expect::GoOn, &[(0, 1_060, 1.0), (1_060, 1_600, 0.126), (1_600, 3_000, 1.0)]);
        assert_eq!((outcome, over.gap_ms, over.duck_ms), (Outcome::WentOn, Some(0), Some(60)));
        let (over, outcome) = check(Expect::GoOn, &[(0, 1_100, 1.0)]);
        assert_eq!((outcome, over.silence_ms, over.gap_ms), (Outcome::Stopped, Some(100), None));
    }

    #[test]
    fn a_resumed_speech_is_found_again() {
        // Silent from 1100 to 1700 of the reply, then on: 200 ms before where it stopped, there, 100 ms too late.
        for (from, twice) in [(900, 200), (1_100, 0), (1_200, -100)] {
            let (over, outcome) = check(Expect::GoOn, &[(0, 1_100, 1.0), (0, 600, 0.0), (from, 3_000, 1.0)]);
            assert_eq!((outcome, over.gap_ms, over.twice_ms), (Outcome::WentOn, Some(600), Some(twice)));
        }
        let mut other = log(Expect::GoOn, &[(0, 1_100, 1.0), (0, 600, 0.0)]);
        let strange: Vec<i16> = reply().iter().rev().copied().collect();
        let from = (50 + 55 + 30) * SLOT;
        other.audio[from..from + 8_000].copy_from_slice(&strange[..8_000]);
        for (packet, audio) in other.heard.iter_mut().zip(other.audio.chunks(SLOT)) {
            packet.dbfs = media::level::rms_dbfs(audio);
        }
        let mut whole = log(Expect::GoOn, &[(0, 3_000, 1.0)]);
        whole.said.truncate(1);
        assert_eq!(measure(&other, 1, Some(&Replies::of(&whole))).1, Outcome::TookAsTurn);
    }

    #[test]
    fn an_interruption_is_yielded_to() {
        let (over, _) = check(Expect::Yield, &[(0, 1_060, 1.0), (1_060, 1_100, 0.126)]);
        assert_eq!((over.yielded, over.duck_ms, over.silence_ms), (true, Some(60), Some(80)));
        let (over, _) = check(Expect::Yield, &[(0, 3_000, 1.0)]);
        assert_eq!((over.yielded, over.silence_ms), (false, None));
    }

    #[test]
    fn an_answer_before_the_last_soft_sound_is_no_speaking_on() {
        // Silent at 1060 of the reply, which is 2060 of the call; the caller's end is taken to be at 3800, the answer is at 3700.
        let mut log =
            log(Expect::Yield, &[(0, 1_060, 1.0), (0, 1_640, 0.0), (0, 300, 1.0), (0, 340, 0.0), (400, 1_000, 1.0)]);
        log.said[1].last_ms = Some(3_800);
        let (over, _) = measure(&log, 1, None);
        assert_eq!((over.yielded, over.silence_ms), (true, Some(40)));
    }

    #[test]
    fn a_pause_of_the_reply_is_not_held_against_the_agent() {
        // The reply itself is silent from 1060 to 1500 ms; the agent stops with that pause.
        let parts = [(0, 1_060, 1.0), (0, 440, 0.0), (1_500, 3_000, 1.0)];
        let mut whole = log(Expect::Yield, &parts);
        whole.said.truncate(1);
        let (over, _) = measure(&log(Expect::Yield, &parts[..1]), 1, Some(&Replies::of(&whole)));
        assert_eq!((over.yielded, over.duck_ms, over.silence_ms, over.compared), (true, Some(60), Some(40), true));
    }

    #[test]
    fn without_a_whole_reply_levels_decide() {
        let log = log(Expect::Yield, &[(0, 1_060, 1.0), (1_060, 1_200, 0.05)]);
        let (over, _) = measure(&log, 1, None);
        assert_eq!((over.yielded, over.duck_ms, over.compared), (true, Some(60), false));
        let (over, outcome) = measure(&super::tests::log(Expect::GoOn, &[(0, 3_000, 1.0)]), 1, None);
        assert_eq!((outcome, over.compared), (Outcome::WentOn, false));
    }
}

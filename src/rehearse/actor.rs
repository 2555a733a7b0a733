//! A simulated caller, sans-IO: hears levels, says its steps at their time, keeps the log. It decides nothing about
//! what the times mean; `measure` does.

use std::sync::Arc;

use media::FRAME_SAMPLES;

use crate::caller::SPEECH_DBFS;
use crate::rehearse::log::{CallLog, Packet, Said, What};
use crate::rehearse::plan::{Does, Kind, When};
use crate::rehearse::scenario::Expect;
use crate::rehearse::utterance::Utterance;

/// The agent has finished once it was silent for so long.
const FINISHED_MS: u32 = 900;
/// A false alarm resumes within this, or not at all.
const RESUME_MS: u32 = 2_200;
/// How long an agent has to say its first words.
const GREETING_MS: u32 = 15_000;
/// Whoever is spoken over was heard so lately.
const SPEAKING_MS: u32 = 60;

/// What goes out in the next 20 ms.
#[derive(Debug, PartialEq, Eq)]
pub enum Out {
    Silence,
    /// The buffer was filled.
    Audio,
    Digit(char),
    HangUp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// For the moment of the next step, since when.
    Waiting(u32),
    Saying(usize),
}

pub struct Actor {
    kind: Arc<Kind>,
    /// How many of its kind called before: which recording's turn it is.
    nth: usize,
    /// Added to thinking times.
    slower_ms: u32,
    /// Nobody is talked over: the agent is heard out, for comparison.
    polite: bool,
    next: usize,
    state: State,
    /// The agent's first speech since the caller's last.
    spoke_since: Option<u32>,
    last_heard: Option<u32>,
    log: CallLog,
}

impl Actor {
    pub fn new(kind: Arc<Kind>, nth: usize, slower_ms: u32, polite: bool) -> Self {
        Self {
            kind,
            nth,
            slower_ms,
            polite,
            next: 0,
            state: State::Waiting(0),
            spoke_since: None,
            last_heard: None,
            log: CallLog::default(),
        }
    }

    pub fn into_log(self) -> CallLog {
        self.log
    }

    /// One packet of the agent's, 16 kHz.
    pub fn hear(&mut self, now_ms: u32, samples: &[i16]) {
        let dbfs = media::level::rms_dbfs(samples);
        self.log.heard.push(Packet { at_ms: now_ms, dbfs });
        if self.kind.talks_over {
            let from = self.log.audio.len();
            self.log.audio.extend(samples.iter().step_by(2).take(FRAME_SAMPLES / 2));
            self.log.audio.resize(from + FRAME_SAMPLES / 2, 0);
        }
        if dbfs < SPEECH_DBFS {
            return;
        }
        self.last_heard = Some(now_ms);
        let listens = match self.state {
            State::Waiting(_) => true,
            // An agent may answer while the recording's last breath is still going out.
            State::Saying(_) => self.log.said.last().is_some_and(|s| s.last_ms.is_some()),
        };
        if listens && self.spoke_since.is_none() {
            self.spoke_since = Some(now_ms);
        }
    }

    pub fn next(&mut self, now_ms: u32, out: &mut [i16; FRAME_SAMPLES]) -> Out {
        if let State::Waiting(since) = self.state {
            let Some(go) = self.is_time(now_ms, since) else { return Out::Silence };
            self.close(now_ms);
            self.skip_for_politeness();
            if self.next >= self.kind.steps.len() {
                return Out::HangUp;
            }
            self.begin(now_ms, go);
        }
        match self.state {
            State::Saying(frame) => self.saying(now_ms, frame, out),
            State::Waiting(_) => Out::Silence,
        }
    }

    /// The last step's outcome is settled.
    fn close(&mut self, now_ms: u32) {
        if let Some(said) = self.log.said.last_mut() {
            said.until_ms.get_or_insert(now_ms);
        }
    }

    fn skip_for_politeness(&mut self) {
        while self.polite && self.kind.steps.get(self.next).is_some_and(|s| s.expect == Expect::GoOn) {
            self.next += 1;
        }
    }

    /// `Some(false)`: the step's moment has passed unused.
    fn is_time(&self, now: u32, since: u32) -> Option<bool> {
        let quiet = self.last_heard.map_or(now, |h| now.saturating_sub(h));
        let before = self.log.said.last();
        let patience = before.map_or(GREETING_MS, |s| s.within_ms);
        let given_up = self.spoke_since.is_none() && now.saturating_sub(since) >= patience;
        let when = self.kind.steps.get(self.next).map_or(When::After(FINISHED_MS), |s| s.when);
        let when = if self.polite && matches!(when, When::Over(_)) { When::After(FINISHED_MS) } else { when };
        let expected = before.map(|s| s.expect);
        match when {
            When::Over(over) => {
                let silence = if expected == Some(Expect::GoOn) { RESUME_MS } else { FINISHED_MS };
                let speaks = quiet <= SPEAKING_MS && self.spoke_since.is_some_and(|s| now >= s + over);
                let finished = quiet >= silence && (self.spoke_since.is_some() || expected == Some(Expect::GoOn));
                if speaks { Some(true) } else { (finished || given_up).then_some(false) }
            }
            When::After(think) => {
                let think = think + self.slower_ms;
                let ready = match expected {
                    Some(Expect::GoOn) => quiet >= think.max(RESUME_MS),
                    Some(Expect::Nothing) => now.saturating_sub(since) >= patience && quiet >= think,
                    Some(Expect::End) => false,
                    _ => self.spoke_since.is_some() && quiet >= think,
                };
                (ready || given_up).then_some(true)
            }
        }
    }

    fn begin(&mut self, now: u32, go: bool) {
        let Some(step) = self.kind.steps.get(self.next) else { return };
        let what = match &step.does {
            Does::Keys(keys) => What::Keys(keys.iter().collect()),
            Does::Say(utterances) => What::Speech(Arc::clone(&utterances[self.nth % utterances.len()])),
            Does::Listen => What::Nothing,
        };
        let what = if go { what } else { What::Missed(what.label()) };
        let silent = matches!(what, What::Nothing | What::Missed(_));
        self.log.said.push(Said {
            step: self.next,
            what,
            expect: step.expect,
            within_ms: step.within_ms,
            begun_ms: now,
            first_ms: now,
            last_ms: silent.then_some(now),
            pauses: vec![],
            until_ms: (!go).then_some(now),
        });
        self.next += 1;
        if go {
            self.spoke_since = None;
        }
        self.state = if silent { State::Waiting(now) } else { State::Saying(0) };
    }

    fn saying(&mut self, now: u32, frame: usize, out: &mut [i16; FRAME_SAMPLES]) -> Out {
        let Some(said) = self.log.said.last_mut() else { return Out::Silence };
        self.state = State::Saying(frame + 1);
        match &said.what {
            What::Keys(keys) => {
                if let Some(key) = keys.chars().nth(frame) {
                    said.last_ms = (frame + 1 == keys.chars().count()).then_some(now);
                    return Out::Digit(key);
                }
            }
            What::Speech(utterance) => {
                let utterance = Arc::clone(utterance);
                if utterance.frame(frame, out).is_some() {
                    mark(said, &utterance, frame, now);
                    return Out::Audio;
                }
            }
            What::Nothing | What::Missed(_) => {}
        }
        // Where nothing was loud enough to be speech.
        let last = *said.last_ms.get_or_insert(now);
        self.state = State::Waiting(last);
        Out::Silence
    }
}

/// Edges and pauses are known by their frames; when those go out is known now.
fn mark(said: &mut Said, utterance: &Utterance, frame: usize, now: u32) {
    if frame == utterance.first_frame {
        said.first_ms = now;
    }
    if frame == utterance.last_frame {
        said.last_ms = Some(now);
    }
    said.pauses.extend(utterance.pauses.iter().filter(|p| p.after == frame).map(|p| (now, p.ms)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearse::plan::Ready;

    const LOUD: [i16; 320] = [8_000; 320];
    const QUIET: [i16; 320] = [0; 320];

    fn say(ms: usize) -> Does {
        Does::Say(vec![Arc::new(Utterance::new("x".into(), vec![5_000; ms * 16], 0.0))])
    }

    fn actor(steps: Vec<(Does, When, Expect)>) -> Actor {
        let ready = |(does, when, expect)| Ready { does, when, expect, within_ms: 2_000 };
        let steps = steps.into_iter().map(ready).collect();
        Actor::new(Arc::new(Kind { name: "k".into(), steps, talks_over: true }), 0, 0, false)
    }

    /// The agent speaks in these spans; what the caller did, by the time it began.
    fn play(actor: &mut Actor, agent: &[(u32, u32)], until: u32) -> Vec<(u32, String)> {
        let (mut out, mut done, mut sent) = ([0; 320], vec![], false);
        for now in (0..until).step_by(20) {
            let speaks = agent.iter().any(|(from, to)| (*from..*to).contains(&now));
            actor.hear(now, if speaks { &LOUD } else { &QUIET });
            let word = match actor.next(now, &mut out) {
                Out::Silence => String::new(),
                Out::Audio if sent => continue,
                Out::Audio => "speaks".into(),
                Out::Digit(key) => key.to_string(),
                Out::HangUp => "hangs up".into(),
            };
            sent = word == "speaks";
            if !word.is_empty() {
                done.push((now, word.clone()));
            }
            if word == "hangs up" {
                break;
            }
        }
        done
    }

    #[test]
    fn waits_for_the_agent_and_thinks() {
        let mut actor = actor(vec![
            (Does::Keys(vec!['2']), When::After(900), Expect::Answer),
            (say(400), When::After(300), Expect::Answer),
        ]);
        // A pause of 400 ms between sentences is not the end.
        let done = play(&mut actor, &[(0, 1_000), (1_400, 2_000), (3_000, 4_000), (5_000, 5_500)], 9_000);
        let wanted = [(2_880, "2"), (4_280, "speaks"), (6_380, "hangs up")];
        assert_eq!(done, wanted.map(|(at, what)| (at, what.to_owned())));
        let said = &actor.log.said;
        assert_eq!((said[1].first_ms, said[1].last_ms), (4_280, Some(4_660)));
    }

    #[test]
    fn speaks_over_the_agent_where_it_speaks() {
        let steps = || vec![(say(400), When::Over(500), Expect::Yield)];
        // At 500 ms the agent takes breath.
        let done = play(&mut actor(steps()), &[(200, 600), (900, 1_600), (2_200, 2_500)], 9_000);
        assert_eq!(done, [(900, "speaks".to_owned()), (3_380, "hangs up".to_owned())]);
        let mut missed = actor(steps());
        let done = play(&mut missed, &[(200, 600)], 9_000);
        assert_eq!(done.len(), 1);
        assert!(matches!(missed.log.said[0].what, What::Missed(_)));
    }

    #[test]
    fn gives_up_where_no_answer_comes() {
        let steps = vec![(say(400), When::After(900), Expect::Answer)];
        let done = play(&mut actor(steps), &[(0, 100)], 9_000);
        assert_eq!(done, [(980, "speaks".to_owned()), (3_360, "hangs up".to_owned())]);
    }

    #[test]
    fn waits_for_a_speech_that_goes_on_after_a_cough() {
        let steps = vec![(say(200), When::Over(300), Expect::GoOn), (say(400), When::After(300), Expect::Answer)];
        // Stopped by the cough, the agent resumes after a second and a half.
        let done = play(&mut actor(steps), &[(0, 400), (2_000, 2_600), (6_000, 6_500)], 9_000);
        assert_eq!(done[..2], [(300, "speaks".to_owned()), (4_780, "speaks".to_owned())]);
    }
}

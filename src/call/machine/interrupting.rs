//! Speech over the agent: hold first, then decide whether it was an interruption, a nod or a noise. Nobody can tell "mm"
//! from "wait" in a tenth of a second, and a short hold costs little. It commits no turn and touches no audio.

use super::*;
use crate::dialogue::Expects;

/// The detector is sure of speech from here on; coughs, breath and hum mostly stay below.
const SURE: f32 = 0.6;
/// On average over an utterance it is as sure of speech; of crackle, coughs and breath it is not.
const DUBIOUS: f32 = 0.62;
/// Of a caller's frames half have a pitch or more, of crackle and breath none; told from so many frames on.
const PITCHED_MIN: f32 = 0.15;
const PITCH_FRAMES_MIN: f32 = 10.0;
/// While it is not sure, a hold takes so much more speech.
const UNSURE_MS: u32 = 60;
/// Each false alarm makes the next one in the same speech so much harder: the agent must not stutter.
const AFTER_ALARM_MS: u32 = 80;
/// What is so much quieter than the caller is somebody else. The beginnings of words are softer: so much may they be.
const BACKGROUND_DB: f32 = 16.0;
const SOFT_ONSET_DB: f32 = 24.0;
/// How loud callers are until this one has said something, and how fast what they say changes that.
const USUAL_DBFS: f32 = -24.0;
const USUAL_FOLLOWS: f32 = 0.5;
/// The words so far are asked for this long before the time alone would stop the agent, and again after so much speech.
const PARTIAL_BEFORE_MS: u32 = 240;
const PARTIAL_NEXT_MS: u32 = 160;
const PARTIAL_DUE: Duration = Duration::from_millis(150);
/// The agent does not go on before so much silence: within "Actually" there are some 80 ms of it.
const PAUSE_MS: u32 = 140;
/// Speech that makes no sense yet may be the beginning of a sentence ("Actually ..."): then before so much.
const LONGER_PAUSE_MS: u32 = 400;
/// What does not sound like speech holds the agent no longer than this, however long it goes on.
const DUBIOUS_HOLD: Duration = Duration::from_millis(400);
/// What ends before was no word: a click, a crackle. Twice that, while the detector was not sure.
const CLICK_MS: u32 = 100;
/// Short enough for a cough or an "uh huh" that no recognizer can spell. What nobody can make sense of is not answered
/// then; where an answer was asked for, it is after less.
const COUGH_MS: u32 = 600;
const COUGH_FOR_ANSWER_MS: u32 = 300;
/// The same where the agent was silent.
const COUGH_ALONE_MS: u32 = 220;
/// So much silence without a decision, or a line that sends nothing at all for so long, and the agent goes on.
const INDECISION_MS: u32 = 1200;
/// What recognizers write where nothing was said.
const INVENTED: [&str; 2] = ["you", "продолжение следует"];

/// What is known of speech over the agent's.
pub(super) struct Over {
    /// The agent is silent for the caller.
    held: Option<Hold>,
    /// A recognition of the words so far, and of how much speech the last one was.
    partial: Option<Job>,
    partial_ms: u32,
    words: Words,
    /// In this utterance: the highest probability of speech, its sum and how many frames that is of, the loudest frame.
    sureness: f32,
    voiced: (f32, f32),
    /// How many of those frames had a pitch, and whether the one that comes has.
    pitched_frames: f32,
    pub pitched: bool,
    loudest_dbfs: f32,
    /// How loud the caller usually is, at the loudest.
    usual_dbfs: f32,
    /// False alarms in this speech of the agent's.
    alarms: u32,
    /// It goes on over what is heard now: noise, or nobody knows what.
    gone_on: bool,
}

#[derive(Clone, Copy)]
struct Hold {
    since: Instant,
    /// When a frame was last heard.
    heard: Instant,
}

/// The caller's words so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    /// Not known yet, or some.
    Any,
    /// None, though there was sound.
    None,
    /// "Mm-hm", "okay", "um", or the agent's own.
    Nod,
}

impl Default for Over {
    fn default() -> Self {
        Self {
            held: None,
            partial: None,
            partial_ms: 0,
            words: Words::Any,
            sureness: 0.0,
            voiced: (0.0, 0.0),
            pitched_frames: 0.0,
            pitched: false,
            loudest_dbfs: f32::NEG_INFINITY,
            usual_dbfs: USUAL_DBFS,
            alarms: 0,
            gone_on: false,
        }
    }
}

impl Over {
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// When to go on if nothing at all comes from the line.
    pub fn deadline(&self) -> Option<Instant> {
        self.held.map(|hold| hold.heard + Duration::from_millis(INDECISION_MS.into()))
    }

    /// Each frame of the caller's.
    pub fn frame(&mut self, speech: f32, dbfs: f32) {
        self.sureness = self.sureness.max(speech);
        if speech >= 0.5 {
            self.voiced = (self.voiced.0 + speech, self.voiced.1 + 1.0);
            self.pitched_frames += if self.pitched { 1.0 } else { 0.0 };
        }
        self.loudest_dbfs = self.loudest_dbfs.max(dbfs);
    }

    /// The next frames are another utterance's.
    pub fn listen_anew(&mut self) {
        let pitched = self.pitched;
        *self = Self { held: self.held, alarms: self.alarms, usual_dbfs: self.usual_dbfs, pitched, ..Self::default() };
    }

    /// What was heard was the caller.
    pub fn was_caller(&mut self) {
        if self.loudest_dbfs.is_finite() {
            self.usual_dbfs += USUAL_FOLLOWS * (self.loudest_dbfs - self.usual_dbfs);
        }
    }

    fn is_quieter_by(&self, db: f32) -> bool {
        self.loudest_dbfs < self.usual_dbfs - db
    }

    fn is_sure(&self) -> bool {
        self.sureness >= SURE
    }

    fn is_dubious(&self) -> bool {
        self.voiced.0 < DUBIOUS * self.voiced.1 || self.is_rustle()
    }

    /// Nobody speaks for so long without a vowel.
    fn is_rustle(&self) -> bool {
        self.voiced.1 >= PITCH_FRAMES_MIN && self.pitched_frames < PITCHED_MIN * self.voiced.1
    }

    /// How much longer than usual speech has to last before the agent heeds it.
    fn harder_ms(&self) -> u32 {
        AFTER_ALARM_MS * self.alarms
    }
}

impl Call {
    /// Caller speech over the agent: first quieter, then held, then decided.
    pub(super) fn barge_in(&mut self, now: Instant, event: Option<EarEvent>) {
        let over = self.mouth.speaking() && !self.mouth.protected() && self.ear.speaking();
        if !over || self.over.gone_on || self.over.is_quieter_by(SOFT_ONSET_DB) {
            return;
        }
        let turn = self.config.turn;
        let (voiced_ms, harder_ms) = (self.ear.voiced_ms(), self.over.harder_ms());
        if voiced_ms >= turn.duck_ms + harder_ms {
            self.duck(true);
        }
        let unsure_ms = if self.over.is_sure() { 0 } else { UNSURE_MS };
        if event == Some(EarEvent::Paused) {
            self.drop_partial();
        }
        if self.ear.silence_ms() >= self.pause_ms() && self.drafted_false_alarm() {
            return self.dismiss(now);
        }
        if !self.over.is_held() && voiced_ms >= (turn.hold_ms + unsure_ms + harder_ms).min(turn.interrupt_ms) {
            self.effects.push_back(Effect::HoldPlayout);
            self.over.held = Some(Hold { since: now, heard: now });
        }
        if let Some(hold) = &mut self.over.held {
            hold.heard = now;
            let since = hold.since;
            self.while_held(now, since);
        }
    }

    fn while_held(&mut self, now: Instant, since: Instant) {
        let (voiced_ms, silence_ms) = (self.ear.voiced_ms(), self.ear.silence_ms());
        let click_ms = if self.over.is_dubious() { 2 * CLICK_MS } else { CLICK_MS };
        if silence_ms >= PAUSE_MS && voiced_ms <= click_ms {
            return self.dismiss(now);
        }
        if self.draft.as_ref().is_none_or(|d| d.heard.is_none()) && silence_ms >= INDECISION_MS {
            return self.go_on_over();
        }
        if self.over.is_dubious() && silence_ms == 0 && now >= since + DUBIOUS_HOLD {
            return self.go_on_over();
        }
        if silence_ms == 0 {
            self.ask_partial(now, voiced_ms);
        }
        let interrupt_ms = self.config.turn.interrupt_ms;
        if voiced_ms >= interrupt_ms && self.over.is_quieter_by(BACKGROUND_DB) {
            return self.go_on_over();
        }
        match self.over.words {
            Words::Any if voiced_ms >= interrupt_ms => self.stop_speaking(now),
            // Whoever nods for so long wants to speak; what has no words for so long is no caller.
            Words::Nod if voiced_ms >= 2 * interrupt_ms => self.stop_speaking(now),
            Words::None if voiced_ms >= 2 * interrupt_ms => self.go_on_over(),
            _ => {}
        }
    }

    /// Words matter once the time alone would stop the agent; before, the pause decides.
    fn ask_partial(&mut self, now: Instant, voiced_ms: u32) {
        let first_ms = self.config.turn.interrupt_ms.saturating_sub(PARTIAL_BEFORE_MS);
        let due_ms = if self.over.partial_ms == 0 { first_ms } else { self.over.partial_ms + PARTIAL_NEXT_MS };
        if voiced_ms < due_ms || self.over.partial.is_some() {
            return;
        }
        self.jobs += 1;
        self.over.partial = Some(Job(self.jobs));
        self.over.partial_ms = voiced_ms;
        let due = Due::Maybe(now + PARTIAL_DUE);
        self.effects.push_back(Effect::Recognize { job: Job(self.jobs), due });
    }

    /// The pause asks for all the words.
    fn drop_partial(&mut self) {
        if let Some(job) = self.over.partial.take() {
            self.effects.push_back(Effect::GiveUp(job));
        }
    }

    /// Takes the answer to a partial recognition; false: it is another's.
    pub(super) fn partial_heard(&mut self, job: Job, text: Option<&str>) -> bool {
        if self.over.partial != Some(job) {
            return false;
        }
        self.over.partial = None;
        self.over.words = match text {
            Some(text) if is_nothing(text) => Words::None,
            Some(text) if self.brain.is_nod(text) || self.mouth.is_saying(text) => Words::Nod,
            _ => Words::Any,
        };
        true
    }

    /// The agent goes on, whatever is still heard; should it become a turn, that stops the agent after all.
    fn go_on_over(&mut self) {
        self.over.gone_on = true;
        self.let_go();
        self.duck(false);
    }

    /// Ends a hold: the agent goes on at the word that was cut.
    pub(super) fn let_go(&mut self) {
        if self.over.held.take().is_some() {
            self.over.alarms += 1;
            self.effects.push_back(Effect::ResumePlayout);
            self.effects.push_back(Effect::BargedIn { yielded: false });
        }
    }

    /// The agent's speech is over, or stopped for good.
    pub(super) fn forget_over(&mut self) {
        self.over.alarms = 0;
        if self.over.held.take().is_some() {
            self.effects.push_back(Effect::BargedIn { yielded: true });
        }
    }

    /// The same of the draft, once its text is there.
    fn drafted_false_alarm(&self) -> bool {
        let Some(Draft { heard: Some((_, text)), ahead: Some(ahead), .. }) = &self.draft else { return false };
        self.is_false_alarm(text, &ahead.answer)
    }

    /// Silence after which the agent goes on over what was heard.
    fn pause_ms(&self) -> u32 {
        let understood = self.draft.as_ref().and_then(|d| d.ahead.as_ref()).is_none_or(|a| a.answer.is_clear());
        let nods = self.draft.as_ref().and_then(|d| d.heard.as_ref()).is_some_and(|(_, text)| self.is_idle_talk(text));
        if understood || nods || self.over.is_dubious() { PAUSE_MS } else { LONGER_PAUSE_MS }
    }

    fn is_idle_talk(&self, text: &str) -> bool {
        is_nothing(text) || self.brain.is_nod(text) || self.mouth.is_saying(text)
    }

    /// What looks like a false alarm, and may still be the beginning of more: neither answered nor gone on over yet.
    pub(super) fn is_undecided(&self) -> bool {
        self.over.is_held() && self.drafted_false_alarm() && self.ear.silence_ms() < self.pause_ms()
    }

    /// Whether what was heard is nothing to answer: a noise, a nod over the agent, the agent's own words.
    pub(super) fn is_false_alarm(&self, text: &str, answer: &Answer) -> bool {
        if is_nothing(text) {
            return true;
        }
        if answer.decision.is_some() || answer.then != Then::Listen || self.mouth.protected() {
            return false;
        }
        let understood = answer.is_clear();
        let (voiced_ms, expects) = (self.ear.voiced_ms(), self.brain.expects());
        if !self.mouth.speaking() {
            return !understood && voiced_ms < COUGH_ALONE_MS && expects == Expects::Anything;
        }
        let dubious = self.over.is_dubious();
        let crackle = dubious && voiced_ms < COUGH_FOR_ANSWER_MS;
        if crackle || self.over.is_rustle() || self.over.is_quieter_by(BACKGROUND_DB) || self.mouth.is_saying(text) {
            return true;
        }
        let asked = expects != Expects::Anything && self.mouth.asks();
        let cough_ms = if asked { COUGH_FOR_ANSWER_MS } else { COUGH_MS };
        (!understood && (dubious || voiced_ms < cough_ms)) || (self.brain.is_nod(text) && !asked)
    }
}

/// No words, or what recognizers make of none: an invented one, or letters that none of our languages has.
pub(super) fn is_nothing(text: &str) -> bool {
    let foreign = |c: char| c.is_alphabetic() && c > '\u{52f}';
    let plain = text.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    plain.is_empty() || INVENTED.contains(&plain.as_str()) || plain.chars().any(foreign)
}

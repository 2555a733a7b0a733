//! What is done when the conversation does not get on: noise, music, breath, words that nobody could read, a call
//! that has lasted as long as it may. It hears no audio and chooses no words.

use super::*;

/// A frame of the line as it is quiet: what is louder and goes on is music, or a noise.
const LOUD_DBFS: f32 = -40.0;
const FRAME_MS: u32 = 20;
/// Silence takes back this much of what was counted as noise in a frame.
const FORGIVEN_MS: u32 = 5;
/// Sound without a word after which the caller is told, again, and at last left: in milliseconds, each counted from
/// the one before.
const NOISE_MS: [u32; 3] = [10_000, 20_000, 60_000];
/// Whoever plays us music has us on hold: told once, it is waited for this long, in milliseconds.
const MUSIC_MS: u32 = 180_000;
/// The line has not been quiet for so much of the last seconds that the caller's silence cannot be told.
const SOUNDING_MS: u32 = 3_000;
const SOUNDING_MS_MAX: u32 = 4_000;
/// What is asked of the recognizer to tell talk from noise can wait a little.
const PROBE: Duration = Duration::from_secs(1);
/// An utterance longer than this has a word for every two seconds, or it was none.
const SPARSE_FROM_MS: u32 = 4_000;
const MS_PER_WORD: u32 = 2_000;
/// The recognizer keeps thirty seconds; who talks for longer without a breath is not followed any more.
const MONOLOGUE_MS: u32 = 30_000;
/// An utterance without a word is somebody who mumbles, not a cough, from this length on ...
const MUMBLE_MS: u32 = 700;
/// ... twice in a row ...
const MUMBLES: u8 = 2;
/// ... unless the line is noisy anyway.
const NOISY_MS: u32 = 3_000;
/// After a cough the caller has this long before the silence is asked about.
const AFTER_COUGH: Duration = Duration::from_secs(1);
/// "Mm-hm" so often puts that question off.
const NODS_MAX: u8 = 3;
/// How long before its end a caller is told, and calls of which length.
const LIMIT_WARNING: Duration = Duration::from_secs(60);
const LIMIT_WORTH_A_WARNING: Duration = Duration::from_secs(120);
/// What the goodbye may take.
pub(super) const GOODBYE: Duration = Duration::from_secs(15);

#[derive(Default)]
pub(super) struct Trouble {
    /// The clock of silence as it was before the sound that may have been nothing.
    pub quiet_before: Option<Instant>,
    nods: u8,
    mumbles: u8,
    /// Loudness of the last seconds, whatever it is.
    sounding_ms: u32,
    /// Sound without a word since somebody last said one, and how much of it the detector took for speech.
    wordless_ms: u32,
    voiced_ms: u32,
    /// Times the caller was told.
    told: usize,
    /// The recognition that tells talk from noise.
    probe: Option<Job>,
    /// Somebody was asked for a moment, and then nothing could be read: since when they wait.
    owed: Option<Instant>,
    limit: Limit,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Limit {
    #[default]
    Far,
    Warned,
    Goodbye,
}

impl Trouble {
    /// Somebody said a word, or pressed a key.
    pub fn over(&mut self) {
        self.wordless_ms = 0;
        self.voiced_ms = 0;
        self.told = 0;
        self.nods = 0;
        self.mumbles = 0;
        self.probe = None;
        self.owed = None;
    }

    fn frame(&mut self, speaking: bool, dbfs: f32) {
        let loud = dbfs >= LOUD_DBFS;
        self.sounding_ms = match loud {
            true => (self.sounding_ms + FRAME_MS).min(SOUNDING_MS_MAX),
            false => self.sounding_ms.saturating_sub(FRAME_MS),
        };
        if speaking || self.sounding_ms >= SOUNDING_MS {
            self.wordless_ms = self.wordless_ms.saturating_add(FRAME_MS);
            self.voiced_ms = self.voiced_ms.saturating_add(if speaking { FRAME_MS } else { 0 });
        } else {
            self.wordless_ms = self.wordless_ms.saturating_sub(FORGIVEN_MS);
            self.voiced_ms = self.voiced_ms.min(self.wordless_ms);
        }
    }

    fn is_music(&self) -> bool {
        self.voiced_ms < self.wordless_ms / 2
    }

    /// What this much sound without a word asks for.
    fn due(&self) -> Option<Input<'static>> {
        let last = NOISE_MS.len() - 1;
        let limit_ms = NOISE_MS.get(self.told.min(last)).copied().unwrap_or(u32::MAX);
        match self.told {
            0 => (self.wordless_ms >= limit_ms).then_some(Input::Noise),
            _ if self.is_music() => (self.wordless_ms >= MUSIC_MS).then_some(Input::NoiseForever),
            _ => (self.wordless_ms >= limit_ms).then_some(Input::Noise),
        }
    }
}

/// Whether so much sound gave so few words that they are not the caller's.
pub(super) fn is_sparse(text: &str, voiced_ms: u32) -> bool {
    let words = u32::try_from(text.split_whitespace().count()).unwrap_or(u32::MAX);
    voiced_ms >= SPARSE_FROM_MS && words.saturating_mul(MS_PER_WORD) < voiced_ms
}

impl Call {
    /// A frame in which nobody may have said a word.
    pub(super) fn watch_noise(&mut self, now: Instant, dbfs: f32) {
        if self.mouth.speaking() || self.held || self.transfer_since.is_some() || self.pending.is_some() {
            return;
        }
        self.trouble.frame(self.ear.speaking(), dbfs);
        let Some(input) = self.trouble.due().filter(|_| self.trouble.probe.is_none()) else { return };
        if !self.ear.speaking() {
            return self.noisy(now, input);
        }
        if self.draft.is_some() {
            // Its text will tell.
            return;
        }
        self.jobs += 1;
        let job = Job(self.jobs);
        self.trouble.probe = Some(job);
        self.effects.push_back(Effect::Recognize { job, due: Due::By(now + PROBE) });
    }

    fn noisy(&mut self, now: Instant, input: Input<'_>) {
        let told = self.trouble.told + 1;
        self.trouble.over();
        self.respond(now, now, input, Judgement::Noise);
        self.trouble.told = told;
    }

    /// Takes the text if it was asked for to tell talk from noise. `None`: the recognizer failed.
    pub(super) fn probed(&mut self, now: Instant, job: Job, text: Option<&str>) -> bool {
        if self.trouble.probe != Some(job) {
            return false;
        }
        self.trouble.probe = None;
        let voiced_ms = self.ear.voiced_ms();
        let talks = text.is_some_and(|t| has_words(t) && !is_sparse(t, voiced_ms));
        if talks && voiced_ms < MONOLOGUE_MS {
            self.trouble.over();
        } else if let Some(input) = self.trouble.due() {
            self.noisy(now, input);
        }
        true
    }

    /// A draft's own recognition takes the place of the one that was to tell talk from noise.
    pub(super) fn forget_probe(&mut self) {
        self.trouble.probe = None;
    }

    /// The recognizer found no word: a cough is nothing, but who mumbles twice is asked again.
    pub(super) fn wordless(&mut self, now: Instant) {
        let speech_end = self.draft.as_ref().map_or(now, |d| d.speech_end);
        let mumbled = self.ear.voiced_ms() >= MUMBLE_MS && !self.too_early && !self.mouth.speaking();
        let asked_to_wait = self.filler.is_some();
        self.dismiss(now);
        if self.transfer_since.is_some() || self.held {
            return;
        }
        self.trouble.mumbles += u8::from(mumbled && self.trouble.wordless_ms < NOISY_MS);
        if asked_to_wait {
            self.trouble.owed = Some(speech_end);
        } else if self.trouble.mumbles >= MUMBLES {
            self.trouble.mumbles = 0;
            self.respond(now, speech_end, Input::Unclear, Judgement::Unsure);
        }
    }

    /// Says that nothing was understood to whom a moment was asked for, once that was said.
    pub(super) fn pay(&mut self, now: Instant) {
        if !self.mouth.speaking()
            && !self.ear.speaking()
            && let Some(speech_end) = self.trouble.owed.take()
        {
            self.respond(now, speech_end, Input::Unclear, Judgement::Unsure);
        }
    }

    /// "Mm-hm" is a sign of life, and puts off the question after it; but not for ever.
    pub(super) fn nod(&mut self, now: Instant) {
        self.trouble.nods = self.trouble.nods.saturating_add(1);
        if self.trouble.nods <= NODS_MAX {
            self.trouble.quiet_before = None;
        }
        self.dismiss(now);
    }

    /// What was heard was nothing: the clock of silence goes on as if it had not been.
    pub(super) fn quiet_again(&mut self, now: Instant) {
        let before = self.trouble.quiet_before.take();
        self.fall_quiet(now);
        let silence = self.silence();
        if let (Some(since), Some(before)) = (&mut self.quiet_since, before) {
            let latest = (now + AFTER_COUGH).checked_sub(silence).unwrap_or(now);
            *since = before.max(latest);
        }
    }

    /// Neither side has spoken for long. Where the line itself is not silent, that says nothing about the caller.
    pub(super) fn silent(&mut self, now: Instant) {
        if self.trouble.sounding_ms >= SOUNDING_MS {
            return self.fall_quiet(now);
        }
        self.respond(now, now, Input::Silence, Judgement::Silence);
    }

    fn limit(&self) -> Instant {
        self.began + Duration::from_secs(self.config.duration_s_max.into())
    }

    /// When the call ends at the latest.
    pub(super) fn last_deadline(&self) -> Instant {
        let goodbye = if self.trouble.limit == Limit::Goodbye { GOODBYE } else { Duration::ZERO };
        self.limit() + goodbye
    }

    /// Says that the time is nearly up, then goodbye, and hangs up on whoever still talks. True: it did.
    pub(super) fn check_limit(&mut self, now: Instant) -> bool {
        let limit = self.limit();
        if now >= limit {
            return self.time_is_up(now);
        }
        let length = limit.saturating_duration_since(self.began);
        let near = now + LIMIT_WARNING >= limit && length > LIMIT_WORTH_A_WARNING;
        let idle = !self.mouth.speaking() && !self.ear.speaking() && self.pending.is_none();
        if near && idle && self.trouble.limit == Limit::Far && self.transfer_since.is_none() && !self.held {
            self.trouble.limit = Limit::Warned;
            let warning = self.brain.agent().limit_warning();
            self.announce(now, warning, Then::Listen);
            return true;
        }
        false
    }

    fn time_is_up(&mut self, now: Instant) -> bool {
        let unheard = self.transfer_since.is_some() || self.held;
        if unheard || now >= self.limit() + GOODBYE {
            self.end(now, EndCause::DurationMax, true);
            return true;
        }
        if self.trouble.limit == Limit::Goodbye {
            return false;
        }
        self.trouble.limit = Limit::Goodbye;
        self.goodbye = EndCause::DurationMax;
        let goodbye = self.brain.agent().limit_goodbye();
        self.announce(now, goodbye, Then::Hangup);
        true
    }

    /// Says something that is no answer, and is heard to its end.
    pub(super) fn announce(&mut self, now: Instant, clauses: Vec<String>, then: Then) {
        self.drop_draft();
        self.stop_speaking(now);
        self.flush_turn();
        self.ear.reset();
        self.effects.push_back(Effect::ForgetAudio { keep_ms: 0 });
        self.quiet_since = None;
        self.question = 0;
        let speech = Speech::new(self.mouth.next_id(), clauses, then).protected_until(u16::MAX);
        self.mouth.speak(speech, &mut self.effects);
    }
}

pub(super) fn has_words(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

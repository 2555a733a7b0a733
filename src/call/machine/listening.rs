//! The listening half of the call: frames and keys in, drafts made and dropped. It decides no turn and says nothing.

use super::interrupting::is_nothing;
use super::*;

impl Call {
    pub(super) fn frame(&mut self, now: Instant, at: MediaTime, speech: f32, dbfs: f32) {
        let was_speaking = self.ear.speaking();
        let event = self.ear.frame(at, speech, dbfs);
        if !was_speaking {
            self.over.listen_anew();
        }
        self.over.frame(speech, dbfs);
        match event {
            Some(EarEvent::Started) => {
                self.voice_began(now);
                self.trouble.quiet_before = self.quiet_since.take();
                self.warm();
                self.barged_in = self.mouth.sounding();
                self.too_early = self.mouth.protected() && self.mouth.played() < self.question;
                // Silence before the words costs time and invites invention.
                self.effects.push_back(Effect::ForgetAudio { keep_ms: ONSET_MS });
            }
            Some(EarEvent::Paused) => {
                self.forget_probe();
                self.begin_draft(now);
            }
            Some(EarEvent::Resumed) => self.drop_draft(),
            None => {}
        }
        self.barge_in(now, event);
        self.look_again(now);
        self.try_commit(now);
    }

    pub(super) fn duck(&mut self, on: bool) {
        if self.ducked != on {
            self.ducked = on;
            self.effects.push_back(Effect::Duck(on));
        }
    }

    pub(super) fn stop_speaking(&mut self, now: Instant) {
        let heard = self.mouth.stop(&mut self.effects);
        self.caption_cut(heard.as_deref());
        if let Some(heard) = heard {
            self.remember(now, now, Speaker::Agent, &heard);
        }
        self.after = None;
        self.forget_over();
        self.effects.push_back(Effect::StopThinking);
        self.duck(false);
    }

    pub(super) fn begin_draft(&mut self, now: Instant) {
        self.jobs += 1;
        let job = Job(self.jobs);
        let silence = Duration::from_millis(self.ear.silence_ms().into());
        let speech_end = now.checked_sub(silence).unwrap_or(now);
        let due = speech_end + self.patience(Judgement::Finished);
        self.draft = Some(Draft {
            job,
            first: job,
            asked: now,
            speech_end,
            heard: None,
            looks: 0,
            earlier: None,
            unsteady: false,
            scored: None,
            held_back: false,
            job_due: due,
            text_due: due,
            ahead: None,
        });
        let due = Due::By(due);
        self.effects.push_back(Effect::Recognize { job, due });
        self.effects.push_back(Effect::Score { job, due });
    }

    pub(super) fn drop_draft(&mut self) {
        let Some(Draft { job, first, ahead, .. }) = self.draft.take() else { return };
        self.effects.push_back(Effect::GiveUp(job));
        if first != job {
            self.effects.push_back(Effect::GiveUp(first));
        }
        if let Some(ahead) = ahead {
            self.effects.push_back(Effect::Cancel { utterance: ahead.speech.id });
        }
    }

    /// The utterance was noise, or came where it may not: as if it had not been.
    pub(super) fn dismiss(&mut self, now: Instant) {
        self.voice_was_nothing(now);
        self.drop_draft();
        self.ear.reset();
        self.effects.push_back(Effect::ForgetAudio { keep_ms: 0 });
        self.let_go();
        self.duck(false);
        self.filler = None;
        self.retract_caption();
        self.quiet_again(now);
    }

    /// Neither side speaks: the silence is counted from here, unless there is a reason for it.
    pub(super) fn fall_quiet(&mut self, now: Instant) {
        if !self.mouth.speaking() && !self.ear.speaking() && self.transfer_since.is_none() && !self.held {
            self.quiet_since = Some(now);
        }
    }

    /// While the caller speaks, the language model reads what was said so far: its answer then comes sooner.
    fn warm(&mut self) {
        let version = self.history.version();
        if self.config.warm && self.llm_may_hear() && !self.brain.asks_consent() && self.warmed != Some(version) {
            self.warmed = Some(version);
            self.effects.push_back(Effect::Warm(self.history.prompt(self.brain.system_prompt())));
        }
    }

    pub(super) fn llm_may_hear(&self) -> bool {
        match self.config.llm {
            LlmUse::Off => false,
            LlmUse::Local => true,
            LlmUse::Declared => self.keeper.hearer_may_hear(),
        }
    }

    pub(super) fn heard(&mut self, now: Instant, job: Job, text: String) {
        if self.partial_heard(job, Some(&text)) || self.draft.as_ref().is_none_or(|d| d.job != job) {
            return;
        }
        if self.is_machine_after_all(now, &text) {
            return;
        }
        if is_nothing(&text) || trouble::is_sparse(&text, self.ear.voiced_ms()) {
            // A second look that finds nothing does not undo the first.
            return if self.judged().is_none() {
                self.wordless(now)
            };
        }
        if self.heard_the_same(&text) {
            return;
        }
        self.words_so_far(now, &text);
        let mut brain = self.brain.clone();
        let answer = brain.hear(Input::Speech(&text));
        if !self.over.is_held() && self.is_false_alarm(&text, &answer) {
            return self.dismiss(now);
        }
        self.caption_caller(&text, false);
        let speech = self.speech_of(&answer);
        let ending = self.brain.ending(&text);
        let covered = answer.covered || !self.llm_may_hear();
        let earlier = self.odds();
        if let Some(draft) = &mut self.draft {
            draft.earlier = earlier;
            draft.heard = Some((now, text));
            draft.text_due = draft.job_due;
            draft.unsteady = draft.ahead.as_ref().is_some_and(|before| before.ending.number != ending.number);
            // What an earlier look had prepared is not said.
            if let Some(before) = draft.ahead.replace(Ahead { brain, answer, speech, ending }) {
                self.effects.push_back(Effect::Cancel { utterance: before.speech.id });
            }
        }
        // What must be heard to its end goes through the same synthesizer, one clause after the other.
        if covered && !self.mouth.protected() {
            self.ask_ahead();
        }
        self.try_commit(now);
    }

    /// The first clause of a draft is due when the draft would become the answer, as far as can be told by now.
    fn ask_ahead(&mut self) {
        let patience = self.judged().map(|judgement| self.patience(judgement)).unwrap_or_default();
        if let Some(Draft { ahead: Some(ahead), speech_end, .. }) = &mut self.draft {
            ahead.speech.ask(1, *speech_end + patience, &mut self.effects);
        }
    }

    /// A promise to put the caller through is not lost to a "thank you" over it, nor a question to an early answer.
    pub(super) fn speech_of(&mut self, answer: &Answer) -> Speech {
        let speech = Speech::new(self.mouth.next_id(), answer.clauses.clone(), answer.then.clone());
        let promised = matches!(answer.then, Then::Transfer(_));
        let asks = answer.put.as_ref().is_some_and(|put| put.clause > 0);
        if promised || asks { speech.protected_until(u16::MAX) } else { speech }
    }

    pub(super) fn not_heard(&mut self, now: Instant, job: Job) {
        if self.partial_heard(job, None) {
            return;
        }
        let draft = self.draft.as_ref().filter(|d| d.job == job && d.heard.is_none());
        let Some(speech_end) = draft.map(|d| d.speech_end) else { return };
        self.dismiss(now);
        // Over the agent it was short, or he would be silent by now: he goes on.
        if !self.mouth.speaking() {
            self.respond(now, speech_end, Input::Unclear, Judgement::Unsure);
        }
    }

    pub(super) fn scored(&mut self, now: Instant, job: Job, finished: f32) {
        if let Some(draft) = self.draft.as_mut().filter(|d| d.first == job) {
            draft.scored = Some((now, finished));
            self.try_commit(now);
        }
    }
}

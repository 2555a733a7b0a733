//! Turns: when a draft becomes the answer, and what that changes. It hears and says nothing itself.

use super::*;

/// Silence after which an utterance that is not over is heard again.
const LOOKS_MS: [u32; 2] = [240, 600];
/// A text from another look is of use for so long.
const LOOK_DUE: Duration = Duration::from_millis(150);

impl Call {
    /// How finished the draft looks; none without its text.
    pub(super) fn judged(&self) -> Option<Judgement> {
        self.odds().map(|odds| judge(probability(odds)))
    }

    /// The log odds that the caller has finished, by all looks.
    pub(super) fn odds(&self) -> Option<f32> {
        let draft = self.draft.as_ref()?;
        let ahead = draft.ahead.as_ref()?;
        let evidence = Evidence {
            text: draft.heard.as_ref().map(|(_, text)| text.as_str())?,
            score: draft.scored.map(|(_, s)| s),
            ending: ahead.ending,
            unsteady: draft.unsteady,
            expects: self.brain.expects(),
            slot: ahead.answer.slot,
            understood: ahead.answer.understood,
            foreign: !ahead.answer.covered && !self.llm_may_hear(),
            voiced_ms: self.ear.voiced_ms(),
        };
        let last = log_odds(evidence);
        Some(draft.earlier.map_or(last, |earlier| together(earlier, last)))
    }

    /// Silence after which an utterance so judged is over, where the agent asks what it asks now.
    pub(super) fn patience(&self, judgement: Judgement) -> Duration {
        let (turn, here) = (&self.config.turn, self.brain.waits());
        let ms = match judgement {
            Judgement::Unsure => here.unsure_ms.unwrap_or(turn.unsure_ms),
            Judgement::Unfinished => here.unfinished_ms.unwrap_or(turn.unfinished_ms),
            Judgement::Finished
            | Judgement::Key
            | Judgement::Typed
            | Judgement::Click
            | Judgement::Request
            | Judgement::Silence
            | Judgement::Noise => here.finished_ms.unwrap_or(turn.finished_ms),
        };
        Duration::from_millis(ms.into())
    }

    /// Words at the very end come out better with some silence behind them: an utterance that is not over by then is
    /// heard once more.
    pub(super) fn look_again(&mut self, now: Instant) {
        let Some(draft) = self.draft.as_mut().filter(|d| d.heard.is_some() && !d.held_back) else { return };
        if LOOKS_MS.get(draft.looks).is_none_or(|at| self.ear.silence_ms() < *at) {
            return;
        }
        draft.looks += 1;
        self.jobs += 1;
        draft.job = Job(self.jobs);
        draft.job_due = now + LOOK_DUE;
        self.effects.push_back(Effect::Recognize { job: draft.job, due: Due::By(draft.job_due) });
    }

    /// When a draft so judged should be answered: after the silence for it, and not before its text was due, which
    /// another look may have brought.
    pub(super) fn answer_due(&self, draft: &Draft, judgement: Judgement) -> Instant {
        draft.text_due.max(draft.speech_end + self.patience(judgement))
    }

    /// True: another look found the same words.
    pub(super) fn heard_the_same(&mut self, text: &str) -> bool {
        let Some(draft) = &mut self.draft else { return false };
        let same = draft.heard.as_ref().is_some_and(|(_, before)| before == text);
        draft.unsteady &= !same;
        same
    }

    pub(super) fn try_commit(&mut self, now: Instant) {
        let Some(judgement) = self.judged().filter(|_| !self.is_undecided()) else { return };
        let silence = Duration::from_millis(self.ear.silence_ms().into());
        if silence < self.patience(judgement) {
            return;
        }
        if self.too_early || self.transfer_since.is_some() {
            return self.dismiss(now);
        }
        if self.mouth.protected() {
            // An answer over the end of the question counts once the question is over.
            if let Some(draft) = self.draft.as_mut().filter(|_| self.filler.is_none()) {
                draft.held_back = true;
            }
            return;
        }
        let due = self.draft.as_ref().filter(|d| !d.held_back).map_or(now, |draft| {
            // A score that never came might have said that the turn was finished.
            let unscored = draft.scored.is_none() && judgement == Judgement::Unsure;
            self.answer_due(draft, if unscored { Judgement::Finished } else { judgement })
        });
        match self.draft.take() {
            Some(Draft { heard: Some((heard_at, text)), ahead: Some(ahead), speech_end, asked, scored, .. }) => {
                let since = |t: Instant| ms_between(speech_end, t);
                let record = TurnRecord {
                    turn: 0,
                    judgement,
                    draft_ms: Some(since(asked)),
                    heard_ms: Some(since(heard_at)),
                    scored_ms: scored.map(|(t, _)| since(t)),
                    committed_ms: since(now),
                    first_frame_ms: self.filler.as_ref().and_then(|f| f.started).map(since),
                    content_ms: None,
                    filler: self.filler.is_some(),
                    late_ms: ms_between(due, now),
                    barge_in: self.barged_in,
                };
                self.commit(now, ahead, Some((&text, due)), speech_end, record);
            }
            _ => self.dismiss(now),
        }
    }

    pub(super) fn commit(
        &mut self,
        now: Instant,
        ahead: Ahead,
        heard: Option<(&str, Instant)>,
        speech_end: Instant,
        record: TurnRecord,
    ) {
        let Ahead { brain, answer, speech, .. } = ahead;
        let decided = answer.decision.clone();
        let written = record.judgement == Judgement::Typed;
        let nods = answer.backchannel && answer.then == Then::Listen && decided.is_none();
        let withdraws = matches!(decided, Some(Decision::Withdraw(..)));
        match heard.filter(|_| written || !nods) {
            Some((text, _)) => self.caption_caller(text, true),
            None => self.retract_caption(),
        }
        if nods {
            // "Mm-hm": nothing to answer; whatever was being said goes on.
            self.brain = brain;
            self.voice_was_nothing(now);
            return self.nod(now);
        }
        let after = self.comes_after(record.judgement, withdraws);
        self.brain = brain;
        if !after {
            self.stop_speaking(now);
        }
        if heard.is_some() || matches!(record.judgement, Judgement::Key | Judgement::Click) {
            self.trouble.over();
        }
        self.filler = None;
        self.goodbye = answer.end;
        self.effects.extend(answer.done.clone().map(Effect::Outcome));
        self.ear.reset();
        self.effects.push_back(Effect::ForgetAudio { keep_ms: 0 });
        self.decide(now, decided);
        if heard.is_some() && !written {
            self.over.was_caller();
        }
        match heard.filter(|_| !withdraws) {
            Some((text, _)) => self.remember(now, speech_end, Speaker::Caller, text),
            None => self.voice_was_nothing(now),
        }
        self.quiet_since = None;
        self.flush_turn();
        self.turns += 1;
        self.judged = Some(record.judgement);
        let record = TurnRecord { turn: self.turns, ..record };
        let fill_at = self.fill_at(now);
        let thinks = !answer.covered && self.llm_may_hear();
        let due = (!thinks && !after).then(|| heard.map_or(now, |(_, due)| due));
        let utterance = speech.id;
        self.pending = Some(Pending { utterance, speech_end, due, opening: false, record, fill_at, fills: 0 });
        match after {
            true => self.after = Some((answer, speech)),
            false => self.begin_speech(now, answer, speech),
        }
    }

    pub(super) fn begin_speech(&mut self, now: Instant, answer: Answer, speech: Speech) {
        self.put(now, answer.put.as_ref());
        if answer.covered || !self.llm_may_hear() {
            return self.mouth.speak(speech, &mut self.effects);
        }
        self.fallback = answer.clauses;
        let utterance = speech.id;
        let prompt = self.history.prompt(self.brain.system_prompt());
        self.effects.push_back(Effect::Think { utterance, prompt });
        self.mouth.speak(Speech::new(utterance, vec![], Then::Listen).growing(), &mut self.effects);
    }

    /// Answers something that was not an utterance: a key, silence, a failure to hear.
    pub(super) fn respond(&mut self, now: Instant, since: Instant, input: Input<'_>, judgement: Judgement) {
        let mut brain = self.brain.clone();
        let mut answer = brain.hear(input);
        let mut speech = self.speech_of(&answer);
        if judgement == Judgement::Noise {
            // The noise would stop it.
            speech = speech.protected_until(u16::MAX);
        }
        let record = TurnRecord::at_once(judgement, ms_between(since, now), self.mouth.sounding());
        // Whatever the flows say to a key or to silence is theirs, never a language model's.
        answer.covered = true;
        self.commit(now, Ahead { brain, answer, speech, ending: Ending::default() }, None, since, record);
    }

    pub(super) fn digit(&mut self, now: Instant, key: char) {
        // Agreement before the question was heard would not be informed; a person can be asked for at any time.
        if self.screening() {
            return self.screen_over(now, AnsweredBy::Person);
        }
        if self.takes_key(now, key) {
            return;
        }
        self.pressed(now, key);
    }

    pub(super) fn pressed(&mut self, now: Instant, key: char) {
        // What is said over noise asks for keys.
        if self.mouth.protected() && key != '0' && self.judged != Some(Judgement::Noise) {
            return;
        }
        self.drop_draft();
        self.respond(now, now, Input::Digit(key), Judgement::Key);
    }

    /// The beginning of a tone sounds like speech.
    pub(super) fn tone(&mut self, now: Instant) {
        if self.ear.speaking() && self.ear.voiced_ms() <= TONE_ONSET_MS {
            self.dismiss(now);
        }
    }
}

//! The speaking half of the call: clauses that went out, thoughts that came, what is remembered. It decides no turn.

use super::*;

impl Call {
    /// A turn whose answer never got out is still a turn.
    pub(super) fn flush_turn(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.effects.push_back(Effect::TurnDone(pending.record));
        }
    }

    pub(super) fn clause_gone(&mut self, now: Instant, clause: ClauseId, heard: bool) {
        if let Some(pending) = self.pending.as_mut().filter(|p| p.utterance == clause.utterance && p.opening) {
            // The answer is due now.
            pending.opening = false;
            pending.due = pending.due.map(|_| now);
        }
        for mouthed in self.mouth.clause_gone(clause, heard, &mut self.effects) {
            self.mouthed(now, mouthed);
        }
    }

    pub(super) fn mouthed(&mut self, now: Instant, mouthed: Mouthed) {
        if matches!(mouthed, Mouthed::Done(_)) {
            // Whatever was heard over it is heard after it now.
            self.let_go();
            self.forget_over();
            self.duck(false);
        }
        if matches!(mouthed, Mouthed::Done(_))
            && let Some((answer, speech)) = self.after.take()
        {
            let fill_at = self.fill_at(now);
            self.pending.iter_mut().for_each(|pending| pending.fill_at = fill_at);
            return self.begin_speech(now, answer, speech);
        }
        match mouthed {
            Mouthed::Line(text) => self.remember(now, now, Speaker::Agent, &text),
            Mouthed::Done(Then::Listen) => {
                self.flush_turn();
                self.fall_quiet(now);
            }
            // The other side reports how it went; until then nobody is asked to speak.
            Mouthed::Done(Then::Transfer(target)) => {
                self.transfer_since = Some(now);
                self.effects.push_back(Effect::Transfer(target));
            }
            Mouthed::Done(Then::Hangup) => {
                let cause = if self.turned_away { EndCause::TurnedAway } else { self.goodbye };
                self.end(now, cause, true);
            }
        }
    }

    pub(super) fn transfer_failed(&mut self, now: Instant) {
        if self.transfer_since.take().is_none() {
            return;
        }
        self.dismiss(now);
        self.stop_speaking(now);
        let answer = self.brain.transfer_failed();
        let speech = self.speech_of(&answer);
        self.quiet_since = None;
        self.mouth.speak(speech, &mut self.effects);
    }

    pub(super) fn thought(&mut self, now: Instant, utterance: u64, clause: Option<String>) {
        if clause.is_none() && self.mouth.is_empty(utterance) {
            return self.thought_failed(now, utterance);
        }
        if clause.is_none() {
            self.brain.said_instead(&self.mouth.clauses());
        }
        if let Some(mouthed) = self.mouth.grow(utterance, clause, &mut self.effects) {
            self.mouthed(now, mouthed);
        }
    }

    /// The model failed: say what the flows would have said, unless something was said already.
    pub(super) fn thought_failed(&mut self, now: Instant, utterance: u64) {
        if self.mouth.is_empty(utterance) {
            for clause in std::mem::take(&mut self.fallback) {
                self.mouth.grow(utterance, Some(clause), &mut self.effects);
            }
        }
        if let Some(mouthed) = self.mouth.grow(utterance, None, &mut self.effects) {
            self.mouthed(now, mouthed);
        }
    }
}

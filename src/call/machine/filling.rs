//! Never dead air: a short honest word where a language model or the recognizer takes long. It is told apart from the
//! answer, in time and in what the caller is said to have heard.

use super::*;

/// Between one filler and the next, and until the flows' fallback after the last.
const FILL_AGAIN: Duration = Duration::from_secs(4);
const FILLS_MAX: usize = 2;
/// A score from which a turn is over though its words are not known yet.
const CERTAIN: f32 = 0.5;
/// Less speech than this may have been a cough: nothing is promised to it.
const SPEECH_MS: u32 = 300;

/// A filler said before the words of the turn were known.
pub(super) struct Filler {
    utterance: u64,
    /// When its first frame went out.
    pub started: Option<Instant>,
}

impl Call {
    fn filler_ms(&self) -> Option<u32> {
        (self.config.turn.filler_ms > 0).then_some(self.config.turn.filler_ms)
    }

    /// When an answer that begins now has been silent for too long.
    pub(super) fn fill_at(&self, now: Instant) -> Option<Instant> {
        self.filler_ms().map(|ms| now + Duration::from_millis(ms.into()))
    }

    /// Fills dead air, where there is some.
    pub(super) fn fill(&mut self, now: Instant) {
        if self.pending.as_ref().and_then(|p| p.fill_at).is_some_and(|at| now >= at) {
            self.fill_thought(now);
        }
        self.pay(now);
        if self.recognition_is_late() {
            let utterance = self.mouth.next_id();
            self.filler = Some(Filler { utterance, started: None });
            // Heard to its end, which takes a second; the answer waits for that.
            let speech = Speech::new(utterance, self.brain.agent().filler(0), Then::Listen).protected_until(u16::MAX);
            self.mouth.speak(speech, &mut self.effects);
        }
    }

    fn fill_thought(&mut self, now: Instant) {
        let Some(pending) = self.pending.as_mut() else { return };
        pending.fill_at = None;
        if !self.mouth.is_empty(pending.utterance) {
            return;
        }
        if pending.fills >= FILLS_MAX {
            let utterance = pending.utterance;
            self.effects.push_back(Effect::StopThinking);
            return self.thought_failed(now, utterance);
        }
        pending.fill_at = Some(now + FILL_AGAIN);
        let clauses = self.brain.agent().filler(pending.fills);
        pending.fills += 1;
        self.mouth.fill(pending.utterance, clauses, &mut self.effects);
    }

    /// The caller has surely finished, and what was said is still being read.
    fn recognition_is_late(&self) -> bool {
        let Some(draft) = self.draft.as_ref().filter(|d| d.heard.is_none()) else { return false };
        let Some(filler_ms) = self.filler_ms() else { return false };
        let free = !self.mouth.speaking() && self.filler.is_none() && self.transfer_since.is_none();
        let meant = free && !self.held && !self.too_early && self.ear.voiced_ms() >= SPEECH_MS;
        let finished = draft.scored.is_some_and(|(_, score)| score >= CERTAIN);
        let over_ms = if finished { self.config.turn.finished_ms } else { self.config.turn.unfinished_ms };
        meant && self.ear.silence_ms() >= over_ms.saturating_add(filler_ms)
    }

    /// The first frame of a clause went out: of a filler, an opener or the answer itself.
    pub(super) fn clause_started(&mut self, now: Instant, clause: ClauseId) {
        if let Some(filler) = self.filler.as_mut().filter(|f| f.utterance == clause.utterance) {
            filler.started = filler.started.or(Some(now));
        }
        let Some(pending) = self.pending.as_mut().filter(|p| p.utterance == clause.utterance) else { return };
        let at_ms = ms_between(pending.speech_end, now);
        pending.record.first_frame_ms = pending.record.first_frame_ms.or(Some(at_ms));
        if self.mouth.is_filler(clause) {
            pending.record.filler = true;
            return;
        }
        let late_ms = pending.due.map_or(0, |due| ms_between(due, now));
        pending.record.late_ms = pending.record.late_ms.max(late_ms);
        if self.mouth.is_opener(clause) {
            pending.opening = true;
            return;
        }
        pending.record.content_ms = Some(at_ms);
        self.flush_turn();
    }
}

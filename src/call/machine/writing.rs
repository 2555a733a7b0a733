//! What a caller writes and clicks on a page, and that they come, go and come back by another road. It hears nothing.

use super::*;

/// Texts that wait until something was heard to its end; the oldest is answered first, one more is not read.
const UNREAD: usize = 4;
/// Whoever reads and writes takes longer than whoever talks.
const TEXT_SILENCE: Duration = Duration::from_secs(120);

impl Call {
    /// How long a caller may be silent before they are asked.
    pub(super) fn silence(&self) -> Duration {
        match self.presence {
            Presence::Voice => Duration::from_millis(self.config.silence_ms.into()),
            Presence::Text => TEXT_SILENCE,
        }
    }

    /// A turn that was written: it is over when it comes.
    pub(super) fn typed(&mut self, now: Instant, text: String) {
        if self.turned_away || self.transfer_since.is_some() {
            return;
        }
        if self.must_be_heard() {
            if self.unread.len() < UNREAD {
                self.unread.push_back(text);
            }
            return;
        }
        let mut brain = self.brain.clone();
        let answer = brain.read(&text);
        self.answer_page(now, brain, answer, Some(&text), Judgement::Typed);
    }

    /// Reads what waited, once it may be answered.
    pub(super) fn read_on(&mut self, now: Instant) {
        if !self.ended
            && !self.must_be_heard()
            && let Some(text) = self.unread.pop_front()
        {
            self.typed(now, text);
        }
    }

    /// The question stands on the page from its beginning: it can be answered before it was spoken to its end.
    pub(super) fn clicked(&mut self, now: Instant, grant: bool) {
        if self.turned_away {
            return;
        }
        if self.brain.asks_consent() {
            let mut brain = self.brain.clone();
            let answer = brain.clicked(grant);
            self.click(now, brain, answer);
        } else if !grant {
            // A no counts at any time.
            self.withdrawn(now);
        }
    }

    pub(super) fn withdrawn(&mut self, now: Instant) {
        if self.brain.asks_consent() {
            self.clicked(now, false);
        } else if self.gate.permit(Scope::Transcript).is_some() {
            let mut brain = self.brain.clone();
            let answer = brain.withdraw();
            self.click(now, brain, answer);
        }
    }

    fn click(&mut self, now: Instant, brain: Brain, answer: Answer) {
        if self.must_be_heard() || self.transfer_since.is_some() {
            // It counts at once, and what is being said goes on.
            self.brain = brain;
            return self.decide(answer.decision);
        }
        self.answer_page(now, brain, answer, None, Judgement::Click);
    }

    fn answer_page(&mut self, now: Instant, brain: Brain, answer: Answer, text: Option<&str>, judgement: Judgement) {
        self.drop_draft();
        self.retract_caption();
        let speech = self.speech_of(&answer);
        let record = TurnRecord::at_once(judgement, 0, self.mouth.sounding());
        let ahead = Ahead { brain, answer, speech, ending: Ending::default() };
        self.commit(now, ahead, text.map(|text| (text, now)), now, record);
    }

    /// The agent says something that no text and no click shortens.
    fn must_be_heard(&self) -> bool {
        let opening = self.brain.asks_consent() && self.question > 0;
        self.mouth.protected() && !opening && self.after.is_none()
    }

    /// Whether the answer comes after what sounds now: that an AI answers is heard, whatever was clicked meanwhile; the
    /// question behind it is asked no more.
    pub(super) fn comes_after(&mut self, judgement: Judgement) -> bool {
        if !matches!(judgement, Judgement::Typed | Judgement::Click) || !self.mouth.protected() {
            return false;
        }
        self.after.is_some() || (self.brain.asks_consent() && self.mouth.end_before(self.question))
    }

    /// They are there by this road from now on. What was being said may not have reached them: it is said again.
    pub(super) fn present(&mut self, now: Instant, presence: Presence) {
        let heard_before = self.presence == Presence::Voice;
        self.presence = presence;
        self.dismiss(now);
        self.mouth.again(&mut self.effects);
        self.quiet_since = None;
        if presence == Presence::Voice && !heard_before && self.brain.asks_consent() && !self.mouth.speaking() {
            // So far it was only read.
            let question = self.brain.agent().consent_question();
            let speech = Speech::new(self.mouth.next_id(), question, Then::Listen);
            self.mouth.speak(speech, &mut self.effects);
        }
        self.fall_quiet(now);
    }
}

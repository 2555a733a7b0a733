//! What a caller writes and clicks on a page, and that they come, go and come back by another road. It hears nothing.

use ::privacy::Scope;
use ::privacy::consent::{Which, Withdrawal};

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
        if matches!(&answer.decision, Some(Decision::Grant(scope, _)) if !self.is_asked(scope)) {
            // A yes to a question that has not been put yet.
            return;
        }
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
    /// Without a scope it is the one that is asked for.
    pub(super) fn clicked(&mut self, now: Instant, grant: bool, scope: Option<Scope>) {
        if self.turned_away {
            return;
        }
        let open = self.brain.question().map(|question| &question.scope).filter(|scope| self.is_asked(scope));
        if open.is_some() && (scope.is_none() || scope.as_ref() == open) {
            let mut brain = self.brain.clone();
            let answer = brain.clicked(grant);
            self.answer_at_once(now, brain, answer, Judgement::Click);
        } else if !grant {
            // A no counts at any time.
            self.withdrawn(now, scope);
        }
    }

    /// One consent or, without a scope, all of them.
    pub(super) fn withdrawn(&mut self, now: Instant, scope: Option<Scope>) {
        let which = scope.as_ref().map_or(Which::All, Which::one);
        let open = self.brain.question().is_some_and(|question| which.holds(&question.scope));
        if self.has_granted(&which) && self.brain.asks_consent() && !open {
            // The question that is open stays so.
            self.decide(now, Some(Decision::Withdraw(which, Withdrawal::Click)));
        } else if self.has_granted(&which) {
            self.take_back(now, &which, Withdrawal::Click);
        } else if open {
            self.clicked(now, false, None);
        }
    }

    pub(super) fn answer_at_once(&mut self, now: Instant, brain: Brain, answer: Answer, judgement: Judgement) {
        if self.must_be_heard() || self.transfer_since.is_some() {
            // It counts at once, and what is being said goes on.
            self.brain = brain;
            self.decide(now, answer.decision.clone());
            let asks = answer.put.is_some() || self.asks_after();
            if asks && self.transfer_since.is_none() {
                let speech = self.speech_of(&answer);
                self.after = Some((answer, speech));
            }
            return;
        }
        self.answer_page(now, brain, answer, None, judgement);
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

    /// The next question for consent waits for what is being said: nothing answers it yet.
    fn asks_after(&self) -> bool {
        self.after.as_ref().is_some_and(|(answer, _)| answer.put.is_some())
    }

    /// Whether the answer comes after what sounds now: that an AI answers is heard, whatever was clicked meanwhile; the
    /// question behind it is asked no more.
    pub(super) fn comes_after(&mut self, judgement: Judgement, withdraws: bool) -> bool {
        let waits = withdraws || matches!(judgement, Judgement::Typed | Judgement::Click);
        if !waits || !self.mouth.protected() {
            return false;
        }
        self.after.is_some() || (self.brain.asks_consent() && self.mouth.end_before(self.question))
    }

    /// They are there by this road from now on. What was being said may not have reached them: it is said again.
    pub(super) fn present(&mut self, now: Instant, presence: Presence) {
        let heard_before = self.presence == Presence::Voice;
        self.presence = presence;
        self.reached_by(presence);
        self.dismiss(now);
        self.mouth.again(&mut self.effects);
        self.quiet_since = None;
        if presence == Presence::Voice && !heard_before && self.brain.asks_consent() && !self.mouth.speaking() {
            // So far it was only read.
            let question = self.brain.question().map(|question| question.ask.clone()).unwrap_or_default();
            let speech = Speech::new(self.mouth.next_id(), question, Then::Listen);
            self.mouth.speak(speech, &mut self.effects);
        }
        self.fall_quiet(now);
    }
}

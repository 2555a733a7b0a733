//! A call of ours was answered: nothing is said until it is known by whom. It knows no words of machines itself.

use super::*;
use crate::call::answering::{self, AnsweredBy, Answering, MachineAction};

/// From here on a frame counts as speech.
const SPEECH: f32 = 0.5;
/// Where no frame comes at all, the call begins after this.
const PATIENCE: Duration = Duration::from_secs(4);
/// A greeting may go on after "Hello."; for so long its words can still give a machine away.
const SECOND_THOUGHTS: Duration = Duration::from_secs(15);

pub(super) struct Screen {
    answering: Answering,
    action: MachineAction,
    stage: Stage,
    tone_hz: Option<u16>,
    /// The last frame came then.
    heard: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Who is it?
    Asking,
    /// A machine: its tone is waited for.
    Waiting,
    /// A person, as far as is known.
    Talking,
}

impl Screen {
    pub fn new(action: MachineAction) -> Self {
        Self { answering: Answering::default(), action, stage: Stage::Asking, tone_hz: None, heard: None }
    }
}

impl Call {
    /// Nobody is talked to yet.
    pub(super) fn screening(&self) -> bool {
        self.screen.as_ref().is_some_and(|s| s.stage != Stage::Talking)
    }

    /// Whether tones on the line mean anything to this call.
    pub fn listens_for_tones(&self) -> bool {
        self.screening()
    }

    pub(super) fn screen_deadline(&self) -> Option<Instant> {
        let asking = self.screen.as_ref().filter(|s| s.stage == Stage::Asking);
        asking.map(|s| s.heard.unwrap_or(self.began) + PATIENCE)
    }

    pub(super) fn beep(&mut self, hz: u16) {
        if let Some(screen) = &mut self.screen {
            screen.tone_hz = Some(hz);
        }
    }

    /// The frames of whoever picked up. The recognizer is asked at each of their pauses.
    pub(super) fn screen_frame(&mut self, now: Instant, at: MediaTime, speech: f32, dbfs: f32) {
        match self.ear.frame(at, speech, dbfs) {
            Some(EarEvent::Started) => self.effects.push_back(Effect::ForgetAudio { keep_ms: ONSET_MS }),
            Some(EarEvent::Paused) => self.begin_draft(now),
            Some(EarEvent::Resumed) => self.drop_draft(),
            None => {}
        }
        let Some(screen) = &mut self.screen else { return };
        screen.heard = Some(now);
        let tone_hz = screen.tone_hz.take();
        let decided = screen.answering.frame(speech >= SPEECH, tone_hz);
        match screen.stage {
            Stage::Asking => self.answered_by(now, decided),
            Stage::Waiting => self.leave_message(now),
            Stage::Talking => {}
        }
    }

    pub(super) fn screen_text(&mut self, now: Instant, job: Job, text: &str) {
        if self.draft.as_ref().is_none_or(|d| d.job != job) {
            return;
        }
        if let Some(draft) = &mut self.draft {
            // Read, and not to be read again.
            draft.heard = Some((now, String::new()));
        }
        let Some(screen) = self.screen.as_mut().filter(|s| s.stage == Stage::Asking) else { return };
        let decided = screen.answering.text(text);
        self.answered_by(now, decided);
    }

    /// Nothing came by which to tell, or a key was pressed, which only people do.
    pub(super) fn screen_over(&mut self, now: Instant, by: AnsweredBy) {
        if self.screen.as_ref().is_some_and(|s| s.stage == Stage::Asking) {
            self.answered_by(now, Some(by));
        }
    }

    /// "Hello. You have reached ..." has been taken for a person. True: it is none, and nobody is to be answered.
    pub(super) fn is_machine_after_all(&mut self, now: Instant, text: &str) -> bool {
        let talking =
            self.screen.as_ref().is_some_and(|s| s.stage == Stage::Talking && s.action != MachineAction::Talk);
        if !talking || now > self.began + SECOND_THOUGHTS || !answering::is_machine(text) {
            return false;
        }
        self.stop_speaking(now);
        self.answered_by(now, Some(AnsweredBy::Machine));
        true
    }

    fn answered_by(&mut self, now: Instant, by: Option<AnsweredBy>) {
        let (Some(by), Some(screen)) = (by, &mut self.screen) else { return };
        self.effects.push_back(Effect::AnsweredBy(by));
        match (by, screen.action) {
            (AnsweredBy::Machine, MachineAction::HangUp) => self.end(now, EndCause::Machine, true),
            (AnsweredBy::Machine, MachineAction::Message) => {
                screen.stage = Stage::Waiting;
                self.leave_message(now);
            }
            _ => {
                screen.stage = Stage::Talking;
                self.drop_draft();
                self.ear.reset();
                self.effects.push_back(Effect::ForgetAudio { keep_ms: 0 });
                self.open(now);
            }
        }
    }

    fn leave_message(&mut self, now: Instant) {
        let Some(screen) = &self.screen else { return };
        if screen.answering.is_out_of_service() {
            return self.end(now, EndCause::Machine, true);
        }
        if !screen.answering.wants_a_message() {
            return;
        }
        self.screen = None;
        match self.brain.agent().voicemail() {
            Some(message) => {
                self.goodbye = EndCause::Machine;
                self.announce(now, message, Then::Hangup);
            }
            None => self.end(now, EndCause::Machine, true),
        }
    }
}

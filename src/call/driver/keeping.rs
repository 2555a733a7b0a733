//! The driver's side of what is kept: consents on record first, then lines and sound against a permit. It decides
//! nothing.

use std::time::Instant;

use ::privacy::consent::ConsentEvent;
use ::privacy::seal::Plain;
use ::privacy::{Scope, Scopes};
use media::FRAME_SAMPLES;

use super::Driver;
use crate::call::live::Requests;
use crate::call::recording::Recorder;
use crate::call::{Action, Line, Speaker};

impl Driver {
    /// In their order, and before everything that is kept under them.
    pub(super) fn record_consent(&mut self, event: ConsentEvent) {
        self.unrecorded.push_back(event);
        self.record_consents();
    }

    pub(super) fn record_consents(&mut self) {
        while let Some(event) = self.unrecorded.front() {
            if self.around.store.event(event.clone()).is_err() {
                return;
            }
            self.unrecorded.pop_front();
        }
    }

    /// Of the privacy desk, which hears of it once the step is on record.
    pub(super) fn read_requests(&mut self, now: Instant) {
        while !self.ended
            && let Some(request) = self.requests.as_mut().and_then(Requests::poll)
        {
            self.apply(now, Action::Requested(request));
            self.publish();
        }
        if let Some(requests) = self.requests.as_mut().filter(|_| self.unrecorded.is_empty()) {
            requests.settle();
        }
    }

    /// The only door to the store: no permit, no line. A consent that is not on record is none.
    pub(super) fn remember(&mut self, line: Line) {
        if !self.unrecorded.is_empty() {
            return self.lose_line();
        }
        let Some(permit) = self.call.gate().and_then(|gate| gate.permit(&Scope::Transcript)) else { return };
        if self.lost_lines > 0 && self.around.store.append_gap(&permit, line.at_ms, self.lost_lines).is_ok() {
            self.lost_lines = 0;
        }
        if self.around.store.append(&permit, line).is_err() {
            self.lose_line();
        }
    }

    fn lose_line(&mut self) {
        self.lost_lines += 1;
        metrics::counter!("dauys_transcript_gaps_total").increment(1);
    }

    pub(super) fn purge(&mut self, scopes: &Scopes) {
        if scopes.contains(&Scope::Audio) {
            self.recorder = None;
        }
        // What a language model reads ahead may rest on them.
        self.warming = None;
        if let Some(egress) = &self.around.egress {
            egress.withdrawn(self.id, scopes);
        }
        self.around.store.purge(self.id, scopes);
    }

    /// 20 ms of one leg, if its sound may be kept.
    pub(super) fn record_sound(&mut self, now: Instant, who: Speaker, samples: Option<&[i16; FRAME_SAMPLES]>) {
        if self.call.gate().is_none_or(|gate| gate.permit(&Scope::Audio).is_none()) {
            self.recorder = None;
            return;
        }
        if self.recorder.is_none() && !self.no_recorder {
            self.recorder = Recorder::new(self.id);
            self.no_recorder = self.recorder.is_none();
        }
        let at = self.call.time(now);
        if let Some(recorder) = &mut self.recorder {
            recorder.push(at, who, samples);
        }
    }

    /// Hands over what is clear by now; `last`: the call is over.
    pub(super) fn keep_sound(&mut self, now: Instant, last: bool) {
        let Some(recorder) = &mut self.recorder else { return };
        while let Some(stretch) = self.call.poll_sound(now, last) {
            recorder.decide(&stretch);
        }
        // A consent that is not on record is none; what is decided waits.
        if !self.unrecorded.is_empty() {
            return;
        }
        let permit = self.call.gate().and_then(|gate| gate.permit(&Scope::Audio));
        let Some(permit) = permit else { return };
        while let Some(mut kept) = recorder.next(last) {
            let opus = Plain::new(std::mem::take(&mut *kept.ogg));
            if self.around.store.audio(&permit, kept.leg, kept.seq, kept.duration_ms, opus).is_err() {
                metrics::counter!("dauys_recording_gaps_total").increment(1);
            }
        }
    }
}

//! The driver's speaking half: clauses from the synthesizer through the playout to the leg, and what of them went out. It
//! decides nothing.

use std::time::Instant;

use media::playout::{PLAYOUT_FRAMES, Playout};
use media::{Frame, MediaTime};
use models::{ClauseId, Spoken};
use tracing::warn;

use super::{AtPlayout, Driver, PLAYOUT_AHEAD, Wire};
use crate::call::media::Media;
use crate::call::page::Page;
use crate::call::{Action, Sounding, Speaker};

impl Driver {
    pub(super) fn sounding_now(&mut self) -> Option<Sounding> {
        let front = self.sounding.front_mut()?;
        let played = self.playout.played(front.clause)?;
        front.length_ms = front.length_ms.or_else(|| self.lines.synthesizer.length_ms(front.clause));
        let played_ms = u32::try_from(played.ms()).unwrap_or(u32::MAX);
        Some(Sounding { clause: front.clause, played_ms, length_ms: front.length_ms })
    }

    /// The clause among those at the playout, where it comes last.
    fn at_playout(&mut self, clause: ClauseId) -> Option<&mut AtPlayout> {
        if self.sounding.iter().all(|c| c.clause != clause) {
            self.sounding.push_back(AtPlayout { clause, frames: 0, length_ms: None });
        }
        self.sounding.iter_mut().find(|c| c.clause == clause)
    }

    pub(super) fn speak(&mut self, now: Instant, wire: &dyn Wire) {
        let there = !self.page.as_ref().is_some_and(Page::is_gone);
        // What is said before there are keys would be heard by nobody.
        let frame = if there && self.media.as_ref().is_some_and(Media::can_say) {
            self.fill_playout(now);
            self.playout.tick(&mut self.spoken_pool)
        } else {
            None
        };
        match &mut self.media {
            Some(media) => {
                media.say(now, frame.as_ref(), wire);
                self.record_sound(now, Speaker::Agent, frame.as_ref().map(Frame::samples));
                self.played(now);
            }
            None if there => self.read_out(now),
            None => {}
        }
    }

    fn fill_playout(&mut self, now: Instant) {
        while self.playout.space() > PLAYOUT_FRAMES - PLAYOUT_AHEAD {
            let front = self.at_synthesizer.front().copied();
            if front.is_none_or(|c| Some(c.utterance) != self.released) {
                return;
            }
            match self.lines.synthesizer.poll(MediaTime::default(), &mut self.spoken_pool) {
                None => return,
                Some(Spoken::Frame { clause, frame }) => {
                    if let Some(at_playout) = self.at_playout(clause) {
                        at_playout.frames += 1;
                    }
                    if self.playout.push(clause, frame).is_err() {
                        return;
                    }
                }
                Some(Spoken::End { clause }) => {
                    self.at_synthesizer.retain(|c| *c != clause);
                    // A clause without a sound is played at once.
                    if let Some(at_playout) = self.at_playout(clause) {
                        at_playout.length_ms = Some(at_playout.frames * media::FRAME_MS);
                    }
                    self.playout.end(clause);
                    self.apply(now, Action::ClauseEnded(clause));
                }
                Some(Spoken::Failed { clause, error }) => {
                    warn!(call = %self.id, %error, "a clause could not be spoken");
                    self.at_synthesizer.retain(|c| *c != clause);
                    self.begun &= self.sounding.front().is_none_or(|c| c.clause != clause);
                    self.sounding.retain(|c| c.clause != clause);
                    self.apply(now, Action::ClauseFailed(clause));
                }
            }
        }
    }

    /// Forgets what sounds and what sounded.
    pub(super) fn silence(&mut self) {
        self.playout = Playout::new();
        self.sounding.clear();
        self.begun = false;
        self.released = None;
    }

    /// Tells the call what has gone out by now.
    fn played(&mut self, now: Instant) {
        while let Some(clause) = self.sounding.front().map(|c| c.clause) {
            let Some(played) = self.playout.played(clause) else { return };
            if !self.begun {
                self.begun = true;
                self.apply(now, Action::ClauseStarted(clause));
            }
            if !played.complete || self.sounding.front().is_none_or(|c| c.clause != clause) {
                return;
            }
            self.sounding.pop_front();
            self.begun = false;
            self.apply(now, Action::ClausePlayed(clause));
        }
    }
}

//! Ears for calls that are only told something: they hear nothing, judge nothing and hold no place at an engine.

use crate::traits::{Due, Heard, Job, Recognizer, RecognizerError, Scored, TurnDetector, TurnError, Vad};
use media::Frame;

/// Takes everything and answers nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deaf;

impl Recognizer for Deaf {
    fn push(&mut self, _frame: &Frame) -> Result<(), RecognizerError> {
        Ok(())
    }
    fn recognize(&mut self, _job: Job, _due: Due) -> Result<(), RecognizerError> {
        Ok(())
    }
    fn give_up(&mut self, _job: Job) {}
    fn poll(&mut self) -> Option<Heard> {
        None
    }
    fn reset(&mut self, _keep_ms: u32) {}
}

impl TurnDetector for Deaf {
    fn push(&mut self, _frame: &Frame) {}
    fn score(&mut self, _job: Job, _due: Due) -> Result<(), TurnError> {
        Ok(())
    }
    fn give_up(&mut self, _job: Job) {}
    fn poll(&mut self) -> Option<Scored> {
        None
    }
    fn reset(&mut self) {}
}

impl Vad for Deaf {
    fn push(&mut self, _frame: &Frame) -> f32 {
        0.0
    }
    fn reset(&mut self) {}
}

//! End of turn from audio: smart-turn v3.2 hears the last 8 s and says how finished the caller sounds. An opinion only;
//! it never decides, and never keeps more than those 8 s.

use crate::mel::LogMel;
use crate::onnx;
use crate::sound::{Copied, Sound};
use crate::traits::{Due, Job, Scored, TurnDetector, TurnError, Wake};
use crate::worker::{Crew, Line, Outbox, Ticket};
use media::{Frame, SAMPLE_RATE};
use ort::session::Session;
use ort::value::TensorRef;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

/// What the model hears: 8 s, shorter audio padded with silence in front.
const SAMPLES: usize = 8 * SAMPLE_RATE as usize;
const BANDS: usize = 80;
const FRAMES: usize = 800;
/// What a line answers when the engine failed: no opinion.
const UNSURE: f32 = 0.5;

pub(crate) type TurnCrew = Crew<Request>;

/// The model, loaded.
pub(crate) struct SmartTurn {
    session: Session,
    mel: LogMel,
}

impl SmartTurn {
    /// The manifest's name of the file that `load` wants.
    pub(crate) const FILE: &'static str = "smart-turn/smart-turn-v3.2-cpu.onnx";

    pub(crate) fn load(model: &Path) -> Result<Self, String> {
        let session = onnx::session(model).map_err(|error| error.to_string())?;
        let mut model = Self { session, mel: LogMel::new(BANDS) };
        model.finished(&[0; 320]).map_err(|error| error.to_string())?;
        Ok(model)
    }

    /// Probability that the speaker of mono 16 kHz audio has finished.
    pub(crate) fn finished(&mut self, audio: &[i16]) -> ort::Result<f32> {
        let recent = audio.get(audio.len().saturating_sub(SAMPLES)..).unwrap_or_default();
        let padding = SAMPLES - recent.len();
        let mut samples = vec![0f32; padding];
        samples.extend(recent.iter().map(|sample| f32::from(*sample) / 32_768.0));
        normalize(&mut samples);
        let features = self.mel.features(&samples, padding);
        let input = TensorRef::from_array_view(([1usize, BANDS, FRAMES], features.as_slice()))?;
        let outputs = self.session.run(ort::inputs!["input_features" => input])?;
        let (_, probability) = outputs[0].try_extract_tensor::<f32>()?;
        Ok(probability.first().copied().unwrap_or(UNSURE).clamp(0.0, 1.0))
    }
}

/// Zero mean and unit variance over all 8 s, padding included, as the model was trained.
fn normalize(samples: &mut [f32]) {
    let count = samples.len().max(1) as f64;
    let mean = samples.iter().map(|sample| f64::from(*sample)).sum::<f64>() / count;
    let variance = samples.iter().map(|sample| (f64::from(*sample) - mean).powi(2)).sum::<f64>() / count;
    let scale = 1.0 / (variance + 1e-7).sqrt();
    samples.iter_mut().for_each(|sample| *sample = ((f64::from(*sample) - mean) * scale) as f32);
}

/// Audio on its way through the engine. If it is dropped without an answer, the line hears "unsure".
pub(crate) struct Request {
    audio: Copied,
    reply: Reply,
}

struct Reply {
    job: Job,
    ticket: Ticket,
    outbox: Arc<Outbox<Scored>>,
    sent: bool,
}

impl Reply {
    fn send(&mut self, finished: f32) {
        self.sent = true;
        self.outbox.send(&self.ticket, Scored { job: self.job, finished });
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.sent {
            self.send(UNSURE);
        }
    }
}

/// What an engine's thread does with a request.
pub(crate) fn serve(engine: &mut SmartTurn, mut request: Request) {
    match engine.finished(&request.audio.samples()) {
        Ok(finished) => request.reply.send(finished),
        Err(error) => tracing::warn!(%error, "smart-turn failed"),
    }
}

/// A line; dropping it gives the place back and cancels its jobs.
pub(crate) struct EngineTurnDetector {
    line: Line<Request>,
    audio: Sound,
    tickets: VecDeque<(Job, Ticket)>,
    outbox: Arc<Outbox<Scored>>,
}

impl EngineTurnDetector {
    pub(crate) fn new(line: Line<Request>, wake: Wake) -> Self {
        Self { line, audio: Sound::default(), tickets: VecDeque::new(), outbox: Outbox::new(wake) }
    }

    fn cancel(&mut self) {
        self.tickets.drain(..).for_each(|(_, ticket)| ticket.cancel());
    }
}

impl TurnDetector for EngineTurnDetector {
    fn push(&mut self, frame: &Frame) {
        self.audio.push(frame.samples());
        self.audio.keep(SAMPLES);
    }

    fn score(&mut self, job: Job, due: Due) -> Result<(), TurnError> {
        let ticket = Ticket::new();
        let reply = Reply { job, ticket: ticket.clone(), outbox: Arc::clone(&self.outbox), sent: false };
        let request = Request { audio: self.audio.copy(), reply };
        let added = self.line.queue.replace(self.line.number, &ticket, due, request);
        added.map_err(|_| TurnError::Busy)?;
        self.tickets.retain(|(_, ticket)| !ticket.cancelled());
        self.tickets.push_back((job, ticket));
        Ok(())
    }

    fn give_up(&mut self, job: Job) {
        self.tickets.iter().filter(|(asked, _)| *asked == job).for_each(|(_, ticket)| ticket.cancel());
        self.tickets.retain(|(asked, _)| *asked != job);
    }

    fn poll(&mut self) -> Option<Scored> {
        let scored = self.outbox.receive()?;
        self.tickets.retain(|(job, _)| *job != scored.job);
        Some(scored)
    }

    fn reset(&mut self) {
        self.cancel();
        self.audio.keep(0);
    }
}

impl Drop for EngineTurnDetector {
    fn drop(&mut self) {
        self.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalized_audio_has_unit_variance() {
        let mut samples: Vec<f32> = (0..1_000).map(|n| if n % 2 == 0 { 0.3 } else { 0.1 }).collect();
        normalize(&mut samples);
        assert!((samples[0] - 1.0).abs() < 1e-3 && (samples[1] + 1.0).abs() < 1e-3);
        let mut silence = vec![0.0; 10];
        normalize(&mut silence);
        assert_eq!(silence, [0.0; 10]);
        normalize(&mut []);
    }
}

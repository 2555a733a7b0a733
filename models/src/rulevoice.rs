//! The rule-based voice of espeak-ng as a synthesizer: plain to hear as a machine, but ready for about a hundred
//! languages without a model. The last resort where no neural voice exists.

use crate::level;
use crate::recognizing::Failed;
use crate::resample::Resampler;
use crate::speaking::Speak;
use crate::worker::Ticket;
use media::SAMPLE_RATE;

/// One espeak voice.
pub(crate) struct RuleVoice {
    voice: String,
    resampler: Option<(u32, Resampler)>,
}

impl RuleVoice {
    /// The voice by its espeak name: `ru`, `kk`, `en-us`.
    pub(crate) fn new(voice: &str) -> Result<Self, espeak::Error> {
        espeak::check_voice(voice)?;
        Ok(Self { voice: voice.to_owned(), resampler: None })
    }
}

impl Speak for RuleVoice {
    fn speak(&mut self, text: &str, _ticket: &Ticket, emit: &mut dyn FnMut(Vec<i16>)) -> Result<(), Failed> {
        let (samples, rate) = espeak::speak(text, &self.voice).map_err(|error| {
            tracing::warn!(%error, "espeak failed");
            Failed
        })?;
        if self.resampler.as_ref().is_none_or(|(made_for, _)| *made_for != rate) {
            self.resampler = Some((rate, Resampler::new(rate, SAMPLE_RATE)));
        }
        let samples: Vec<f32> = samples.into_iter().map(|sample| f32::from(sample) / 32_768.0).collect();
        if let Some((_, resampler)) = &self.resampler {
            emit(level::finish(resampler.resample(&samples)));
        }
        Ok(())
    }
}

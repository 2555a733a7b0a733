//! A caller at this machine's microphone and speaker. Audio goes through bounded rings and is never kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{
    FromSample, Sample, SampleFormat, SizedSample, StreamConfig, SupportedStreamConfig, SupportedStreamConfigRange,
};
use media::{FRAME_SAMPLES, SAMPLE_RATE};

use crate::caller::{CallerError, Party, Step};

/// Half a second; past it the oldest goes, so that what is heard is never late.
const RING: usize = SAMPLE_RATE as usize / 2;

#[derive(Clone, Default)]
struct Ring(Arc<Mutex<VecDeque<i16>>>);

impl Ring {
    fn push(&self, samples: impl Iterator<Item = i16>) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.extend(samples);
        let over = ring.len().saturating_sub(RING);
        ring.drain(..over);
    }

    /// The next samples, silence where there are none; false where there were none at all.
    fn pull(&self, out: &mut [i16]) -> bool {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let some = !ring.is_empty();
        out.fill_with(|| ring.pop_front().unwrap_or(0));
        some
    }
}

/// Lives as long as the call: dropping it closes the devices.
pub struct Console {
    microphone: Ring,
    speaker: Ring,
    _streams: [cpal::Stream; 2],
}

impl Console {
    pub fn open() -> Result<Self, CallerError> {
        let host = cpal::default_host();
        let missing = |what: &str| CallerError::Device(format!("no {what} found; is a sound card there and allowed?"));
        let input = host.default_input_device().ok_or_else(|| missing("microphone"))?;
        let output = host.default_output_device().ok_or_else(|| missing("speaker"))?;
        let failed = |e: cpal::Error| CallerError::Device(e.to_string());
        let input_config = choose(input.supported_input_configs().map_err(failed)?, "microphone")?;
        let output_config = choose(output.supported_output_configs().map_err(failed)?, "speaker")?;
        let (microphone, speaker) = (Ring::default(), Ring::default());
        let (m, s) = (microphone.clone(), speaker.clone());
        let listening = match input_config.sample_format() {
            SampleFormat::F32 => listen::<f32>(&input, input_config.into(), m),
            _ => listen::<i16>(&input, input_config.into(), m),
        };
        let playing = match output_config.sample_format() {
            SampleFormat::F32 => play::<f32>(&output, output_config.into(), s),
            _ => play::<i16>(&output, output_config.into(), s),
        };
        let streams = [listening.map_err(failed)?, playing.map_err(failed)?];
        for stream in &streams {
            stream.play().map_err(failed)?;
        }
        Ok(Self { microphone, speaker, _streams: streams })
    }
}

/// Mono before stereo, 16-bit before float, at the gateway's own rate: the sound system converts better than we would.
fn choose(
    configs: impl Iterator<Item = SupportedStreamConfigRange>,
    what: &str,
) -> Result<SupportedStreamConfig, CallerError> {
    configs
        .filter(|c| matches!(c.sample_format(), SampleFormat::I16 | SampleFormat::F32))
        .filter_map(|c| c.try_with_sample_rate(SAMPLE_RATE))
        .min_by_key(|c| (c.channels(), c.sample_format() != SampleFormat::I16))
        .ok_or_else(|| {
            CallerError::Device(format!(
                "the {what} offers no 16000 Hz; make the sound system's converting device the default (ALSA: type plug)"
            ))
        })
}

fn listen<T: SizedSample>(device: &cpal::Device, config: StreamConfig, ring: Ring) -> Result<cpal::Stream, cpal::Error>
where
    i16: FromSample<T>,
{
    let channels = usize::from(config.channels).max(1);
    let heard = move |data: &[T], _: &cpal::InputCallbackInfo| {
        ring.push(data.chunks(channels).filter_map(|c| c.first()).map(|s| i16::from_sample(*s)));
    };
    device.build_input_stream(config, heard, |e| tracing::warn!(error = %e, "microphone"), None)
}

fn play<T: SizedSample + FromSample<i16>>(
    device: &cpal::Device,
    config: StreamConfig,
    ring: Ring,
) -> Result<cpal::Stream, cpal::Error> {
    let channels = usize::from(config.channels).max(1);
    let wanted = move |data: &mut [T], _: &cpal::OutputCallbackInfo| {
        for frame in data.chunks_mut(channels) {
            let mut sample = [0];
            ring.pull(&mut sample);
            frame.fill(T::from_sample(sample[0]));
        }
    };
    device.build_output_stream(config, wanted, |e| tracing::warn!(error = %e, "speaker"), None)
}

impl Party for Console {
    fn begin(&mut self, _started: Instant) {}

    fn next(&mut self, _sent: Instant) -> Step {
        let mut samples = Box::new([0; FRAME_SAMPLES]);
        if self.microphone.pull(&mut samples[..]) { Step::Audio(samples) } else { Step::Silence }
    }

    fn hear(&mut self, samples: &[i16; 320]) {
        self.speaker.push(samples.iter().map(|s| s.to_sample()));
    }

    fn speech_arrived(&mut self, _at: Instant) {}
}

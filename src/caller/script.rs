//! A caller from recordings: waits for the agent to finish, plays the next one, and times the answer.
//! It reads its files before the call and never during it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use media::{FRAME_MS, FRAME_SAMPLES};

use crate::caller::report::{Turn, ms};
use crate::caller::{CallerError, Party, SPEECH_DBFS, Step};

/// Speech in a recording is louder than this; breath and room are not.
const RECORDED_SPEECH_DBFS: f32 = -42.0;
/// Silence from a party that never speaks, after which the next recording is played all the same.
const GIVE_UP_MS: u32 = 8_000;

/// What the caller says, in order.
pub enum Item {
    Recording(PathBuf),
    Keys(String),
}

pub struct ScriptOptions {
    pub items: Vec<Item>,
    /// Agent silence after which it is the caller's turn.
    pub pause_ms: u32,
    /// Keep what was heard.
    pub record: bool,
}

struct Said {
    name: String,
    audio: Vec<i16>,
    keys: Vec<char>,
    /// The frame that holds the last speech.
    last_speech_frame: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Waiting for the agent to have spoken and stopped.
    Waiting {
        agent_spoke: bool,
    },
    Saying {
        frame: usize,
    },
}

pub struct Script {
    said: Vec<Said>,
    next: usize,
    state: State,
    pause_ms: u32,
    agent_quiet_ms: u32,
    last_speech_sent: Option<Instant>,
    started: Option<Instant>,
    turns: Vec<Turn>,
    record: Option<Vec<i16>>,
}

impl Script {
    pub fn load(options: ScriptOptions) -> Result<Self, CallerError> {
        let said = options.items.iter().map(load).collect::<Result<_, _>>()?;
        Ok(Self {
            said,
            next: 0,
            state: State::Waiting { agent_spoke: false },
            pause_ms: options.pause_ms,
            agent_quiet_ms: 0,
            last_speech_sent: None,
            started: None,
            turns: vec![],
            record: options.record.then(Vec::new),
        })
    }

    /// The turns, with times counted from the INVITE.
    pub fn turns(self) -> (Vec<Turn>, Option<Vec<i16>>) {
        (self.turns, self.record)
    }

    fn since(&self, at: Instant) -> u32 {
        self.started.map_or(0, |s| ms(s, at))
    }

    fn waiting(&mut self, agent_spoke: bool) -> Step {
        let patience = if agent_spoke { self.pause_ms } else { GIVE_UP_MS };
        if self.agent_quiet_ms < patience {
            return Step::Silence;
        }
        if self.next >= self.said.len() {
            return Step::HangUp;
        }
        self.state = State::Saying { frame: 0 };
        self.last_speech_sent = None;
        Step::Silence
    }

    fn saying(&mut self, frame: usize, sent: Instant) -> Step {
        let Some(said) = self.said.get(self.next) else { return Step::HangUp };
        if frame == said.last_speech_frame {
            self.last_speech_sent = Some(sent);
            let last_speech_sent_ms = self.since(sent);
            let turn = Turn {
                said: said.name.clone(),
                last_speech_sent_ms,
                first_agent_speech_ms: None,
                voice_to_voice_ms: None,
            };
            self.turns.push(turn);
        }
        let said = &self.said[self.next];
        if let Some(key) = said.keys.get(frame) {
            self.state = State::Saying { frame: frame + 1 };
            return Step::Digit(*key);
        }
        let start = frame * FRAME_SAMPLES;
        let Some(part) = said.audio.get(start..).filter(|p| !p.is_empty()) else {
            self.next += 1;
            self.agent_quiet_ms = 0;
            self.state = State::Waiting { agent_spoke: false };
            return Step::Silence;
        };
        let mut samples = Box::new([0; FRAME_SAMPLES]);
        for (to, from) in samples.iter_mut().zip(part) {
            *to = *from;
        }
        self.state = State::Saying { frame: frame + 1 };
        Step::Audio(samples)
    }
}

impl Party for Script {
    fn begin(&mut self, started: Instant) {
        self.started = Some(started);
    }

    fn next(&mut self, sent: Instant) -> Step {
        match self.state {
            State::Waiting { agent_spoke } => self.waiting(agent_spoke),
            State::Saying { frame } => self.saying(frame, sent),
        }
    }

    fn hear(&mut self, samples: &[i16; 320]) {
        if let Some(record) = &mut self.record {
            record.extend_from_slice(samples);
        }
        let speaks = media::level::rms_dbfs(samples) >= SPEECH_DBFS;
        self.agent_quiet_ms = if speaks { 0 } else { self.agent_quiet_ms + FRAME_MS };
        if let State::Waiting { agent_spoke } = &mut self.state {
            *agent_spoke |= speaks;
        }
    }

    fn speech_arrived(&mut self, at: Instant) {
        let since = self.since(at);
        // Speech before the last word was sent is an interruption, not an answer.
        if let (Some(sent), Some(turn)) = (self.last_speech_sent.take(), self.turns.last_mut()) {
            turn.first_agent_speech_ms = Some(since);
            turn.voice_to_voice_ms = Some(ms(sent, at));
        }
    }
}

fn load(item: &Item) -> Result<Said, CallerError> {
    match item {
        Item::Keys(keys) => Ok(Said {
            name: format!("keys {keys}"),
            audio: vec![],
            keys: keys.chars().collect(),
            last_speech_frame: keys.chars().count().saturating_sub(1),
        }),
        Item::Recording(path) => {
            let audio = read_wav(path)?;
            let last_ms = media::level::last_active_ms(&audio, media::SAMPLE_RATE, RECORDED_SPEECH_DBFS);
            let last_speech_frame = (last_ms.unwrap_or(0) / FRAME_MS) as usize;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok(Said { name, audio, keys: vec![], last_speech_frame })
        }
    }
}

/// Reads a mono 16-bit WAV of 8 or 16 kHz as 16 kHz.
pub fn read_wav(path: &Path) -> Result<Vec<i16>, CallerError> {
    let wrong = |problem: String| CallerError::Wav { path: path.into(), problem };
    let mut reader = hound::WavReader::open(path).map_err(|e| wrong(e.to_string()))?;
    let spec = reader.spec();
    if spec.channels != 1 || spec.bits_per_sample != 16 || spec.sample_format != hound::SampleFormat::Int {
        return Err(wrong("takes a mono 16-bit PCM WAV; convert it with: sox IN -r 16000 -c 1 -b 16 OUT".into()));
    }
    let samples: Vec<i16> = reader.samples().collect::<Result<_, _>>().map_err(|e| wrong(e.to_string()))?;
    match spec.sample_rate {
        16_000 => Ok(samples),
        8_000 => Ok(upsample(&samples)),
        rate => Err(wrong(format!("has {rate} Hz; takes 8000 or 16000 Hz: sox IN -r 16000 OUT"))),
    }
}

fn upsample(samples: &[i16]) -> Vec<i16> {
    let mut up = media::resample::Upsampler::default();
    let mut out = vec![0; samples.len() * 2];
    up.process(samples, &mut out);
    out
}

/// Writes 16 kHz mono.
pub fn write_wav(path: &Path, samples: &[i16]) -> Result<(), CallerError> {
    let wrong = |e: hound::Error| CallerError::Wav { path: path.into(), problem: e.to_string() };
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: media::SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).map_err(wrong)?;
    for s in samples {
        writer.write_sample(*s).map_err(wrong)?;
    }
    writer.finalize().map_err(wrong)
}

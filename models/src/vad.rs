//! Voice activity: two detectors behind one seam, both synchronous and cheap enough for the media thread. Neither
//! decides when speech starts or ends; that is the reader of the probabilities.

use crate::onnx;
use crate::traits::Vad;
use crate::worker::locked;
use earshot::{DefaultPredictor, Detector};
use media::Frame;
use ort::session::Session;
use ort::value::TensorRef;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Which detector lines get.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VadKind {
    /// A tiny network in the binary: about 10 us a frame, no file.
    #[default]
    Earshot,
    /// Silero: about 50 us a frame, through the ONNX Runtime.
    Silero,
}

/// Makes detectors, one a line.
pub(crate) enum VadFactory {
    Earshot,
    Silero(Arc<Mutex<Session>>),
}

impl VadFactory {
    /// The manifest's name of Silero's file.
    pub(crate) const SILERO_FILE: &'static str = "silero/silero_vad.onnx";

    pub(crate) fn silero(model: &Path) -> Result<Self, String> {
        let session = onnx::session(model).map_err(|error| error.to_string())?;
        let session = Arc::new(Mutex::new(session));
        let mut probe = Silero::new(Arc::clone(&session));
        probe.step().map_err(|error| error.to_string())?;
        Ok(Self::Silero(session))
    }

    pub(crate) fn open(&self) -> Box<dyn Vad> {
        match self {
            Self::Earshot => Box::new(Earshot::default()),
            Self::Silero(session) => Box::new(Silero::new(Arc::clone(session))),
        }
    }
}

/// Cuts 20 ms frames into the windows a detector wants.
struct Windows<const N: usize> {
    samples: [i16; N],
    filled: usize,
}

impl<const N: usize> Windows<N> {
    fn new() -> Self {
        Self { samples: [0; N], filled: 0 }
    }

    /// Calls `full` with every window that the frame completes.
    fn push(&mut self, frame: &Frame, mut full: impl FnMut(&[i16; N])) {
        for sample in frame.samples() {
            if let Some(slot) = self.samples.get_mut(self.filled) {
                *slot = *sample;
            }
            self.filled += 1;
            if self.filled >= N {
                self.filled = 0;
                full(&self.samples);
            }
        }
    }
}

/// The earshot crate: 16 ms windows.
struct Earshot {
    detector: Box<Detector<DefaultPredictor>>,
    windows: Windows<256>,
    last: f32,
}

impl Default for Earshot {
    fn default() -> Self {
        Self { detector: Box::default(), windows: Windows::new(), last: 0.0 }
    }
}

impl Vad for Earshot {
    fn push(&mut self, frame: &Frame) -> f32 {
        let mut highest: Option<f32> = None;
        let detector = &mut self.detector;
        self.windows.push(frame, |window| {
            let speech = detector.predict_i16(window).clamp(0.0, 1.0);
            highest = Some(highest.map_or(speech, |other| other.max(speech)));
        });
        self.last = highest.unwrap_or(self.last);
        self.last
    }

    fn reset(&mut self) {
        self.detector.reset();
        self.windows = Windows::new();
        self.last = 0.0;
    }
}

/// Samples of a Silero window at 16 kHz, and of the context it wants before it.
const SILERO_WINDOW: usize = 512;
const SILERO_CONTEXT: usize = 64;
/// Length of the recurrent state.
const SILERO_STATE: usize = 2 * 128;

/// Silero VAD v5 or v6: 32 ms windows with a recurrent state; lines share the session, not the state.
struct Silero {
    session: Arc<Mutex<Session>>,
    state: [f32; SILERO_STATE],
    input: [f32; SILERO_CONTEXT + SILERO_WINDOW],
    windows: Windows<SILERO_WINDOW>,
    last: f32,
}

impl Silero {
    fn new(session: Arc<Mutex<Session>>) -> Self {
        Self {
            session,
            state: [0.0; SILERO_STATE],
            input: [0.0; SILERO_CONTEXT + SILERO_WINDOW],
            windows: Windows::new(),
            last: 0.0,
        }
    }

    fn load(&mut self, window: &[i16; SILERO_WINDOW]) {
        self.input.copy_within(SILERO_WINDOW.., 0);
        let slots = self.input.iter_mut().skip(SILERO_CONTEXT);
        slots.zip(window).for_each(|(slot, sample)| *slot = f32::from(*sample) / 32_768.0);
    }

    fn step(&mut self) -> ort::Result<f32> {
        let mut session = locked(&self.session);
        let outputs = session.run(ort::inputs![
            "input" => TensorRef::from_array_view(([1usize, SILERO_CONTEXT + SILERO_WINDOW], self.input.as_slice()))?,
            "state" => TensorRef::from_array_view(([2usize, 1, 128], self.state.as_slice()))?,
            "sr" => TensorRef::from_array_view(([1usize], [16_000i64].as_slice()))?,
        ])?;
        let (_, speech) = outputs["output"].try_extract_tensor::<f32>()?;
        let (_, state) = outputs["stateN"].try_extract_tensor::<f32>()?;
        self.state.iter_mut().zip(state).for_each(|(slot, value)| *slot = *value);
        Ok(speech.first().copied().unwrap_or(0.0))
    }
}

impl Vad for Silero {
    fn push(&mut self, frame: &Frame) -> f32 {
        let mut windows = std::mem::replace(&mut self.windows, Windows::new());
        windows.push(frame, |window| {
            self.load(window);
            match self.step() {
                Ok(speech) => self.last = speech.clamp(0.0, 1.0),
                Err(error) => tracing::warn!(%error, "silero failed"),
            }
        });
        self.windows = windows;
        self.last
    }

    fn reset(&mut self) {
        *self = Self::new(Arc::clone(&self.session));
    }
}

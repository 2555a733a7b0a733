//! Voice activity: two detectors behind one seam, both synchronous and cheap enough for the media thread. Neither
//! decides when speech starts or ends; that is the reader of the probabilities.

mod earshot;
mod gate;

use self::earshot::Earshot;
use self::gate::Gate;
use crate::onnx;
use crate::traits::Vad;
use crate::worker::locked;
use media::Frame;
use ort::session::Session;
use ort::value::TensorRef;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Which detector lines get.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VadKind {
    /// A tiny network in the binary: about 4 us a frame, no file.
    #[default]
    Earshot,
    /// Silero: about 50 us a frame, through the ONNX Runtime.
    Silero,
}

/// Makes detectors, one a line.
pub(crate) struct VadFactory {
    network: Network,
    /// Spare the network the silence.
    gate: bool,
}

enum Network {
    Earshot,
    Silero(Arc<Mutex<Session>>),
}

impl VadFactory {
    /// The manifest's name of Silero's file.
    pub(crate) const SILERO_FILE: &'static str = "silero/silero_vad.onnx";

    pub(crate) fn earshot(gate: bool) -> Self {
        Self { network: Network::Earshot, gate }
    }

    pub(crate) fn silero(model: &Path, gate: bool) -> Result<Self, String> {
        let session = onnx::session(model).map_err(|error| error.to_string())?;
        let session = Arc::new(Mutex::new(session));
        let mut probe = Silero::new(Arc::clone(&session));
        probe.step().map_err(|error| error.to_string())?;
        Ok(Self { network: Network::Silero(session), gate })
    }

    pub(crate) fn open(&self) -> Box<dyn Vad> {
        match &self.network {
            Network::Earshot => earshot(self.gate),
            Network::Silero(session) => gated(Silero::new(Arc::clone(session)), self.gate),
        }
    }
}

/// The default detector, which needs no file. `gate`: spare the network the silence; which frames are speech is the
/// same.
#[must_use]
pub fn earshot(gate: bool) -> Box<dyn Vad> {
    gated(Earshot::default(), gate)
}

fn gated(detector: impl Vad + 'static, gate: bool) -> Box<dyn Vad> {
    if gate { Box::new(Gate::new(detector)) } else { Box::new(detector) }
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
        let mut rest = frame.samples().as_slice();
        while let Some(room) = self.samples.get_mut(self.filled..).filter(|_| !rest.is_empty()) {
            let (now, later) = rest.split_at(room.len().min(rest.len()));
            room.iter_mut().zip(now).for_each(|(slot, sample)| *slot = *sample);
            self.filled += now.len();
            rest = later;
            if self.filled >= N {
                self.filled = 0;
                full(&self.samples);
            }
        }
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

//! Speech to text of one recording, for tests and the command line: loads an engine, hears, and lets it go. Not for
//! calls, which share engines that stay.

use crate::engines::{self, LoadError};
use crate::manifest::Manifest;
use crate::recognizing::Transcribe as _;
use crate::worker::Ticket;
use crate::{Language, RecognizerError, RecognizerKind};
use std::path::Path;

/// Why a recording was not read.
#[derive(Debug, thiserror::Error)]
pub enum OneshotError {
    /// The engine did not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The engine failed on this recording.
    #[error(transparent)]
    Recognizer(#[from] RecognizerError),
}

/// Text of mono 16 kHz audio: English by Moonshine, everything else by Whisper.
///
/// # Errors
/// When a model is missing or fails.
pub fn transcribe(audio: &[i16], language: &Language, models_dir: &Path) -> Result<String, OneshotError> {
    let kind = if language.as_str() == "en" { RecognizerKind::Moonshine } else { RecognizerKind::Whisper };
    transcribe_with(kind, audio, language, models_dir)
}

/// Text of mono 16 kHz audio by the given engine.
///
/// # Errors
/// When a model is missing or fails.
pub fn transcribe_with(
    kind: RecognizerKind,
    audio: &[i16],
    language: &Language,
    models_dir: &Path,
) -> Result<String, OneshotError> {
    let manifest = Manifest::builtin().map_err(LoadError::from)?;
    let text = match kind {
        RecognizerKind::Moonshine => {
            engines::load_moonshine(&manifest, models_dir)?.transcribe(audio, language.as_str(), &Ticket::new())
        }
        RecognizerKind::Whisper => {
            let context = engines::load_whisper(&manifest, models_dir)?;
            engines::whisper_thread(&context)?.transcribe(audio, language.as_str(), &Ticket::new())
        }
    };
    Ok(text.map_err(|_| RecognizerError::Engine)?)
}

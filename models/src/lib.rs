//! Speech engines behind seams: recognition, synthesis, voice activity and end of turn, each with its models, threads
//! and fakes. Never opens a socket while serving, never writes what a caller said, never prints.

mod clips;
pub mod ct2;
mod deaf;
mod engines;
pub mod fake;
mod language;
mod level;
pub mod manifest;
mod mel;
mod moonshine;
pub mod oneshot;
mod onnx;
mod piper;
pub mod pull;
mod recognizing;
mod resample;
mod rulevoice;
mod slots;
mod sound;
mod speaking;
mod traits;
mod turning;
pub mod vad;
mod whisper;
mod worker;

pub use deaf::Deaf;
pub use engines::{Engines, EnginesConfig, LoadError, PrepareError, Prepared, RecognizerKind, Refused};
pub use language::{Language, NameError, VoiceName};
pub use sound::{Copied, Sound};
pub use traits::{
    CLAUSE_CHARS_MAX, CLAUSES_MAX, ClauseId, Due, Heard, Job, Recognizer, RecognizerError, Scored, Spoken, Synthesizer,
    SynthesizerError, TurnDetector, TurnError, UTTERANCE_MS_MAX, Vad, Wake,
};
pub use vad::VadKind;

use std::path::PathBuf;

/// Where models live unless the configuration says otherwise: `$DAUYS_MODELS`, else `$HOME/.cache/dauys/models`.
#[must_use]
pub fn default_models_dir() -> PathBuf {
    from_env_or_home("DAUYS_MODELS", "models")
}

/// Where ready-made clips live unless the configuration says otherwise: `$DAUYS_CACHE`, else `$HOME/.cache/dauys/clips`.
#[must_use]
pub fn default_cache_dir() -> PathBuf {
    from_env_or_home("DAUYS_CACHE", "clips")
}

fn from_env_or_home(variable: &str, folder: &str) -> PathBuf {
    if let Some(dir) = std::env::var_os(variable).filter(|dir| !dir.is_empty()) {
        return PathBuf::from(dir);
    }
    let home = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
    home.join(".cache/dauys").join(folder)
}

//! The ONNX Runtime: loaded once per process from the models folder, sessions with one thread each. Never prints and
//! never downloads anything.

use ort::logging::LogLevel;
use ort::session::Session;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Why the runtime does not work.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OnnxError {
    /// The library does not load.
    #[error("the ONNX Runtime at {} does not load: {why}; run: dauys models pull", path.display())]
    Library {
        /// The library's file.
        path: PathBuf,
        /// What the loader said.
        why: String,
    },
}

/// Loads the library. Only the first call of a process decides from where.
pub(crate) fn start(library: &Path) -> Result<(), OnnxError> {
    static STARTED: OnceLock<Result<(), OnnxError>> = OnceLock::new();
    STARTED.get_or_init(|| load(library)).clone()
}

fn load(library: &Path) -> Result<(), OnnxError> {
    let failed = |why: String| OnnxError::Library { path: library.to_owned(), why };
    let environment = ort::init_from(library).map_err(|error| failed(error.to_string()))?;
    let log = |level: LogLevel, _: &str, _: &str, place: &str, message: &str| {
        if level >= LogLevel::Error {
            tracing::warn!(place, message, "onnxruntime");
        }
    };
    let fresh = environment.with_name("dauys").with_telemetry(false).with_logger(Arc::new(log)).commit();
    if fresh { Ok(()) } else { Err(failed("another part of the process has started it already".to_owned())) }
}

/// Opens a model for one thread: lines share engines, so parallelism is between jobs, not within one.
pub(crate) fn session(model: &Path) -> ort::Result<Session> {
    let builder = Session::builder()?;
    let builder = builder.with_intra_threads(1)?.with_inter_threads(1)?.with_intra_op_spinning(false)?;
    let mut builder = builder.with_inter_op_spinning(false)?.with_log_level(LogLevel::Error)?;
    builder.commit_from_file(model)
}

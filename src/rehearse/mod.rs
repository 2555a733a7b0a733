//! `dauys rehearse`: simulated callers over real SIP and RTP, or over WebRTC, and what an agent does with them. It is no part of
//! serving, and knows the agent only from outside.

mod actor;
mod chance;
mod html;
mod log;
mod measure;
mod over;
mod phone;
mod plan;
mod plots;
pub mod result;
mod run;
pub mod scenario;
mod sounds;
mod stages;
mod utterance;
mod weather;

use std::path::{Path, PathBuf};

pub use plan::{Plan, PlanError};
pub use run::{Options, run};
pub use scenario::{Scenario, ScenarioError};

use result::RunResult;

#[derive(Debug, thiserror::Error)]
pub enum RehearseError {
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Api(#[from] stages::StagesError),
    #[error(
        "whom to call? Set `target` in the scenario or give --target sip:NAME@HOST:PORT, or http://HOST:PORT/whip/AGENT for calls as from a web page"
    )]
    NoTarget,
    #[error("no call could be placed: {0}")]
    Call(#[from] crate::caller::CallerError),
    #[error("the system gives no thread: {0}")]
    Thread(std::io::Error),
    #[error("the callers' thread ended before its calls; this is a fault of Dauys, please report it")]
    Broken,
    #[error("cannot write {path}: {source}. Give another folder with --out")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("the result could not be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// `result.json` and `report.html`.
pub fn write(result: &RunResult, folder: &Path) -> Result<(), RehearseError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| RehearseError::Write { path, source }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    let json = folder.join("result.json");
    std::fs::write(&json, serde_json::to_string(result)? + "\n").map_err(failed(&json))?;
    let page = folder.join("report.html");
    std::fs::write(&page, html::page(result)).map_err(failed(&page))
}

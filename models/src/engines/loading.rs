//! Loads engines from the models folder and starts their threads. Fetches nothing: what is missing is an error that
//! says how to get it.

use super::{EnginesConfig, LoadError, RecognizerKind};
use crate::manifest::{Entry, Manifest, Status};
use crate::moonshine::Moonshine;
use crate::onnx;
use crate::piper::Piper;
use crate::recognizing::{self, RecognizerCrew};
use crate::rulevoice::RuleVoice;
use crate::slots::Slots;
use crate::speaking::{self, SynthesizerCrew};
use crate::traits::CLAUSES_MAX;
use crate::turning::{self, SmartTurn, TurnCrew};
use crate::vad::{VadFactory, VadKind};
use crate::whisper::Whisper;
use crate::worker::Ticket;
use crate::{Language, VoiceName};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use whisper_rs::WhisperContext;

const RUNTIME: &str = "runtime/libonnxruntime.so.1.32.0";
/// Part of a voice's identity: raise it when the same text and voice come out differently.
const SPEECH_VERSION: u32 = 2;

/// Engines at work.
pub(super) struct Loaded {
    kinds: BTreeMap<Language, RecognizerKind>,
    moonshine: Option<RecognizerCrew>,
    whisper: Option<RecognizerCrew>,
    voices: BTreeMap<VoiceName, Voice>,
    pub(super) turn: TurnCrew,
    pub(super) vad: VadFactory,
}

/// One voice at work.
pub(super) struct Voice {
    pub(super) crew: SynthesizerCrew,
    /// Name and version, for the keys of clips.
    pub(super) id: Arc<str>,
}

impl Loaded {
    pub(super) fn recognizer(&self, language: &Language) -> Option<&RecognizerCrew> {
        match self.kinds.get(language)? {
            RecognizerKind::Moonshine => self.moonshine.as_ref(),
            RecognizerKind::Whisper => self.whisper.as_ref(),
        }
    }

    pub(super) fn voice(&self, name: &VoiceName) -> Option<&Voice> {
        self.voices.get(name)
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = &Slots> {
        let recognizers = self.moonshine.iter().chain(&self.whisper).map(RecognizerCrew::slots);
        let voices = self.voices.values().map(|voice| voice.crew.slots());
        recognizers.chain(voices).chain([self.turn.slots()])
    }

    pub(super) fn due_since(&self) -> Option<Instant> {
        let recognizers = self.moonshine.iter().chain(&self.whisper).filter_map(|crew| crew.queue.due_since());
        let voices = self.voices.values().filter_map(|voice| voice.crew.queue.due_since());
        recognizers.chain(voices).chain(self.turn.queue.due_since()).min()
    }
}

pub(super) fn load(config: &EnginesConfig) -> Result<Loaded, LoadError> {
    let manifest = Manifest::builtin()?;
    check_names(config, &manifest)?;
    let dir = config.models_dir.as_path();
    let wants = |kind: RecognizerKind| config.recognizers.values().any(|wanted| *wanted == kind);
    let threads = config.recognizer_threads.max(1);
    let moonshine = if wants(RecognizerKind::Moonshine) {
        let engines = (0..threads).map(|_| load_moonshine(&manifest, dir)).collect::<Result<Vec<_>, _>>()?;
        Some(recognizer_crew("asr-moonshine", engines, config.slots)?)
    } else {
        None
    };
    let whisper = if wants(RecognizerKind::Whisper) {
        let context = load_whisper(&manifest, dir)?;
        let engines = (0..threads).map(|_| whisper_thread(&context)).collect::<Result<Vec<_>, _>>()?;
        Some(recognizer_crew("asr-whisper", engines, config.slots)?)
    } else {
        None
    };
    let voices = config.voices.iter().map(|name| Ok((name.clone(), load_voice(&manifest, name, config)?)));
    let voices = voices.collect::<Result<_, LoadError>>()?;
    let turns = (0..config.turn_threads.max(1)).map(|_| load_turn(&manifest, dir)).collect::<Result<Vec<_>, _>>()?;
    let vad = load_vad(&manifest, dir, config)?;
    let turn = TurnCrew::start("turn", turns.into_iter().map(turn_work).collect(), 1, config.slots)?;
    Ok(Loaded { kinds: config.recognizers.clone(), moonshine, whisper, voices, turn, vad })
}

/// Mistakes that need no model to be seen.
fn check_names(config: &EnginesConfig, manifest: &Manifest) -> Result<(), LoadError> {
    for (language, kind) in &config.recognizers {
        let known = match kind {
            RecognizerKind::Moonshine => language.as_str() == "en",
            RecognizerKind::Whisper => Whisper::knows(language.as_str()),
        };
        if !known {
            return Err(LoadError::WrongLanguage { kind: *kind, language: language.clone() });
        }
    }
    for voice in &config.voices {
        match voice.espeak() {
            Some(name) => espeak::check_voice(name).map_err(|error| match error {
                espeak::Error::UnknownVoice(_) => unknown_voice(voice, manifest),
                error => LoadError::Espeak(error),
            })?,
            None => drop(manifest.voice(voice.as_str()).ok_or_else(|| unknown_voice(voice, manifest))?),
        }
    }
    Ok(())
}

fn unknown_voice(voice: &VoiceName, manifest: &Manifest) -> LoadError {
    LoadError::UnknownVoice { voice: voice.clone(), known: manifest.voices().join(", ") }
}

/// The path of a file that is whole and right, and the runtime started if the file needs it.
fn locate(manifest: &Manifest, dir: &Path, name: &str) -> Result<PathBuf, LoadError> {
    let missing = || LoadError::Missing { file: name.to_owned(), dir: dir.to_owned() };
    let entry = manifest.find(name).ok_or_else(missing)?;
    if entry.status(dir) == Status::Present { Ok(entry.path(dir)) } else { Err(missing()) }
}

fn start_runtime(manifest: &Manifest, dir: &Path) -> Result<(), LoadError> {
    Ok(onnx::start(&locate(manifest, dir, RUNTIME)?)?)
}

fn broken(file: &str) -> impl FnOnce(String) -> LoadError {
    move |why| LoadError::Broken { file: file.to_owned(), why }
}

pub(crate) fn load_moonshine(manifest: &Manifest, dir: &Path) -> Result<Moonshine, LoadError> {
    start_runtime(manifest, dir)?;
    let [encoder, decoder, tokenizer] = Moonshine::FILES;
    let path = |name: &str| locate(manifest, dir, name);
    Moonshine::load(&path(encoder)?, &path(decoder)?, &path(tokenizer)?).map_err(broken(encoder))
}

pub(crate) fn load_whisper(manifest: &Manifest, dir: &Path) -> Result<WhisperContext, LoadError> {
    Whisper::open(&locate(manifest, dir, Whisper::FILE)?).map_err(broken(Whisper::FILE))
}

pub(crate) fn whisper_thread(context: &WhisperContext) -> Result<Whisper, LoadError> {
    Whisper::new(context).map_err(broken(Whisper::FILE))
}

fn load_turn(manifest: &Manifest, dir: &Path) -> Result<SmartTurn, LoadError> {
    start_runtime(manifest, dir)?;
    SmartTurn::load(&locate(manifest, dir, SmartTurn::FILE)?).map_err(broken(SmartTurn::FILE))
}

fn load_vad(manifest: &Manifest, dir: &Path, config: &EnginesConfig) -> Result<VadFactory, LoadError> {
    match config.vad {
        VadKind::Earshot => Ok(VadFactory::earshot(config.vad_gate)),
        VadKind::Silero => {
            start_runtime(manifest, dir)?;
            let file = VadFactory::SILERO_FILE;
            VadFactory::silero(&locate(manifest, dir, file)?, config.vad_gate).map_err(broken(file))
        }
    }
}

fn load_voice(manifest: &Manifest, name: &VoiceName, config: &EnginesConfig) -> Result<Voice, LoadError> {
    let threads = config.synthesizer_threads.max(1);
    let thread_name = format!("tts-{name}");
    if let Some(voice) = name.espeak() {
        // The library has one lock; more threads would only wait for it.
        let work = voice_work(RuleVoice::new(voice)?);
        let crew = SynthesizerCrew::start(&thread_name, vec![work], CLAUSES_MAX, config.slots)?;
        return Ok(Voice { crew, id: format!("{name}#{SPEECH_VERSION}").into() });
    }
    let (model, settings) = manifest.voice(name.as_str()).ok_or_else(|| unknown_voice(name, manifest))?;
    start_runtime(manifest, &config.models_dir)?;
    let path = |entry: &Entry| locate(manifest, &config.models_dir, &entry.name);
    let (model_path, settings_path) = (path(model)?, path(settings)?);
    let open = |_| Piper::load(&model_path, &settings_path).map(voice_work).map_err(broken(&model.name));
    let workers = (0..threads).map(open).collect::<Result<Vec<_>, _>>()?;
    let crew = SynthesizerCrew::start(&thread_name, workers, CLAUSES_MAX, config.slots)?;
    Ok(Voice { crew, id: format!("{name}#{SPEECH_VERSION}#{}", model.sha256).into() })
}

fn recognizer_crew<E>(name: &str, engines: Vec<E>, slots: u32) -> std::io::Result<RecognizerCrew>
where
    E: recognizing::Transcribe + Send + 'static,
{
    let work = |mut engine: E| move |ticket: &Ticket, request| recognizing::serve(&mut engine, ticket, request);
    RecognizerCrew::start(name, engines.into_iter().map(work).collect(), 1, slots)
}

fn voice_work<E>(mut engine: E) -> impl FnMut(&Ticket, speaking::Request) + Send + 'static
where
    E: speaking::Speak + Send + 'static,
{
    move |ticket, request| speaking::serve(&mut engine, ticket, request)
}

fn turn_work(mut engine: SmartTurn) -> impl FnMut(&Ticket, turning::Request) + Send + 'static {
    move |_, request| turning::serve(&mut engine, request)
}

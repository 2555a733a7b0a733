//! All engines of one gateway: loads what the configuration names, warm, and opens one caller's lines to them.
//! Decides nothing about a call; a full engine refuses, it never queues callers.

use crate::clips::{ClipKey, Clips};
use crate::manifest::ManifestError;
use crate::onnx::OnnxError;
use crate::recognizing::EngineRecognizer;
use crate::slots::{Slot, Slots};
use crate::speaking::{self, EngineSynthesizer};
use crate::traits::SynthesizerError;
use crate::turning::EngineTurnDetector;
use crate::vad::VadKind;
use crate::{Due, Language, Recognizer, Synthesizer, TurnDetector, Vad, VoiceName, Wake, fake};
use loading::{Loaded, Voice};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

mod loading;
pub(crate) use loading::{load_moonshine, load_whisper, whisper_thread};

/// How long a refused caller should wait: about half a short call.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Which engine listens.
#[derive(Copy, Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RecognizerKind {
    /// Fast, English only.
    Moonshine,
    /// Any of about a hundred languages, slower.
    Whisper,
}

/// What to load.
#[derive(Clone, Debug, PartialEq)]
pub struct EnginesConfig {
    /// Where `dauys models pull` put the models.
    pub models_dir: PathBuf,
    /// Where the clips of fixed sentences are kept between starts.
    pub cache_dir: PathBuf,
    /// Which engine listens in which language; others are refused.
    pub recognizers: BTreeMap<Language, RecognizerKind>,
    /// Which voices can be opened.
    pub voices: Vec<VoiceName>,
    /// Which voice activity detector lines get.
    pub vad: VadKind,
    /// Spare the detector frames that are no louder than the line's own silence.
    pub vad_gate: bool,
    /// Lines each engine serves at once.
    pub slots: u32,
    /// Threads, and copies of the model, per recognition engine.
    pub recognizer_threads: usize,
    /// Threads, and copies of the model, per voice.
    pub synthesizer_threads: usize,
    /// Threads, and copies of the model, of the turn detector.
    pub turn_threads: usize,
    /// Bound on ready-made clips in memory, bytes.
    pub clips_bytes_max: usize,
}

impl Default for EnginesConfig {
    fn default() -> Self {
        Self {
            models_dir: crate::default_models_dir(),
            cache_dir: crate::default_cache_dir(),
            recognizers: BTreeMap::new(),
            voices: Vec::new(),
            vad: VadKind::default(),
            vad_gate: true,
            slots: 32,
            recognizer_threads: 1,
            synthesizer_threads: 1,
            turn_threads: 1,
            clips_bytes_max: 64 << 20,
        }
    }
}

/// Why engines did not load.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A model file is absent or was cut short.
    #[error("{file} is missing or incomplete in {}; run: dauys models pull", dir.display())]
    Missing {
        /// The manifest's name of the file.
        file: String,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// A model file is there but does not load.
    #[error("{file} does not load ({why}); run: dauys models verify, then dauys models pull")]
    Broken {
        /// The manifest's name of the file.
        file: String,
        /// What the engine said.
        why: String,
    },
    /// The voice is in no manifest group and no espeak voice.
    #[error("there is no voice `{voice}`; known voices: {known}, or espeak:LANGUAGE")]
    UnknownVoice {
        /// As configured.
        voice: VoiceName,
        /// What the manifest has.
        known: String,
    },
    /// The engine does not know the language.
    #[error("{kind:?} cannot listen in `{language}`; use whisper, or one of its languages")]
    WrongLanguage {
        /// The configured engine.
        kind: RecognizerKind,
        /// The configured language.
        language: Language,
    },
    /// The inference runtime does not work here.
    #[error("{0}")]
    Runtime(#[from] OnnxError),
    /// The rule-based voice does not work here.
    #[error("espeak-ng does not start ({0}); install the packages libespeak-ng1 and espeak-ng-data")]
    Espeak(#[from] espeak::Error),
    /// The built-in manifest does not parse.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The system gave no thread.
    #[error("an engine's thread could not start: {0}; raise the limit on threads")]
    Thread(#[from] std::io::Error),
}

/// Why no line was opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Every place is taken.
    #[error("all lines of the {engine} engine are in use; try again in {} s", retry_after.as_secs())]
    NoSlot {
        /// Which engine is full.
        engine: &'static str,
        /// When to try again.
        retry_after: Duration,
    },
    /// No recognizer was configured for this language.
    #[error("no recognizer is configured for language `{0}`")]
    UnknownLanguage(Language),
    /// No such voice was configured.
    #[error("voice `{0}` is not configured")]
    UnknownVoice(VoiceName),
}

/// Why sentences were not prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// No such voice was configured.
    #[error("voice `{0}` is not configured")]
    UnknownVoice(VoiceName),
    /// A sentence could not be spoken; its number, from 0.
    #[error("sentence {0} could not be spoken with this voice; change its wording or the voice")]
    Sentence(usize),
}

/// What `prepare` did.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// Sentences spoken now.
    pub spoken: usize,
    /// Sentences found on disk or in memory.
    pub found: usize,
}

/// The engines of one gateway; clones share them.
#[derive(Clone)]
pub struct Engines(Arc<Inner>);

enum Inner {
    Real { loaded: Box<Loaded>, clips: Arc<Clips> },
    Fake { script: fake::Script, slots: FakeSlots },
}

struct FakeSlots {
    recognizer: Slots,
    synthesizer: Slots,
    turn: Slots,
}

/// A fake line that holds its place.
struct Seated<T> {
    line: T,
    _slot: Slot,
}

impl Engines {
    /// Loads and warms what the configuration names. Takes seconds; blocks.
    ///
    /// # Errors
    /// When a model is missing or broken, or a name unknown; the message says what to do.
    pub fn load(config: &EnginesConfig) -> Result<Self, LoadError> {
        let loaded = Box::new(loading::load(config)?);
        let clips = Arc::new(Clips::new(config.cache_dir.clone(), config.clips_bytes_max));
        Ok(Self(Arc::new(Inner::Real { loaded, clips })))
    }

    /// Engines without models or threads: they hear nothing and speak a tone, in every language and voice.
    #[must_use]
    pub fn fake() -> Self {
        Self::scripted(fake::Script::new(), EnginesConfig::default().slots)
    }

    /// Fake engines whose lines each follow the script from its start, with so many places per engine.
    #[must_use]
    pub fn scripted(script: fake::Script, slots: u32) -> Self {
        let slots =
            FakeSlots { recognizer: Slots::new(slots), synthesizer: Slots::new(slots), turn: Slots::new(slots) };
        Self(Arc::new(Inner::Fake { script, slots }))
    }

    /// Opens a line to the recognizer of a language. `wake` is called, from the engine's thread, when `poll` has news.
    ///
    /// # Errors
    /// `NoSlot` or `UnknownLanguage`.
    pub fn recognizer(&self, language: &Language, wake: Wake) -> Result<Box<dyn Recognizer>, Refused> {
        match &*self.0 {
            Inner::Real { loaded, .. } => {
                let crew = loaded.recognizer(language).ok_or_else(|| Refused::UnknownLanguage(language.clone()))?;
                let line = crew.line().ok_or_else(|| full("recognition"))?;
                Ok(Box::new(EngineRecognizer::new(line, language.as_str(), wake)))
            }
            Inner::Fake { script, slots } => {
                let slot = slots.recognizer.take().ok_or_else(|| full("recognition"))?;
                Ok(Box::new(Seated { line: fake::Recognizer::new(script, wake), _slot: slot }))
            }
        }
    }

    /// Opens a line to a voice. `wake` is called, from the engine's thread, when `poll` has news.
    ///
    /// # Errors
    /// `NoSlot` or `UnknownVoice`.
    pub fn synthesizer(&self, voice: &VoiceName, wake: Wake) -> Result<Box<dyn Synthesizer>, Refused> {
        match &*self.0 {
            Inner::Real { loaded, clips } => {
                let Voice { crew, id } = loaded.voice(voice).ok_or_else(|| Refused::UnknownVoice(voice.clone()))?;
                let line = crew.line().ok_or_else(|| full("synthesis"))?;
                Ok(Box::new(EngineSynthesizer::new(Some(line), Arc::clone(id), Arc::clone(clips), wake)))
            }
            Inner::Fake { script, slots } => {
                let slot = slots.synthesizer.take().ok_or_else(|| full("synthesis"))?;
                Ok(Box::new(Seated { line: fake::Synthesizer::new(script, wake), _slot: slot }))
            }
        }
    }

    /// A line that speaks what `prepare` made ready, and nothing else. It takes no place: there is always one more.
    ///
    /// # Errors
    /// `UnknownVoice`.
    pub fn clips(&self, voice: &VoiceName, wake: Wake) -> Result<Box<dyn Synthesizer>, Refused> {
        match &*self.0 {
            Inner::Real { loaded, clips } => {
                let Voice { id, .. } = loaded.voice(voice).ok_or_else(|| Refused::UnknownVoice(voice.clone()))?;
                Ok(Box::new(EngineSynthesizer::new(None, Arc::clone(id), Arc::clone(clips), wake)))
            }
            Inner::Fake { script, .. } => Ok(Box::new(fake::Synthesizer::new(script, wake))),
        }
    }

    /// A voice activity detector; there is always one more.
    #[must_use]
    pub fn vad(&self) -> Box<dyn Vad> {
        match &*self.0 {
            Inner::Real { loaded, .. } => loaded.vad.open(),
            Inner::Fake { .. } => Box::new(fake::Vad),
        }
    }

    /// Opens a line to the turn detector. `wake` is called, from the engine's thread, when `poll` has news.
    ///
    /// # Errors
    /// `NoSlot`.
    pub fn turn_detector(&self, wake: Wake) -> Result<Box<dyn TurnDetector>, Refused> {
        match &*self.0 {
            Inner::Real { loaded, .. } => {
                let line = loaded.turn.line().ok_or_else(|| full("turn"))?;
                Ok(Box::new(EngineTurnDetector::new(line, wake)))
            }
            Inner::Fake { script, slots } => {
                let slot = slots.turn.take().ok_or_else(|| full("turn"))?;
                Ok(Box::new(Seated { line: fake::TurnDetector::new(script, wake), _slot: slot }))
            }
        }
    }

    /// Since when somebody waits for a job that no engine has begun, of all engines: later than now if none is late.
    #[must_use]
    pub fn due_since(&self) -> Option<Instant> {
        match &*self.0 {
            Inner::Real { loaded, .. } => loaded.due_since(),
            Inner::Fake { .. } => None,
        }
    }

    /// Calls that every engine has a place for now.
    #[must_use]
    pub fn slots_free(&self) -> u32 {
        match &*self.0 {
            Inner::Real { loaded, .. } => loaded.slots().map(Slots::free).min().unwrap_or(0),
            Inner::Fake { slots, .. } => slots.all().map(Slots::free).min().unwrap_or(0),
        }
    }

    /// Calls that every engine has a place for when nobody calls.
    #[must_use]
    pub fn slots_total(&self) -> u32 {
        match &*self.0 {
            Inner::Real { loaded, .. } => loaded.slots().map(Slots::total).min().unwrap_or(0),
            Inner::Fake { slots, .. } => slots.all().map(Slots::total).min().unwrap_or(0),
        }
    }

    /// Makes fixed sentences ready as clips, from disk where an earlier start left them. Give only what an agent's
    /// file holds: clips stay on disk. Speaks one after the other and blocks; for the start, not for a call.
    ///
    /// # Errors
    /// When the voice is unknown or a sentence cannot be spoken. A cache folder that cannot be written is only logged.
    pub fn prepare(&self, voice: &VoiceName, sentences: &[String]) -> Result<Prepared, PrepareError> {
        let mut prepared = Prepared::default();
        let Inner::Real { loaded, clips } = &*self.0 else { return Ok(prepared) };
        let voice = loaded.voice(voice).ok_or_else(|| PrepareError::UnknownVoice(voice.clone()))?;
        for (number, sentence) in sentences.iter().enumerate() {
            let key = ClipKey::new(&voice.id, sentence);
            if clips.get(&key).is_some() {
                prepared.found += 1;
            } else if let Some(clip) = clips.read(&key) {
                clips.keep(key, clip);
                prepared.found += 1;
            } else {
                let clip: Arc<[i16]> = speak(voice, sentence).map_err(|_| PrepareError::Sentence(number))?.into();
                if let Err(error) = clips.write(&key, &clip) {
                    tracing::warn!(%error, "a clip could not be kept on disk; it will be made again at the next start");
                }
                clips.keep(key, clip);
                prepared.spoken += 1;
            }
        }
        Ok(prepared)
    }
}

fn speak(voice: &Voice, sentence: &str) -> Result<Vec<i16>, SynthesizerError> {
    let (knock, knocked) = sync_channel(1);
    let wake: Wake = Arc::new(move || {
        // A knock that finds another waiting says nothing new.
        let _ = knock.try_send(());
    });
    let speech = speaking::order(&voice.crew, sentence, wake);
    loop {
        if let Some(result) = speech.complete() {
            return result;
        }
        knocked.recv().map_err(|_| SynthesizerError::Engine)?;
    }
}

fn full(engine: &'static str) -> Refused {
    Refused::NoSlot { engine, retry_after: RETRY_AFTER }
}

impl FakeSlots {
    fn all(&self) -> impl Iterator<Item = &Slots> {
        [&self.recognizer, &self.synthesizer, &self.turn].into_iter()
    }
}

impl<T: Recognizer> Recognizer for Seated<T> {
    fn push(&mut self, frame: &media::Frame) -> Result<(), crate::RecognizerError> {
        self.line.push(frame)
    }
    fn recognize(&mut self, job: crate::Job, due: Due) -> Result<(), crate::RecognizerError> {
        self.line.recognize(job, due)
    }
    fn give_up(&mut self, job: crate::Job) {
        self.line.give_up(job);
    }
    fn poll(&mut self) -> Option<crate::Heard> {
        self.line.poll()
    }
    fn reset(&mut self, keep_ms: u32) {
        self.line.reset(keep_ms);
    }
}

impl<T: Synthesizer> Synthesizer for Seated<T> {
    fn say(&mut self, clause: crate::ClauseId, text: &str, due: Due) -> Result<(), SynthesizerError> {
        self.line.say(clause, text, due)
    }
    fn poll(&mut self, at: media::MediaTime, pool: &mut media::FramePool) -> Option<crate::Spoken> {
        self.line.poll(at, pool)
    }
    fn ready(&self) -> bool {
        self.line.ready()
    }
    fn length_ms(&self, clause: crate::ClauseId) -> Option<u32> {
        self.line.length_ms(clause)
    }
    fn cancel(&mut self, utterance: u64) {
        self.line.cancel(utterance);
    }
}

impl<T: TurnDetector> TurnDetector for Seated<T> {
    fn push(&mut self, frame: &media::Frame) {
        self.line.push(frame);
    }
    fn score(&mut self, job: crate::Job, due: Due) -> Result<(), crate::TurnError> {
        self.line.score(job, due)
    }
    fn give_up(&mut self, job: crate::Job) {
        self.line.give_up(job);
    }
    fn poll(&mut self) -> Option<crate::Scored> {
        self.line.poll()
    }
    fn reset(&mut self) {
        self.line.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet() -> Wake {
        Arc::new(|| {})
    }

    #[test]
    fn a_full_engine_refuses_until_a_line_is_dropped() {
        let engines = Engines::scripted(fake::Script::new(), 1);
        let (english, joe) = (Language::parse("en").unwrap(), VoiceName::parse("joe").unwrap());
        assert_eq!((engines.slots_free(), engines.slots_total()), (1, 1));
        let line = engines.recognizer(&english, quiet()).ok().unwrap();
        assert_eq!(engines.slots_free(), 0);
        let refused = engines.recognizer(&english, quiet()).err().unwrap();
        assert_eq!(refused, Refused::NoSlot { engine: "recognition", retry_after: RETRY_AFTER });
        assert!(engines.synthesizer(&joe, quiet()).is_ok() && engines.turn_detector(quiet()).is_ok());
        drop(line);
        assert_eq!(engines.slots_free(), 1);
        assert!(engines.recognizer(&english, quiet()).is_ok());
    }

    #[test]
    fn a_missing_model_says_how_to_get_it() {
        let english = Language::parse("en").unwrap();
        let config = EnginesConfig {
            models_dir: PathBuf::from("/nowhere"),
            recognizers: BTreeMap::from([(english, RecognizerKind::Moonshine)]),
            ..EnginesConfig::default()
        };
        let error = Engines::load(&config).err().unwrap().to_string();
        assert!(error.contains("/nowhere; run: dauys models pull"), "{error}");
    }

    #[test]
    fn impossible_configurations_are_refused_before_anything_loads() {
        let check = |change: &dyn Fn(&mut EnginesConfig), want: &str| {
            let mut config = EnginesConfig { models_dir: PathBuf::from("/nowhere"), ..EnginesConfig::default() };
            change(&mut config);
            let error = Engines::load(&config).err().unwrap().to_string();
            assert!(error.contains(want), "{error}");
        };
        let language = |tag: &str| Language::parse(tag).unwrap();
        check(
            &|c| c.recognizers.extend([(language("ru"), RecognizerKind::Moonshine)]),
            "Moonshine cannot listen in `ru`",
        );
        check(&|c| c.recognizers.extend([(language("xx"), RecognizerKind::Whisper)]), "Whisper cannot listen in `xx`");
        check(&|c| c.voices.push(VoiceName::parse("joan").unwrap()), "there is no voice `joan`; known voices: joe");
        check(&|c| c.voices.push(VoiceName::parse("espeak:tlhx").unwrap()), "no voice `espeak:tlhx`");
    }
}

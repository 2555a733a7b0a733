//! The system's libespeak-ng, made safe: text to phonemes and text to speech. The library is one per process and knows
//! no threads, so every call here takes one lock. Never plays a sound and never ends the process.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_short, c_uint, c_void};
use std::ptr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Longest text of one call, bytes.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;

/// Longest speech of one call, samples: three minutes at 22.05 kHz.
const SAMPLES_MAX: usize = 180 * 22_050;

/// Words a minute: a little slower than the library's 175, for a telephone.
const WORDS_PER_MINUTE: c_int = 160;

/// A clause in the library's memory (`N_TR_SOURCE` in its source), and one word more.
const CLAUSE_BYTES_MAX: usize = 800 + FILLER.len();

/// A word of any language that uses these letters, and of none.
const FILLER: &[u8] = b"nana ";

/// Why the library did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The library found no data.
    #[error("espeak-ng found its data neither in the default place nor in $ESPEAK_DATA_PATH; install espeak-ng-data")]
    NoData,
    /// The voice is not installed.
    #[error("espeak-ng has no voice `{0}`; `espeak-ng --voices` lists them")]
    UnknownVoice(String),
    /// The text is too long or holds a zero byte.
    #[error("the text is longer than 16 KiB or holds a zero byte")]
    Text,
    /// The library refused to speak.
    #[error("espeak-ng failed (code {0})")]
    Synthesis(i32),
}

/// Phonemes up to a pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// International Phonetic Alphabet, words separated by spaces, stress marks included.
    pub ipa: String,
    /// The punctuation that ended the clause: one of `. ! ? , ; :`; none where the text just stops.
    pub terminator: Option<char>,
}

/// Phonemes of `text` as the voice (`en-us`, `ru`, `kk`, ...) reads it, clause by clause.
///
/// # Errors
/// When the library, the voice or the text cannot be used.
pub fn phonemes(text: &str, voice: &str) -> Result<Vec<Clause>, Error> {
    let text = zero_terminated(text)?;
    let mut library = library()?;
    library.select(voice)?;
    let clauses = library.clauses(&text);
    library.forget(&text);
    Ok(clauses)
}

/// Speech of `text` as mono 16-bit samples, and their rate, Hz.
///
/// # Errors
/// When the library, the voice or the text cannot be used.
pub fn speak(text: &str, voice: &str) -> Result<(Vec<i16>, u32), Error> {
    let text = zero_terminated(text)?;
    let mut library = library()?;
    library.select(voice)?;
    SPEECH.with_borrow_mut(Vec::clear);
    // SAFETY: the library is initialized (synchronous mode: the callback runs inside this call, on this thread) and
    // locked; `text` is zero-terminated, `size` is its length with the zero, and both outlive the call.
    let code = unsafe {
        espeak_Synth(
            text.as_ptr().cast(),
            text.as_bytes_with_nul().len(),
            0,
            POSITION_CHARACTER,
            0,
            CHARS_UTF8 as c_uint,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    let samples = SPEECH.with_borrow_mut(std::mem::take);
    library.forget(&text);
    if code == OK { Ok((samples, library.rate)) } else { Err(Error::Synthesis(code)) }
}

/// Whether the voice can be used.
///
/// # Errors
/// `NoData` or `UnknownVoice`.
pub fn check_voice(voice: &str) -> Result<(), Error> {
    library()?.select(voice)
}

fn zero_terminated(text: &str) -> Result<CString, Error> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Error::Text);
    }
    CString::new(text).map_err(|_| Error::Text)
}

/// The punctuation that ended a clause, from the text the library consumed. It reads one character ahead before it
/// is sure of an end, so all but the last piece may hold the beginning of the next word.
fn terminator(consumed: &str, last: bool) -> Option<char> {
    let mut ahead = usize::from(!last);
    for char in consumed.chars().rev() {
        match char {
            '.' | '!' | '?' | ',' | ';' | ':' => return Some(char),
            '…' | '。' => return Some('.'),
            '？' => return Some('?'),
            '—' | '–' => return Some(','),
            _ if char.is_whitespace() || matches!(char, '"' | '\'' | ')' | ']' | '»' | '”' | '’') => {}
            _ if ahead > 0 => ahead -= 1,
            _ => return None,
        }
    }
    None
}

/// What the process-wide library is set to.
struct Library {
    rate: u32,
    voice: Option<String>,
}

impl Library {
    fn start() -> Result<Self, Error> {
        // SAFETY: called once, before every other call of the library, with the default data path.
        let rate = unsafe { espeak_Initialize(OUTPUT_SYNCHRONOUS, 0, ptr::null(), INITIALIZE_DONT_EXIT) };
        let Ok(rate @ 1..) = u32::try_from(rate) else { return Err(Error::NoData) };
        // SAFETY: the library is initialized; `collect` has the signature the header states and lives forever.
        unsafe { espeak_SetSynthCallback(Some(collect)) };
        // SAFETY: the library is initialized; the value lies in the documented range of 80 to 450.
        let _ = unsafe { espeak_SetParameter(PARAMETER_RATE, WORDS_PER_MINUTE, 0) };
        Ok(Self { rate, voice: None })
    }

    fn select(&mut self, voice: &str) -> Result<(), Error> {
        if self.voice.as_deref() == Some(voice) {
            return Ok(());
        }
        let unknown = || Error::UnknownVoice(voice.to_owned());
        // The library takes a voice for a file's path; only names may reach it.
        let named = voice.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'_'));
        if voice.is_empty() || !named {
            return Err(unknown());
        }
        let name = CString::new(voice).map_err(|_| unknown())?;
        self.voice = None;
        // SAFETY: the library is initialized and locked; `name` is zero-terminated and outlives the call.
        if unsafe { espeak_SetVoiceByName(name.as_ptr()) } != OK {
            return Err(unknown());
        }
        self.voice = Some(voice.to_owned());
        Ok(())
    }

    /// Phonemes by the voice that was selected.
    fn clauses(&mut self, text: &CStr) -> Vec<Clause> {
        let bytes = text.to_bytes();
        let start = text.as_ptr();
        let mut rest: *const c_void = start.cast();
        let mut consumed = 0;
        let mut clauses = Vec::new();
        while !rest.is_null() && consumed < bytes.len() {
            // SAFETY: the library is initialized and locked, `rest` points into the zero-terminated `text`, which
            // outlives the call; the library only moves `rest` within that text or sets it to null.
            let ipa = unsafe { espeak_TextToPhonemes(&raw mut rest, CHARS_UTF8, PHONEMES_IPA) };
            let end = if rest.is_null() { bytes.len() } else { (rest as usize).saturating_sub(start as usize) };
            let end = end.min(bytes.len());
            let ipa = if ipa.is_null() {
                String::new()
            } else {
                // SAFETY: a result that is not null is a zero-terminated string in the library's own buffer, which
                // stays as it is until the next call; the lock is held.
                unsafe { CStr::from_ptr(ipa) }.to_string_lossy().trim().to_owned()
            };
            let piece = bytes.get(consumed..end).unwrap_or_default();
            if !ipa.is_empty() {
                clauses.push(Clause { ipa, terminator: terminator(&String::from_utf8_lossy(piece), rest.is_null()) });
            }
            if !rest.is_null() && end <= consumed {
                break;
            }
            consumed = end;
        }
        clauses
    }

    /// The library keeps its last clause in memory of its own, and a caller's name may be in it. A text that says
    /// nothing takes its place: longer, since the library spells some of what it keeps.
    fn forget(&mut self, text: &CStr) {
        let len = (text.to_bytes().len() * 2 + FILLER.len()).min(CLAUSE_BYTES_MAX);
        let filler: Vec<u8> = FILLER.iter().copied().cycle().take(len).collect();
        if let Ok(filler) = CString::new(filler) {
            self.clauses(&filler);
        }
    }
}

fn library() -> Result<MutexGuard<'static, Library>, Error> {
    static LIBRARY: OnceLock<Result<Mutex<Library>, Error>> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| Library::start().map(Mutex::new));
    let library = library.as_ref().map_err(Clone::clone)?;
    Ok(library.lock().unwrap_or_else(PoisonError::into_inner))
}

thread_local! {
    /// What the callback collected during this thread's call of `speak`.
    static SPEECH: RefCell<Vec<i16>> = const { RefCell::new(Vec::new()) };
}

/// Takes the samples of one buffer; asks the library to stop once there are too many.
extern "C" fn collect(samples: *mut c_short, count: c_int, _events: *mut c_void) -> c_int {
    let count = usize::try_from(count).unwrap_or(0);
    if samples.is_null() || count == 0 {
        return CONTINUE;
    }
    // SAFETY: the library hands over `count` readable samples that stay as they are during the callback.
    let samples = unsafe { std::slice::from_raw_parts(samples, count) };
    let collected = SPEECH.try_with(|speech| {
        let Ok(mut speech) = speech.try_borrow_mut() else { return false };
        if speech.len() + count > SAMPLES_MAX {
            return false;
        }
        speech.extend_from_slice(samples);
        true
    });
    if collected == Ok(true) { CONTINUE } else { ABORT }
}

// espeak-ng/speak_lib.h, API revision 12 (1.51).
const OUTPUT_SYNCHRONOUS: c_int = 2;
const INITIALIZE_DONT_EXIT: c_int = 0x8000;
const CHARS_UTF8: c_int = 1;
const PHONEMES_IPA: c_int = 2;
const POSITION_CHARACTER: c_int = 1;
const PARAMETER_RATE: c_int = 1;
const OK: c_int = 0;
const CONTINUE: c_int = 0;
const ABORT: c_int = 1;

type Callback = extern "C" fn(*mut c_short, c_int, *mut c_void) -> c_int;

#[link(name = "espeak-ng")]
unsafe extern "C" {
    fn espeak_Initialize(output: c_int, buffer_ms: c_int, path: *const c_char, options: c_int) -> c_int;
    fn espeak_SetSynthCallback(callback: Option<Callback>);
    fn espeak_SetParameter(parameter: c_int, value: c_int, relative: c_int) -> c_int;
    fn espeak_SetVoiceByName(name: *const c_char) -> c_int;
    fn espeak_TextToPhonemes(text: *mut *const c_void, text_mode: c_int, phoneme_mode: c_int) -> *const c_char;
    fn espeak_Synth(
        text: *const c_void,
        size: usize,
        position: c_uint,
        position_type: c_int,
        end_position: c_uint,
        flags: c_uint,
        identifier: *mut c_uint,
        user_data: *mut c_void,
    ) -> c_int;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_keep_their_punctuation() {
        let check = |text: &str, want: &[Option<char>]| {
            let got: Vec<_> = phonemes(text, "en-us").unwrap().into_iter().map(|clause| clause.terminator).collect();
            assert_eq!(got, want, "{text:?}");
        };
        check("We open at nine on Saturday.", &[Some('.')]);
        check("Yes, we do. Anything else?", &[Some(','), Some('.'), Some('?')]);
        check("Hello", &[None]);
        check("Hello!   ", &[Some('!')]);
        check("Ask again at 9:30", &[None]);
        check("He said \"no.\" Then he left.", &[Some('.'), Some('.')]);
        check("", &[]);
        check("...", &[]);
    }

    #[test]
    fn the_terminator_is_read_from_consumed_text() {
        let check = |text: &str, last: bool, want: Option<char>| assert_eq!(terminator(text, last), want, "{text:?}");
        check("Yes, w", false, Some(','));
        check("Yes. ", false, Some('.'));
        check("Yes.", true, Some('.'));
        check("Mr. S", true, None);
        check("so it goes on an", false, None);
        check("Что?» О", false, Some('?'));
        check("", true, None);
    }

    #[test]
    fn phonemes_are_ipa_in_several_languages() {
        let check = |text: &str, voice: &str, want: &str| {
            let clauses = phonemes(text, voice).unwrap();
            assert!(clauses.iter().any(|clause| clause.ipa.contains(want)), "{text:?} in {voice}: {clauses:?}");
        };
        check("nine", "en-us", "nˈaɪn");
        check("да", "ru", "d");
        check("жоқ", "kk", "q");
        check("nine", "en-us", "nˈaɪn");
    }

    #[test]
    fn speech_comes_back_as_samples() {
        let (short, rate) = speak("да", "ru").unwrap();
        let (long, _) = speak("Мы открыты с девяти до шести.", "ru").unwrap();
        assert_eq!(rate, 22_050);
        assert!(short.len() > 2_000 && long.len() > short.len() * 2, "{} and {}", short.len(), long.len());
        assert!(long.iter().any(|sample| sample.unsigned_abs() > 3_000));
    }

    #[test]
    fn what_cannot_be_said_is_an_error() {
        assert_eq!(phonemes("a\0b", "en-us"), Err(Error::Text));
        assert_eq!(phonemes(&"a".repeat(TEXT_BYTES_MAX + 1), "en-us"), Err(Error::Text));
        assert_eq!(check_voice("tlh-x"), Err(Error::UnknownVoice("tlh-x".to_owned())));
        assert_eq!(check_voice("../../etc/passwd"), Err(Error::UnknownVoice("../../etc/passwd".to_owned())));
        assert_eq!(check_voice(""), Err(Error::UnknownVoice(String::new())));
        assert_eq!(check_voice("en-us"), Ok(()));
    }

    #[test]
    fn threads_take_turns() {
        let threads: Vec<_> = (0..4)
            .map(|n| {
                std::thread::spawn(move || phonemes("One, two.", if n % 2 == 0 { "en-us" } else { "ru" }).unwrap())
            })
            .collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap().len(), 2);
        }
    }

    /// Memory of the library that can be written, with what its loader put behind it.
    fn memory() -> Vec<u8> {
        use std::os::unix::fs::FileExt as _;
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let lines: Vec<&str> = maps.lines().collect();
        let is_library = |line: &str| line.contains("libespeak-ng");
        let written = lines.windows(2).filter(|pair| is_library(pair[0]) && pair[1].contains(" rw-p "));
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        let read = |pair: &[&str]| {
            let (from, to) = pair[1].split(' ').next().unwrap().split_once('-').unwrap();
            let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
            let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
            memory.read_exact_at(&mut bytes, from).unwrap();
            bytes
        };
        written.flat_map(read).collect()
    }

    #[test]
    fn it_keeps_no_text() {
        let holds = |word: &str| memory().windows(word.len()).any(|w| w.eq_ignore_ascii_case(word.as_bytes()));
        let long = format!("{} the appointment for Ottilie Quagmire at 10:30 on the 21st?", "cancel ".repeat(90));
        for text in ["Shall I cancel the appointment for Ottilie Quagmire, 555 1234?", &long] {
            let terminated = zero_terminated(text).unwrap();
            let mut library = library().unwrap();
            library.select("en-us").unwrap();
            library.clauses(&terminated);
            assert!(holds("ottilie quagmire"), "positive control: the library would keep it");
            library.forget(&terminated);
            assert!(!holds("quagmire"));
            drop(library);
            phonemes(text, "en-us").unwrap();
            speak(text, "en-us").unwrap();
            assert!(!holds("quagmire"));
        }
    }
}

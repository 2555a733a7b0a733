//! Ready-made audio of an agent's fixed sentences: in memory up to a bound, and in a folder that survives a restart.
//! Only what is prepared on purpose comes here; a sentence made during a call may hold a name and never does.

use crate::worker::locked;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Longest clip read back, bytes: a minute and a half.
const FILE_BYTES_MAX: u64 = 90 * 16_000 * 2;

/// A voice and a sentence, as a hash: file names tell nothing.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClipKey([u8; 32]);

impl ClipKey {
    /// `voice_id` names the voice and its version, so that a changed voice finds none of its old clips.
    pub(crate) fn new(voice_id: &str, text: &str) -> Self {
        let hash = Sha256::new().chain_update(voice_id).chain_update([0]).chain_update(text);
        Self(hash.finalize().into())
    }

    fn file_name(&self) -> String {
        let mut name = self.0.iter().fold(String::with_capacity(68), |mut name, byte| {
            let _ = write!(name, "{byte:02x}");
            name
        });
        name.push_str(".pcm");
        name
    }
}

struct Clip {
    samples: Arc<[i16]>,
    used: u64,
}

#[derive(Default)]
struct Memory {
    clips: BTreeMap<ClipKey, Clip>,
    bytes: usize,
    /// Counts uses; the clip with the lowest count goes first.
    uses: u64,
}

/// All clips of the gateway.
pub(crate) struct Clips {
    memory: Mutex<Memory>,
    bytes_max: usize,
    dir: PathBuf,
}

impl Clips {
    pub(crate) fn new(dir: PathBuf, bytes_max: usize) -> Self {
        Self { memory: Mutex::default(), bytes_max, dir }
    }

    /// A clip in memory.
    pub(crate) fn get(&self, key: &ClipKey) -> Option<Arc<[i16]>> {
        let mut memory = locked(&self.memory);
        memory.uses += 1;
        let uses = memory.uses;
        let clip = memory.clips.get_mut(key)?;
        clip.used = uses;
        Some(Arc::clone(&clip.samples))
    }

    /// Keeps a clip in memory; the least used make room. A clip larger than the bound is not kept.
    pub(crate) fn keep(&self, key: ClipKey, samples: Arc<[i16]>) {
        let bytes = size_of_val(&*samples);
        if bytes > self.bytes_max {
            return;
        }
        let mut memory = locked(&self.memory);
        memory.uses += 1;
        let used = memory.uses;
        if let Some(old) = memory.clips.insert(key, Clip { samples, used }) {
            memory.bytes -= size_of_val(&*old.samples);
        }
        memory.bytes += bytes;
        while memory.bytes > self.bytes_max {
            let Some(oldest) = memory.clips.iter().min_by_key(|(_, clip)| clip.used).map(|(key, _)| *key) else {
                break;
            };
            if let Some(gone) = memory.clips.remove(&oldest) {
                memory.bytes -= size_of_val(&*gone.samples);
            }
        }
    }

    /// A clip from the folder, if it is there and whole.
    pub(crate) fn read(&self, key: &ClipKey) -> Option<Arc<[i16]>> {
        let path = self.dir.join(key.file_name());
        if fs::metadata(&path).ok()?.len() > FILE_BYTES_MAX {
            return None;
        }
        let bytes = fs::read(path).ok()?;
        let (stated, body) = bytes.split_at_checked(32)?;
        (Sha256::digest(body).as_slice() == stated).then_some(())?;
        Some(body.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect())
    }

    /// Writes a clip to the folder: a hash of the samples, then the samples. Whole or not at all.
    pub(crate) fn write(&self, key: &ClipKey, samples: &[i16]) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let body: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let mut bytes = Sha256::digest(&body).to_vec();
        bytes.extend(body);
        write_whole(&self.dir.join(key.file_name()), &bytes)
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension(format!("{}.part", std::process::id()));
    let written = fs::write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("dauys-clips-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        dir
    }

    #[test]
    fn a_written_clip_is_read_back_and_a_damaged_one_is_not() {
        let dir = folder("read");
        let clips = Clips::new(dir.clone(), 1 << 20);
        let key = ClipKey::new("joe-1", "We open at nine.");
        assert!(clips.read(&key).is_none());
        clips.write(&key, &[1, -2, 3]).unwrap();
        assert_eq!(&*clips.read(&key).unwrap(), [1, -2, 3]);
        assert!(clips.read(&ClipKey::new("joe-2", "We open at nine.")).is_none());
        let file = dir.join(key.file_name());
        let mut bytes = fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&file, bytes).unwrap();
        assert!(clips.read(&key).is_none());
        fs::write(&file, [1, 2, 3]).unwrap();
        assert!(clips.read(&key).is_none());
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "no unfinished files stay");
        let _ = fs::remove_dir_all(&dir);
    }

    #[test]
    fn the_least_used_clips_make_room() {
        let clips = Clips::new(folder("lru"), 400);
        let keys: Vec<ClipKey> = (0..4).map(|n| ClipKey::new("v", &n.to_string())).collect();
        let samples: Arc<[i16]> = Arc::from([7i16; 50]);
        keys.iter().for_each(|key| clips.keep(*key, Arc::clone(&samples)));
        assert!(clips.get(&keys[0]).is_some());
        clips.keep(ClipKey::new("v", "new"), Arc::clone(&samples));
        let kept: Vec<bool> = keys.iter().map(|key| clips.get(key).is_some()).collect();
        assert_eq!(kept, [true, false, true, true]);
        clips.keep(ClipKey::new("v", "huge"), Arc::from([0i16; 500]));
        assert!(clips.get(&keys[0]).is_some(), "what does not fit pushes nothing out");
        assert_eq!(locked(&clips.memory).bytes, 400);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error() {
        let dir = folder("file");
        fs::write(&dir, "not a folder").unwrap();
        let clips = Clips::new(dir.join("below"), 1 << 20);
        assert!(clips.write(&ClipKey::new("v", "t"), &[0]).is_err());
        let _ = fs::remove_file(&dir);
    }
}

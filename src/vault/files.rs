//! Sealed sound: a file for each leg of a call, of stretches sealed one by one. It seals and opens nothing,
//! its names tell nothing, and nobody's task waits for the disk.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ::privacy::seal::{PLAIN_MAX, Sealed};
use sha2::{Digest as _, Sha256};

use crate::random;
use crate::store::db::{OpenError, private_folder};

const FOLDER: &str = "audio";
const ENDING: &str = "sealed";
/// Sequence number, nonce and length stand before each stretch.
const HEAD: usize = 8 + 12 + 4;

/// A stretch as it lies in the file.
pub struct Stretch {
    pub seq: u64,
    pub nonce: [u8; 12],
    pub body: Vec<u8>,
}

/// A file that is being written.
pub struct Writing {
    pub name: String,
    pub bytes: u64,
    file: std::fs::File,
    hash: Sha256,
}

impl Writing {
    pub fn hash(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    /// On the disk when it comes back, with how it went. What was written of it in vain is cut off again.
    ///
    /// # Errors
    /// Where there is no thread for it; the file is lost then.
    pub async fn append(mut self, sealed: Sealed) -> std::io::Result<(Self, std::io::Result<()>)> {
        aside(move || {
            let written = self.write(&sealed);
            if written.is_err() {
                // Else what comes next would stand behind half a stretch, and none of it could be read.
                let _ = self.file.set_len(self.bytes);
            }
            Ok((self, written))
        })
        .await
    }

    fn write(&mut self, sealed: &Sealed) -> std::io::Result<()> {
        let mut bytes = Vec::with_capacity(HEAD + sealed.body.len());
        bytes.extend_from_slice(&sealed.seq.to_be_bytes());
        bytes.extend_from_slice(&sealed.nonce);
        bytes.extend_from_slice(&u32::try_from(sealed.body.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(&sealed.body);
        self.file.write_all(&bytes).and_then(|()| self.file.sync_data())?;
        self.hash.update(&bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// On a thread that may wait for the disk.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(std::io::Error::other("its thread is gone")))
}

/// The folder of them.
#[derive(Debug, Clone)]
pub struct Files(PathBuf);

impl Files {
    /// # Errors
    /// Where the folder cannot be made.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let folder = dir.join(FOLDER);
        private_folder(&folder)?;
        Ok(Self(folder))
    }

    /// A new file with a random name.
    ///
    /// # Errors
    /// Where the disk says no.
    pub async fn begin(&self) -> std::io::Result<Writing> {
        let (folder, name) = (self.0.clone(), format!("{:032x}.{ENDING}", random::bits()));
        aside(move || {
            let file =
                std::fs::OpenOptions::new().append(true).create_new(true).mode(0o600).open(folder.join(&name))?;
            // A row may name it from now on: it has to be there when the power is back.
            std::fs::File::open(&folder)?.sync_all()?;
            Ok(Writing { name, bytes: 0, file, hash: Sha256::new() })
        })
        .await
    }

    /// Every stretch of a file. None: it is not the file that was written, by its length and hash.
    ///
    /// # Errors
    /// Where the disk says no.
    pub fn read(&self, name: &str, (bytes, hash): (i64, [u8; 32])) -> std::io::Result<Option<Vec<Stretch>>> {
        let mut whole = vec![];
        let length = u64::try_from(bytes).unwrap_or_default();
        // What stands behind was being written when the process died.
        std::fs::File::open(self.0.join(name))?.take(length).read_to_end(&mut whole)?;
        let genuine = <[u8; 32]>::from(Sha256::digest(&whole)) == hash;
        Ok(genuine.then(|| divide(&whole)).flatten())
    }

    /// What is gone already is gone.
    ///
    /// # Errors
    /// Where the disk says no.
    pub async fn remove(&self, name: &str) -> std::io::Result<()> {
        let (folder, path) = (self.0.clone(), self.0.join(name));
        aside(move || match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
            _ => std::fs::File::open(&folder)?.sync_all(),
        })
        .await
    }

    /// Every file there is.
    ///
    /// # Errors
    /// Where the disk says no.
    pub fn names(&self) -> std::io::Result<Vec<String>> {
        let names = std::fs::read_dir(&self.0)?.flatten().map(|entry| entry.file_name());
        Ok(names.filter_map(|name| name.into_string().ok()).collect())
    }
}

fn divide(mut whole: &[u8]) -> Option<Vec<Stretch>> {
    let mut stretches = vec![];
    while !whole.is_empty() {
        let (seq, rest) = whole.split_first_chunk::<8>()?;
        let (nonce, rest) = rest.split_first_chunk::<12>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_be_bytes(*len)).ok().filter(|len| *len <= PLAIN_MAX + 64)?;
        let (body, rest) = rest.split_at_checked(len)?;
        stretches.push(Stretch { seq: u64::from_be_bytes(*seq), nonce: *nonce, body: body.to_vec() });
        whole = rest;
    }
    Some(stretches)
}

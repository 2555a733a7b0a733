//! The folder of a vault: whether there is anything in it, and whether somebody serves from it. It makes nothing but the
//! lock of whoever serves.

use std::path::{Path, PathBuf};

use super::{FILE, Settings, VaultError, audit, keys};

const LOCK: &str = "serving.lock";

/// For as long as the file is open.
pub(super) fn lock(dir: &Path) -> Result<std::fs::File, VaultError> {
    let file = std::fs::OpenOptions::new().append(true).create(true).open(dir.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(VaultError::InUse(dir.into())),
        Err(std::fs::TryLockError::Error(e)) => Err(e.into()),
    }
}

/// Whether a process serves from this folder.
pub fn is_served(dir: &Path) -> bool {
    matches!(lock(dir), Err(VaultError::InUse(_)))
}

/// Whether an audit log was begun here; it may have been moved away since.
///
/// # Errors
/// Where there was none.
pub fn check_logged(dir: &Path) -> Result<(), VaultError> {
    let begun = [audit::LOG, audit::PUBLIC].iter().any(|name| dir.join(name).exists());
    if begun { Ok(()) } else { Err(VaultError::NoData(shown(dir))) }
}

fn shown(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

impl Settings {
    /// Whether a gateway has kept something here before: opening it would not make a new vault.
    ///
    /// # Errors
    /// Where there is nothing, or the keystore is missing; with what to do about it.
    pub fn check_there(&self) -> Result<(), VaultError> {
        let logged = check_logged(&self.dir);
        // A version that sealed nothing had neither log nor keys.
        let earlier = self.url.is_none() && self.dir.join(FILE).exists();
        if logged.is_ok() && !self.keys_dir.join(keys::FILE).exists() {
            return Err(VaultError::NoKeystore(shown(&self.keys_dir)));
        }
        if earlier { Ok(()) } else { logged }
    }
}

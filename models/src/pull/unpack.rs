//! Takes one known file out of a wheel (a zip archive). Looks the member up by its exact name, writes only where it is
//! told to, and never takes more bytes than the manifest states.

use super::PullError;
use crate::manifest::{Member, hex};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use zip::ZipArchive;

/// The wheel in a folder, if there is one.
pub(super) fn find_wheel(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.find(|path| path.extension().is_some_and(|extension| extension == "whl"))
}

/// Copies the member, which must have exactly `size` bytes, to `out` and returns its sha256.
pub(super) fn extract(
    wheel: &Path,
    member: &Member,
    size: u64,
    out: &mut File,
    to: &Path,
) -> Result<String, PullError> {
    let broken = |why: String| PullError::Wheel { package: member.package.clone(), why };
    let archive = File::open(wheel).map_err(|why| PullError::io(wheel, why))?;
    let mut archive = ZipArchive::new(archive).map_err(|error| broken(error.to_string()))?;
    let inside = archive.by_name(&member.member).map_err(|error| broken(format!("{}: {error}", member.member)))?;
    if inside.size() != size {
        return Err(broken(format!("{} has {} bytes instead of {size}", member.member, inside.size())));
    }
    // The stated size is only a claim: one byte more than it is enough to know.
    let mut inside = inside.take(size + 1);
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 1 << 16];
    let mut copied = 0u64;
    loop {
        let read = match inside.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(broken(error.to_string())),
        };
        let piece = buffer.get(..read).unwrap_or_default();
        hash.update(piece);
        out.write_all(piece).map_err(|why| PullError::io(to, why))?;
        copied += read as u64;
    }
    if copied != size {
        return Err(broken(format!("{} unpacks to another size than stated", member.member)));
    }
    Ok(hex(&hash.finalize()))
}

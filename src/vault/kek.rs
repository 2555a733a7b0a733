//! Fetches the key-encryption key from where the configuration says: a file, a variable or a program. It is
//! read once, at start; nothing of it is printed.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ::privacy::keys::{BadSource, Key, KeySource};
use zeroize::Zeroizing;

use crate::hex::hex;
use crate::random;

/// More is no key.
const BYTES_MAX: u64 = 4096;

#[derive(Debug, thiserror::Error)]
pub enum KekError {
    /// Without what stands there: it may be the key itself.
    #[error(
        "[keys] source or retired names no source: write \"file:/PATH\", \"env:NAME\" or \"command:/PROGRAM ARGUMENT ...\""
    )]
    NoSource,
    #[error("the key-encryption key: {0}")]
    Bad(#[from] BadSource),
    #[error(
        "cannot read the key-encryption key in {path}: {source}. Make one with `dauys keys make {path}`, or correct [keys] source"
    )]
    File { path: PathBuf, source: std::io::Error },
    #[error("the environment has no variable {0}, where [keys] source says that the key-encryption key is")]
    NoVariable(String),
    #[error("the program of [keys] source could not be run: {0}")]
    NotRun(std::io::Error),
    #[error("the program of [keys] source ended with {0} instead of printing the key")]
    Failed(std::process::ExitStatus),
    #[error("the system gives no random bytes: {0}")]
    NoRandom(#[from] getrandom::Error),
}

/// From one line of configuration.
///
/// # Errors
/// With what to write instead.
pub fn parse(line: &str) -> Result<KeySource, KekError> {
    let (how, rest) = line.split_once(':').ok_or(KekError::NoSource)?;
    let source = match how {
        "file" => KeySource::File(rest.into()),
        "env" => KeySource::Env(rest.into()),
        "command" => KeySource::Command(rest.split_whitespace().map(Into::into).collect()),
        _ => return Err(KekError::NoSource),
    };
    source.check()?;
    Ok(source)
}

/// Reads it. It waits for a program as long as that takes.
///
/// # Errors
/// With what to do about it, and nothing of what was found.
pub fn read(source: &KeySource) -> Result<Key, KekError> {
    let found = match source {
        KeySource::File(path) => from_file(Path::new(path))?,
        KeySource::Env(name) => {
            let value = std::env::var(name).map_err(|_| KekError::NoVariable(name.clone()))?;
            Zeroizing::new(value.into_bytes())
        }
        KeySource::Command(words) => from_program(words)?,
    };
    Ok(source.read(found)?)
}

fn from_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, KekError> {
    let failed = |source| KekError::File { path: path.into(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    KeySource::check_mode(file.metadata().map_err(failed)?.permissions().mode())?;
    let mut found = Zeroizing::new(Vec::with_capacity(128));
    file.take(BYTES_MAX).read_to_end(&mut found).map_err(failed)?;
    Ok(found)
}

fn from_program(words: &[String]) -> Result<Zeroizing<Vec<u8>>, KekError> {
    let (program, arguments) = words.split_first().ok_or(BadSource::NotAbsolute)?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(KekError::NotRun)?;
    let mut found = Zeroizing::new(Vec::with_capacity(128));
    if let Some(out) = child.stdout.take() {
        out.take(BYTES_MAX).read_to_end(&mut found).map_err(KekError::NotRun)?;
    }
    let status = child.wait().map_err(KekError::NotRun)?;
    if status.success() { Ok(found) } else { Err(KekError::Failed(status)) }
}

/// Makes a new one in a file that is not there yet.
///
/// # Errors
/// Where it is there, or cannot be written.
pub fn make(path: &Path) -> Result<(), KekError> {
    let failed = |source| KekError::File { path: path.into(), source };
    let bytes = Zeroizing::new(random::secret::<32>()?);
    let text = Zeroizing::new(hex(&*bytes) + "\n");
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("dauys-kek-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        dir
    }

    #[test]
    fn a_made_key_is_read_back_and_never_written_over() {
        let dir = scratch("made");
        let path = dir.join("kek");
        make(&path).expect("makes");
        let source = parse(&format!("file:{}", path.display())).expect("a source");
        let first = read(&source).expect("reads").fingerprint();
        assert_eq!(read(&source).expect("reads again").fingerprint(), first);
        assert!(matches!(make(&path), Err(KekError::File { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("chmod");
        assert!(matches!(read(&source), Err(KekError::Bad(BadSource::OthersRead))));
        std::fs::remove_dir_all(&dir).expect("cleans up");
    }

    #[test]
    fn a_program_prints_it_and_a_failing_one_is_no_key() {
        let digits = "0f".repeat(16) + &"f0".repeat(16);
        let source = parse(&format!("command:/bin/echo {digits}")).expect("a source");
        assert!(read(&source).is_ok());
        let fails = parse("command:/bin/false").expect("a source");
        assert!(matches!(read(&fails), Err(KekError::Failed(_))));
        let absent = parse("env:DAUYS_NO_SUCH_VARIABLE").expect("a source");
        assert!(matches!(read(&absent), Err(KekError::NoVariable(_))));
        for bad in ["", "kek", "file:kek", "vault:/x", "command:", "env:lower"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let pasted = parse(&digits).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(pasted.contains("file:/PATH") && !pasted.contains("0f0f"), "a key in the wrong place is not told on");
    }
}

//! Looks for the canaries wherever a gateway could leave them: folders, texts, open files and the memory of the process.
//! It changes nothing but that a process stands still while it is read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sound;
use crate::words::{ALPHABET, Phrase};

/// Base64 and hexadecimal runs of this length and more are also read as what they stand for.
const RUN: usize = 400;
const PAGE: usize = 4096;

pub struct Scanner {
    phrases: Vec<Phrase>,
}

/// What was found: how often, by place and form, where first, and what lies around that.
#[derive(Default)]
pub struct Finds(BTreeMap<(String, String), (usize, u64, String)>);

impl Finds {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn has(&self, place: &str, form: &str) -> bool {
        self.0.keys().any(|(p, f)| p.contains(place) && f == form)
    }

    fn add(&mut self, place: &str, form: &dyn std::fmt::Display, at: u64, around: &[u8]) {
        let entry = self.0.entry((place.to_owned(), form.to_string()));
        entry.or_insert_with(|| (0, at, around.escape_ascii().to_string())).0 += 1;
    }

    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

impl std::fmt::Debug for Finds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut lines = String::new();
        for ((place, form), (times, at, around)) in &self.0 {
            let _ = write!(lines, "\n  {form} x{times} in {place}, first at {at:#x}: {around}");
        }
        f.write_str(if lines.is_empty() { "nothing" } else { &lines })
    }
}

impl Scanner {
    pub fn new(phrases: &[&str]) -> Self {
        Self { phrases: phrases.iter().map(|p| Phrase::new(p)).collect() }
    }

    /// Looks for this too from now on.
    pub fn also(&mut self, phrase: Phrase) {
        self.phrases.push(phrase);
    }

    /// A text, a file's bytes, or a piece of memory.
    pub fn bytes(&self, place: &str, base: u64, bytes: &[u8], finds: &mut Finds) {
        for phrase in &self.phrases {
            phrase.find(bytes, |form, at| finds.add(place, &form, base + at as u64, around(bytes, at)));
        }
        sound::find(bytes, |kind, at| finds.add(place, &kind, base + at as u64, around(bytes, at)));
        for (at, what, decoded) in runs(bytes) {
            let start = base + at as u64;
            for phrase in &self.phrases {
                let mut add = |form, at| finds.add(place, &format!("{form} in {what}"), start, around(&decoded, at));
                phrase.find(&decoded, &mut add);
            }
            let mut add = |kind, at| finds.add(place, &format!("{kind} in {what}"), start, around(&decoded, at));
            sound::find(&decoded, &mut add);
        }
    }

    pub fn text(&self, place: &str, text: &str) -> Finds {
        let mut finds = Finds::default();
        self.bytes(place, 0, text.as_bytes(), &mut finds);
        finds
    }

    /// Every file below, whatever it is called; also its name.
    pub fn folder(&self, top: &Path) -> Finds {
        self.folder_since(top, &Files::default())
    }

    /// The same without pages that are as they were before: they hold nothing that came after it.
    pub fn folder_since(&self, top: &Path, before: &Files) -> Finds {
        let mut finds = Finds::default();
        for path in all_below(top) {
            let name = path.display().to_string();
            self.bytes(&format!("the name {name}"), 0, name.as_bytes(), &mut finds);
            if path.is_file() {
                // A file that goes while it is looked for is not there.
                let bytes = fs::read(&path).unwrap_or_default();
                let was = before.0.get(&path).map_or(&[][..], Vec::as_slice);
                let as_before = |at: usize, page: &[u8]| was.get(at..at + page.len()) == Some(page);
                self.pages(&name, (0, &bytes), as_before, &mut finds);
            }
        }
        finds
    }

    /// Each stretch of pages that are not empty and not as before.
    fn pages(
        &self,
        place: &str,
        (base, bytes): (u64, &[u8]),
        as_before: impl Fn(usize, &[u8]) -> bool,
        finds: &mut Finds,
    ) {
        let is_new = |(n, page): (usize, &[u8])| page.iter().any(|b| *b != 0) && !as_before(n * PAGE, page);
        let mut start = None;
        for (n, is_new) in bytes.chunks(PAGE).enumerate().map(is_new).chain([false]).enumerate() {
            match start {
                None if is_new => start = Some(n * PAGE),
                Some(from) if !is_new => {
                    let piece = &bytes[from..bytes.len().min(n * PAGE)];
                    self.bytes(place, base + from as u64, piece, finds);
                    start = None;
                }
                _ => {}
            }
        }
    }

    /// What a core file of the process would hold, and files that it holds open and that have no name any more. Pages
    /// that are as they were in an image of `before` hold nothing that came after it.
    pub fn image(&self, image: &Image, before: Option<&Image>) -> Finds {
        let mut finds = Finds::default();
        for region in &image.regions {
            let as_before =
                |at: usize, page: &[u8]| before.is_some_and(|b| b.page(region.start + at as u64) == Some(page));
            self.pages(&format!("memory {}", region.name), (region.start, &region.bytes), as_before, &mut finds);
        }
        for (name, bytes) in &image.open_files {
            self.bytes(&format!("open file {name}"), 0, bytes, &mut finds);
        }
        finds
    }
}

/// A copy of every file below a folder.
#[derive(Default)]
pub struct Files(BTreeMap<PathBuf, Vec<u8>>);

impl Files {
    pub fn of(top: &Path) -> Self {
        let files = all_below(top).into_iter().filter(|path| path.is_file());
        Self(files.map(|path| (path.clone(), fs::read(path).unwrap_or_default())).collect())
    }
}

/// The folder and everything below it.
fn all_below(top: &Path) -> Vec<PathBuf> {
    let mut all = vec![top.to_path_buf()];
    let mut next = 0;
    while let Some(path) = all.get(next).cloned() {
        next += 1;
        if path.is_dir() {
            all.extend(fs::read_dir(&path).expect("readable").flatten().map(|e| e.path()));
        }
    }
    all
}

/// A copy of all that a process has written into its memory, as a core file has it.
pub struct Image {
    regions: Vec<Region>,
    open_files: Vec<(String, Vec<u8>)>,
}

struct Region {
    start: u64,
    name: String,
    bytes: Vec<u8>,
}

impl Image {
    /// The process stands still while it is copied.
    pub fn of(pid: u32) -> Self {
        let _still = Still::new(pid);
        Self::passing(pid)
    }

    /// The same of a process that goes on meanwhile, for a call whose packets should not pile up.
    pub fn passing(pid: u32) -> Self {
        let memory = File::open(format!("/proc/{pid}/mem")).expect("its memory opens: run as root, or as its user");
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("its maps");
        let read = |(range, name): (std::ops::Range<u64>, String)| {
            let mut bytes = vec![0; usize::try_from(range.end - range.start).ok()?];
            memory.read_exact_at(&mut bytes, range.start).ok()?;
            Some(Region { start: range.start, name, bytes })
        };
        let regions: Vec<Region> = maps.lines().filter_map(written_memory).filter_map(read).collect();
        let copied: usize = regions.iter().map(|r| r.bytes.len()).sum();
        assert!(copied > 1 << 16, "only {copied} bytes of the process could be read");
        let mut open_files = vec![];
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).expect("its files").flatten() {
            let target = fs::read_link(entry.path()).unwrap_or_default().display().to_string();
            if target.starts_with('/') && target.ends_with(" (deleted)") {
                open_files.push((target, fs::read(entry.path()).unwrap_or_default()));
            }
        }
        Self { regions, open_files }
    }

    fn page(&self, address: u64) -> Option<&[u8]> {
        let after = self.regions.partition_point(|r| r.start <= address);
        let region = self.regions.get(after.checked_sub(1)?)?;
        let at = usize::try_from(address - region.start).ok()?;
        region.bytes.get(at..at + PAGE)
    }
}

/// A line of `/proc/PID/maps` that a core file would hold.
fn written_memory(line: &str) -> Option<(std::ops::Range<u64>, String)> {
    let mut fields = line.split_whitespace();
    let (range, rights) = (fields.next()?, fields.next()?);
    let name = fields.nth(3).unwrap_or("anonymous");
    if !rights.starts_with("rw") || name.starts_with("[v") {
        return None;
    }
    let (from, to) = range.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(from)?..number(to)?, name.to_owned()))
}

/// A process that stands still until this goes.
struct Still(u32);

impl Still {
    fn new(pid: u32) -> Self {
        signal(pid, "-STOP");
        Self(pid)
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        signal(self.0, "-CONT");
    }
}

fn signal(pid: u32, which: &str) {
    let _ = Command::new("kill").args([which, &pid.to_string()]).status();
}

/// Enough to see whose it is.
fn around(bytes: &[u8], at: usize) -> &[u8] {
    &bytes[at.saturating_sub(64)..bytes.len().min(at + 64)]
}

/// Long runs of base64 or hexadecimal digits, decoded: where, as what, and the bytes.
fn runs(bytes: &[u8]) -> Vec<(usize, &'static str, Vec<u8>)> {
    let digit = digits();
    let mut runs = vec![];
    let mut at = 0;
    while at < bytes.len() {
        // Only every 400th byte can be in a run that begins after the last one looked at.
        let probe = at + RUN - 1;
        if probe >= bytes.len() {
            break;
        }
        if digit[usize::from(bytes[probe])] == NONE {
            at = probe + 1;
            continue;
        }
        let mut start = probe;
        while start > at && digit[usize::from(bytes[start - 1])] != NONE {
            start -= 1;
        }
        let mut end = probe;
        while end < bytes.len() && digit[usize::from(bytes[end])] != NONE {
            end += 1;
        }
        // A run of one digit is a rule or a filler.
        let run = &bytes[start..end];
        if run.len() >= RUN && run.iter().any(|b| *b != run[0]) {
            decode(run, &digit, |what, decoded| runs.push((start, what, decoded)));
        }
        at = end.max(probe + 1);
    }
    runs
}

const NONE: u8 = 0xff;

fn digits() -> [u8; 256] {
    let mut digit = [NONE; 256];
    for (n, d) in ALPHABET.iter().enumerate() {
        digit[usize::from(*d)] = n as u8;
    }
    // Of the alphabet for URLs.
    digit[usize::from(b'-')] = 62;
    digit[usize::from(b'_')] = 63;
    digit
}

fn decode(run: &[u8], digit: &[u8; 256], mut decoded: impl FnMut(&'static str, Vec<u8>)) {
    if run.iter().all(u8::is_ascii_hexdigit) {
        let value = |b: u8| char::from(b).to_digit(16).unwrap_or(0) as u8;
        for shift in 0..2 {
            decoded("hex", run[shift..].chunks_exact(2).map(|p| value(p[0]) << 4 | value(p[1])).collect());
        }
    }
    // What stood before the run may have been digits too: each alignment is tried.
    for shift in 0..4 {
        let groups = run[shift..].chunks_exact(4);
        let triple = |g: &[u8]| {
            let n = g.iter().fold(0u32, |n, b| n << 6 | u32::from(digit[usize::from(*b)]));
            [(n >> 16) as u8, (n >> 8) as u8, n as u8]
        };
        decoded("base64", groups.flat_map(triple).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::junk;
    use crate::sound::{KINDS, wave};
    use crate::words::{FORMS, written};

    const PHRASE: &str = "near the clinic";

    #[test]
    fn a_folder_is_searched_to_its_last_file() {
        let top = std::env::temp_dir().join(format!("dauys-scan-{}", std::process::id()));
        let deep = top.join("a/b");
        fs::create_dir_all(&deep).expect("a folder");
        let scanner = Scanner::new(&[PHRASE]);
        fs::write(deep.join("junk"), junk(5, 200_000)).expect("written");
        assert!(scanner.folder(&top).is_empty(), "{:?}", scanner.folder(&top));
        for (n, form) in FORMS.into_iter().enumerate() {
            let mut bytes = junk(n as u64, 1000 + n);
            bytes.extend(written(PHRASE, form));
            fs::write(deep.join(format!("words{n}")), bytes).expect("written");
        }
        for (n, kind) in KINDS.into_iter().enumerate() {
            let mut bytes = junk(n as u64, 1000 + n);
            bytes.extend(sound::written(&wave(8000, 0.1), kind));
            fs::write(deep.join(format!("sound{n}")), bytes).expect("written");
        }
        let finds = scanner.folder(&top);
        FORMS.into_iter().enumerate().for_each(|(n, form)| {
            assert!(finds.has(&format!("words{n}"), &form.to_string()), "{form}: {finds:?}");
        });
        KINDS.into_iter().enumerate().for_each(|(n, kind)| {
            assert!(finds.has(&format!("sound{n}"), &kind.to_string()), "{kind}: {finds:?}");
        });
        let before = Files::of(&top);
        assert!(scanner.folder_since(&top, &before).is_empty(), "nothing came since");
        let mut junk = fs::read(deep.join("junk")).expect("readable");
        junk[100_000..][..PHRASE.len()].copy_from_slice(PHRASE.as_bytes());
        fs::write(deep.join("junk"), junk).expect("written");
        assert!(scanner.folder_since(&top, &before).has("junk", "UTF-8"), "what came since");
        fs::write(deep.join("near the clinic"), b"").expect("written");
        assert!(scanner.folder(&top).has("the name", "UTF-8"), "a file's name");
        let _ = fs::remove_dir_all(top);
    }

    #[test]
    fn sound_is_found_through_base64_and_hex() {
        let scanner = Scanner::new(&[PHRASE]);
        for kind in KINDS {
            let raw = sound::written(&wave(8000, 0.2), kind);
            let hex: String = raw.iter().map(|b| format!("{b:02x}")).collect();
            for hex in [hex.clone(), hex.to_uppercase()] {
                let finds = scanner.text("hex", &format!("{{\"audio\":\"{hex}\"}}"));
                assert!(finds.has("hex", &format!("{kind} in hex")), "{finds:?}");
            }
            let four = |g: &[u8]| {
                let n = u32::from(g[0]) << 16 | u32::from(g[1]) << 8 | u32::from(g[2]);
                [18, 12, 6, 0].map(|s| char::from(ALPHABET[(n >> s & 63) as usize]))
            };
            let coded: String = raw.chunks_exact(3).flat_map(four).collect();
            for lead in ["", "a", "ab", "abc"] {
                let finds = scanner.text("base64", &format!("{{\"audio\":\"{lead}{coded}\"}}"));
                assert!(finds.has("base64", &format!("{kind} in base64")), "{lead}: {finds:?}");
            }
        }
    }

    /// This process holds the canaries; another one does not, until it is told: every form, one after the other.
    #[test]
    fn memory_of_a_process_is_searched() {
        let words = "zebras in the attic";
        let scanner = Scanner::new(&[words]);
        let mut other = Command::new("cat");
        other.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
        let mut other = other.spawn().expect("cat runs");
        let before = Image::of(other.id());
        let finds = scanner.image(&before, None);
        assert!(finds.is_empty(), "it was not told yet: {finds:?}");
        let mut pipe = other.stdin.take().expect("piped");
        let spoken = FORMS.into_iter().map(|form| (form.to_string(), written(words, form)));
        let sounded = KINDS.into_iter().map(|kind| (kind.to_string(), sound::written(&wave(8000, 0.1), kind)));
        for (form, bytes) in spoken.chain(sounded) {
            std::io::Write::write_all(&mut pipe, &bytes).expect("told");
            crate::common::wait_for(&form, std::time::Duration::from_secs(10), || {
                let told = Image::of(other.id());
                assert!(scanner.image(&told, Some(&told)).is_empty(), "nothing came since");
                scanner.image(&told, Some(&before)).has("memory", &form).then_some(())
            });
        }
        let _ = other.kill();
        let _ = other.wait();
    }
}

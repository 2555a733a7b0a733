//! Tests of the pull against a made-up index and disk; never touches the network.

use super::*;
use crate::manifest::sha256_hex;
use std::collections::BTreeMap;
use std::io::Cursor;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// An index of packages, each one a member and its content; counts what is asked of it.
#[derive(Default)]
struct FakeNetwork {
    packages: BTreeMap<&'static str, Vec<(&'static str, Vec<u8>)>>,
    urls: BTreeMap<&'static str, Vec<u8>>,
    asked: Vec<String>,
}

impl Fetch for FakeNetwork {
    fn wheel(&mut self, member: &Member, folder: &Path, _: &mut dyn FnMut(Progress<'_>)) -> Result<(), PullError> {
        self.asked.push(member.package.clone());
        let what = member.package.clone();
        let Some(members) = self.packages.get(what.as_str()) else {
            return Err(PullError::NotFound { what, why: "no".to_owned() });
        };
        fs::write(folder.join("x.whl"), zip_of(members)).unwrap();
        Ok(())
    }

    fn url(&mut self, url: &str, _: u64, to: &Path, _: &mut dyn FnMut(Progress<'_>)) -> Result<(), PullError> {
        self.asked.push(url.to_owned());
        let unreachable = || PullError::Unreachable { what: url.to_owned(), why: "refused".to_owned() };
        fs::write(to, self.urls.get(url).ok_or_else(unreachable)?).unwrap();
        Ok(())
    }
}

fn zip_of(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn folder(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("dauys-pull-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    dir
}

fn entry(name: &str, content: &[u8], sources: &str) -> String {
    let hash = sha256_hex(content).unwrap();
    let size = content.len();
    format!(
        "[[file]]\nname = \"{name}\"\ngroup = \"vad\"\nlicence = \"MIT\"\nsize = {size}\nsha256 = \"{hash}\"\n{sources}"
    )
}

const FROM_A: &str =
    "[[file.source]]\nkind = \"pypi\"\npackage = \"a\"\nversion = \"1\"\nwheel_size = 9\nmember = \"a/m.bin\"\n";
const FROM_URL: &str = "[[file.source]]\nkind = \"url\"\nurl = \"https://hub/m.bin\"\n";

/// Pulls one file called `d/m.bin` of content "model" and says what came of it.
fn check(name: &str, sources: &str, network: &mut FakeNetwork, want: Result<&str, &str>) {
    let dir = folder(name);
    let manifest = Manifest::parse(&entry("d/m.bin", b"model", sources)).unwrap();
    let result = pull_with(network, &manifest, &Group::ALL, &dir, &mut |_| {});
    match (&result, want) {
        (Ok(report), Ok(asked)) => {
            assert_eq!(report.fetched, ["d/m.bin"]);
            assert_eq!(fs::read(dir.join("d/m.bin")).unwrap(), b"model");
            assert_eq!(network.asked.join(" "), asked);
            let again = pull_with(network, &manifest, &Group::ALL, &dir, &mut |_| {}).unwrap();
            assert_eq!((again.present.len(), again.fetched.len()), (1, 0));
            assert_eq!(network.asked.join(" "), asked, "a second pull asks nobody");
        }
        (Err(error), Err(text)) => {
            assert!(error.to_string().contains(text), "{name}: {error}");
            assert!(!dir.join("d/m.bin").exists(), "{name}: a wrong file stays away");
        }
        other => panic!("{name}: {other:?}"),
    }
    let left: Vec<_> = fs::read_dir(&dir).unwrap().filter_map(|e| Some(e.ok()?.file_name())).collect();
    assert!(left.iter().all(|name| name == "d"), "{name}: {left:?} is left over");
    let _ = fs::remove_dir_all(&dir);
}

fn with_a(content: &[u8]) -> FakeNetwork {
    let packages = BTreeMap::from([("a", vec![("a/m.bin", content.to_vec()), ("../evil", b"x".to_vec())])]);
    FakeNetwork { packages, ..FakeNetwork::default() }
}

#[test]
fn a_file_comes_from_the_first_source_that_has_it() {
    check("pypi", FROM_A, &mut with_a(b"model"), Ok("a"));
    let both = format!("{FROM_URL}{FROM_A}");
    check("fallback", &both, &mut with_a(b"model"), Ok("https://hub/m.bin a"));
    let mut hub = FakeNetwork { urls: BTreeMap::from([("https://hub/m.bin", b"model".to_vec())]), ..with_a(b"") };
    check("url", &both, &mut hub, Ok("https://hub/m.bin"));
    let mut wrong =
        FakeNetwork { urls: BTreeMap::from([("https://hub/m.bin", b"wrong".to_vec())]), ..with_a(b"model") };
    check("wrong url", &both, &mut wrong, Ok("https://hub/m.bin a"));
}

#[test]
fn what_is_not_right_is_not_kept() {
    check("hash", FROM_A, &mut with_a(b"mmmmm"), Err("d/m.bin from a 1 has the wrong sha256"));
    check("size", FROM_A, &mut with_a(b"a longer model"), Err("has 14 bytes instead of 5"));
    check("absent", FROM_A, &mut FakeNetwork::default(), Err("not in pip's index"));
    let mut other = with_a(b"model");
    other.packages.insert("a", vec![("b/other", b"model".to_vec())]);
    check("member", FROM_A, &mut other, Err("the package a cannot be unpacked: a/m.bin"));
    let both = format!("{FROM_URL}{FROM_A}");
    check("nowhere", &both, &mut FakeNetwork::default(), Err("any source: https://hub/m.bin could not be reached"));
}

#[test]
fn one_wheel_serves_all_its_members() {
    let dir = folder("shared");
    let second = FROM_A.replace("m.bin", "n.bin");
    let toml = entry("d/m.bin", b"model", FROM_A) + &entry("d/n.bin", b"other", &second);
    let manifest = Manifest::parse(&toml).unwrap();
    let mut network = with_a(b"model");
    network.packages.get_mut("a").unwrap().push(("a/n.bin", b"other".to_vec()));
    let mut steps = Vec::new();
    let report = pull_with(&mut network, &manifest, &[Group::Vad], &dir, &mut |p| steps.push(p.step)).unwrap();
    assert_eq!((report.fetched.len(), network.asked.len()), (2, 1));
    assert_eq!(steps, [Step::Unpacking, Step::Ready, Step::Unpacking, Step::Ready]);
    assert!(pull_with(&mut network, &manifest, &[Group::Turn], &dir, &mut |_| {}).unwrap().present.is_empty());
    let _ = fs::remove_dir_all(&dir);
}

#[test]
fn what_a_killed_pull_left_is_removed() {
    let dir = folder("killed");
    // No process has this number: the kernel's highest is 2^22.
    let (dead, alive) = (dir.join(".pull-4294967295"), dir.join(format!("{WORK_PREFIX}1")));
    [&dead, &alive].into_iter().for_each(|left| fs::create_dir_all(left).unwrap());
    let manifest = Manifest::parse(&entry("d/m.bin", b"model", FROM_A)).unwrap();
    pull_with(&mut with_a(b"model"), &manifest, &Group::ALL, &dir, &mut |_| {}).unwrap();
    assert!(!dead.exists() && alive.exists());
    let _ = fs::remove_dir_all(&dir);
}

#[test]
fn a_folder_that_cannot_be_written_is_a_clear_error() {
    let dir = folder("file");
    fs::write(&dir, "a file").unwrap();
    let manifest = Manifest::parse(&entry("d/m.bin", b"model", FROM_A)).unwrap();
    let error = pull_with(&mut with_a(b"model"), &manifest, &Group::ALL, &dir, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("cannot be written"), "{error}");
    let full = PullError::io(Path::new("/models"), io::Error::from(io::ErrorKind::StorageFull));
    assert!(full.to_string().contains("the disk is full at /models"), "{full}");
    let _ = fs::remove_file(&dir);
}

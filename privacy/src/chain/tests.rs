//! Tests of the audit log: every way to tamper with it is found at its entry, and a crash is not taken for one.

use proptest::prelude::*;

use super::*;
use crate::keys::{Key, KeyId};

fn signer(seed: u8) -> Signer {
    Signer::new(&Key::take(&mut [seed; 32])).expect("a signer")
}

fn entry(n: u64) -> Entry {
    Entry {
        at: Time(1_795_000_000_000 + n as i64),
        actor: "anna.k".into(),
        role: "privacy_officer".into(),
        action: Action::ALL[n as usize % Action::ALL.len()],
        objects: vec![Object::call(CallId(n)), Object::named("claim", "17").expect("a name")],
        why: "заявление 17, \"срочно\"".into(),
    }
}

/// A log of so many entries with a checkpoint every four, and the file of checkpoints.
fn written(entries: u64) -> (Vec<String>, String) {
    let mut chain = Chain::new(signer(1), 4);
    let (mut lines, mut checkpoints) = (vec![], String::new());
    for n in 0..entries {
        let appended = chain.append(entry(n)).expect("fits");
        assert_eq!(appended.seq, n + 1);
        lines.push(appended.line);
        checkpoints.extend(appended.checkpoint.map(|c| c.line()));
    }
    (lines, checkpoints)
}

fn known(checkpoints: &str) -> Known {
    Known::read(checkpoints.as_bytes(), &[signer(1).public()]).expect("good checkpoints")
}

fn check(lines: &[String], known: Known, want: Result<u64, (u64, BrokenHow)>) {
    let found = verify(lines.concat().as_bytes(), known);
    assert_eq!(found.map(|log| log.entries).map_err(|b| (b.seq, b.how)), want);
}

/// The log from some entry on with its hashes made anew, as one would who knows how.
fn rehashed(mut lines: Vec<String>, from: usize, alter: impl Fn(String) -> String) -> Vec<String> {
    let mut prev: Option<String> = None;
    for (n, line) in lines.iter_mut().enumerate().skip(from) {
        let mut before = line[..line.len() - 76].to_string();
        if let Some(prev) = &prev {
            let at = before.len() - 65;
            before.replace_range(at..at + 64, prev);
        }
        if n == from {
            before = alter(before);
        }
        let digest = hash(before.as_bytes()).to_string();
        *line = format!("{before},\"hash\":\"{digest}\"}}\n");
        prev = Some(digest);
    }
    lines
}

#[test]
fn a_log_is_what_was_written() {
    let (lines, checkpoints) = written(10);
    let log = verify(lines.concat().as_bytes(), known(&checkpoints)).expect("whole");
    assert_eq!((log.entries, log.checkpoint, log.unsigned), (10, Some((2, 8)), 2));
    check(&[], Known::default(), Ok(0));
    assert!(lines[0].starts_with(r#"{"seq":1,"at":1795000000000,"actor":"anna.k","role":"privacy_officer","action":"service.started","objects":["call:0000000000000000","claim:17"],"why":"заявление 17, \"срочно\"","prev":"000000"#), "{}", lines[0]);
    // Any program can follow it: the hash is over a label, a length and the text before ',"hash"'.
    let before = &lines[0][..lines[0].len() - 76];
    let mut bytes = vec![0, 0, 0, 0, 0, 0, 0, 13];
    bytes.extend_from_slice(b"dauys audit 1");
    bytes.extend_from_slice(&(before.len() as u64).to_be_bytes());
    bytes.extend_from_slice(before.as_bytes());
    assert!(lines[0].ends_with(&format!(",\"hash\":\"{}\"}}\n", Digest(Sha256::digest(bytes).into()))));
}

#[test]
fn a_log_goes_on_behind_what_was_verified() {
    let (mut lines, mut checkpoints) = written(6);
    let log = verify(lines.concat().as_bytes(), known(&checkpoints)).expect("whole");
    let mut chain = Chain::resume(signer(1), 4, &log);
    for n in 6..9 {
        let appended = chain.append(entry(n)).expect("fits");
        assert_eq!(appended.checkpoint.is_some(), n == 7, "every four entries over both");
        lines.push(appended.line);
        checkpoints.extend(appended.checkpoint.map(|c| c.line()));
    }
    checkpoints.push_str(&chain.checkpoint(Time(0)).line());
    let log = verify(lines.concat().as_bytes(), known(&checkpoints)).expect("whole");
    assert_eq!((log.entries, log.checkpoint, log.unsigned), (9, Some((3, 9)), 0));
    assert_eq!((lines, &checkpoints[..]), (written(9).0, &checkpoints[..]));
}

#[test]
fn what_is_missing_or_moved_is_found() {
    let (lines, checkpoints) = written(10);
    for n in 0..9 {
        let mut less = lines.clone();
        less.remove(n);
        let seq = n as u64 + 1;
        check(&less, known(&checkpoints), Err((seq, BrokenHow::Missing { found: seq + 1 })));
        let mut moved = lines.clone();
        moved.swap(n, n + 1);
        check(&moved, known(&checkpoints), Err((seq, BrokenHow::Moved { found: seq + 1 })));
        let mut twice = lines.clone();
        twice.insert(n + 1, lines[n].clone());
        check(&twice, known(&checkpoints), Err((seq + 1, BrokenHow::Moved { found: seq })));
    }
}

#[test]
fn what_is_cut_off_before_a_checkpoint_is_found() {
    let (lines, checkpoints) = written(10);
    for left in 0..8 {
        let signed = if left < 4 { 4 } else { 8 };
        let seq = left as u64 + 1;
        check(&lines[..left], known(&checkpoints), Err((seq, BrokenHow::CutOff { signed })));
        // Half a line, too: a crash cannot take what was signed.
        let torn = [lines[..left].concat(), lines[left][..20].into()];
        check(&torn, known(&checkpoints), Err((seq, BrokenHow::CutOff { signed })));
    }
    // Behind the last checkpoint nothing is seen, unless somebody was given a proof.
    check(&lines[..9], known(&checkpoints), Ok(9));
    let log = verify(lines.concat().as_bytes(), Known::default()).expect("whole");
    let proven = known(&checkpoints).with(Anchor { seq: 10, head: log.head });
    check(&lines[..9], proven.clone(), Err((10, BrokenHow::CutOff { signed: 10 })));
    check(&lines, proven, Ok(10));
}

#[test]
fn what_is_rewritten_with_good_hashes_is_found() {
    let (lines, checkpoints) = written(10);
    let alter = |line: String| line.replace("anna.k", "boris");
    // One entry with its own hash made anew: the next one tells.
    for n in 0..9 {
        let mut one = lines.clone();
        one[n] = rehashed(lines.clone(), n, alter)[n].clone();
        let seq = n as u64 + 1;
        let how = if seq.is_multiple_of(4) { BrokenHow::NotAsSigned { signed: seq } } else { BrokenHow::Rewritten };
        // A checkpoint on the very entry speaks first, for all since the one before.
        let seq = if seq.is_multiple_of(4) { seq - 3 } else { seq };
        check(&one, known(&checkpoints), Err((seq, how)));
    }
    // The whole rest: the next checkpoint tells, and names all since the one before.
    let rest = rehashed(lines.clone(), 5, alter);
    check(&rest, Known::default(), Ok(10));
    check(&rest, known(&checkpoints), Err((5, BrokenHow::NotAsSigned { signed: 8 })));
    // A hash that is good over text that is no entry.
    let odd = rehashed(lines.clone(), 2, |line| line.replace("\"role\"", "\"rule\""));
    check(&odd, Known::default(), Err((3, BrokenHow::Altered)));
    let more = rehashed(lines, 2, |line| line.replace("\"role\"", "\"x\":1,\"role\""));
    check(&more, Known::default(), Err((3, BrokenHow::Altered)));
}

#[test]
fn a_line_that_a_crash_cut_is_told_from_tampering_and_repaired() {
    let (lines, checkpoints) = written(10);
    let whole = lines[..9].concat();
    for cut in 1..lines[9].len() {
        for zeros in [0, 5] {
            let mut torn = whole.clone().into_bytes();
            torn.extend_from_slice(&lines[9].as_bytes()[..cut]);
            torn.extend(std::iter::repeat_n(0, zeros));
            let broken = verify(&torn, known(&checkpoints)).expect_err("torn");
            assert_eq!((broken.seq, broken.repair()), (10, Some(whole.len() as u64)), "{cut} bytes");
            torn.truncate(whole.len());
            let log = verify(&torn, known(&checkpoints)).expect("repaired");
            assert_eq!(Chain::resume(signer(1), 4, &log).append(entry(9)).expect("fits").line, lines[9]);
        }
    }
    for tail in ["x", "{\"seq\":11,\"at\":1", "{\"seq\":10,\"to\":1", "{\"seq\":10,\"at\":1\u{7}"] {
        let tampered = [whole.clone(), tail.into()];
        check(&tampered, known(&checkpoints), Err((10, BrokenHow::Altered)));
    }
    check(&[whole, lines[9].replace('\n', " ")], known(&checkpoints), Err((10, BrokenHow::Altered)));
}

#[test]
fn checkpoints_are_whole_signed_and_in_order() {
    let (lines, checkpoints) = written(20);
    let keys = [signer(2).public(), signer(1).public()];
    let read = |text: &str| Known::read(text.as_bytes(), &keys).map(|k| k.last);
    assert_eq!(read(&checkpoints), Ok(Some((5, 20))));
    assert_eq!(read(""), Ok(None));
    let bad = |number: u64| Err(Broken { seq: (number - 1) * 4 + 1, how: BrokenHow::Checkpoint { number } });
    let each: Vec<&str> = checkpoints.split_inclusive('\n').collect();
    assert_eq!(read(&each[1..].concat()), bad(1));
    assert_eq!(read(&[each[0], each[2]].concat()), bad(2));
    assert_eq!(read(&[each[1], each[0]].concat()), bad(1));
    assert_eq!(read(&[each[0], each[0]].concat()), bad(2));
    assert_eq!(read(&checkpoints.replacen(' ', "", 1).replacen(":", ": ", 1)), bad(1));
    // One that was being written.
    assert_eq!(read(&checkpoints[..checkpoints.len() - 5]), Ok(Some((4, 16))));
    let foreign = Known::read(checkpoints.as_bytes(), &keys[..1]).map(|k| k.last);
    assert_eq!(foreign, bad(1));
    for at in 0..checkpoints.len() {
        let mut flipped = checkpoints.clone().into_bytes();
        flipped[at] ^= 4;
        let number = 1 + checkpoints[..at].matches('\n').count() as u64;
        let found = Known::read(&flipped, &keys).map(|k| k.last);
        let last_end = at == checkpoints.len() - 1;
        assert_eq!(found, if last_end { Ok(Some((4, 16))) } else { bad(number) }, "byte {at}");
    }
    check(&lines, Known::read(checkpoints.as_bytes(), &keys).expect("good"), Ok(20));
}

#[test]
fn what_nobody_could_take_out_again_is_not_written() {
    let refused = |change: fn(&mut Entry)| {
        let mut bad = entry(4);
        bad.action = Action::ContentRead;
        change(&mut bad);
        let mut chain = Chain::new(signer(1), 4);
        let error = chain.append(bad).map(|a| a.seq);
        assert_eq!(chain.anchor().seq, u64::from(error.is_ok()), "a refused entry is none");
        error
    };
    assert_eq!(refused(|_| {}), Ok(1));
    assert_eq!(refused(|e| e.why = "court order 12/3 of 2026-11-23".into()), Ok(1));
    for why in
        ["+7 701 000 00 00", "call 8(701)0000000 back", "iin 990101300123", "write to a@b.kz", "4111-1111-1111-1111"]
    {
        let mut bad = entry(0);
        bad.why = why.into();
        assert_eq!(Chain::new(signer(1), 4).append(bad).map(|a| a.seq), Err(BadEntry::Personal), "{why}");
    }
    assert_eq!(refused(|e| e.why = "  ".into()), Err(BadEntry::NoReason));
    assert_eq!(refused(|e| e.why = "a\nb".into()), Err(BadEntry::Why));
    assert_eq!(refused(|e| e.why = "a".repeat(301)), Err(BadEntry::Why));
    assert_eq!(refused(|e| e.objects.clear()), Err(BadEntry::NobodyNamed));
    assert_eq!(refused(|e| e.objects = vec![Object::key(KeyId([1; 16]))]), Err(BadEntry::NobodyNamed));
    assert_eq!(refused(|e| e.objects = vec![Object::call(CallId(1)); 65]), Err(BadEntry::TooMany));
    for name in ["", "Anna K", "a@b.kz", "77010000000", &"a".repeat(65)] {
        let bad = |n: &str| Entry { actor: n.into(), ..entry(0) };
        assert_eq!(Chain::new(signer(1), 4).append(bad(name)).map(|a| a.seq), Err(BadEntry::Name), "{name}");
    }
    assert_eq!(refused(|e| e.role = "The Boss".into()), Err(BadEntry::Name));
    for (kind, name) in [("call", "1"), ("job", ""), ("job", "77010000000"), ("job", "a:b"), ("Job", "1"), ("job", "é")]
    {
        assert_eq!(Object::named(kind, name), None, "{kind}:{name}");
    }
}

#[test]
fn actions_are_told_apart_by_their_words() {
    for action in Action::ALL {
        assert_eq!(Action::parse(action.as_str()), Some(*action));
    }
    assert_eq!(Action::parse("content.eaten"), None);
    let reads = Action::ALL.iter().filter(|a| a.reads_content()).count();
    assert_eq!(reads, 4);
}

/// The largest entry that is accepted fits into a line.
#[test]
fn lines_are_bounded() {
    let mut big = entry(0);
    big.why = "\"".repeat(300);
    big.objects = vec![Object::named(&"k".repeat(64), &"n".repeat(64)).expect("a name"); 64];
    big.actor = "a".repeat(64);
    let line = Chain::new(signer(1), 4).append(big).expect("fits").line;
    assert!(line.len() < LINE_MAX);
    check(&[line], Known::default(), Ok(1));
    let endless = "a".repeat(LINE_MAX * 4);
    check(&[endless.clone(), "\n".into()], Known::default(), Err((1, BrokenHow::Altered)));
    check(&[endless], Known::default(), Err((1, BrokenHow::Altered)));
}

proptest! {
    #[test]
    fn any_flipped_byte_is_found_at_its_entry(at in any::<proptest::sample::Index>(), with in 1u8..=255) {
        let (lines, checkpoints) = written(9);
        let log = lines.concat();
        let at = at.index(log.len());
        let mut flipped = log.clone().into_bytes();
        flipped[at] ^= with;
        let seq = 1 + log.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() as u64;
        let broken = verify(&flipped, known(&checkpoints)).expect_err("altered");
        prop_assert_eq!(broken.seq, seq);
        // A zero in place of the last line's end is what a crash leaves, too.
        prop_assert_eq!(broken.repair().is_some(), at == log.len() - 1 && flipped[at] == 0);
    }

    #[test]
    fn any_bytes_are_read_without_harm(log in proptest::collection::vec(any::<u8>(), 0..300), text in "[{}\":,a-z0-9\n]{0,300}") {
        for bytes in [&log[..], text.as_bytes()] {
            if verify(bytes, Known::default()).is_ok() {
                prop_assert!(bytes.is_empty());
            }
            let known = Known::read(bytes, &[signer(1).public()]);
            prop_assert!(known.is_err() || known.is_ok_and(|k| k.last.is_none()));
        }
    }
}

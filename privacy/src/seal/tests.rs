//! Tests of sealing: a row opens where it was put, for whom it is logged, and nowhere else.

use proptest::prelude::*;

use super::*;
use crate::chain::{Action, Chain, Entry, Object};
use crate::consent::{Channel, ConsentGate, Grant};
use crate::keys::{Fresh, Key, Keyring, Signer, What};
use crate::policy::{Language, TextHash, Told, Version};
use crate::{SubjectId, TenantId, Time};

const ANNA: SubjectId = SubjectId([1; 16]);
const BORIS: SubjectId = SubjectId([2; 16]);

/// Every scope that is used here was asked for and granted.
fn gate(subject: SubjectId, call: u64) -> ConsentGate {
    let told = Told {
        version: Version::new("1").expect("a version"),
        text: TextHash::of("told"),
        language: Language::new("en").expect("a language"),
        channel: Channel::Phone,
    };
    let mut gate = ConsentGate::new(CallId(call), subject, told);
    for scope in [Scope::Transcript, Scope::Audio, abroad()] {
        assert!(gate.ask(Time(1), &scope, TextHash::of("may we?")));
        assert!(gate.grant(Time(2), &scope, Grant::Key));
    }
    gate
}

fn abroad() -> Scope {
    Scope::Xborder(crate::Country::new("US").expect("a country"))
}

fn tenant() -> TenantId {
    TenantId::new("clinic").expect("a tenant")
}

/// Two calls of Anna's and one of Boris's, with transcripts, and the sound of Anna's first.
fn ring() -> Keyring {
    let mut ring = Keyring::new(Key::take(&mut [1; 32]), 100);
    let segment = |subject, call, scope| What::Segment { subject, call: CallId(call), scope };
    let whats = [
        What::Tenant { generation: 1 },
        What::Subject(ANNA),
        What::Subject(BORIS),
        segment(ANNA, 1, Scope::Transcript),
        segment(ANNA, 2, Scope::Transcript),
        segment(BORIS, 3, Scope::Transcript),
        segment(ANNA, 1, Scope::Audio),
    ];
    for (n, what) in whats.into_iter().enumerate() {
        let mut random: [u8; Fresh::LEN] = std::array::from_fn(|i| (i * 3 + n * 41) as u8);
        let fresh = Fresh::take(&mut random).expect("varied");
        ring.make(&tenant(), what, fresh, Time(0)).expect("made");
    }
    ring
}

fn access(action: Action, object: Object) -> Option<Access> {
    let signer = Signer::new(&Key::take(&mut [3; 32])).expect("a signer");
    let entry = Entry {
        at: Time(0),
        actor: "anna.k".into(),
        role: "privacy_officer".into(),
        action,
        objects: vec![object],
        why: "claim 17".into(),
    };
    Chain::new(signer, 100).append(entry).expect("fits").access
}

/// A line of Anna's first call.
fn kept(ring: &mut Keyring, seq: u64, text: &str) -> Result<Sealed, SealError> {
    let gate = gate(ANNA, 1);
    let permit = gate.permit(&Scope::Transcript).expect("granted");
    let segment = ring.segment(&tenant(), permit.subject(), permit.call(), permit.scope()).expect("a key");
    seal(&permit, &segment, Kind::Line, seq, Plain::text(text.into()), Nonce::new([5; 12]))
}

fn opened(ring: &mut Keyring, row: &Sealed, subject: SubjectId, call: u64, scope: &Scope) -> Result<String, SealError> {
    let access = access(Action::ContentRead, Object::call(CallId(call))).expect("reads");
    let segment = ring.segment(&tenant(), subject, CallId(call), scope).expect("a key");
    open(&access, &segment, row).map(|plain| plain.as_text().expect("text").to_string())
}

#[test]
fn a_row_opens_where_it_was_put() {
    let mut ring = ring();
    let row = kept(&mut ring, 4, "a tooth hurts").expect("sealed");
    assert!(!row.body.windows(5).any(|w| w == b"tooth"));
    assert_eq!(row.body.len(), "a tooth hurts".len() + 16);
    assert_eq!(opened(&mut ring, &row, ANNA, 1, &Scope::Transcript), Ok("a tooth hurts".into()));
    let empty = kept(&mut ring, 5, "").expect("sealed");
    assert_eq!(opened(&mut ring, &empty, ANNA, 1, &Scope::Transcript), Ok(String::new()));
}

#[test]
fn a_row_that_was_moved_or_altered_does_not_open() {
    let mut ring = ring();
    let row = kept(&mut ring, 4, "a tooth hurts").expect("sealed");
    type Alter = fn(&mut Sealed);
    let alterations: [(&str, Alter); 9] = [
        ("call", |row| row.call = CallId(2)),
        ("seq", |row| row.seq = 5),
        ("scope", |row| row.scope = Scope::Audio),
        ("kind", |row| row.kind = Kind::Note),
        ("event", |row| row.event.0[0] ^= 1),
        ("key", |row| row.key.0[0] ^= 1),
        ("nonce", |row| row.nonce[0] ^= 1),
        ("body", |row| row.body[0] ^= 1),
        ("end", |row| row.body.truncate(3)),
    ];
    for (what, alter) in alterations {
        let mut altered = row.clone();
        alter(&mut altered);
        let opened = opened(&mut ring, &altered, ANNA, 1, &Scope::Transcript);
        assert_eq!(opened, Err(SealError::NotGenuine), "{what}");
    }
    // As another row of another segment, with all its columns made to fit.
    for (subject, call, scope) in [(ANNA, 2, Scope::Transcript), (BORIS, 3, Scope::Transcript), (ANNA, 1, Scope::Audio)]
    {
        let key = ring.segment(&tenant(), subject, CallId(call), &scope).expect("a key").id;
        let moved = Sealed { call: CallId(call), scope: scope.clone(), key, ..row.clone() };
        assert_eq!(opened(&mut ring, &moved, subject, call, &scope), Err(SealError::NotGenuine));
    }
}

#[test]
fn a_permit_seals_under_its_own_key_only() {
    let mut ring = ring();
    for (subject, call, scope) in
        [(ANNA, 2, Scope::Transcript), (BORIS, 1, Scope::Transcript), (ANNA, 1, Scope::Audio), (ANNA, 1, abroad())]
    {
        let gate = gate(subject, call);
        let permit = gate.permit(&scope).expect("granted");
        let segment = ring.segment(&tenant(), ANNA, CallId(1), &Scope::Transcript).expect("a key");
        let sealed = seal(&permit, &segment, Kind::Line, 1, Plain::text("x".into()), Nonce::new([5; 12]));
        assert_eq!(sealed, Err(SealError::OtherSegment));
    }
}

#[test]
fn reading_needs_an_entry_in_the_log_that_names_it() {
    let mut ring = ring();
    let row = kept(&mut ring, 4, "x").expect("sealed");
    let segment = ring.segment(&tenant(), ANNA, CallId(1), &Scope::Transcript).expect("a key");
    for (object, covers) in [
        (Object::call(CallId(1)), true),
        (Object::subject(ANNA), true),
        (Object::call(CallId(2)), false),
        (Object::subject(BORIS), false),
    ] {
        let access = access(Action::ContentExported, object).expect("reads");
        assert_eq!(open(&access, &segment, &row).map(drop), if covers { Ok(()) } else { Err(SealError::NotLogged) });
    }
    assert!(access(Action::ErasureAsked, Object::subject(ANNA)).is_none());
}

#[test]
fn content_is_bounded() {
    let mut ring = ring();
    let kept = |ring: &mut Keyring, len: usize| kept(ring, 1, &"x".repeat(len)).map(drop);
    assert_eq!(kept(&mut ring, PLAIN_MAX), Ok(()));
    assert_eq!(kept(&mut ring, PLAIN_MAX + 1), Err(SealError::TooLong(PLAIN_MAX + 1)));
}

#[test]
fn kinds_are_written_as_they_are_read() {
    for kind in [Kind::Line, Kind::Sound, Kind::Note] {
        assert_eq!(Kind::parse(kind.as_str()), Some(kind));
    }
    assert_eq!(Kind::parse("Line"), None);
}

proptest! {
    #[test]
    fn any_content_comes_back_and_any_flipped_bit_is_seen(
        content in proptest::collection::vec(any::<u8>(), 0..200),
        at in any::<proptest::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut ring = ring();
        let gate = gate(ANNA, 1);
        let permit = gate.permit(&Scope::Transcript).expect("granted");
        let segment = ring.segment(&tenant(), ANNA, CallId(1), &Scope::Transcript).expect("a key");
        let plain = Plain::new(content.clone());
        let row = seal(&permit, &segment, Kind::Sound, 9, plain, Nonce::new([5; 12])).expect("sealed");
        let access = access(Action::ContentRead, Object::call(CallId(1))).expect("reads");
        let back = open(&access, &segment, &row).expect("opens");
        prop_assert_eq!(back.as_bytes(), &content[..]);
        let mut flipped = row.clone();
        flipped.body[at.index(row.body.len())] ^= 1 << bit;
        prop_assert_eq!(open(&access, &segment, &flipped).map(drop), Err(SealError::NotGenuine));
    }
}

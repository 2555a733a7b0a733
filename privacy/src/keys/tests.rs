//! Tests of envelopes and the keyring: what opens, what does not, and what is gone.

use proptest::prelude::*;

use super::*;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a tenant")
}

fn key(n: u8) -> Key {
    Key::take(&mut std::array::from_fn(|i| n.wrapping_mul(31).wrapping_add(i as u8)))
}

fn fresh(n: u64) -> Fresh {
    let mut bytes = [0; Fresh::LEN];
    bytes.chunks_mut(8).enumerate().for_each(|(i, chunk)| {
        let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(i as u64 * 77);
        chunk.copy_from_slice(&mixed.to_be_bytes()[..chunk.len()]);
    });
    Fresh::take(&mut bytes).expect("varied")
}

fn nonce(n: u64) -> Nonce {
    let mut bytes = [9; 12];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    Nonce::new(bytes)
}

fn subject(n: u8) -> SubjectId {
    SubjectId([n; 16])
}

fn segment_of(n: u8, call: u64) -> What {
    What::Segment { subject: subject(n), call: CallId(call), scope: Scope::Transcript }
}

/// A ring and a keystore with two tenants, two subjects each, and a segment each.
fn store() -> (Keyring, Vec<WrappedKey>) {
    let mut ring = Keyring::new(key(1), 100);
    let mut rows = vec![];
    let mut n = 0;
    for name in ["a", "b"] {
        let whats = [
            What::Tenant { generation: 1 },
            What::Index,
            What::Signing,
            What::Subject(subject(1)),
            What::Subject(subject(2)),
            segment_of(1, 11),
            segment_of(2, 22),
        ];
        for what in whats {
            n += 1;
            rows.push(ring.make(&tenant(name), what, fresh(n), Time(n as i64)).expect("made"));
        }
    }
    (ring, rows)
}

/// Adds what can be added, from the top down.
fn filled(mut ring: Keyring, rows: &[WrappedKey]) -> Keyring {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_by_key(|row| match row.what {
        What::Tenant { .. } => 0,
        What::Segment { .. } => 2,
        _ => 1,
    });
    rows.into_iter().for_each(|row| drop(ring.add(row)));
    ring
}

fn opens(ring: &mut Keyring, name: &str, n: u8, call: u64) -> bool {
    ring.segment(&tenant(name), subject(n), CallId(call), &Scope::Transcript).is_ok()
}

#[test]
fn aes_256_gcm_is_that_of_its_specification() {
    // McGrew and Viega, The Galois/Counter Mode of Operation, test case 16.
    let mut secret: [u8; 32] =
        text::unhex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308").expect("hex");
    let key = Key::take(&mut secret);
    assert_eq!(secret, [0; 32]);
    let nonce = Nonce::new(text::unhex("cafebabefacedbaddecaf888").expect("hex"));
    let plain: [u8; 60] = text::unhex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39").expect("hex");
    let bound: [u8; 20] = text::unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2").expect("hex");
    let mut body = plain.to_vec();
    assert!(key.encrypt(&nonce, &bound, &mut body));
    let want = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b";
    assert_eq!(text::hex(&body), want);
    assert!(key.decrypt(&nonce.bytes(), &bound, &mut body));
    assert_eq!(body, plain);
    for short in [vec![], vec![0; 15], vec![0; 16]] {
        assert!(!key.decrypt(&nonce.bytes(), &bound, &mut short.clone()), "{} bytes", short.len());
    }
}

#[test]
fn kinds_of_keys_are_written_as_they_are_read() {
    let whats =
        [What::Tenant { generation: 7 }, What::Index, What::Signing, What::Subject(subject(3)), segment_of(4, 9)];
    for what in whats {
        assert_eq!(what.to_string().parse(), Ok(what));
    }
    let odd = What::Segment { subject: subject(1), call: CallId(1), scope: Scope::ThirdParty("crm".into()) };
    assert_eq!(odd.to_string().parse(), Ok(odd));
    for wrong in ["", "tenant", "tenant:01", "tenant:+1", "index:", "subject:1", "segment:a:b:c", "Index"] {
        assert_eq!(wrong.parse::<What>(), Err(NotAKind), "{wrong}");
    }
}

#[test]
fn a_row_is_written_as_it_is_read() {
    let (_, rows) = store();
    for row in rows {
        let json = serde_json::to_string(&row).expect("JSON");
        assert_eq!(serde_json::from_str::<WrappedKey>(&json).expect("a row"), row);
    }
}

#[test]
fn an_empty_ring_says_what_it_needs_from_the_top_down() {
    let (_, rows) = store();
    let mut ring = Keyring::new(key(1), 10);
    let (a, scope) = (tenant("a"), Scope::Transcript);
    for (needs, row) in [(What::Tenant { generation: 1 }, 0), (What::Subject(subject(1)), 3), (segment_of(1, 11), 5)] {
        let asked = ring.segment(&a, subject(1), CallId(11), &scope).map(|_| ());
        assert_eq!(asked, Err(KeyError::Unknown(needs)));
        ring.add(&rows[row]).expect("opens");
    }
    assert!(opens(&mut ring, "a", 1, 11));
    assert_eq!(ring.add(&rows[6]), Err(KeyError::NoParent(rows[4].id)));
    let made = ring.make(&a, segment_of(1, 11), fresh(99), Time(0));
    assert_eq!(made, Err(KeyError::Exists(rows[5].id)));
    assert_eq!(ring.make(&a, What::Tenant { generation: 3 }, fresh(99), Time(0)), Err(KeyError::Generation(2)));
}

#[test]
fn a_row_opens_in_its_own_place_only() {
    let (mut ring, rows) = store();
    let subject_row = &rows[3];
    type Alter = fn(&mut WrappedKey);
    let moves: [(&str, Alter); 9] = [
        ("id", |row| row.id.0[0] ^= 1),
        ("tenant", |row| row.tenant = tenant("b")),
        ("subject", |row| row.what = What::Subject(subject(2))),
        ("kind", |row| row.what = What::Index),
        ("version", |row| row.version += 1),
        ("made", |row| row.made = Time(row.made.0 + 1)),
        ("nonce", |row| row.nonce[11] ^= 1),
        ("body", |row| row.body[0] ^= 1),
        ("tag", |row| row.body[47] ^= 0x80),
    ];
    for (what, alter) in moves {
        let mut row = subject_row.clone();
        alter(&mut row);
        assert_eq!(ring.add(&row), Err(KeyError::NotGenuine), "{what}");
    }
    // Under the key of another of the same kind, or of one that may wrap no such thing.
    for (row, parent) in [(3, 7), (5, 4), (5, 0), (3, 4)] {
        let mut row = rows[row].clone();
        row.parent = rows[parent].id;
        assert_eq!(ring.add(&row), Err(KeyError::NotGenuine));
    }
    assert_eq!(Keyring::new(key(2), 10).add(&rows[0]), Err(KeyError::OtherKek(key(1).fingerprint())));
}

#[test]
fn what_is_forgotten_is_gone_with_all_below_and_stays_gone() {
    let (mut ring, rows) = store();
    ring.forget(&tenant("a"), subject(1), &[rows[3].id]);
    assert!(!opens(&mut ring, "a", 1, 11));
    assert!(opens(&mut ring, "a", 2, 22) && opens(&mut ring, "b", 1, 11));
    // Rows that were read before their destruction.
    assert_eq!(ring.add(&rows[3]), Err(KeyError::Destroyed(rows[3].id)));
    assert_eq!(ring.add(&rows[5]), Err(KeyError::Destroyed(rows[5].id)));
    // The person calls again: a new key, which opens nothing of before.
    let new = ring.make(&tenant("a"), What::Subject(subject(1)), fresh(50), Time(0)).expect("made");
    assert!(new.id != rows[3].id && !opens(&mut ring, "a", 1, 11));
    let mut old = rows[5].clone();
    old.parent = new.id;
    assert_eq!(filled(Keyring::new(key(1), 10), &[rows[0].clone(), new]).add(&old), Err(KeyError::NotGenuine));
}

#[test]
fn a_backup_of_segments_does_not_open_without_the_subject_key() {
    let (_, rows) = store();
    // All of an old keystore but the destroyed row.
    let backup: Vec<_> = rows.iter().filter(|row| row.id != rows[3].id).cloned().collect();
    let mut ring = filled(Keyring::new(key(1), 100), &backup);
    assert!(!opens(&mut ring, "a", 1, 11));
    assert!(opens(&mut ring, "a", 2, 22));
    assert_eq!(ring.add(&rows[5]), Err(KeyError::NoParent(rows[3].id)));
}

#[test]
fn room_is_made_by_what_was_used_longest_ago() {
    let mut ring = Keyring::new(key(1), 3);
    let a = tenant("a");
    ring.make(&a, What::Tenant { generation: 1 }, fresh(0), Time(0)).expect("made");
    ring.make(&a, What::Subject(subject(1)), fresh(1), Time(0)).expect("made");
    ring.make(&a, segment_of(1, 1), fresh(2), Time(0)).expect("made");
    ring.make(&a, segment_of(1, 2), fresh(3), Time(0)).expect("made");
    assert!(opens(&mut ring, "a", 1, 1));
    // The subject's own key was used least.
    ring.make(&a, segment_of(1, 3), fresh(4), Time(0)).expect("made");
    assert_eq!(ring.len(), 4);
    let asked = ring.segment(&a, subject(1), CallId(4), &Scope::Transcript).map(|_| ());
    assert_eq!(asked, Err(KeyError::Unknown(What::Subject(subject(1)))));
    ring.make(&a, What::Subject(subject(2)), fresh(5), Time(0)).expect("made");
    assert!(opens(&mut ring, "a", 1, 1) && !opens(&mut ring, "a", 1, 2) && opens(&mut ring, "a", 1, 3));
}

#[test]
fn the_key_encryption_key_is_changed_row_by_row() {
    let (_, rows) = store();
    for stop in 0..=rows.len() {
        let mut kept = rows.clone();
        // The first attempt ends somewhere; the second goes over all of them again.
        for (done, limit) in [(0u64, stop), (100, kept.len())] {
            let ring = filled(Keyring::new(key(2), 100).with_retired(key(1)), &kept);
            for (n, row) in kept.iter_mut().enumerate().take(limit) {
                if let Some(new) = ring.rewrap(row, nonce(done + n as u64)).expect("opens") {
                    assert_eq!((new.id, &new.what, new.version), (row.id, &row.what, row.version + 1));
                    *row = new;
                }
                assert!(!ring.is_behind(row));
            }
        }
        let mut ring = filled(Keyring::new(key(2), 100), &kept);
        assert_eq!(ring.len(), rows.len());
        assert!(opens(&mut ring, "a", 1, 11) && opens(&mut ring, "b", 2, 22));
        assert!(filled(Keyring::new(key(1), 100), &kept).is_empty());
        let changed = kept.iter().zip(&rows).filter(|(new, old)| new != old).count();
        assert_eq!(changed, 2, "the two tenants' keys alone");
    }
}

#[test]
fn a_tenant_key_is_changed_row_by_row() {
    let (_, rows) = store();
    let who = Identifier::read("+77010000000", None).expect("a number");
    for stop in 0..=rows.len() {
        let mut ring = filled(Keyring::new(key(1), 100), &rows);
        let before = ring.subject_of(&tenant("a"), &who);
        let mut kept = rows.clone();
        kept.push(ring.make(&tenant("a"), What::Tenant { generation: 2 }, fresh(60), Time(0)).expect("made"));
        for (done, limit) in [(0u64, stop), (100, kept.len())] {
            let ring = filled(Keyring::new(key(1), 100), &kept);
            for (n, row) in kept.iter_mut().enumerate().take(limit) {
                if let Some(new) = ring.rewrap(row, nonce(done + n as u64)).expect("opens") {
                    *row = new;
                }
            }
        }
        assert!(kept.iter().all(|row| row.parent != rows[0].id), "nothing is under the old generation");
        kept.remove(0);
        let mut ring = filled(Keyring::new(key(1), 100), &kept);
        assert_eq!(ring.len(), rows.len());
        assert!(opens(&mut ring, "a", 1, 11) && opens(&mut ring, "b", 1, 11));
        assert_eq!(ring.subject_of(&tenant("a"), &who), before, "pseudonyms stay");
        ring.add(&rows[0]).expect("an old row of a backup opens");
        let row = ring.make(&tenant("a"), What::Subject(subject(9)), fresh(61), Time(0)).expect("made");
        assert_eq!(row.parent, kept.last().map_or(row.id, |newest| newest.id), "new keys go under the newest");
    }
}

#[test]
fn the_newest_generation_is_current_again_when_a_newer_one_goes() {
    let (mut ring, rows) = store();
    let second = ring.make(&tenant("a"), What::Tenant { generation: 2 }, fresh(60), Time(0)).expect("made");
    ring.forget_key(second.id);
    let row = ring.make(&tenant("a"), What::Subject(subject(9)), fresh(61), Time(0)).expect("made");
    assert_eq!(row.parent, rows[0].id);
}

#[test]
fn tenants_name_and_sign_apart() {
    let (ring, _) = store();
    let who = Identifier::read("anna@example.com", None).expect("an address");
    let pseudonym = |name: &str| ring.subject_of(&tenant(name), &who).expect("an index key");
    assert_ne!(pseudonym("a"), pseudonym("b"));
    assert_eq!(ring.subject_of(&tenant("c"), &who), Err(KeyError::Unknown(What::Index)));
    let public = |name: &str| ring.signer(&tenant(name)).expect("a signing key").public();
    assert_ne!(public("a"), public("b"));
}

#[test]
fn bytes_that_nobody_filled_make_no_key() {
    assert!(Fresh::take(&mut [0; Fresh::LEN]).is_none());
    let mut bytes: [u8; Fresh::LEN] = std::array::from_fn(|i| i as u8);
    assert!(Fresh::take(&mut bytes).is_some());
    assert_eq!(bytes, [0; Fresh::LEN], "wiped where they came from");
}

proptest! {
    /// The ring against a set: it never holds more than its room, and opens what was added and not forgotten.
    #[test]
    fn a_random_history_of_the_ring(steps in proptest::collection::vec((0u8..4, 1u8..5, 0u64..3), 0..60)) {
        let a = tenant("a");
        let mut ring = Keyring::new(key(1), 4);
        ring.make(&a, What::Tenant { generation: 1 }, fresh(0), Time(0)).expect("made");
        let mut stored: std::collections::BTreeMap<What, WrappedKey> = std::collections::BTreeMap::new();
        let mut n = 1;
        for (step, who, call) in steps {
            n += 1;
            if step == 0 {
                let theirs = |what: &What| what.subject() == Some(subject(who));
                let gone: Vec<KeyId> = stored.iter().filter(|(w, _)| theirs(w)).map(|(_, row)| row.id).collect();
                stored.retain(|what, _| !theirs(what));
                ring.forget(&a, subject(who), &gone);
                for id in gone {
                    prop_assert!(ring.held_ids().all(|held| held != id));
                }
            } else {
                // The way of a driver: at most three questions, each answered from the keystore or by a new key.
                for _ in 0..3 {
                    match ring.segment(&a, subject(who), CallId(call), &Scope::Transcript).map(|s| s.id) {
                        Ok(id) => {
                            prop_assert_eq!(Some(id), stored.get(&segment_of(who, call)).map(|row| row.id));
                            break;
                        }
                        Err(KeyError::Unknown(what)) => match stored.get(&what) {
                            Some(row) => ring.add(row).expect("opens"),
                            None => {
                                n += 1;
                                let row = ring.make(&a, what.clone(), fresh(n), Time(0)).expect("made");
                                stored.insert(what, row);
                            }
                        },
                        Err(other) => prop_assert!(false, "{other}"),
                    }
                }
                prop_assert!(opens(&mut ring, "a", who, call));
            }
            prop_assert!(ring.len() <= 5);
        }
    }
}

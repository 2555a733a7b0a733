//! Tests of proofs: what was signed is what is read, and nothing impossible is signed.

use proptest::prelude::*;

use super::*;
use crate::keys::Key;

fn signer(seed: u8) -> Signer {
    Signer::new(&Key::take(&mut [seed; 32])).expect("a signer")
}

fn proof() -> Proof {
    let count = |kind: &str, count| Count { kind: kind.into(), count };
    Proof {
        version: Proof::VERSION,
        job: "e-17".into(),
        tenant: TenantId::new("clinic").expect("a tenant"),
        subject: SubjectId([0xab; 16]),
        asked: Time(1_795_000_000_000),
        frozen: Time(1_795_000_000_001),
        destroyed: Time(1_795_000_060_000),
        finished: Time(1_795_000_090_500),
        keys: vec![KeyId([2; 16]), KeyId([1; 16])],
        deleted: vec![count("line", 12), count("recording", 0)],
        kept: vec![Kept {
            kind: "consent_event".into(),
            count: 3,
            why: "evidence_of_consent".into(),
            until: Time(1_889_000_000_000),
        }],
        receipts: vec![Receipt { destination: "crm".into(), at: Time(1_795_000_080_000), hash: Digest([9; 32]) }],
        audit: Span { first: 40, last: Anchor { seq: 52, head: Digest([7; 32]) } },
        policy: "2026-11".into(),
    }
}

fn document() -> String {
    proof().sign(&signer(1)).expect("possible").document().expect("JSON")
}

#[test]
fn a_proof_is_read_as_it_was_signed() {
    let keys = [signer(2).public(), signer(1).public()];
    assert_eq!(verify_proof(document().as_bytes(), &keys), Ok(proof()));
    assert!(document().contains("\"destroyed\": \"2026-11-18T11:07:40Z\""), "{}", document());
    // The layout is free.
    let packed: serde_json::Value = serde_json::from_str(&document()).expect("JSON");
    assert_eq!(verify_proof(packed.to_string().as_bytes(), &keys), Ok(proof()));
    assert_eq!(proof().hash(), proof().hash());
}

#[test]
fn whoever_lacks_the_key_proves_nothing() {
    let document = document();
    let check = |document: &str, want| assert_eq!(verify_proof(document.as_bytes(), &[signer(1).public()]), Err(want));
    let other = signer(2).public().id();
    assert_eq!(verify_proof(document.as_bytes(), &[]), Err(BadProof::UnknownKey(signer(1).public().id())));
    let foreign = proof().sign(&signer(2)).expect("possible").document().expect("JSON");
    check(&foreign, BadProof::UnknownKey(other));
    check(&foreign.replace(&other.to_string(), &signer(1).public().id().to_string()), BadProof::NotGenuine);
    check(&document.replace("\"count\": 12", "\"count\": 13"), BadProof::NotGenuine);
    check(&document.replace("e-17", "e-18"), BadProof::NotGenuine);
    check(&document.replace("\"seq\": 52", "\"seq\": 53"), BadProof::NotGenuine);
    check(&document.replace("11:07:40Z", "11:07:41Z"), BadProof::NotGenuine);
    check(&document.replace("11:07:40Z", "11:07:40.0001Z"), BadProof::NotADocument);
    check(&document.replace("11:07:40Z", "16:07:40+05:00"), BadProof::NotADocument);
    check(&document.replace("\"job\"", "\"note\": \"all gone\", \"job\""), BadProof::NotADocument);
    check(&document.replace("\"job\"", "\"job\": \"e-1\", \"job\""), BadProof::NotADocument);
    check("", BadProof::NotADocument);
    check(&" ".repeat(DOCUMENT_MAX + 1), BadProof::NotADocument);
}

#[test]
fn nothing_impossible_is_signed() {
    let check = |change: fn(&mut Proof), want| {
        let mut bad = proof();
        change(&mut bad);
        assert_eq!(bad.clone().sign(&signer(1)).map(drop), Err(want));
        // Nor read, where an older version or another program signed it.
        let message = serde_json::to_vec(&bad);
        if let Ok(message) = message {
            let signature = signer(1).sign(LABEL, &message);
            let signed = SignedProof { proof: bad, key: signer(1).public().id(), signature };
            let text = serde_json::to_string(&signed).expect("JSON");
            assert_eq!(verify_proof(text.as_bytes(), &[signer(1).public()]), Err(want));
        }
    };
    check(|p| p.version = 2, BadProof::Version(2));
    check(|p| p.frozen = Time(p.asked.0 - 1), BadProof::Times);
    check(|p| p.destroyed = Time(p.frozen.0 - 1), BadProof::Times);
    check(|p| p.finished = Time(p.destroyed.0 - 1), BadProof::Times);
    check(|p| p.receipts[0].at = Time(p.finished.0 + 1), BadProof::Times);
    check(|p| p.receipts[0].at = Time(p.frozen.0 - 1), BadProof::Times);
    check(|p| p.finished = Time(i64::MAX), BadProof::Times);
    check(|p| p.job = "Anna".into(), BadProof::Name);
    check(|p| p.job = String::new(), BadProof::Name);
    check(|p| p.policy = "a b".into(), BadProof::Name);
    check(|p| p.deleted[0].kind = "строка".into(), BadProof::Name);
    check(|p| p.kept[0].why = "because the law says so".into(), BadProof::Name);
    check(|p| p.receipts[0].destination = "https://crm".into(), BadProof::Name);
    check(|p| p.audit.first = 0, BadProof::Span);
    check(|p| p.audit.first = 53, BadProof::Span);
    check(|p| p.keys.push(p.keys[0]), BadProof::Twice);
    check(|p| p.deleted.push(p.deleted[1].clone()), BadProof::Twice);
    check(|p| p.kept.push(p.kept[0].clone()), BadProof::Twice);
    check(|p| p.receipts.push(p.receipts[0].clone()), BadProof::Twice);
}

#[test]
fn a_proof_is_an_anchor_of_the_log() {
    use crate::chain::{Action, BrokenHow, Chain, Entry, Known, Object, verify};
    let mut chain = Chain::new(signer(1), 1000);
    let lines: Vec<String> = (0..5)
        .map(|n| {
            let objects = vec![Object::named("job", "e-17").expect("a name")];
            let (actor, role) = ("erasure".into(), "service".into());
            let entry = Entry { at: Time(n), actor, role, action: Action::RowsDeleted, objects, why: String::new() };
            chain.append(entry).expect("fits").line
        })
        .collect();
    let mut proof = proof();
    proof.audit = Span { first: 1, last: chain.anchor() };
    let text = proof.sign(&signer(1)).expect("possible").document().expect("JSON");
    let proven = verify_proof(text.as_bytes(), &[signer(1).public()]).expect("genuine");
    let known = Known::default().with(proven.audit.last);
    assert!(verify(lines.concat().as_bytes(), known.clone()).is_ok());
    let cut = verify(lines[..3].concat().as_bytes(), known).expect_err("cut");
    assert_eq!((cut.seq, cut.how), (4, BrokenHow::CutOff { signed: 5 }));
}

/// Also the bit that makes a small letter a capital.
#[test]
fn every_flipped_bit_that_is_no_layout_is_seen() {
    let document = document();
    for at in 0..document.len() {
        for bit in 0..8 {
            let mut flipped = document.clone().into_bytes();
            flipped[at] ^= 1 << bit;
            let layout = document.as_bytes()[at].is_ascii_whitespace() && flipped[at].is_ascii_whitespace();
            let seen = verify_proof(&flipped, &[signer(1).public()]).is_err();
            assert_eq!(seen, !layout, "bit {bit} of byte {at}");
        }
    }
}

proptest! {
    #[test]
    fn any_flipped_byte_that_is_no_layout_is_seen(at in any::<proptest::sample::Index>(), with in 1u8..=255) {
        let document = document();
        let at = at.index(document.len());
        let mut flipped = document.clone().into_bytes();
        flipped[at] ^= with;
        if let Ok(read) = verify_proof(&flipped, &[signer(1).public()]) {
            prop_assert!(document.as_bytes()[at].is_ascii_whitespace() && flipped[at].is_ascii_whitespace());
            prop_assert_eq!(read, proof());
        }
    }
}

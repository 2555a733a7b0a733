//! What makes a permit, and what does not: permits by their gate, and statements signed beforehand. It opens
//! no file. That nothing else compiles is shown by the doc tests of `privacy::consent::Permit`.

#[cfg(test)]
mod statements;
#[cfg(test)]
mod support;

use privacy::consent::{Grant, Refusal, Which, Withdrawal};
use privacy::policy::TextHash;
use privacy::{CallId, Scope, Time};

use support::{ANNA, BORIS, gate};

#[test]
fn a_permit_names_what_it_is_good_for() {
    let mut gate = gate(ANNA);
    assert!(gate.ask(Time(1), &Scope::Audio, TextHash::of("May we?")));
    assert!(gate.permit(&Scope::Audio).is_none(), "asked is not granted");
    assert!(gate.grant(Time(2), &Scope::Audio, Grant::Key));

    let events: Vec<_> = std::iter::from_fn(|| gate.poll()).collect();
    let permit = gate.permit(&Scope::Audio).expect("granted");
    assert_eq!((permit.call(), permit.subject(), permit.scope()), (CallId(7), ANNA, &Scope::Audio));
    assert_eq!(permit.event(), events[1].id);
    let second = gate.permit(&Scope::Audio).expect("still granted");
    assert_eq!(second.event(), permit.event(), "two may live side by side");
    assert!(gate.permit(&Scope::Transcript).is_none(), "no scope implies another");
}

#[test]
fn consent_given_anew_has_a_new_event() {
    let mut gate = gate(ANNA);
    let mut last = None;
    for version in 1..4 {
        gate.ask(Time(1), &Scope::Transcript, TextHash::of("May we?"));
        gate.grant(Time(1), &Scope::Transcript, Grant::Voice);
        let event = gate.permit(&Scope::Transcript).map(|permit| permit.event());
        assert!(event.is_some() && event != last);
        last = event;
        assert_eq!(gate.supersede(Time(1), support::told(version)).len(), 1);
        assert!(gate.permit(&Scope::Transcript).is_none());
    }
}

#[test]
fn gates_know_nothing_of_each_other() {
    let (mut anna, mut boris) = (gate(ANNA), gate(BORIS));
    for gate in [&mut anna, &mut boris] {
        gate.ask(Time(1), &Scope::Transcript, TextHash::of("May we?"));
    }
    anna.grant(Time(2), &Scope::Transcript, Grant::Voice);
    assert!(boris.refuse(Time(2), &Which::one(&Scope::Transcript), Refusal::Said).is_empty());
    assert_eq!(anna.permit(&Scope::Transcript).map(|p| p.subject()), Some(ANNA));
    assert!(boris.permit(&Scope::Transcript).is_none());
    assert!(boris.withdraw(Time(3), &Which::All, Withdrawal::Key).is_empty());
    assert!(anna.permit(&Scope::Transcript).is_some());
}

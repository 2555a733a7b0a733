//! Random histories of consent against an oracle of plain sets: what is permitted, what has to go, and what
//! is read back afterwards. It opens no file and reads no clock.

#[cfg(test)]
mod oracle;
#[cfg(test)]
#[path = "permits/support.rs"]
mod support;

use std::collections::BTreeMap;

use privacy::consent::{ConsentEvent, ConsentGate, HistoryError, Past, State, Used, Which};
use privacy::policy::TextHash;
use privacy::{CallId, EventId, Scope, Scopes, SubjectId, Time};
use proptest::prelude::*;

use oracle::{Oracle, Step, WORLD, steps};
use support::{ANNA, BORIS, NOON};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_gate_permits_what_the_oracle_says(steps in steps()) {
        let (gate, events) = follow(&steps)?;
        let read = Past::of(&events);
        if events.is_empty() {
            prop_assert_eq!(read.map(|_| ()), Err(HistoryError::Empty));
            return Ok(());
        }
        let read = read.expect("what a gate recorded is a history");
        for scope in WORLD.iter() {
            prop_assert_eq!(read.state(scope), gate.state(scope), "{} read back", scope);
        }
        let past = gate.into_past();
        prop_assert_eq!(read.kept(), past.kept());
    }

    /// Every event is needed: whichever is taken out or told of another time, the history breaks there.
    #[test]
    fn a_history_with_a_hole_is_refused(steps in steps(), at in any::<prop::sample::Index>()) {
        let (_, events) = follow(&steps)?;
        prop_assume!(events.len() > 1);
        let at = at.index(events.len() - 1);
        let mut less = events.clone();
        less.remove(at);
        let seq = u32::try_from(at).expect("a few");
        prop_assert_eq!(Past::of(&less).map(|_| ()), Err(HistoryError::Missing { seq }));
        let mut moved = events;
        moved[at].at = moved[at].at.plus_ms(1);
        prop_assert_eq!(Past::of(&moved).map(|_| ()), Err(HistoryError::Altered { seq }));
    }

    #[test]
    fn every_event_is_read_as_it_was_written(steps in steps()) {
        for event in follow(&steps)?.1 {
            let json = serde_json::to_string(&event).expect("JSON");
            prop_assert_eq!(serde_json::from_str::<ConsentEvent>(&json).expect("reads"), event);
        }
    }
}

/// Takes the steps at a gate and at the oracle, and compares after each.
fn follow(steps: &[Step]) -> Result<(ConsentGate, Vec<ConsentEvent>), TestCaseError> {
    let (mut gate, mut oracle, mut used) = (support::gate(ANNA), Oracle::default(), Used::default());
    let mut events: Vec<ConsentEvent> = vec![];
    let mut granted: BTreeMap<Scope, EventId> = BTreeMap::new();
    let mut now = NOON;
    for step in steps {
        let (purge, expected) = (take(&mut gate, step, &mut now, &mut used), oracle.take(step));
        prop_assert_eq!(purge, expected, "what has to go after {:?}", step);
        while let Some(event) = gate.poll() {
            if let (State::Granted(_), Which::Only(scopes)) = (event.state, &event.scopes) {
                granted.extend(scopes.iter().map(|scope| (scope.clone(), event.id)));
            }
            events.push(event);
        }
        for scope in WORLD.iter() {
            let permit = gate.permit(scope);
            prop_assert_eq!(permit.is_some(), oracle.permits(scope), "{} after {:?}", scope, step);
            let Some(permit) = permit else { continue };
            prop_assert_eq!((permit.call(), permit.subject()), (CallId(7), ANNA));
            prop_assert_eq!((permit.scope(), Some(&permit.event())), (scope, granted.get(scope)));
        }
        let held: Scopes = WORLD.iter().filter(|scope| oracle.permits(scope)).cloned().collect();
        prop_assert_eq!(gate.granted(), held);
        prop_assert_eq!(gate.deadline(), oracle.deadline());
    }
    Ok((gate, events))
}

fn take(gate: &mut ConsentGate, step: &Step, now: &mut Time, used: &mut Used) -> Scopes {
    match step {
        Step::Wait(ms) => {
            *now = now.plus_ms(*ms);
            gate.handle_timeout(*now);
            Scopes::new()
        }
        Step::Ask(scope) => {
            gate.ask(*now, scope, TextHash::of("May we?"));
            Scopes::new()
        }
        Step::Grant(scope, how) => {
            gate.grant(*now, scope, *how);
            Scopes::new()
        }
        Step::Refuse(which, why) => gate.refuse(*now, which, *why),
        Step::Withdraw(which, how) => gate.withdraw(*now, which, *how),
        Step::Supersede(version) => {
            gate.supersede(*now, support::told(*version));
            Scopes::new()
        }
        Step::PreGrant { number, scopes, anna, seconds } => {
            state_it(gate, *number, scopes, if *anna { ANNA } else { BORIS }, *seconds, *now, used);
            Scopes::new()
        }
        Step::StorageOnly => gate.storage_only(*now),
        Step::Erase => gate.erased(*now),
    }
}

/// A statement of the clinic's; the same number is the same statement.
fn state_it(
    gate: &mut ConsentGate,
    number: u8,
    scopes: &Scopes,
    who: SubjectId,
    seconds: i64,
    now: Time,
    used: &mut Used,
) {
    let names: Vec<String> = scopes.iter().map(ToString::to_string).collect();
    let mut claims = support::claims(&names.iter().map(String::as_str).collect::<Vec<_>>());
    claims["jti"] = number.to_string().into();
    claims["sub"] = if who == ANNA { "anna" } else { "boris" }.into();
    claims["exp"] = (NOON.0 / 1000 + seconds).into();
    if let Ok(statement) = support::verify(&support::statement(&claims), now) {
        // Why it may be refused is tested with the permits; here only what it comes to.
        let _refused = gate.pre_grant(now, &statement, used);
    }
}

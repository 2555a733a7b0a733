//! What consent means, said once more in sets: who is asked, who said yes, who never again. It shares no
//! code with the gate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use privacy::consent::{Grant, Refusal, Which, Withdrawal};
use privacy::{Scope, Scopes, Time};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::support::NOON;

pub static WORLD: LazyLock<Vec<Scope>> = LazyLock::new(|| {
    ["ai_process", "transcript", "audio", "third_party:crm", "xborder:US"]
        .iter()
        .map(|text| text.parse().expect("a scope"))
        .collect()
});

#[derive(Debug, Clone)]
pub enum Step {
    Wait(i64),
    Ask(Scope),
    Grant(Scope, Grant),
    Refuse(Which, Refusal),
    Withdraw(Which, Withdrawal),
    Supersede(u32),
    PreGrant { number: u8, scopes: Scopes, anna: bool, seconds: i64 },
    StorageOnly,
    Erase,
}

fn scope() -> impl Strategy<Value = Scope> {
    select(WORLD.clone())
}

fn which() -> impl Strategy<Value = Which> {
    let some = subsequence(WORLD.clone(), 1..3).prop_map(|scopes| Which::Only(scopes.into_iter().collect()));
    prop_oneof![1 => Just(Which::All), 4 => some]
}

/// Histories in which much is asked and granted; what ends everything is rare.
pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pre_grant = (0..20u8, subsequence(WORLD.clone(), 0..3), prop::bool::weighted(0.8), -1..20i64).prop_map(
        |(number, scopes, anna, seconds)| Step::PreGrant {
            number,
            scopes: scopes.into_iter().collect(),
            anna,
            seconds,
        },
    );
    let step = prop_oneof![
        4 => (0..5000i64).prop_map(Step::Wait),
        12 => scope().prop_map(Step::Ask),
        16 => (scope(), select(Grant::ALL)).prop_map(|(scope, how)| Step::Grant(scope, how)),
        3 => (which(), select(Refusal::ALL)).prop_map(|(which, why)| Step::Refuse(which, why)),
        3 => (which(), select(Withdrawal::ALL)).prop_map(|(which, how)| Step::Withdraw(which, how)),
        3 => (0..3u32).prop_map(Step::Supersede),
        5 => pre_grant,
        1 => prop_oneof![Just(Step::StorageOnly), Just(Step::Erase)],
    ];
    vec(step, 0..40)
}

#[derive(Debug, Default)]
pub struct Oracle {
    now_ms: i64,
    asked: BTreeSet<Scope>,
    /// With the time at which it runs out.
    yes: BTreeMap<Scope, Option<Time>>,
    /// Refused or taken back.
    never: BTreeSet<Scope>,
    /// To be asked anew.
    void: BTreeSet<Scope>,
    /// What was not named was refused or taken back along with the rest.
    never_else: bool,
    over: bool,
    last: Option<Scope>,
    kept: BTreeSet<Scope>,
    version: u32,
    used: BTreeSet<(u8, Scopes, i64)>,
}

impl Oracle {
    pub fn permits(&self, scope: &Scope) -> bool {
        self.yes.contains_key(scope)
    }

    pub fn deadline(&self) -> Option<Time> {
        self.yes.values().filter_map(|until| *until).min()
    }

    fn now(&self) -> Time {
        NOON.plus_ms(self.now_ms)
    }

    /// Never asked, never answered, nothing said of it.
    fn untouched(&self, scope: &Scope) -> bool {
        let named = self.asked.contains(scope)
            || self.yes.contains_key(scope)
            || self.never.contains(scope)
            || self.void.contains(scope);
        !named && !self.never_else
    }

    /// What has to go.
    pub fn take(&mut self, step: &Step) -> Scopes {
        if let Step::Wait(ms) = step {
            self.now_ms += ms;
        }
        let now = self.now();
        let out: Vec<Scope> =
            self.yes.iter().filter(|(_, until)| until.is_some_and(|u| u <= now)).map(|(s, _)| s.clone()).collect();
        for scope in out {
            self.yes.remove(&scope);
            self.void.insert(scope);
        }
        if self.over {
            return Scopes::new();
        }
        match step {
            Step::Wait(_) => Scopes::new(),
            Step::Ask(scope) => self.ask(scope),
            Step::Grant(scope, how) => self.grant(scope, *how),
            Step::Refuse(which, _) => self.end(which, false),
            Step::Withdraw(which, _) => self.end(which, true),
            Step::Supersede(version) => self.supersede(*version),
            Step::PreGrant { number, scopes, anna, seconds } => self.state_it(*number, scopes, *anna, *seconds),
            Step::StorageOnly | Step::Erase => {
                *self = Self { over: true, now_ms: self.now_ms, ..Self::default() }.with(self.kept.clone());
                std::mem::take(&mut self.kept)
            }
        }
    }

    fn with(mut self, kept: BTreeSet<Scope>) -> Self {
        self.kept = kept;
        self
    }

    fn ask(&mut self, scope: &Scope) -> Scopes {
        if self.untouched(scope) || self.void.remove(scope) {
            self.asked.insert(scope.clone());
            self.last = Some(scope.clone());
        }
        Scopes::new()
    }

    fn grant(&mut self, scope: &Scope, how: Grant) -> Scopes {
        let meant = how == Grant::Click || (how != Grant::PreGrant && self.last.as_ref() == Some(scope));
        if meant && self.asked.remove(scope) {
            self.yes.insert(scope.clone(), None);
            self.kept.insert(scope.clone());
            if self.last.as_ref() == Some(scope) {
                self.last = None;
            }
        }
        Scopes::new()
    }

    /// A refusal leaves alone what was granted, or is to be asked anew; a withdrawal does not.
    fn end(&mut self, which: &Which, all_of_it: bool) -> Scopes {
        let mut gone = Scopes::new();
        for scope in WORLD.iter().filter(|scope| which.holds(scope)) {
            let untouched = self.untouched(scope) && *which != Which::All;
            let ended = self.asked.remove(scope)
                || untouched
                || (all_of_it && (self.yes.remove(scope).is_some() || self.void.remove(scope)));
            if ended {
                self.never.insert(scope.clone());
                if self.kept.remove(scope) {
                    gone.insert(scope.clone());
                }
            }
            if self.last.as_ref() == Some(scope) {
                self.last = None;
            }
        }
        self.never_else |= *which == Which::All;
        gone
    }

    fn supersede(&mut self, version: u32) -> Scopes {
        if version != self.version {
            self.version = version;
            self.void.append(&mut self.asked);
            self.void.extend(std::mem::take(&mut self.yes).into_keys());
            self.last = None;
        }
        Scopes::new()
    }

    fn state_it(&mut self, number: u8, scopes: &Scopes, anna: bool, seconds: i64) -> Scopes {
        let until = NOON.plus_ms(seconds * 1000);
        let apart = scopes.len() == 1 || !scopes.iter().any(|scope| matches!(scope, Scope::Xborder(_)));
        let statement = (number, scopes.clone(), seconds);
        let good = anna && apart && self.now() < until && !self.used.contains(&statement);
        let new: Vec<Scope> = scopes.iter().filter(|scope| self.untouched(scope)).cloned().collect();
        if good && !new.is_empty() {
            self.used.insert(statement);
            self.kept.extend(new.iter().cloned());
            self.yes.extend(new.into_iter().map(|scope| (scope, Some(until))));
        }
        Scopes::new()
    }
}

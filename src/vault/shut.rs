//! Of whom nothing may be written or sent now: subjects that are being erased, and calls of theirs that went on
//! meanwhile, for good; and calls whose consent has ended for good by the privacy desk. It asks no database.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::privacy::{CallId, SubjectId};

/// Calls last for minutes: when there are more, those of so long ago are over.
const CALLS_MAX: usize = 4096;

#[derive(Default)]
pub(super) struct Shut(Mutex<Lists>);

#[derive(Default)]
struct Lists {
    subjects: HashSet<SubjectId>,
    calls: HashSet<CallId>,
    /// Nothing that rests on a consent.
    closed: HashSet<CallId>,
}

impl Shut {
    pub(super) fn new(subjects: impl IntoIterator<Item = SubjectId>) -> Self {
        Self(Mutex::new(Lists { subjects: subjects.into_iter().collect(), ..Lists::default() }))
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing of this subject, and never again anything of these calls.
    pub(super) fn freeze(&self, subject: SubjectId, calls: impl IntoIterator<Item = CallId>) {
        let mut lists = self.lists();
        lists.subjects.insert(subject);
        calls.into_iter().for_each(|call| remember(&mut lists.calls, call));
    }

    /// Whoever calls from now on is somebody new.
    pub(super) fn thaw(&self, subject: SubjectId) {
        self.lists().subjects.remove(&subject);
    }

    /// The last word on this call's consent is written.
    pub(super) fn close(&self, call: CallId) {
        remember(&mut self.lists().closed, call);
    }

    pub(super) fn is_closed(&self, call: CallId) -> bool {
        self.lists().closed.contains(&call)
    }

    /// Whether nothing of this call may come. A call of a subject that is being erased stays shut afterwards.
    pub(super) fn holds(&self, subject: Option<SubjectId>, call: Option<CallId>) -> bool {
        let mut lists = self.lists();
        if subject.is_some_and(|subject| lists.subjects.contains(&subject)) {
            if let Some(call) = call {
                remember(&mut lists.calls, call);
            }
            return true;
        }
        call.is_some_and(|call| lists.calls.contains(&call))
    }
}

/// One more; where there is no room, those of before are forgotten.
pub(super) fn remember<T: Eq + Hash>(of_calls: &mut HashSet<T>, one: T) {
    if of_calls.len() >= CALLS_MAX {
        of_calls.clear();
    }
    of_calls.insert(one);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_of_before_stays_shut_and_a_later_one_is_not() {
        let (subject, other) = (SubjectId([1; 16]), SubjectId([2; 16]));
        let shut = Shut::new([]);
        shut.freeze(subject, [CallId(1)]);
        assert!(shut.holds(Some(subject), Some(CallId(2))), "it called while it was being erased");
        assert!(!shut.holds(Some(other), Some(CallId(3))));
        shut.thaw(subject);
        for (call, is_shut) in [(1, true), (2, true), (4, false)] {
            assert_eq!(shut.holds(Some(subject), Some(CallId(call))), is_shut, "{call}");
        }
    }
}

//! How tests of a call are scripted: what happens, and what must be found in the log of it. It reads no clock.

/// Something that steps happen to, with a log of what came of them.
pub(crate) trait Scripted {
    fn log(&mut self) -> &mut Vec<String>;
    fn step(&mut self, step: &str);
}

/// Lines with `>` happen; the others must be found in the log since the last `>`, in order, those with `!` not at all.
pub(crate) fn follow(stage: &mut impl Scripted, script: &str) {
    let mut at = 0;
    for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
        if let Some(step) = line.strip_prefix("> ") {
            stage.log().clear();
            at = 0;
            stage.step(step);
        } else if let Some(absent) = line.strip_prefix("! ") {
            assert!(!stage.log().iter().any(|l| l.contains(absent)), "{absent:?} in {:#?}", stage.log());
        } else {
            let found = stage.log()[at..].iter().position(|l| l.contains(line));
            at += found.unwrap_or_else(|| panic!("{line:?} not in {:#?} from {at}", stage.log())) + 1;
        }
    }
}

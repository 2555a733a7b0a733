//! The signs that an utterance is over: what each weighs, and how often it is seen. The weights are read off the
//! judgement itself, one sign at a time; it has none of its own.

use dauys::call::endpointing::{Evidence, Slot, log_odds};
use dauys::dialogue::{Ending, Expects, NumberSoFar};

use crate::hearing::Look;
use crate::material::Sample;

type Copy = for<'a> fn(&mut Evidence<'a>, Evidence<'a>);

/// One sign: what of some evidence shows it, copied to evidence that says nothing.
struct Sign {
    name: &'static str,
    copy: Copy,
}

#[rustfmt::skip]
const SIGNS: [Sign; 14] = [
    Sign { name: "word for word an example of the agent file", copy: |to, of| to.ending.whole = of.ending.whole },
    Sign { name: "the dialogue has an answer", copy: |to, of| to.understood = of.understood },
    Sign { name: "neither it nor a language model has one", copy: |to, of| to.foreign = of.foreign },
    Sign { name: "no sentence ends so (\"at\", \"my\", \"um\")", copy: |to, of| to.ending.cut = of.ending.cut },
    Sign { name: "an example goes on from here", copy: |to, of| to.ending.begun = of.ending.begun },
    Sign { name: "ends in a comma", copy: |to, of| to.text = if of.text.trim_end().ends_with(',') { "," } else { PLAIN } },
    Sign { name: "three words at most, yes or no was asked", copy: short },
    Sign { name: "gives what was asked for", copy: |to, of| if of.slot == Slot::Filled { to.slot = of.slot } },
    Sign { name: "what was asked for is still open", copy: |to, of| if of.slot == Slot::Open { to.slot = of.slot } },
    Sign { name: "the number has all its digits", copy: |to, of| to.ending.number = of.ending.number.filter(|n| n.complete) },
    Sign { name: "the number lacks digits", copy: |to, of| to.ending.number = of.ending.number.filter(|n| !n.complete) },
    Sign { name: UNSTEADY, copy: |to, of| to.unsteady = of.unsteady },
    Sign { name: "more words than the sound has room for", copy: |to, of| {
        to.ending.spoken_ms_min = of.ending.spoken_ms_min;
        to.voiced_ms = of.voiced_ms;
    } },
    Sign { name: "turn detector, times the log odds of its score", copy: |to, of| to.score = of.score },
];
/// It takes two looks to see.
const UNSTEADY: &str = "another look found other digits";
/// A score whose log odds are 1.
const SCORE_ONE: f32 = 0.731_058_6;
const PLAIN: &str = "these are more than three words";

fn short<'a>(to: &mut Evidence<'a>, of: Evidence<'a>) {
    if !of.ending.cut {
        (to.text, to.expects) = (of.text.trim_end_matches([' ', ',']), of.expects);
    }
}

/// Evidence that says nothing either way.
fn plain<'a>() -> Evidence<'a> {
    Evidence {
        text: PLAIN,
        score: None,
        ending: Ending::default(),
        unsteady: false,
        expects: Expects::Anything,
        slot: Slot::None,
        understood: false,
        foreign: false,
        voiced_ms: 10_000,
    }
}

/// Between them they show every sign.
fn all() -> [Evidence<'static>; 2] {
    let number = |complete| Some(NumberSoFar { digits: 3, reading: 0, complete });
    let for_it = Evidence {
        text: "no,",
        score: Some(SCORE_ONE),
        ending: Ending { whole: true, begun: true, number: number(true), spoken_ms_min: 5_000, cut: false },
        unsteady: true,
        expects: Expects::YesNo,
        slot: Slot::Filled,
        understood: true,
        foreign: true,
        voiced_ms: 0,
    };
    let against = Ending { cut: true, number: number(false), ..Ending::default() };
    [for_it, Evidence { ending: against, slot: Slot::Open, ..plain() }]
}

impl Sign {
    /// What it adds to the log odds, if it is seen; else 0.
    fn adds(&self, of: Evidence<'_>) -> f32 {
        let mut only = plain();
        (self.copy)(&mut only, of);
        log_odds(only) - log_odds(plain())
    }

    fn weight(&self) -> f32 {
        let [one, other] = all().map(|evidence| self.adds(evidence));
        if one == 0.0 { other } else { one }
    }

    fn seen(&self, sample: &Sample) -> bool {
        let looks = if self.name == UNSTEADY { sample.heard.looks.len() } else { 1 };
        sample.heard.looks.iter().take(looks).any(|look| self.adds(look.evidence()) != 0.0)
    }
}

/// A row of the table of signs.
pub struct Seen {
    pub name: &'static str,
    pub weight: f32,
    /// In how many whole utterances and cuts it is seen at the first look; none: the score, which always is.
    pub counts: Option<(usize, usize)>,
}

pub fn seen(samples: &[Sample]) -> Vec<Seen> {
    let count = |sign: &Sign, whole| samples.iter().filter(|s| s.is_whole() == whole && sign.seen(s)).count();
    let row = |sign: &Sign| Seen {
        name: sign.name,
        weight: sign.weight(),
        counts: (!sign.name.starts_with("turn detector")).then(|| (count(sign, true), count(sign, false))),
    };
    SIGNS.iter().map(row).collect()
}

/// The names of the signs that a look shows.
pub fn of(look: &Look) -> Vec<&'static str> {
    let signs = SIGNS.iter().filter(|sign| !sign.name.starts_with("turn detector"));
    signs.filter(|sign| sign.adds(look.evidence()) != 0.0).map(|sign| sign.name).collect()
}

//! Answers to questions: always a text of the agent file, chosen by the day or the thing the caller
//! named. It computes no fact; it only picks one.

use jiff::civil::Date;

use super::agent::{Agent, By, Fact};
use super::heard::Heard;
use super::speak;
use super::template::{Said, Template, Var};

/// The fact's answers for every day or thing named, else its general one.
pub(crate) fn answer(agent: &Agent, fact: &Fact, heard: &Heard, today: Date) -> Vec<Said> {
    let mut said: Vec<Said> = Vec::new();
    match &fact.by {
        Some(By::Day(answers)) => {
            for day in heard.entities.days.iter().map(|mention| mention.value) {
                let closed = agent.hours.as_ref().is_some_and(|hours| hours.closed.contains(&day));
                let answer = match &fact.closed {
                    Some(template) if closed => on_day(agent, template, day, today),
                    _ => answers.get(&day.weekday().to_monday_zero_offset()).map(Template::plain).unwrap_or_default(),
                };
                add(&mut said, answer);
            }
        }
        Some(By::Kind(kind, answers)) => {
            for thing in heard.things.iter().filter(|thing| thing.kind == *kind) {
                add(&mut said, answers.get(&thing.entry).map(Template::plain).unwrap_or_default());
            }
        }
        None => {}
    }
    if said.is_empty() { fact.say.plain() } else { said }
}

/// "What about Sunday?": nothing but a day or a thing, and a fact that answers by it. The topic goes
/// on if it can; else the first fact of the file that can answer is meant.
pub(crate) fn followed_up(agent: &Agent, heard: &Heard, topic: Option<usize>) -> Option<usize> {
    // "Wait, what about Sunday?": the interruption is a word too many that does not count.
    if heard.residue() > usize::from(heard.is_interruption()) {
        return None;
    }
    let answers = |fact: usize| match agent.facts.get(fact).and_then(|fact| fact.by.as_ref()) {
        Some(By::Day(_)) => !heard.entities.days.is_empty(),
        Some(By::Kind(kind, _)) => heard.things.iter().any(|thing| thing.kind == *kind),
        None => false,
    };
    topic.filter(|topic| answers(*topic)).or((0..agent.facts.len()).find(|fact| answers(*fact)))
}

fn on_day(agent: &Agent, template: &Template, day: Date, today: Date) -> Vec<Said> {
    template.render(|var| match var {
        Var::Day => speak::day(day, today, agent.language),
        own => agent.own_value(own, day.weekday()),
    })
}

/// Saturday and Sunday may have one answer.
fn add(said: &mut Vec<Said>, more: Vec<Said>) {
    if !more.is_empty() && !said.ends_with(&more) {
        said.extend(more);
    }
}

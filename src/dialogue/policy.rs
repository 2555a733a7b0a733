//! What to do with a turn: answer, ask on, put through, hang up, or admit not to know. The only part
//! of the dialogue with a state; it says nothing that is not in the agent file.

mod ladder;

use std::fmt;
use std::sync::Arc;

use jiff::civil::Date;

use super::agent::{Agent, Intent};
use super::ending::{Ending, ending};
use super::entities::Asked;
use super::entities::answer::Closed;
use super::form::{Doing, Filling};
use super::heard::Heard;
use super::template::{Said, Template};
use super::{Expects, Input, Reply, Then, Waits, facts};

/// The dialogue of one call, from the caller's first turn after the consent question on.
#[derive(Clone)]
pub struct Dialogue {
    agent: Arc<Agent>,
    today: Date,
    pending: Pending,
    filling: Option<Filling>,
    /// The last fact whose answer depends on a day or a kind: "and on Sunday?" goes on from there.
    topic: Option<usize>,
    last: Vec<(String, bool)>,
    silences: usize,
    misses: usize,
    noises: usize,
    /// Times that a person was offered since the conversation last got on.
    offers: usize,
}

/// Which question of the agent's is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Nothing,
    /// The filling's own question.
    Form,
    /// "Shall I put you through?"
    OfferHuman,
    /// "Anything else?"
    MoreHelp,
}

impl Dialogue {
    /// `today` is the date where the agent's place is.
    pub fn new(agent: Arc<Agent>, today: Date) -> Dialogue {
        let (pending, filling, topic, last) = (Pending::Nothing, None, None, Vec::new());
        Dialogue { agent, today, pending, filling, topic, last, silences: 0, misses: 0, noises: 0, offers: 0 }
    }

    /// Answers one input. Never fails; the same inputs always give the same replies.
    pub fn hear(&mut self, input: Input<'_>) -> Reply {
        let mut reply = match input {
            Input::Speech(text) => self.speech(text),
            Input::Digit(digit) => self.digit(digit),
            Input::Silence => self.silence(),
            Input::Unclear => self.unclear(),
            Input::Noise => self.noise(),
            Input::NoiseForever => self.noise_forever(),
        };
        reply.expects = self.expects();
        let echo = ["repeat", "silence", "interrupt", "unclear", "noise"].contains(&reply.intent.as_str());
        if !reply.clauses.is_empty() && !echo {
            self.last = reply.clauses.iter().cloned().zip(reply.fixed.iter().copied()).collect();
        }
        reply
    }

    /// Tells the dialogue that a language model spoke in place of an uncovered reply, so that "say that
    /// again" repeats what the caller really heard.
    pub fn said_instead(&mut self, clauses: &[String]) {
        self.last = clauses.iter().map(|clause| (clause.clone(), false)).collect();
        if self.pending == Pending::OfferHuman {
            self.pending = self.resumed();
        }
        self.misses = 0;
        self.offers = 0;
    }

    /// Nobody could be reached at the transfer's target: the conversation goes on here.
    pub fn transfer_failed(&mut self) -> Reply {
        let agent = Arc::clone(&self.agent);
        let mut reply = self.reply("human", &agent.lines.transfer_failed);
        reply.then = Then::Listen;
        reply
    }

    /// The caller wants what was kept to be gone, and did not say so in words.
    pub fn withdraw(&mut self) -> Reply {
        let agent = Arc::clone(&self.agent);
        let mut reply = self.reply("withdraw", &agent.lines.withdraw).say(self.open_question());
        reply.expects = self.expects();
        reply
    }

    /// Puts again what was asked last, where something else came in between.
    pub fn ask_again(&self) -> Reply {
        let mut reply = Reply::new("withdraw").say(self.open_question());
        reply.expects = self.expects();
        reply
    }

    /// What an answer now would be taken for.
    pub fn expects(&self) -> Expects {
        match (self.pending, &self.filling) {
            (Pending::Form, Some(filling)) => filling.expects(),
            (Pending::OfferHuman | Pending::MoreHelp, _) => Expects::YesNo,
            _ => Expects::Anything,
        }
    }

    /// How the words of a turn end, whether or not the turn is over.
    pub fn ending(&self, text: &str) -> Ending {
        let number = self.filling.as_ref().filter(|_| self.expects() == Expects::Phone);
        Ending {
            number: number.and_then(|filling| filling.number_with(&self.agent, text)),
            ..ending(&self.agent, text)
        }
    }

    /// How long to wait for more where this agent asks what it asks now.
    pub fn waits(&self) -> Waits {
        let slot = self.filling.as_ref().filter(|_| self.pending == Pending::Form);
        slot.and_then(|filling| filling.waits(&self.agent)).unwrap_or_default().or(self.agent.waits)
    }

    fn speech(&mut self, text: &str) -> Reply {
        let agent = Arc::clone(&self.agent);
        let heard = Heard::read(&agent, text, self.today, self.asked());
        if heard.words.is_empty() {
            return self.unclear();
        }
        self.silences = 0;
        let reply = self.understand(&heard, text);
        self.count(&reply);
        reply
    }

    fn understand(&mut self, heard: &Heard, text: &str) -> Reply {
        // "No wait, Thursday" and "wait, what about Sunday?" interrupt and go on in one breath.
        let goes_on = match self.pending {
            Pending::Form => heard.is_interruption() && heard.gives_something(),
            _ => self.followed_up(heard).is_some(),
        };
        let control = heard.matched.filter(|_| !goes_on && heard.closed().is_none());
        if let Some(reply) = control.and_then(|(intent, _)| self.control(intent)) {
            return reply;
        }
        match self.pending {
            Pending::Form => self.form_turn(heard, text),
            Pending::OfferHuman => self.offer_turn(heard, text),
            Pending::Nothing | Pending::MoreHelp => self.open_turn(heard),
        }
    }

    /// What a caller can say at any time, whatever was asked.
    fn control(&mut self, intent: Intent) -> Option<Reply> {
        let agent = Arc::clone(&self.agent);
        let lines = &agent.lines;
        Some(match intent {
            Intent::Human => self.put_through("human"),
            Intent::Repeat => self.repeat(),
            Intent::Bye => self.hang_up("bye", &lines.bye),
            Intent::Withdraw => self.withdraw(),
            Intent::Interrupt => self.reply("interrupt", &lines.interrupt),
            Intent::Abandon => {
                self.drop_form();
                self.pending = Pending::MoreHelp;
                self.reply("abandon", &lines.abandon)
            }
            Intent::Fact(_) | Intent::Form(_) => return None,
        })
    }

    /// A turn while no form is open.
    fn open_turn(&mut self, heard: &Heard) -> Reply {
        let agent = Arc::clone(&self.agent);
        let more_help = self.pending == Pending::MoreHelp;
        match heard.closed() {
            Some(Closed::Yes) => {
                self.pending = Pending::Nothing;
                return self.reply("affirm", &agent.lines.idle_yes);
            }
            Some(Closed::No | Closed::Enough) if more_help => return self.hang_up("deny", &agent.lines.bye),
            Some(Closed::No | Closed::Enough) => {
                self.pending = Pending::MoreHelp;
                return self.reply("deny", &agent.lines.idle_no);
            }
            // "Great, thank you" is more than a nod, if the agent has an answer to it.
            Some(Closed::Soft) if matches!(heard.matched, Some((Intent::Fact(_), _))) => {}
            Some(Closed::Soft | Closed::Filler) => return Reply::new("backchannel"),
            Some(Closed::Mixed) => return self.unclear(),
            None => {}
        }
        self.pending = Pending::Nothing;
        if let Some(fact) = self.followed_up(heard) {
            return self.answer(fact, heard);
        }
        match heard.matched {
            Some((Intent::Fact(fact), _)) => self.answer(fact, heard),
            Some((Intent::Form(form), _)) => self.begin(form, heard),
            // "I'd like to ..." holds nothing that could be known or not.
            _ if heard.residue() == 0 => self.unclear(),
            _ => self.fallback(),
        }
    }

    fn followed_up(&self, heard: &Heard) -> Option<usize> {
        let free = !heard.is_strong() || heard.is_interruption();
        facts::followed_up(&self.agent, heard, self.topic).filter(|_| free)
    }

    /// A turn while a form is open.
    fn form_turn(&mut self, heard: &Heard, text: &str) -> Reply {
        let Some(mut filling) = self.filling.take() else {
            self.pending = Pending::Nothing;
            return self.open_turn(heard);
        };
        let doing = filling.doing;
        if let Some(intent) = self.aside(heard, &filling) {
            self.filling = Some(filling);
            return match intent {
                Intent::Fact(fact) => self.answer(fact, heard).say(self.open_question()),
                Intent::Form(form) => self.begin(form, heard),
                _ => self.fallback(),
            };
        }
        let reply = match doing {
            Doing::Slot(_) => self.slot_turn(&mut filling, heard),
            Doing::Confirm | Doing::Change => return self.confirm_turn(filling, heard, text),
        };
        self.filling = self.filling.take().or(Some(filling));
        reply
    }

    /// A question or another wish in the middle of a form. A turn that is nothing but days, times and
    /// names belongs to the form, whatever it resembles.
    fn aside(&self, heard: &Heard, filling: &Filling) -> Option<Intent> {
        let (intent, _) = heard.matched.filter(|(intent, _)| matches!(intent, Intent::Fact(_) | Intent::Form(_)))?;
        let own = matches!(intent, Intent::Form(form) if form == filling.form);
        let gives = heard.gives_something() || heard.closed().is_some();
        let meant = if gives { heard.is_strong() && heard.residue() > 0 } else { true };
        let corrects =
            filling.doing == Doing::Change && heard.residue() <= 1 && filling.is_called(&self.agent, says(heard));
        (!own && meant && !corrects).then_some(intent)
    }

    fn slot_turn(&mut self, filling: &mut Filling, heard: &Heard) -> Reply {
        let agent = Arc::clone(&self.agent);
        if filling.take(&agent, &heard.entities) {
            return self.advance("slot", filling);
        }
        match heard.closed() {
            Some(Closed::Soft | Closed::Filler) => Reply::new("backchannel"),
            Some(_) => self.again("unclear", filling),
            None if heard.is_question() && heard.residue() > 1 => {
                let mut reply = Reply::new("fallback").say(plain(agent.lines.fallback.first()));
                reply.covered = false;
                self.asked_again(reply, filling)
            }
            None => self.again("unclear", filling),
        }
    }

    /// The caller was asked "is that right?" or "what shall I change?".
    fn confirm_turn(&mut self, mut filling: Filling, heard: &Heard, text: &str) -> Reply {
        let agent = Arc::clone(&self.agent);
        let (leading, taken_back) = heard.leading();
        let no = leading == Some(false) || filling.doing == Doing::Change;
        // "No, four": after a no, a bare number can only be a correction.
        let bare = Heard::read(&agent, text, self.today, if no { Asked::Time } else { Asked::Nothing });
        let corrected = filling.take(&agent, &bare.entities) || (no && filling.clear_called(&agent, says(heard)));
        let reply = if corrected {
            self.advance("slot", &mut filling)
        } else {
            match heard.closed() {
                Some(Closed::Yes | Closed::Soft) if filling.doing == Doing::Confirm => return self.complete(&filling),
                Some(Closed::No | Closed::Enough) if filling.doing == Doing::Confirm => {
                    return self.refused(filling);
                }
                Some(Closed::Filler) => Reply::new("backchannel"),
                Some(_) => self.again("unclear", &mut filling),
                None if leading == Some(true) && !taken_back && filling.doing == Doing::Confirm => {
                    return self.complete(&filling);
                }
                None if leading == Some(false) && filling.doing == Doing::Confirm => return self.refused(filling),
                None => self.again("unclear", &mut filling),
            }
        };
        self.filling = Some(filling);
        reply
    }

    /// A no to the confirmation, without saying what is wrong.
    fn refused(&mut self, mut filling: Filling) -> Reply {
        let agent = Arc::clone(&self.agent);
        let Some(form) = agent.forms.get(filling.form) else { return self.fallback() };
        if form.books {
            filling.ask_what_to_change();
            self.filling = Some(filling);
        } else {
            self.drop_form();
            self.pending = Pending::MoreHelp;
        }
        self.reply("deny", &form.change)
    }

    fn complete(&mut self, filling: &Filling) -> Reply {
        let completed = filling.complete(&self.agent, self.today);
        self.drop_form();
        self.pending = Pending::MoreHelp;
        let Some((said, outcome)) = completed else { return self.fallback() };
        let mut reply = Reply::new("affirm").say(said);
        reply.outcome = Some(outcome);
        reply
    }

    /// The caller was asked whether they want a person.
    fn offer_turn(&mut self, heard: &Heard, text: &str) -> Reply {
        let agent = Arc::clone(&self.agent);
        let answer = match heard.closed() {
            Some(Closed::Yes | Closed::Soft) => Some(true),
            Some(Closed::No | Closed::Enough) => Some(false),
            Some(Closed::Filler) => return Reply::new("backchannel"),
            Some(Closed::Mixed) => None,
            None => heard.leading().0.filter(|yes| *yes && heard.matched.is_none()),
        };
        self.pending = self.resumed();
        self.misses = 0;
        match answer {
            Some(true) => self.put_through("affirm"),
            Some(false) => {
                if let Some(filling) = &mut self.filling {
                    filling.forgive();
                    return Reply::new("deny").say(self.open_question());
                }
                self.reply("deny", &agent.lines.idle_yes)
            }
            None => self.understand(heard, text),
        }
    }

    fn begin(&mut self, form: usize, heard: &Heard) -> Reply {
        let agent = Arc::clone(&self.agent);
        let Some(of_form) = agent.forms.get(form) else { return self.fallback() };
        let mut filling = Filling::new(form);
        filling.take(&agent, &heard.entities);
        self.pending = Pending::Form;
        let begun = self.reply(&of_form.id, &of_form.start);
        let asked = filling.advance(&agent, self.today).unwrap_or_default();
        self.filling = Some(filling);
        begun.say(asked)
    }

    fn advance(&mut self, intent: &str, filling: &mut Filling) -> Reply {
        match filling.advance(&Arc::clone(&self.agent), self.today) {
            Some(said) => Reply::new(intent).say(said),
            None => self.offer(Reply::new(intent)),
        }
    }

    fn again(&mut self, intent: &str, filling: &mut Filling) -> Reply {
        self.asked_again(Reply::new(intent), filling)
    }

    fn asked_again(&mut self, reply: Reply, filling: &mut Filling) -> Reply {
        match filling.again(&Arc::clone(&self.agent), self.today) {
            Some(said) => reply.say(said),
            None => self.offer(reply),
        }
    }

    fn answer(&mut self, fact: usize, heard: &Heard) -> Reply {
        let agent = Arc::clone(&self.agent);
        let Some(about) = agent.facts.get(fact) else { return self.fallback() };
        if about.by.is_some() {
            self.topic = Some(fact);
        }
        if about.asks_more && self.pending == Pending::Nothing {
            self.pending = Pending::MoreHelp;
        }
        Reply::new(&about.id).say(facts::answer(&agent, about, heard, self.today))
    }

    fn digit(&mut self, digit: char) -> Reply {
        let agent = Arc::clone(&self.agent);
        self.silences = 0;
        self.noises = 0;
        if self.expects() == Expects::Phone
            && let Some(mut filling) = self.filling.take()
        {
            let complete = digit.is_ascii_digit() || matches!(digit, '*' | '#');
            let complete = complete && filling.key(&agent, digit);
            let reply = if complete {
                self.advance("slot", &mut filling)
            } else if digit == '#' {
                self.again("unclear", &mut filling)
            } else {
                Reply::new("digit")
            };
            self.filling = Some(filling);
            return reply;
        }
        // The keys of the consent question mean the same to every other yes or no.
        let answer = match digit {
            '1' => Some(true),
            '2' => Some(false),
            _ => None,
        };
        if let Some(yes) = answer.filter(|_| self.expects() == Expects::YesNo) {
            return self.keyed_answer(yes);
        }
        match agent.keys.get(&digit) {
            Some(Intent::Fact(fact)) => {
                let nothing = Heard::read(&agent, "", self.today, Asked::Nothing);
                self.answer(*fact, &nothing).say(self.open_question())
            }
            Some(Intent::Form(form)) => self.begin(*form, &Heard::read(&agent, "", self.today, Asked::Nothing)),
            Some(intent) => self.control(*intent).unwrap_or_else(|| Reply::new("digit")),
            None => Reply::new("digit"),
        }
    }

    fn keyed_answer(&mut self, yes: bool) -> Reply {
        let agent = Arc::clone(&self.agent);
        match (self.pending, yes) {
            (Pending::Form, _) => match self.filling.take() {
                Some(filling) if yes => self.complete(&filling),
                Some(filling) => self.refused(filling),
                None => self.fallback(),
            },
            (Pending::OfferHuman, true) => self.put_through("affirm"),
            (Pending::OfferHuman, false) => {
                self.pending = self.resumed();
                self.misses = 0;
                match &mut self.filling {
                    Some(filling) => {
                        filling.forgive();
                        Reply::new("deny").say(self.open_question())
                    }
                    None => self.reply("deny", &agent.lines.idle_yes),
                }
            }
            (_, true) => {
                self.pending = Pending::Nothing;
                self.reply("affirm", &agent.lines.idle_yes)
            }
            (_, false) => self.hang_up("deny", &agent.lines.bye),
        }
    }

    fn put_through(&mut self, intent: &str) -> Reply {
        let agent = Arc::clone(&self.agent);
        let mut reply = self.reply(intent, &agent.lines.human);
        reply.then = Then::Transfer(agent.target.clone());
        reply
    }

    fn hang_up(&mut self, intent: &str, line: &Template) -> Reply {
        let mut reply = self.reply(intent, line);
        reply.then = Then::Hangup;
        self.drop_form();
        reply
    }

    fn repeat(&mut self) -> Reply {
        if self.last.is_empty() {
            return self.reply("repeat", &self.agent.lines.nothing_to_repeat);
        }
        let said = self.last.iter().map(|(text, fixed)| Said { text: text.clone(), fixed: *fixed });
        Reply::new("repeat").say(said.collect())
    }

    fn drop_form(&mut self) {
        self.filling = None;
        self.pending = Pending::Nothing;
    }

    /// Where to go on after an offer was declined.
    fn resumed(&self) -> Pending {
        if self.filling.is_some() { Pending::Form } else { Pending::Nothing }
    }

    /// The form's open question, to come back to it after something else was said.
    fn open_question(&self) -> Vec<Said> {
        let open = self.filling.as_ref().filter(|_| self.pending == Pending::Form);
        open.and_then(|filling| filling.question(&self.agent, self.today)).unwrap_or_default()
    }

    fn asked(&self) -> Asked {
        match (self.pending, &self.filling) {
            (Pending::Form, Some(filling)) => filling.asked(),
            _ => Asked::Nothing,
        }
    }

    fn reply(&self, intent: &str, line: &Template) -> Reply {
        Reply::new(intent).say(line.plain())
    }
}

fn says(heard: &Heard) -> impl Fn(&str) -> bool {
    |word| heard.words.iter().any(|heard| heard.text == word)
}

fn plain(template: Option<&Template>) -> Vec<Said> {
    template.map(Template::plain).unwrap_or_default()
}

/// Shows where the dialogue stands, never what was said or given.
impl fmt::Debug for Dialogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialogue")
            .field("agent", &self.agent.name)
            .field("pending", &self.pending)
            .field("filling", &self.filling)
            .field("misses", &self.misses)
            .finish_non_exhaustive()
    }
}

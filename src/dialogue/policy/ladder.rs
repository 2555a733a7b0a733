//! What is said when the conversation does not get on, step by step: asked again, asked otherwise, the keys, a
//! person, goodbye. It answers no question and never leaves the steps of the agent file.

use super::*;

/// After so many turns in a row that nothing could be made of, a person is offered.
const MISSES_MAX: usize = 3;
/// So often a person is offered before the agent gives up.
const OFFERS_MAX: usize = 1;

impl Dialogue {
    /// What an understood turn says about how the conversation gets on.
    pub(super) fn count(&mut self, reply: &Reply) {
        self.noises = 0;
        let nothing = !reply.covered || matches!(reply.intent.as_str(), "unclear" | "backchannel");
        if nothing || self.pending == Pending::OfferHuman {
            return;
        }
        self.misses = 0;
        let idle = matches!(reply.intent.as_str(), "affirm" | "deny" | "repeat" | "interrupt");
        if !idle || reply.outcome.is_some() {
            self.offers = 0;
        }
    }

    /// The honest answer to what the agent file does not hold.
    pub(super) fn fallback(&mut self) -> Reply {
        let agent = Arc::clone(&self.agent);
        self.misses += 1;
        let mut reply = Reply::new("fallback");
        reply.covered = false;
        if self.misses >= MISSES_MAX {
            return self.offer(reply);
        }
        let fallbacks = &agent.lines.fallback;
        reply.say(plain(fallbacks.get(self.misses - 1).or(fallbacks.last())))
    }

    pub(super) fn unclear(&mut self) -> Reply {
        let agent = Arc::clone(&self.agent);
        self.misses += 1;
        let reply = Reply::new("unclear");
        let unclears = &agent.lines.unclear;
        if self.pending == Pending::OfferHuman {
            // Whether they want a person is not understood either: once more, then it is enough.
            if self.misses > MISSES_MAX + 1 {
                return self.give_up();
            }
            return reply.say(plain(unclears.first())).say(agent.lines.offer.plain());
        }
        if self.misses >= MISSES_MAX {
            return self.offer(reply);
        }
        let at = (self.misses - 1).min(unclears.len().saturating_sub(1));
        reply.say(plain(unclears.get(at))).say(self.open_question())
    }

    pub(super) fn silence(&mut self) -> Reply {
        let agent = Arc::clone(&self.agent);
        if let (Pending::Form, Some(mut filling)) = (self.pending, self.filling.take()) {
            // Keying has stopped: the number is what it is.
            let keyed = filling.expects() == Expects::Phone && filling.keys_ended(&agent);
            let reply = keyed.then(|| self.advance("slot", &mut filling));
            self.filling = Some(filling);
            if let Some(reply) = reply {
                return reply;
            }
        }
        self.silences += 1;
        match agent.lines.silence.get(self.silences - 1) {
            Some(prompt) => self.reply("silence", prompt).say(self.open_question()),
            None => self.hang_up("silence", &agent.lines.silence_bye),
        }
    }

    pub(super) fn noise(&mut self) -> Reply {
        let agent = Arc::clone(&self.agent);
        self.noises += 1;
        match agent.lines.noise.get(self.noises - 1) {
            Some(prompt) => self.reply("noise", prompt).say(self.open_question()),
            None => self.noise_forever(),
        }
    }

    pub(super) fn noise_forever(&mut self) -> Reply {
        let agent = Arc::clone(&self.agent);
        self.hang_up("noise", &agent.lines.noise_bye)
    }

    /// A person, once; who declines and is still not understood is better served by another call.
    pub(super) fn offer(&mut self, reply: Reply) -> Reply {
        if self.offers >= OFFERS_MAX {
            return self.give_up();
        }
        self.offers += 1;
        self.misses = self.misses.max(MISSES_MAX);
        self.pending = Pending::OfferHuman;
        reply.say(self.agent.lines.offer.plain())
    }

    fn give_up(&mut self) -> Reply {
        let agent = Arc::clone(&self.agent);
        self.hang_up("give_up", &agent.lines.unclear_bye)
    }
}

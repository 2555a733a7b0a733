//! Captions: what is said, as a page shows it to the caller while it is said. They go to nobody else, the last few are
//! remembered for a page that comes back, and nothing of them outlives the call.

use super::*;
use crate::call::action::{Activity, Caption};

/// So many are shown again on a page that was loaded anew.
const RECENT: usize = 12;

#[derive(Default)]
pub(super) struct Captions {
    last_id: u64,
    /// The agent's clause that sounds.
    clause: Option<(ClauseId, u64)>,
    /// What the caller is saying.
    draft: Option<u64>,
    recent: VecDeque<Caption>,
}

impl Captions {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn show(&mut self, caption: Caption, effects: &mut VecDeque<Effect>) {
        match self.recent.iter_mut().find(|c| c.id == caption.id) {
            // Another look found the same words.
            Some(shown) if *shown == caption => return,
            Some(shown) => *shown = caption.clone(),
            None => self.recent.push_back(caption.clone()),
        }
        self.recent.retain(|c| !c.text.is_empty());
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        effects.push_back(Effect::Caption(caption));
    }

    pub fn forget(&mut self) {
        self.recent.clear();
    }
}

impl Call {
    /// There is a page that shows what is said.
    pub fn show_captions(&mut self) {
        self.captions.get_or_insert_default();
    }

    /// What a page shows that was loaded anew.
    pub fn recent_captions(&self) -> impl Iterator<Item = &Caption> {
        self.captions.iter().flat_map(|captions| &captions.recent)
    }

    /// What a page says that the call does.
    pub fn activity(&self) -> Activity {
        if self.held || self.transfer_since.is_some() {
            Activity::Held
        } else if self.over.is_held() {
            Activity::Listening
        } else if self.mouth.begun() {
            Activity::Speaking
        } else if self.pending.is_some() || self.mouth.speaking() {
            Activity::Thinking
        } else {
            Activity::Listening
        }
    }

    /// A clause of the agent's begins to sound, or (`last`) has sounded, or will never.
    pub(super) fn caption_clause(&mut self, clause: ClauseId, last: bool) {
        let (Some(captions), Some(text)) = (&mut self.captions, self.mouth.text(clause)) else { return };
        let shown = captions.clause.filter(|(shown, _)| *shown == clause).map(|(_, id)| id);
        let id = shown.unwrap_or_else(|| captions.next_id());
        captions.clause = (!last).then_some((clause, id));
        captions.show(Caption { id, who: Speaker::Agent, text: text.to_owned(), last }, &mut self.effects);
    }

    /// The clause that sounded was cut: only this of it was heard.
    pub(super) fn caption_cut(&mut self, heard: Option<&str>) {
        let Some(captions) = &mut self.captions else { return };
        let Some((_, id)) = captions.clause.take() else { return };
        let text = heard.unwrap_or_default().to_owned();
        captions.show(Caption { id, who: Speaker::Agent, text, last: true }, &mut self.effects);
    }

    /// What the caller is saying, or (`last`) has said.
    pub(super) fn caption_caller(&mut self, text: &str, last: bool) {
        let Some(captions) = &mut self.captions else { return };
        let id = captions.draft.take().unwrap_or_else(|| captions.next_id());
        captions.draft = (!last).then_some(id);
        captions.show(Caption { id, who: Speaker::Caller, text: text.to_owned(), last }, &mut self.effects);
    }

    /// What the caller seemed to say was nothing.
    pub(super) fn retract_caption(&mut self) {
        let Some(captions) = &mut self.captions else { return };
        let Some(id) = captions.draft.take() else { return };
        captions.show(Caption { id, who: Speaker::Caller, text: String::new(), last: true }, &mut self.effects);
    }
}

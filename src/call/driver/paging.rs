//! The driver's side of a call from a web page: messages in and out, the road the call goes by, and a page that comes and
//! goes. Without a leg clauses are read rather than heard. It decides nothing.

use std::time::Instant;

use media::{DataEvent, LegConfig};
use models::ClauseId;

use super::Driver;
use crate::call::media::Media;
use crate::call::page::{Link, Page, PageConfig, Reach, Wish};
use crate::call::{Action, Caption, EndCause, Presence};
use crate::net::shard::Road;

/// Messages of a page's that are read in a tick.
const MESSAGES: usize = 8;
/// Clauses that are shown in a tick.
const CLAUSES: usize = 16;

impl Driver {
    /// A call from a page, which is told what is said: over the leg's data channel, or by this link where there is none.
    pub fn with_page(mut self, now: Instant, config: PageConfig, link: Option<Link>) -> Self {
        self.call.show_captions();
        if self.media.is_none() {
            self.apply(now, Action::Present(Presence::Text));
        }
        self.page = Some(Page::new(now, config, link));
        self
    }

    /// The road the call goes by from now on, where it changed.
    pub fn new_road(&mut self) -> Option<Road> {
        self.road.take()
    }

    pub(super) fn caption(&mut self, caption: &Caption) {
        if let Some(page) = &mut self.page {
            page.caption(caption);
        }
    }

    /// Tells a page that comes whose call this is, and what was said last.
    pub(super) fn greet_page(&mut self) {
        let Some(page) = &mut self.page else { return };
        page.hello(self.id);
        for caption in self.call.recent_captions() {
            page.caption(caption);
        }
    }

    pub(super) fn read_page(&mut self, now: Instant) {
        for _ in 0..MESSAGES {
            let Some(message) = self.next_message() else { return };
            let Some(page) = &mut self.page else { return };
            page.heard(now);
            match page.read(now, &message) {
                Some(Wish::Do(action)) => self.apply(now, action),
                Some(Wish::Key(digit)) => match &mut self.media {
                    // It may come by the audio as well.
                    Some(media) => media.info_digit(now, digit),
                    None => self.apply(now, Action::Digit(digit.as_char())),
                },
                Some(Wish::Bye) => {
                    self.apply(now, Action::HungUp(EndCause::CallerHungUp));
                    return self.hang_up(now, EndCause::CallerHungUp);
                }
                None => {}
            }
            if self.ended {
                return;
            }
        }
    }

    fn next_message(&mut self) -> Option<String> {
        let page = self.page.as_mut()?;
        if page.has_link() {
            return page.receive();
        }
        loop {
            match self.media.as_mut()?.data()? {
                DataEvent::Text(message) => return Some(message),
                DataEvent::Open | DataEvent::Closed => {}
            }
        }
    }

    /// Sends the page what is new.
    pub(super) fn tell_page(&mut self) {
        let Some(page) = &mut self.page else { return };
        if !self.ended {
            page.update(self.call.activity(), self.call.consents());
        }
        let media = &mut self.media;
        page.flush(|message| media.as_mut().is_some_and(|media| media.send_data(message)));
        page.close_if_bad();
    }

    /// Is silent while the page is gone, and says again what it may have missed when it is back.
    pub(super) fn watch_page(&mut self, now: Instant) {
        let Some(page) = self.page.as_mut().filter(|_| !self.ended) else { return };
        match page.news(now, self.media.is_some()) {
            Some(Reach::Gone) => self.apply(now, Action::Held(true)),
            Some(Reach::Back) => self.come_back(now, self.presence()),
            None => {}
        }
    }

    fn presence(&self) -> Presence {
        if self.media.is_some() { Presence::Voice } else { Presence::Text }
    }

    /// Voice begins, or goes on over another leg.
    pub(super) fn take_leg(&mut self, now: Instant, config: LegConfig, road: Road) {
        if self.page.is_none() {
            return;
        }
        self.summary.codec(config.codec.encoding_name());
        self.media = Some(Media::new(now, self.id, config));
        self.lines.vad.reset();
        self.move_to(now, road, None);
    }

    /// Voice ends; the page reads and writes.
    pub(super) fn go_away(&mut self, now: Instant, link: Link) {
        if self.page.is_none() {
            return;
        }
        self.lose_leg();
        self.move_to(now, Road::Nowhere, Some(link));
    }

    /// The record keeps what the leg saw.
    pub(super) fn lose_leg(&mut self) {
        if let Some(media) = self.media.take() {
            self.summary.media(media.record());
            self.road = Some(Road::Nowhere);
        }
    }

    fn move_to(&mut self, now: Instant, road: Road, link: Option<Link>) {
        self.road = Some(road);
        if let Some(page) = &mut self.page {
            page.attach(now, link);
        }
        self.greet_page();
        self.come_back(now, self.presence());
        self.publish();
    }

    fn come_back(&mut self, now: Instant, presence: Presence) {
        // What is said again was not played before.
        self.silence();
        self.apply(now, Action::Held(false));
        self.apply(now, Action::Present(presence));
    }

    /// Without a leg a clause that may go out is read at once.
    pub(super) fn read_out(&mut self, now: Instant) {
        for _ in 0..CLAUSES {
            let ready = |(clause, ..): &(ClauseId, _, _)| Some(clause.utterance) == self.released;
            let Some(at) = self.unsaid.iter().position(ready) else { return };
            let Some((clause, ..)) = self.unsaid.remove(at) else { return };
            for action in [Action::ClauseEnded(clause), Action::ClauseStarted(clause), Action::ClausePlayed(clause)] {
                self.apply(now, action);
            }
        }
    }
}

//! OPTIONS of ours: is a trunk there? (RFC 3261 11.) It keeps nothing but the transaction.

use super::config::address;
use super::event::{CommandError, Event, PingHandle};
use super::send::Launch;
use super::table::Purpose;
use super::{ALLOW, Endpoint};
use crate::dialog::Outgoing;
use crate::message::Name;
use crate::peer::Peer;
use std::time::Instant;

impl Endpoint {
    /// Asks a peer what it can, that is, whether it is there; [`Event::Pong`] tells. Whatever final response
    /// comes, a refusal too, somebody is.
    ///
    /// # Errors
    /// `BadUri`; `Full`: nothing was sent.
    pub fn options(&mut self, now: Instant, to: Peer, uri: &str) -> Result<PingHandle, CommandError> {
        let uri = address(uri)?;
        if self.table.len() >= self.config.max_transactions {
            return Err(CommandError::Full);
        }
        let user = crate::text::escape_user(&self.config.contact_user);
        let outgoing = Outgoing {
            uri: uri.as_str().to_owned(),
            routes: Vec::new(),
            branch: self.ids.branch(),
            from: format!("<sip:{user}@{}>;tag={}", self.local(to), self.ids.tag()),
            to: format!("<{}>", uri.as_str()),
            call_id: self.ids.call_id(),
            cseq: 1,
            peer: to,
        };
        let builder = outgoing
            .builder("OPTIONS", self.local(to))
            .header(Name::Contact, &self.contact(to))
            .header(Name::Accept, "application/sdp")
            .header(Name::Allow, ALLOW);
        let bytes = self.named(builder).finish();
        self.last_ping += 1;
        let purpose = Purpose::Ping(self.last_ping);
        let (method, call, others, has_more) = ("OPTIONS", None, [].as_slice(), false);
        self.launch(now, Launch { method, outgoing, call, purpose, bytes, others, has_more });
        Ok(PingHandle(self.last_ping))
    }

    pub(super) fn pong(&mut self, id: u64, status: u16) {
        self.out.event(Event::Pong { ping: PingHandle(id), status });
    }
}

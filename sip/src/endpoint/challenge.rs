//! Challenges to our requests, and what the requests of a call or a registration prove themselves with (RFC 3261 22). It never keeps a password: that is `auth::Client`'s.

use super::Endpoint;
use super::table::Purpose;
use crate::auth;
use crate::header::Response;
use crate::message::{self, Name, StartLine};
use std::time::Instant;

impl Endpoint {
    /// A 401 or 407: the request goes out again with credentials, under the next number. False: there are none,
    /// or they would be refused again; the failure stands.
    pub(super) fn answer_challenge(&mut self, now: Instant, tx: u64, response: &Response<'_>) -> bool {
        let Some(entry) = self.table.get(tx).filter(|e| self.is_wanted(e)) else { return false };
        let (purpose, call, to) = (entry.purpose, entry.call, entry.peer);
        let is_proxy = response.status == 407;
        let name = if is_proxy { Name::ProxyAuthenticate } else { Name::WwwAuthenticate };
        let values: Vec<_> = response.message.all(name).map(|h| h.text().into_owned()).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let Some(client) = self.auth_of(purpose, call) else { return false };
        if client.challenged(&values, is_proxy).is_err() {
            return false;
        }
        let old = response.head.cseq.number;
        let Some(cseq) = self.number_after(purpose, call, old) else { return false };
        self.relaunch(now, tx, to, Some(cseq))
    }

    /// Any other answer, or another server: what went with the request is not what was refused.
    pub(super) fn credentials_held(&mut self, tx: u64) {
        let Some((purpose, call)) = self.table.get(tx).map(|e| (e.purpose, e.call)) else { return };
        if let Some(client) = self.auth_of(purpose, call) {
            client.accepted();
        }
    }

    /// The headers that authorize a request of ours; none as long as nobody asked.
    pub(super) fn authorization(&mut self, purpose: Purpose, call: Option<u64>, request: &[u8]) -> Vec<(Name, String)> {
        if self.auth_of(purpose, call).is_none() {
            return Vec::new();
        }
        let cnonce = self.ids.next();
        let Ok(message) = message::parse(request) else { return Vec::new() };
        let StartLine::Request { method, uri, .. } = message.start else { return Vec::new() };
        let uri = String::from_utf8_lossy(uri);
        let client = self.auth_of(purpose, call);
        client.map(|c| c.authorize(cnonce, method, &uri, message.body)).unwrap_or_default()
    }

    /// Whose credentials a request goes with.
    fn auth_of(&mut self, purpose: Purpose, call: Option<u64>) -> Option<&mut auth::Client> {
        match purpose {
            Purpose::Register(id) => self.registrations.get_mut(&id)?.auth.as_mut(),
            _ => self.calls.get_mut(&call?)?.auth.as_deref_mut(),
        }
    }

    /// RFC 3261 22.2: the number of a request that is sent again, told to whoever knows it by the old one.
    fn number_after(&mut self, purpose: Purpose, call: Option<u64>, old: u32) -> Option<u32> {
        if let Purpose::Register(id) = purpose {
            return self.registrations.get_mut(&id).map(|r| r.next_cseq());
        }
        let call = self.calls.get_mut(&call?)?;
        // An early dialog may have counted further than the call's own.
        call.dialog.local_cseq = call.dialog.local_cseq.max(old);
        let new = call.dialog.next_cseq();
        call.renumber(old, new);
        Some(new)
    }
}

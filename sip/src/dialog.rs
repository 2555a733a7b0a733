//! Dialogs (RFC 3261 12): who is who, the route set, the remote target, the sequence numbers. They never send.

use crate::header::{Head, NameAddr};
use crate::message::{Builder, Message, Name};
use crate::peer::{Peer, Transport};
use crate::uri::Uri;
use std::net::{IpAddr, SocketAddr};

/// Most Record-Route entries kept; a longer path is cut, as no real one is.
const ROUTES_MAX: usize = 32;

/// One dialog, or for a caller the beginning of one.
#[derive(Clone)]
pub(crate) struct Dialog {
    pub call_id: String,
    pub local_tag: String,
    /// `None` before the first response, and with RFC 2543 peers (12.1.1).
    pub remote_tag: Option<String>,
    /// Our From (or the To we answered under), tag included.
    local: String,
    /// Theirs, tag included.
    remote: String,
    /// The last number we used.
    pub local_cseq: u32,
    /// The last number they used.
    pub remote_cseq: Option<u32>,
    target: Uri,
    routes: Vec<NameAddr>,
    /// Where their messages come from: the road back where the target cannot be reached by itself.
    peer: Peer,
}

/// A request of ours, and all that is needed to cancel or acknowledge it.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub uri: String,
    pub routes: Vec<String>,
    pub branch: String,
    pub from: String,
    pub to: String,
    pub call_id: String,
    pub cseq: u32,
    /// Where it goes.
    pub peer: Peer,
}

impl Outgoing {
    /// The topmost Via; `advertised`: where the answer is to come.
    pub fn via(&self, advertised: SocketAddr) -> String {
        format!("SIP/2.0/{} {advertised};branch={};rport", self.peer.transport.as_str(), self.branch)
    }

    /// The headers that 8.1.1 demands. CANCEL (9.1) and the ACK of a failure (17.1.1.3) repeat those of
    /// their INVITE, branch included.
    pub fn builder(&self, method: &str, advertised: SocketAddr) -> Builder {
        let via = self.via(advertised);
        let mut builder = Builder::request(method, &self.uri).header(Name::Via, &via).header(Name::MaxForwards, "70");
        for route in &self.routes {
            builder = builder.header(Name::Route, route);
        }
        builder
            .header(Name::From, &self.from)
            .header(Name::To, &self.to)
            .header(Name::CallId, &self.call_id)
            .header(Name::CSeq, &format!("{} {method}", self.cseq))
    }
}

impl Dialog {
    /// 12.1.1: the one who is called.
    pub fn called(message: &Message<'_>, head: &Head, target: Uri, local_tag: String, peer: Peer) -> Self {
        let value = |name| message.header(name).map(|h| h.text().into_owned()).unwrap_or_default();
        Self {
            call_id: head.call_id.clone(),
            local: format!("{};tag={local_tag}", value(Name::To)),
            local_tag,
            remote: value(Name::From),
            remote_tag: head.from.tag().map(str::to_owned),
            local_cseq: 0,
            remote_cseq: Some(head.cseq.number),
            target,
            routes: record_routes(message),
            peer,
        }
    }

    /// 12.1.2: the one who calls, before anybody answered. `local` and `remote` are name-addrs.
    pub fn calling(call_id: String, local: &str, local_tag: String, remote: String, target: Uri, peer: Peer) -> Self {
        Self {
            call_id,
            local: format!("{local};tag={local_tag}"),
            local_tag,
            remote,
            remote_tag: None,
            local_cseq: 0,
            remote_cseq: None,
            target,
            routes: Vec::new(),
            peer,
        }
    }

    /// Another branch of a forked INVITE of ours, before its 2xx is read into it.
    pub fn of_fork(invite: &Outgoing, target: Uri, local_tag: &str) -> Self {
        Self {
            call_id: invite.call_id.clone(),
            local_tag: local_tag.to_owned(),
            remote_tag: None,
            local: invite.from.clone(),
            remote: invite.to.clone(),
            local_cseq: invite.cseq,
            remote_cseq: None,
            target,
            routes: Vec::new(),
            peer: invite.peer,
        }
    }

    /// The dialog that a 2xx establishes (13.2.2.4): its To, its Contact, its Record-Route in reverse.
    pub fn established_by(&self, message: &Message<'_>, head: &Head) -> Self {
        let mut dialog = self.clone();
        if let Some(to) = message.header(Name::To) {
            dialog.remote = to.text().into_owned();
        }
        dialog.remote_tag = head.to.tag().map(str::to_owned);
        dialog.routes = record_routes(message);
        dialog.routes.reverse();
        dialog.refresh_target(head);
        dialog
    }

    /// 12.2: a target refresh request or its 2xx moves the remote target, never the route set.
    pub fn refresh_target(&mut self, head: &Head) {
        if let Some(contact) = head.contacts.first() {
            self.target = contact.uri.clone();
        }
    }

    /// Their messages come from here now.
    pub const fn heard_from(&mut self, peer: Peer) {
        self.peer = peer;
    }

    /// Where their messages come from.
    pub const fn peer(&self) -> Peer {
        self.peer
    }

    /// Where the peer wants to be reached.
    pub fn target(&self) -> &str {
        self.target.as_str()
    }

    /// Our own address in this dialog, without name and tag.
    pub fn local_uri(&self) -> Option<String> {
        NameAddr::parse(&self.local).map(|local| local.uri.as_str().to_owned())
    }

    /// Does a message with this remote tag belong here?
    pub fn matches(&self, remote_tag: Option<&str>) -> bool {
        self.remote_tag.as_deref() == remote_tag
    }

    /// 12.2.1.1: the next request.
    pub fn outgoing(&mut self, branch: String) -> Outgoing {
        let cseq = self.next_cseq();
        self.outgoing_at(cseq, branch)
    }

    /// The next number.
    pub const fn next_cseq(&mut self) -> u32 {
        self.local_cseq = self.local_cseq.wrapping_add(1) & 0x7fff_ffff;
        self.local_cseq
    }

    /// A request under a number already used: the ACK of a 2xx (13.2.2.4).
    pub fn outgoing_at(&self, cseq: u32, branch: String) -> Outgoing {
        let (uri, routes) = self.uri_and_routes();
        Outgoing {
            uri,
            routes,
            branch,
            from: self.local.clone(),
            to: self.remote.clone(),
            call_id: self.call_id.clone(),
            cseq,
            peer: self.next_hop(),
        }
    }

    fn uri_and_routes(&self) -> (String, Vec<String>) {
        let in_brackets = |uri: &Uri| format!("<{}>", uri.as_str());
        let target = self.target.as_str().to_owned();
        let Some((first, rest)) = self.routes.split_first() else {
            return (target, Vec::new());
        };
        let is_loose = first.uri.sip().is_some_and(|s| s.param("lr").is_some());
        if is_loose {
            return (target, self.routes.iter().map(|r| in_brackets(&r.uri)).collect());
        }
        // A strict router: it becomes the Request-URI, the target the last route.
        let mut routes: Vec<String> = rest.iter().map(|r| in_brackets(&r.uri)).collect();
        routes.push(format!("<{target}>"));
        (first.uri.as_str().to_owned(), routes)
    }

    /// Where requests go without DNS: the first route or the target if it is an address that can be
    /// reached from where the peer is, else back to where the peer's messages come from. A private
    /// address behind a public one is a NAT's inside.
    fn next_hop(&self) -> Peer {
        let uri = self.routes.first().map_or(&self.target, |r| &r.uri);
        let peer = self.peer;
        // RFC 7118 5: a browser cannot be called back, its Contact leads nowhere.
        if matches!(peer.transport, Transport::Ws | Transport::Wss) {
            return peer;
        }
        // A stream's other end rarely repeats its transport; the road it uses is the road it has.
        let default = if peer.transport.is_reliable() { peer.transport } else { Transport::Udp };
        match uri.peer(default) {
            // RFC 5923: the same host by the same transport is reached by the connection that is there.
            Some(hop) if hop.transport == peer.transport && same_host(hop, peer) => peer,
            Some(hop) if reach(hop.address.ip()) >= reach(peer.address.ip()) && hop.address.port() != 0 => hop,
            _ => peer,
        }
    }
}

/// The connection to `peer` also leads to `hop`.
fn same_host(hop: Peer, peer: Peer) -> bool {
    peer.connection.is_some() && hop.address.ip() == peer.address.ip()
}

fn record_routes(message: &Message<'_>) -> Vec<NameAddr> {
    let lists = message.all(Name::RecordRoute).filter_map(|h| NameAddr::parse_list(&h.text()));
    lists.flatten().take(ROUTES_MAX).collect()
}

/// How far an address reaches: 0 nowhere or this machine, 1 a site, 2 the world.
fn reach(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(v4) if v4.is_loopback() || v4.is_unspecified() => 0,
        // RFC 6598: the carrier's side of a NAT is no better than a private one.
        IpAddr::V4(v4)
            if v4.is_private() || v4.is_link_local() || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64) =>
        {
            1
        }
        IpAddr::V6(v6) if v6.is_loopback() || v6.is_unspecified() => 0,
        IpAddr::V6(v6) if v6.is_unique_local() || v6.is_unicast_link_local() => 1,
        _ => 2,
    }
}

//! The stages of a call between signalling and media: what each holds. It never sends.

use std::net::SocketAddr;
use std::time::Instant;

use media::{LegChange, LegConfig};
use sip::Peer;
use sip::sdp::{self, LocalMedia, Negotiated};
use tokio::sync::mpsc;

use crate::call::driver::CallInput;
use crate::call::{CallId, EndCause};
use crate::gateway::Admission;
use crate::net::ports::Pair;
use crate::store::{CallRecord, LineInfo};

/// An inbound call that is answered but whose ACK has not come.
pub(super) struct Waiting {
    pub admission: Admission,
    pub sockets: Pair,
    pub local: LocalMedia,
    pub peer: Peer,
    pub line: LineInfo,
    pub negotiated: Option<Negotiated>,
}

/// A call of ours that nobody has answered yet.
pub(super) struct Dialling {
    pub admission: Admission,
    pub sockets: Pair,
    pub local: LocalMedia,
    pub peer: Peer,
    pub line: LineInfo,
    pub record: CallRecord,
    /// When it has rung long enough.
    pub until: Instant,
}

/// A call on its shard.
pub(super) struct Running {
    pub id: CallId,
    pub inputs: mpsc::Sender<CallInput>,
    pub local: LocalMedia,
    /// Where its signalling goes.
    pub peer: Peer,
    pub line: LineInfo,
}

impl Running {
    /// Past the bound an input is lost, as a key on a keypad hit too fast; the end of a call never is.
    pub fn tell(&self, input: CallInput) {
        let _ = self.inputs.try_send(input);
    }

    /// The session as it was just agreed.
    pub fn change(&self, negotiated: &Negotiated) {
        self.tell(CallInput::Renegotiated(leg_change(negotiated)));
    }
}

pub(super) fn end_cause(cause: &sip::EndCause) -> EndCause {
    match cause {
        sip::EndCause::RemoteHangup(_) => EndCause::CallerHungUp,
        sip::EndCause::LocalHangup => EndCause::Completed,
        _ => EndCause::Lost,
    }
}

/// What a final status says of a call that we made, in the words of a call's record.
pub(super) fn outcome(status: u16) -> &'static str {
    match status {
        486 | 600 => "busy",
        408 | 480 | 487 => "no_answer",
        404 | 410 | 484 | 604 => "no_such_number",
        401 | 403 | 407 | 603 | 607 | 608 => "rejected",
        _ => "failed",
    }
}

pub(crate) fn media_codec(codec: sdp::Codec) -> media::Codec {
    match codec {
        sdp::Codec::Pcma => media::Codec::Pcma,
        _ => media::Codec::Pcmu,
    }
}

/// `random` becomes SSRC, first sequence number, first timestamp (RFC 3550 5.1) and a nameless CNAME.
pub(crate) fn leg_config(n: &Negotiated, random: u128) -> LegConfig {
    LegConfig {
        codec: media_codec(n.codec),
        payload_type: n.payload_type,
        dtmf_payload_type: n.dtmf_payload_type,
        ssrc: random as u32,
        sequence: (random >> 32) as u16,
        timestamp: (random >> 48) as u32,
        remote: n.remote,
        symmetric: true,
        rtcp_mux: n.rtcp_mux,
        rtcp_cname: format!("{:016x}", (random >> 64) as u64),
    }
}

pub(crate) fn leg_change(n: &Negotiated) -> LegChange {
    LegChange {
        codec: media_codec(n.codec),
        payload_type: n.payload_type,
        dtmf_payload_type: n.dtmf_payload_type,
        remote: n.remote,
        rtcp_mux: n.rtcp_mux,
        send: n.direction.sends(),
    }
}

/// Our media as peers are told it; `version` is the description's own number.
pub(super) fn local_media(address: SocketAddr, version: u64) -> LocalMedia {
    let mut local = LocalMedia::new(address, version);
    // RTCP has its own port here; a peer that insists on one port still gets it.
    local.rtcp_mux = true;
    local
}

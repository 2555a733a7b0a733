//! The stages of a call between signalling and media: what each holds. It never sends.

use std::time::Instant;

use privacy::consent::PreGrant;
use sip::sdp::{LocalMedia, Negotiated};
use sip::{CallHandle, Peer};
use tokio::sync::mpsc;

use crate::call::driver::CallInput;
use crate::call::{CallId, EndCause, MachineAction};
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
    /// What is done if a machine answers.
    pub machine: MachineAction,
    /// What they agreed to before.
    pub granted_before: Option<PreGrant>,
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
}

/// A call that a REFER makes us place.
pub(super) struct Move {
    /// The call it will take over.
    pub old: CallHandle,
    /// Our media as the new side is told it.
    pub local: LocalMedia,
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

//! A call of our own, by SIP or to a page's address: one face for both. It moves datagrams and tells what became of the
//! call; it says nothing by itself, and knows nothing of its sound.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::net::UdpSocket;

use crate::caller::agreed::Agreed;
use crate::caller::dial::Dialled;
use crate::caller::page::Page;
use crate::caller::{CallOptions, CallerError};
use crate::clock;

/// What became of it.
pub(crate) enum News {
    /// Media may begin.
    Answered(Box<Agreed>),
    /// It was answered, but with nothing that we can do.
    Unusable,
    Refused {
        status: u16,
        retry_after_s: Option<u32>,
        /// What the other side says to it.
        reason: String,
    },
    /// By whom: `caller`, `agent` or `lost`.
    Ended(&'static str),
}

/// A call on its way, or under way.
pub(crate) struct Placed {
    way: Way,
    pub rtp: UdpSocket,
    /// The INVITE or the offer went out then.
    pub invited: Instant,
}

enum Way {
    Sip(Box<Dialled>),
    Web(Box<Page>),
}

impl Placed {
    pub async fn place(options: &CallOptions) -> Result<Self, CallerError> {
        if options.is_web() {
            let (page, rtp, invited) = Page::place(options).await?;
            return Ok(Self { way: Way::Web(Box::new(page)), rtp, invited });
        }
        let (dialled, rtp) = Dialled::place(options).await?;
        Ok(Self { invited: dialled.invited, way: Way::Sip(Box::new(dialled)), rtp })
    }

    /// Sends what is to be sent, and says what happened. Call it until `None`, after everything.
    pub async fn news(&mut self) -> Option<News> {
        match &mut self.way {
            Way::Sip(call) => call.news().await,
            Way::Web(page) => page.news(clock::now(), &self.rtp).await,
        }
    }

    /// When it wants to be woken without a datagram.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.way {
            Way::Sip(call) => call.endpoint.deadline(),
            Way::Web(_) => None,
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if let Way::Sip(call) = &mut self.way {
            call.endpoint.handle_timeout(now);
        }
    }

    /// The next datagram: of media, or dealt with here.
    pub async fn receive(&mut self, media: &mut [u8]) -> Option<(usize, SocketAddr)> {
        match &mut self.way {
            Way::Sip(call) => call.receive(&self.rtp, media).await,
            Way::Web(page) => {
                let (len, from) = self.rtp.recv_from(media).await.ok()?;
                (!page.takes(clock::now(), media.get(..len)?)).then_some((len, from))
            }
        }
    }

    /// The id that a gateway of ours gave the call with its answer.
    pub fn id(&self) -> Option<&str> {
        match &self.way {
            Way::Sip(call) => call.id.as_deref(),
            // It says so on the data channel.
            Way::Web(_) => None,
        }
    }

    /// False: there is nobody to be told.
    pub fn hang_up(&mut self, now: Instant) -> bool {
        match &mut self.way {
            Way::Sip(call) => call.hang_up(now),
            Way::Web(page) => page.hang_up(),
        }
    }

    /// After hanging up: the other side has said that it knows.
    pub fn is_settled(&self) -> bool {
        match &self.way {
            Way::Sip(call) => call.is_settled,
            Way::Web(page) => page.is_settled(),
        }
    }
}

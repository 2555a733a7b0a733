//! Who may do what: trunks, strangers, limits and bans, as configured. It never answers anybody itself.
//!
//! A trunk is known by where it sends from ([`Net`], or the verified name of its TLS connection), by a digest,
//! or by both. Everybody else is a stranger, and learns the same from every answer whatever number it names.

mod guests;
mod keeper;
mod limits;
mod net;

pub(crate) use keeper::{Admission, Keeper, Offence};
pub(crate) use limits::Source;
pub use net::{Net, NetError};

use crate::auth::Credentials;
use std::fmt;
use std::time::Duration;

/// The settings of the door.
#[derive(Clone, Debug)]
pub struct DoorConfig {
    /// The realm of our challenges.
    pub realm: String,
    /// How long a nonce of ours holds.
    pub nonce_within: Duration,
    /// Who is known; the first that fits counts.
    pub trunks: Vec<TrunkRule>,
    /// What those may do who are not.
    pub strangers: Strangers,
    /// Requests a second from one stranger's address (IPv6: /64); more are dropped without a word. Four
    /// times as many within its calls. `None`: any number.
    pub per_source_per_s: Option<u32>,
    /// As many may come at once.
    pub burst: u32,
    /// Who is not heard any more, and how long. `None`: everybody is heard.
    pub bans: Option<BanConfig>,
    /// Calls at once from one stranger's address, in percent of `max_calls` but at least 8. `None`: any number.
    pub per_source_calls_percent: Option<u8>,
    /// Strangers' calls that nobody has answered and acknowledged, in percent of `max_calls`, so that a
    /// flood of INVITEs never takes every place. `None`: any number.
    pub unanswered_percent: Option<u8>,
    /// Addresses remembered for rates and bans, each; beyond it the ones unheard longest are forgotten.
    pub sources_max: usize,
}

/// When a stranger's address is banned. Addresses of trunks, of whoever proved a password in the last ten
/// minutes and of peers in a call never are: over UDP anybody can write a sender's address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BanConfig {
    /// Wrong digests that are too many ..
    pub digests_max: u32,
    /// .. in this time.
    pub digests_within: Duration,
    /// Refused requests (403, 405, 501, a form that cannot be read, a challenge left unanswered; where our
    /// user rejects with 403, 404 or 604 too) that are too many ..
    pub refusals_max: u32,
    /// .. in this time. A scanner that says its name is one too many at once.
    pub refusals_within: Duration,
    /// How long nothing is heard.
    pub ban_for: Duration,
}

/// One trunk. A rule with neither addresses nor names nor credentials fits nobody.
#[derive(Clone, Default)]
pub struct TrunkRule {
    /// How it is called in [`CallInfo::trunk`](crate::CallInfo::trunk).
    pub name: String,
    /// Where it sends from.
    pub addresses: Vec<Net>,
    /// Which verified certificate it shows: domain names, compared whole (RFC 5922 7.2). With addresses, both.
    pub tls_names: Vec<String>,
    /// A digest that it must prove, from one of the places above if there are any.
    pub credentials: Option<Credentials>,
    /// MD5 is proof enough.
    pub allow_md5: bool,
    /// Calls at once; one more gets 503. `None`: as many as the endpoint holds.
    pub calls_max: Option<usize>,
    /// New calls a second; more get 503. `None`: any number.
    pub calls_per_s: Option<f32>,
}

/// What strangers get.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Strangers {
    /// Anybody may call. A trunk known by its digest alone is a stranger too, unless it authorizes unasked.
    Answer,
    /// Only trunks may call. An INVITE of anybody else gets 401 if some trunk proves itself by a digest, else 403.
    Refuse,
}

impl Default for DoorConfig {
    /// Closed: nobody is known, strangers are refused, and limited to 50 requests a second, 100 at once.
    fn default() -> Self {
        Self {
            realm: "dauys".to_owned(),
            nonce_within: Duration::from_secs(300),
            trunks: Vec::new(),
            strangers: Strangers::Refuse,
            per_source_per_s: Some(50),
            burst: 100,
            bans: Some(BanConfig::default()),
            per_source_calls_percent: Some(25),
            unanswered_percent: Some(50),
            sources_max: 16_384,
        }
    }
}

impl DoorConfig {
    /// Open: anybody may call, as often as the endpoint bears. For a demo on one machine, and for tests.
    pub fn open() -> Self {
        Self {
            strangers: Strangers::Answer,
            per_source_per_s: None,
            bans: None,
            per_source_calls_percent: None,
            unanswered_percent: None,
            ..Self::default()
        }
    }
}

impl Default for BanConfig {
    /// 5 wrong digests in 10 minutes or 20 refusals in one: 10 minutes.
    fn default() -> Self {
        Self {
            digests_max: 5,
            digests_within: Duration::from_secs(600),
            refusals_max: 20,
            refusals_within: Duration::from_secs(60),
            ban_for: Duration::from_secs(600),
        }
    }
}

impl fmt::Debug for TrunkRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrunkRule").field("name", &self.name).finish_non_exhaustive()
    }
}

//! Between session descriptions and legs: what our side brings to a call, and what its leg is told of what was
//! agreed. It opens nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use media::codec::EncoderConfig;
use media::secure::{IceConfig, Identity, Keys, Role, Security, Suite};
use media::{LegChange, LegConfig};
use sip::Peer;
use sip::sdp::{
    self, Fingerprint, LocalIce, LocalMedia, Negotiated, Protection, SdpError, Source, SrtpKeys, SrtpPolicy,
};

use crate::config::{Config, Rtp};
use crate::gateway::Refused;
use crate::random;

/// Our media for a call by this line (`None`: a stranger's) whose signalling goes to `peer`. `address` is the one
/// that peers are told, `session_id` the one of all its descriptions.
pub(super) fn local_media(
    config: &Config,
    identity: &Identity,
    line: Option<&str>,
    peer: Peer,
    address: SocketAddr,
    session_id: u64,
) -> LocalMedia {
    let (codecs, srtp) = config.media_of(line);
    let policy = SrtpPolicy::from(srtp);
    let fingerprint = Fingerprint::parse(&identity.fingerprint().to_string());
    let mut local = LocalMedia {
        codecs: codecs.iter().map(|c| (*c).into()).collect(),
        comfort_noise: config.rtp.comfort_noise,
        rtcp_xr: true,
        protection: Protection { policy, fingerprint, ..Protection::default() },
        ..LocalMedia::new(address, session_id)
    };
    renew(config, &mut local, peer);
    local
}

/// Another peer takes over: what was agreed with the one before is void, and its keys are none of this one's.
pub(super) fn renew(config: &Config, local: &mut LocalMedia, peer: Peer) {
    let protection = &mut local.protection;
    // Without good random numbers there are no keys: the peer then gets plain RTP, or nothing.
    protection.keys = random::secret().ok().map(SrtpKeys::new).filter(|_| protection.policy != SrtpPolicy::Off);
    let is_content = protection.policy == SrtpPolicy::Required && config.rtp.sdes_over_plain;
    protection.trusts_signalling = is_private(peer) || is_content;
    local.ice = ice().filter(|_| config.rtp.ice);
    local.agreed = None;
}

fn ice() -> Option<LocalIce> {
    random::secret().ok().map(LocalIce::new)
}

/// Does nobody but the next hop read what goes there?
pub(super) fn is_private(peer: Peer) -> bool {
    matches!(peer.transport, sip::Transport::Tls | sip::Transport::Wss)
}

/// Our answer; where the peer begins ICE anew, so do we.
pub(super) fn answer(offer: &sdp::Offer, local: &mut LocalMedia) -> Result<Negotiated, Refused> {
    let negotiated = sdp::answer(offer, local).map_err(refused)?;
    if !local.restarts_ice(&negotiated) {
        return Ok(negotiated);
    }
    local.ice = ice();
    sdp::answer(offer, local).map_err(refused)
}

fn refused(error: SdpError) -> Refused {
    match error {
        SdpError::Insecure => Refused::NotEncrypted,
        _ => Refused::NoCommonCodec,
    }
}

pub(crate) fn media_codec(codec: sdp::Codec) -> media::Codec {
    match codec {
        sdp::Codec::Pcmu => media::Codec::Pcmu,
        sdp::Codec::Pcma => media::Codec::Pcma,
        sdp::Codec::G722 => media::Codec::G722,
        sdp::Codec::Opus => media::Codec::Opus,
    }
}

/// What all legs share.
pub(crate) struct Shared<'a> {
    pub rtp: &'a Rtp,
    /// Our certificate for DTLS; `None`: never offered.
    pub identity: Option<&'a Arc<Identity>>,
}

/// `random` becomes SSRC, first sequence number, first timestamp (RFC 3550 5.1) and a nameless CNAME. `None`: its
/// protection cannot be done, and without it there is no call.
pub(crate) fn leg_config(n: &Negotiated, local: &LocalMedia, with: &Shared<'_>, random: u128) -> Option<LegConfig> {
    let Source { ssrc, cname } = source(random);
    Some(LegConfig {
        codec: media_codec(n.codec),
        payload_type: n.payload_type,
        receive: receive(n),
        dtmf_payload_type: n.dtmf.map(|(pt, _)| pt),
        comfort_noise_payload_type: n.comfort_noise_payload_type,
        encoder: encoder(n, local, with.rtp),
        ssrc,
        sequence: (random >> 32) as u16,
        timestamp: (random >> 48) as u32,
        remote: n.remote,
        symmetric: true,
        rtcp_mux: n.rtcp_mux,
        rtcp_cname: cname,
        rtcp_xr: n.rtcp_xr,
        inband_digits: with.rtp.inband_digits,
        security: security(n, with.identity)?,
        ice: ice_config(n, local),
        data: n.data,
    })
}

/// What the packets of a leg of this `random` carry.
pub(crate) fn source(random: u128) -> Source {
    Source { ssrc: random as u32, cname: format!("{:016x}", (random >> 64) as u64) }
}

/// `None`: as above; what was agreed before stays in force.
pub(crate) fn leg_change(n: &Negotiated, local: &LocalMedia, with: &Shared<'_>) -> Option<LegChange> {
    Some(LegChange {
        codec: media_codec(n.codec),
        payload_type: n.payload_type,
        receive: receive(n),
        dtmf_payload_type: n.dtmf.map(|(pt, _)| pt),
        comfort_noise_payload_type: n.comfort_noise_payload_type,
        encoder: encoder(n, local, with.rtp),
        remote: n.remote,
        rtcp_mux: n.rtcp_mux,
        send: n.direction.sends(),
        expect: n.direction.receives(),
        security: security(n, with.identity)?,
        ice: ice_config(n, local),
        data: n.data,
    })
}

fn receive(n: &Negotiated) -> Vec<(u8, media::Codec)> {
    n.receive.iter().map(|(pt, codec)| (*pt, media_codec(*codec))).collect()
}

/// What the other side wants, within what we would spend.
fn encoder(n: &Negotiated, local: &LocalMedia, rtp: &Rtp) -> EncoderConfig {
    EncoderConfig {
        bitrate_bps: rtp.opus_bitrate,
        bitrate_max_bps: n.opus.max_bitrate_bps.unwrap_or(EncoderConfig::default().bitrate_max_bps),
        fec: n.opus.fec,
        dtx: n.opus.dtx && local.comfort_noise,
        cbr: n.opus.cbr,
        ..EncoderConfig::default()
    }
}

/// Never less than what was agreed.
fn security(n: &Negotiated, identity: Option<&Arc<Identity>>) -> Option<Security> {
    Some(match &n.security {
        sdp::Security::Plain => Security::Plain,
        sdp::Security::Sdes { suite, send, receive } => {
            let suite = Suite::from_name(suite.name())?;
            let keys = |material: &sdp::KeyMaterial| Keys::new(suite, material.expose()).ok();
            Security::Sdes { send: keys(send)?, receive: keys(receive)? }
        }
        sdp::Security::Dtls { remote, we_are_active } => Security::Dtls {
            identity: Arc::clone(identity?),
            role: if *we_are_active { Role::Active } else { Role::Passive },
            fingerprint: remote.to_string().parse().ok()?,
        },
    })
}

fn ice_config(n: &Negotiated, local: &LocalMedia) -> Option<IceConfig> {
    let ours = local.ice.as_ref().filter(|_| n.ice.is_some())?;
    Some(IceConfig { local_ufrag: ours.ufrag().into(), local_pwd: ours.pwd().into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(signalling: &str, rtp: &str, offer: &str) -> Result<(LocalMedia, Negotiated, Config), Refused> {
        let text = format!("[rtp]\n{rtp}\n[[agent]]\nfile = \"a.toml\"\n");
        let config = Config::parse("x.toml".as_ref(), &text, std::iter::empty()).unwrap();
        let transport = if signalling == "tls" { sip::Transport::Tls } else { sip::Transport::Udp };
        let peer = Peer::new(transport, "192.0.2.10:5061".parse().unwrap());
        let identity = Identity::generate().unwrap();
        let mut local = local_media(&config, &identity, None, peer, "192.0.2.1:4000".parse().unwrap(), 1);
        let offer = sdp::parse(&format!("v=0\nc=IN IP4 192.0.2.10\nm=audio 5000 {offer}\n")).unwrap();
        answer(&offer, &mut local).map(|n| (local, n, config))
    }

    const KEY: &str = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    /// Signalling, keys of `[rtp]` and an offer; then codec and protection of the leg, or why not.
    #[test]
    fn from_an_offer_to_a_leg() {
        let print = format!("a=rtcp-mux\na=setup:actpass\na=fingerprint:sha-256 {}", ["0A"; 32].join(":"));
        let (keyed, shaken) = (format!("RTP/SAVP 0\n{KEY}"), format!("UDP/TLS/RTP/SAVP 9\n{print}"));
        for (signalling, rtp, offer, expected) in [
            ("udp", "", "RTP/AVP 0", "Ok(Pcmu none)"),
            ("udp", "codecs = [\"pcma\"]", "RTP/AVP 0 8", "Ok(Pcma none)"),
            ("udp", "codecs = [\"pcma\"]", "RTP/AVP 0", "Err(NoCommonCodec)"),
            ("udp", "", "RTP/AVP 96 0\na=rtpmap:96 opus/48000/2", "Ok(Opus none)"),
            ("udp", "", keyed.as_str(), "Ok(Pcmu sdes)"),
            ("udp", "srtp = \"off\"", &keyed, "Err(NoCommonCodec)"),
            ("udp", "srtp = \"required\"", &keyed, "Err(NotEncrypted)"),
            ("udp", "srtp = \"required\"\nsdes_over_plain = true", &keyed, "Ok(Pcmu sdes)"),
            ("tls", "srtp = \"required\"", &keyed, "Ok(Pcmu sdes)"),
            ("tls", "srtp = \"required\"", "RTP/AVP 0", "Err(NotEncrypted)"),
            ("udp", "srtp = \"required\"", &shaken, "Ok(G722 dtls)"),
        ] {
            let got = call(signalling, rtp, offer).map(|(local, n, config)| {
                let identity = Arc::new(Identity::generate().unwrap());
                let with = Shared { rtp: &config.rtp, identity: Some(&identity) };
                let leg = leg_config(&n, &local, &with, 1).unwrap();
                let security = match (leg.security, leg_change(&n, &local, &with).unwrap().security) {
                    (Security::Plain, Security::Plain) => "none",
                    (Security::Sdes { send, receive }, Security::Sdes { send: again, .. }) => {
                        assert!(send == again && send != receive, "one key each way, and it stays");
                        "sdes"
                    }
                    (Security::Dtls { role: Role::Passive, .. }, Security::Dtls { .. }) => "dtls",
                    _ => "something else",
                };
                format!("{:?} {security}", leg.codec)
            });
            assert_eq!(format!("{got:?}").replace('"', ""), expected, "{signalling} {rtp} {offer}");
        }
    }

    #[test]
    fn every_suite_has_its_keys() {
        for suite in sdp::Suite::ALL {
            let (key, salt) = suite.key_and_salt();
            let twin = Suite::from_name(suite.name()).unwrap();
            assert_eq!((twin.key_len(), twin.salt_len()), (key, salt));
        }
    }

    #[test]
    fn ice_begun_anew_gets_new_credentials() {
        let ice = |ufrag: &str| format!("RTP/AVP 0\na=rtcp-mux\na=ice-ufrag:{ufrag}\na=ice-pwd:asd88fgpdd777uzjYhagZg");
        let (mut local, n, _) = call("udp", "", &ice("aaaa")).unwrap();
        local.settle(&n);
        let first = ice_config(&n, &local).unwrap();
        for (ufrag, is_same) in [("aaaa", true), ("bbbb", false)] {
            let offer = sdp::parse(&format!("v=0\nc=IN IP4 192.0.2.10\nm=audio 5000 {}\n", ice(ufrag))).unwrap();
            let n = answer(&offer, &mut local).unwrap();
            let ours = ice_config(&n, &local).unwrap();
            assert_eq!(ours == first, is_same, "{ufrag}");
            assert!(n.body.contains(&ours.local_pwd));
        }
        assert!(call("udp", "ice = false", &ice("aaaa")).unwrap().1.ice.is_none());
    }
}

//! Each timer of the four machines, at its instant and not before. Time is only numbers.

use super::client::ClientStep;
use super::*;
use crate::peer::Transport;
use std::time::Instant;

/// The only look at the real clock: something to count from.
#[allow(clippy::disallowed_methods)]
fn base() -> Instant {
    Instant::now()
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Lets time pass and writes down at which millisecond it does what.
fn run(t0: Instant, until_ms: u64, mut act: impl FnMut(Instant) -> &'static str) -> String {
    let mut log = Vec::new();
    for at in (0..=until_ms).step_by(100) {
        let what = act(t0 + ms(at));
        if !what.is_empty() {
            log.push(format!("{at} {what}"));
        }
    }
    log.join(", ")
}

const fn client_step(step: ClientStep) -> &'static str {
    match step {
        ClientStep { resend: true, .. } => "resend",
        ClientStep { timeout: true, .. } => "timeout",
        ClientStep { ack: true, up: true, .. } => "ack+up",
        ClientStep { ack: true, .. } => "ack",
        ClientStep { up: true, .. } => "up",
        _ => "",
    }
}

#[test]
fn timers_a_and_b() {
    let t0 = base();
    let mut machine = InviteClient::new(t0, Transport::Udp, T1_64);
    let log = run(t0, 40_000, |now| client_step(machine.on_timeout(now)));
    assert_eq!(log, "500 resend, 1500 resend, 3500 resend, 7500 resend, 15500 resend, 31500 resend, 32000 timeout");
    assert!(machine.is_terminated());
}

#[test]
fn timers_e_and_f() {
    let t0 = base();
    let mut machine = RequestClient::new(t0, Transport::Udp, T1_64);
    let log = run(t0, 40_000, |now| client_step(machine.on_timeout(now)));
    assert_eq!(
        log,
        "500 resend, 1500 resend, 3500 resend, 7500 resend, 11500 resend, 15500 resend, 19500 resend, \
         23500 resend, 27500 resend, 31500 resend, 32000 timeout"
    );
    // In Proceeding E runs at T2 and F goes on (17.1.2.2).
    let mut machine = RequestClient::new(t0, Transport::Udp, T1_64);
    assert_eq!(client_step(machine.on_response(t0 + ms(100), 100)), "up");
    let log = run(t0, 40_000, |now| client_step(machine.on_timeout(now)));
    assert_eq!(
        log,
        "4100 resend, 8100 resend, 12100 resend, 16100 resend, 20100 resend, 24100 resend, 28100 resend, 32000 timeout"
    );
}

#[test]
fn timer_k() {
    let t0 = base();
    let mut machine = RequestClient::new(t0, Transport::Udp, T1_64);
    assert_eq!(client_step(machine.on_response(t0, 200)), "up");
    assert_eq!(client_step(machine.on_response(t0, 200)), "");
    assert_eq!(machine.deadline(), Some(t0 + T4));
    machine.on_timeout(t0 + ms(4999));
    assert!(!machine.is_terminated());
    machine.on_timeout(t0 + T4);
    assert!(machine.is_terminated());
}

#[test]
fn timer_d_and_timer_m() {
    let t0 = base();
    let mut machine = InviteClient::new(t0, Transport::Udp, T1_64);
    assert_eq!(client_step(machine.on_response(t0, 180)), "up");
    // Timers A and B are silent in Proceeding.
    assert_eq!(machine.deadline(), None);
    assert_eq!(client_step(machine.on_response(t0, 486)), "ack+up");
    assert_eq!(client_step(machine.on_response(t0, 486)), "ack");
    assert_eq!(client_step(machine.on_response(t0, 200)), "");
    machine.on_timeout(t0 + ms(31_999));
    assert!(!machine.is_terminated());
    machine.on_timeout(t0 + TIMER_D);
    assert!(machine.is_terminated());
    let mut machine = InviteClient::new(t0, Transport::Udp, T1_64);
    assert_eq!(client_step(machine.on_response(t0, 200)), "up");
    assert_eq!(client_step(machine.on_response(t0, 200)), "up");
    assert_eq!(client_step(machine.on_response(t0, 486)), "");
    assert_eq!(client_step(machine.on_response(t0, 180)), "");
    assert_eq!(machine.deadline(), Some(t0 + T1_64));
    machine.on_timeout(t0 + T1_64);
    assert!(machine.is_terminated());
}

#[test]
fn timers_g_and_h_and_i() {
    let t0 = base();
    let mut machine = InviteServer::new(b"100".to_vec(), Transport::Udp);
    assert_eq!(machine.on_retransmit(), Some(&b"100"[..]));
    assert!(machine.on_response(t0, 486, b"486"));
    assert!(!machine.on_response(t0, 200, b"200"));
    let log = run(t0, 40_000, |now| if machine.on_timeout(now).is_some() { "486" } else { "" });
    assert_eq!(
        log,
        "500 486, 1500 486, 3500 486, 7500 486, 11500 486, 15500 486, 19500 486, 23500 486, 27500 486, 31500 486"
    );
    assert!(machine.is_terminated());
    let mut machine = InviteServer::new(Vec::new(), Transport::Udp);
    machine.on_response(t0, 486, b"486");
    machine.on_ack(t0 + ms(100));
    assert_eq!(machine.on_retransmit(), None);
    assert_eq!(machine.deadline(), Some(t0 + ms(5100)));
    machine.on_timeout(t0 + ms(5100));
    assert!(machine.is_terminated());
}

#[test]
fn timer_l_and_timer_j() {
    let t0 = base();
    let mut machine = InviteServer::new(Vec::new(), Transport::Udp);
    assert!(machine.on_response(t0, 200, b"200"));
    // RFC 6026: INVITEs are absorbed, ACKs change nothing.
    assert_eq!(machine.on_retransmit(), None);
    machine.on_ack(t0);
    assert_eq!(machine.deadline(), Some(t0 + T1_64));
    assert!(machine.on_timeout(t0 + T1_64).is_none());
    assert!(machine.is_terminated());
    let mut machine = RequestServer::new(t0, b"200".to_vec(), Transport::Udp);
    assert_eq!(machine.on_retransmit(), Some(&b"200"[..]));
    machine.on_timeout(t0 + ms(31_999));
    assert!(!machine.is_terminated());
    machine.on_timeout(t0 + T1_64);
    assert!(machine.is_terminated());
    // While its user thinks, copies are absorbed and no timer runs; it answers once.
    let mut machine = RequestServer::waiting(Transport::Udp);
    assert_eq!((machine.on_retransmit(), machine.deadline()), (None, None));
    assert!(machine.on_response(t0, b"200") && !machine.on_response(t0, b"488"));
    assert_eq!((machine.on_retransmit(), machine.deadline()), (Some(&b"200"[..]), Some(t0 + T1_64)));
}

/// A driver that comes late sends once, not once for every time it missed.
#[test]
fn a_late_clock_sends_once() {
    let t0 = base();
    let mut machine = InviteClient::new(t0, Transport::Udp, T1_64);
    assert!(machine.on_timeout(t0 + ms(10_000)).resend);
    assert!(!machine.on_timeout(t0 + ms(10_000)).resend);
    assert_eq!(machine.deadline(), Some(t0 + ms(11_000)));
}

/// RFC 3263 4.3: a short patience holds only until somebody is heard; an abandoned INVITE never outlives its timer.
#[test]
fn patience_and_abandonment() {
    let t0 = base();
    let mut machine = RequestClient::new(t0, Transport::Tcp, ms(6000));
    assert_eq!(machine.deadline(), Some(t0 + ms(6000)));
    assert_eq!(client_step(machine.on_response(t0 + ms(100), 100)), "up");
    assert_eq!(machine.deadline(), Some(t0 + T1_64));
    let mut machine = InviteClient::new(t0, Transport::Tcp, ms(6000));
    assert_eq!(client_step(machine.on_timeout(t0 + ms(6000))), "timeout");
    let mut machine = InviteClient::abandoned(t0, Transport::Udp);
    assert!(machine.is_unheard());
    assert_eq!(run(t0, 31_900, |now| client_step(machine.on_timeout(now))), "");
    assert_eq!(client_step(machine.on_response(t0 + ms(100), 180)), "up");
    assert_eq!(machine.deadline(), Some(t0 + T1_64));
    assert_eq!(client_step(machine.on_timeout(t0 + T1_64)), "timeout");
    assert!(machine.is_terminated());
}

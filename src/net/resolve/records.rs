//! The records that RFC 3263 reads and their order. It asks nobody, and is handed its randomness.

use std::fmt;

use sip::Transport;

/// A NAPTR record (RFC 3403 4.1); names in lower case, without the last dot.
#[derive(Clone, PartialEq, Eq)]
pub struct Naptr {
    pub order: u16,
    pub preference: u16,
    pub flags: String,
    pub service: String,
    pub regexp: String,
    pub replacement: String,
}

impl Naptr {
    /// The transport whose SRV records it points to (RFC 3263 4.1, RFC 7118).
    pub fn transport(&self) -> Option<Transport> {
        if !self.flags.eq_ignore_ascii_case("s") || !self.regexp.is_empty() || self.replacement.is_empty() {
            return None;
        }
        match self.service.to_ascii_uppercase().as_str() {
            "SIP+D2U" => Some(Transport::Udp),
            "SIP+D2T" => Some(Transport::Tcp),
            "SIPS+D2T" => Some(Transport::Tls),
            "SIP+D2W" => Some(Transport::Ws),
            "SIPS+D2W" => Some(Transport::Wss),
            _ => None,
        }
    }
}

/// An SRV record (RFC 2782); the target in lower case, without the last dot: empty means "no such service".
#[derive(Clone, PartialEq, Eq)]
pub struct Srv {
    pub priority: u16,
    pub weight: u16,
    pub port: u16,
    pub target: String,
}

/// Under which name a transport's SRV records stand (RFC 3263 4.1, RFC 7118).
pub fn service(transport: Transport, host: &str) -> String {
    let prefix = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
        Transport::Ws => "_sip._ws",
        Transport::Wss => "_sips._ws",
    };
    format!("{prefix}.{host}")
}

/// RFC 2782: the lowest priority first; within one, drawn by weight without putting back.
/// `draw(n)` gives 0 to n, both included, each as likely as the others.
pub fn ordered(mut records: Vec<Srv>, draw: &mut dyn FnMut(u32) -> u32) -> Vec<Srv> {
    // Weight 0 stands first, so that it is drawn rarely and yet not never.
    records.sort_by_key(|r| (r.priority, r.weight != 0));
    let mut sorted = Vec::with_capacity(records.len());
    while let Some(priority) = records.first().map(|r| r.priority) {
        let same = records.iter().take_while(|r| r.priority == priority);
        let drawn = draw(same.clone().map(|r| u32::from(r.weight)).sum());
        let mut sum = 0;
        let chosen = same.clone().position(|r| {
            sum += u32::from(r.weight);
            sum >= drawn
        });
        sorted.push(records.remove(chosen.unwrap_or_default()));
    }
    sorted
}

impl fmt::Debug for Naptr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Naptr").field("order", &self.order).finish_non_exhaustive()
    }
}

impl fmt::Debug for Srv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Srv").field("priority", &self.priority).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn srv(priority: u16, weight: u16, target: &str) -> Srv {
        Srv { priority, weight, port: 5060, target: target.into() }
    }

    /// The targets in the order that these draws give; what is drawn from is checked too.
    fn check(records: &[(u16, u16, &str)], draws: &[(u32, u32)], order: &str) {
        let mut draws = draws.iter();
        let mut draw = |most: u32| {
            let &(want, drawn) = draws.next().expect("one draw more than expected");
            assert_eq!(most, want);
            drawn
        };
        let records = records.iter().map(|&(p, w, t)| srv(p, w, t)).collect();
        let got: Vec<String> = ordered(records, &mut draw).into_iter().map(|r| r.target).collect();
        assert_eq!(got.join(" "), order);
    }

    #[test]
    fn priority_first_then_by_weight() {
        check(&[(20, 0, "late"), (10, 0, "soon")], &[(0, 0), (0, 0)], "soon late");
        let equal = [(1, 60, "a"), (1, 30, "b"), (1, 10, "c")];
        check(&equal, &[(100, 0), (40, 0), (10, 0)], "a b c");
        check(&equal, &[(100, 61), (70, 70), (60, 5)], "b c a");
        check(&equal, &[(100, 100), (90, 61), (60, 60)], "c b a");
        // Weight 0 beside others: only the draw of 0 takes it first.
        check(&[(1, 5, "a"), (1, 0, "z")], &[(5, 1), (0, 0)], "a z");
        check(&[(1, 5, "a"), (1, 0, "z")], &[(5, 0), (5, 3)], "z a");
        check(&[], &[], "");
    }

    #[test]
    fn weights_are_shares() {
        let mut state = 1u64;
        let mut draw = |most: u32| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % (u64::from(most) + 1)) as u32
        };
        let mut first = 0;
        for _ in 0..10_000 {
            let order = ordered(vec![srv(1, 75, "big"), srv(1, 25, "small")], &mut draw);
            first += u32::from(order[0].target == "big");
        }
        assert!((7300..7800).contains(&first), "{first} of 10000 went to the one with 75%");
    }

    #[test]
    fn services() {
        let transport = |flags: &str, service: &str, regexp: &str, replacement: &str| {
            let (flags, service) = (flags.into(), service.into());
            let (regexp, replacement) = (regexp.into(), replacement.into());
            Naptr { order: 1, preference: 1, flags, service, regexp, replacement }.transport()
        };
        assert_eq!(transport("S", "sips+d2t", "", "x"), Some(Transport::Tls));
        assert_eq!(transport("s", "SIP+D2W", "", "x"), Some(Transport::Ws));
        assert_eq!(transport("s", "SIP+D2S", "", "x"), None);
        assert_eq!(transport("u", "SIP+D2U", "", "x"), None);
        assert_eq!(transport("s", "SIP+D2U", "!.*!x!", "x"), None);
        assert_eq!(transport("s", "SIP+D2U", "", ""), None);
        assert_eq!(service(Transport::Wss, "example.com"), "_sips._ws.example.com");
    }
}

//! Which agent gets an inbound call: the routes in order, then the agents' numbers. It knows no message and
//! keeps nothing of a call.

use std::fmt;

use crate::config::{Config, Pattern, Route};

/// What a call says about itself. All of it is private.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The `[[trunk]]` or `[[register]]` that it came through.
    pub trunk: Option<&'a str>,
    /// The user part of the Request-URI, unescaped.
    pub called: &'a str,
    /// The user part of the caller, unescaped; empty where there is none.
    pub caller: &'a str,
    /// Names in any case, long, and values, one per header line.
    pub headers: &'a [(String, String)],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The nth `[[agent]]` of the configuration.
    Agent(usize),
    /// Refuse it with this status.
    Reject(u16),
    /// No rule takes it: 404.
    Nobody,
}

/// The rules of a configuration, in their order.
pub struct Routes {
    rules: Vec<(Rule, Decision)>,
    agents: Vec<String>,
}

enum Rule {
    Route(Route),
    /// The numbers of an agent; empty: every one.
    Numbers(Vec<String>),
}

/// The first thing that keeps a rule from matching.
enum Why<'a> {
    Trunk,
    Called,
    Caller,
    Header(&'a str),
}

impl Routes {
    pub fn new(config: &Config) -> Self {
        let agents: Vec<String> = config.agents.iter().map(|a| a.name()).collect();
        let decision = |route: &Route| match (&route.agent, route.reject) {
            (Some(agent), _) => agents.iter().position(|a| a == agent).map_or(Decision::Nobody, Decision::Agent),
            (None, Some(status)) => Decision::Reject(status),
            // The configuration refuses such a route.
            (None, None) => Decision::Nobody,
        };
        let routes = config.routes.iter().map(|route| (Rule::Route(route.clone()), decision(route)));
        let numbers = config.agents.iter().map(|a| Rule::Numbers(a.numbers.clone())).enumerate();
        let rules = routes.chain(numbers.map(|(n, rule)| (rule, Decision::Agent(n)))).collect();
        Self { rules, agents }
    }

    /// The first rule that matches decides.
    pub fn decide(&self, asked: &Asked<'_>) -> Decision {
        let matching = self.rules.iter().find(|(rule, _)| rule.why_not(asked).is_none());
        matching.map_or(Decision::Nobody, |(_, decision)| *decision)
    }

    /// A line per rule that says what it wants and why it matched or did not, and one for the outcome.
    /// For the person who writes the configuration; the lines hold numbers, so no log.
    pub fn explain(&self, asked: &Asked<'_>) -> Vec<String> {
        let mut decided = None;
        let mut lines = Vec::new();
        let mut routes = 0;
        for (rule, decision) in &self.rules {
            let name = match (rule, decision) {
                (Rule::Route(_), _) => {
                    routes += 1;
                    format!("route {routes} -> {}", self.outcome(*decision))
                }
                (Rule::Numbers(_), _) => self.outcome(*decision),
            };
            let verdict = match rule.why_not(asked) {
                _ if decided.is_some() => "not asked".to_owned(),
                Some(why) => format!("no, {}", why.text(asked)),
                None => {
                    decided = Some(*decision);
                    "yes".to_owned()
                }
            };
            lines.push(format!("{name} ({rule}): {verdict}"));
        }
        lines.push(format!("=> {}", self.outcome(decided.unwrap_or(Decision::Nobody))));
        lines
    }

    fn outcome(&self, decision: Decision) -> String {
        match decision {
            Decision::Agent(n) => format!("agent {}", self.agents.get(n).map_or("?", String::as_str)),
            Decision::Reject(status) => format!("reject {status}"),
            Decision::Nobody => "nobody (404)".to_owned(),
        }
    }
}

impl Rule {
    fn why_not(&self, asked: &Asked<'_>) -> Option<Why<'_>> {
        let one_of = |patterns: &[Pattern], text| patterns.is_empty() || patterns.iter().any(|p| p.matches(text));
        let route = match self {
            Self::Numbers(numbers) => {
                let answers = numbers.is_empty() || numbers.iter().any(|n| n == asked.called);
                return (!answers).then_some(Why::Called);
            }
            Self::Route(route) => route,
        };
        if !route.trunk.is_empty() && !asked.trunk.is_some_and(|t| route.trunk.iter().any(|r| r == t)) {
            return Some(Why::Trunk);
        }
        if !one_of(&route.called, asked.called) {
            return Some(Why::Called);
        }
        if !one_of(&route.caller, asked.caller) {
            return Some(Why::Caller);
        }
        let has = |(name, value): &(&String, &Pattern)| {
            asked.headers.iter().any(|(n, v)| n.eq_ignore_ascii_case(name) && value.matches(v.trim()))
        };
        route.header.iter().find(|header| !has(header)).map(|(name, _)| Why::Header(name))
    }
}

/// What a rule wants.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let route = match self {
            Self::Numbers(numbers) if numbers.is_empty() => return f.write_str("any number"),
            Self::Numbers(numbers) => return write!(f, "numbers {}", numbers.join(", ")),
            Self::Route(route) => route,
        };
        let list = |patterns: &[Pattern]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let parts = [
            ("trunk", route.trunk.join(", ")),
            ("called", list(&route.called)),
            ("caller", list(&route.caller)),
            ("header", route.header.iter().map(|(n, v)| format!("{n}: {v}")).collect::<Vec<_>>().join(", ")),
        ];
        let parts: Vec<String> = parts.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| format!("{k} {v}")).collect();
        f.write_str(if parts.is_empty() { "every call" } else { "" })?;
        f.write_str(&parts.join("; "))
    }
}

impl Why<'_> {
    fn text(&self, asked: &Asked<'_>) -> String {
        match self {
            Self::Trunk => asked.trunk.map_or("it came through no trunk".into(), |t| format!("it came through {t}")),
            Self::Called => format!("called was {:?}", asked.called),
            Self::Caller => format!("the caller is {:?}", asked.caller),
            Self::Header(name) => {
                let values = asked.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
                let values: Vec<String> = values.map(|(_, v)| format!("{:?}", v.trim())).collect();
                if values.is_empty() {
                    format!("there is no {name}")
                } else {
                    format!("{name} is {}", values.join(", "))
                }
            }
        }
    }
}

impl fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("trunk", &self.trunk).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const CONFIG: &str = r#"
        [[trunk]]
        name = "carrier"
        addresses = "192.0.2.0/24"
        [[register]]
        name = "pbx"
        registrar = "sip:pbx.test"
        user = "101"
        password_env = "P"

        [[route]]
        caller = ["+7900*", "anonymous"]
        reject = 603
        [[route]]
        trunk = "carrier"
        called = ["+7701*", "+7702*"]
        agent = "ru"
        [[route]]
        trunk = ["carrier", "pbx"]
        header = { X-Queue = "sales*", X-Tier = "gold" }
        agent = "sales"

        [[agent]]
        file = "agents/ru.toml"
        numbers = ["ru", "+7"]
        [[agent]]
        file = "agents/sales.toml"
        numbers = ["sales"]
    "#;

    fn routes(more: &str) -> Routes {
        let config = Config::parse(Path::new("x.toml"), &format!("{CONFIG}{more}"), std::iter::empty());
        Routes::new(&config.unwrap_or_else(|e| panic!("{e}")))
    }

    fn header(text: &str) -> (String, String) {
        let (name, value) = text.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    }

    /// `TRUNK CALLER CALLED [NAME=VALUE ...] -> outcome`; `-` is none. `decide` and `explain` must agree.
    fn check(routes: &Routes, script: &str) {
        for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let (call, expected) = line.split_once(" -> ").unwrap();
            let mut words = call.split_whitespace().map(|w| if w == "-" { "" } else { w });
            let (trunk, caller, called) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            let headers: Vec<_> = words.map(header).collect();
            let trunk = Some(trunk).filter(|t| !t.is_empty());
            let asked = Asked { trunk, called, caller, headers: &headers };
            assert_eq!(routes.outcome(routes.decide(&asked)), expected, "{line}");
            assert_eq!(routes.explain(&asked).last().unwrap(), &format!("=> {expected}"), "{line}");
        }
    }

    #[test]
    fn the_first_match_wins() {
        check(
            &routes(""),
            "carrier +7900123 +7701555 -> reject 603
             - anonymous ru -> reject 603
             carrier alice +7701555 -> agent ru
             carrier - +7702 -> agent ru
             carrier alice +7703 -> nobody (404)
             pbx alice +7701555 -> nobody (404)
             - alice +7701555 -> nobody (404)
             pbx alice 5 x-queue=sales-east X-TIER=gold -> agent sales
             pbx alice 5 X-Queue=sales X-Tier=silver -> nobody (404)
             pbx alice 5 X-Queue=support X-Queue=sales X-Tier=gold -> agent sales
             pbx alice 5 X-Queue=sales -> nobody (404)
             - alice sales X-Queue=sales X-Tier=gold -> agent sales
             - alice +7 -> agent ru
             - alice ru -> agent ru
             - alice rux -> nobody (404)",
        );
        let more = "[[agent]]\nfile = \"agents/any.toml\"\n";
        check(&routes(more), "- alice rux -> agent any\n carrier - +7701 -> agent ru");
        check(&routes("[[route]]\nagent = \"sales\"\n"), "- alice ru -> agent sales");
    }

    #[test]
    fn every_rule_is_explained() {
        let headers = [header("X-Queue=support")];
        let asked = Asked { trunk: Some("pbx"), called: "ru", caller: "bob", headers: &headers };
        let lines = routes("").explain(&asked);
        let expected = [
            "route 1 -> reject 603 (caller +7900*, anonymous): no, the caller is \"bob\"",
            "route 2 -> agent ru (trunk carrier; called +7701*, +7702*): no, it came through pbx",
            "route 3 -> agent sales (trunk carrier, pbx; header X-Queue: sales*, X-Tier: gold): no, X-Queue is \"support\"",
            "agent ru (numbers ru, +7): yes",
            "agent sales (numbers sales): not asked",
            "=> agent ru",
        ];
        assert_eq!(lines, expected);
        let asked = Asked { trunk: None, headers: &[], ..asked };
        assert!(routes("").explain(&asked)[1].ends_with("no, it came through no trunk"));
        assert_eq!(format!("{asked:?}"), "Asked { trunk: None, .. }");
    }
}

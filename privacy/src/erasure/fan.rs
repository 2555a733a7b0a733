//! One connected system in an erasure: told, told again, and asked for a receipt. It sends nothing itself.

use serde::{Deserialize, Serialize};

use crate::Time;
use crate::erasure::{Alarm, Rules};
use crate::keys::text::hex;
use crate::roles::{Action, Actor, NotAllowed, Person};

/// How a receipt came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptBy {
    /// As the answer to the order.
    Machine,
    /// On paper or otherwise, taken by an officer.
    Hand(Person),
}

/// That a connected system has erased. The document itself is kept elsewhere; this is its SHA-256, in hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub hash: String,
    pub at: Time,
    pub by: ReceiptBy,
}

impl Receipt {
    pub fn machine(hash: [u8; 32], at: Time) -> Self {
        Self { hash: hex(&hash), at, by: ReceiptBy::Machine }
    }

    /// Of a system that cannot answer by itself, or will not.
    ///
    /// # Errors
    /// Where this role may not.
    pub fn by_hand(hash: [u8; 32], at: Time, who: &Actor) -> Result<Self, NotAllowed> {
        who.check(Action::ReceiptByHand)?;
        Ok(Self { hash: hex(&hash), at, by: ReceiptBy::Hand(who.person().clone()) })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FanState {
    /// Not told yet.
    Pending,
    /// Told, and it took the order.
    Sent {
        at: Time,
    },
    Receipt(Receipt),
    Refused {
        code: u16,
        since: Time,
    },
}

/// One system that received data of the subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fan {
    destination: String,
    state: FanState,
    /// Orders that it took.
    orders: u32,
    /// In a row that it did not take, or refused.
    failures: u32,
    /// None: now.
    not_before: Option<Time>,
}

impl Fan {
    pub(super) fn new(destination: String) -> Self {
        Self { destination, state: FanState::Pending, orders: 0, failures: 0, not_before: None }
    }

    pub fn destination(&self) -> &str {
        &self.destination
    }

    pub fn state(&self) -> &FanState {
        &self.state
    }

    pub fn receipt(&self) -> Option<&Receipt> {
        match &self.state {
            FanState::Receipt(receipt) => Some(receipt),
            _ => None,
        }
    }

    /// When it is to be told (again). None: it has answered.
    pub(super) fn due(&self) -> Option<Time> {
        match self.state {
            FanState::Receipt(_) => None,
            _ => Some(self.not_before.unwrap_or(Time(i64::MIN))),
        }
    }

    pub(super) fn sent(&mut self, now: Time, rules: &Rules) {
        if self.receipt().is_none() {
            self.orders = self.orders.saturating_add(1);
            self.failures = 0;
            self.state = FanState::Sent { at: now };
            self.not_before = Some(now.plus_ms(i64::from(rules.receipt_s_max) * 1000));
        }
    }

    /// The first one counts.
    pub(super) fn answered(&mut self, receipt: Receipt) {
        if self.receipt().is_none() {
            self.state = FanState::Receipt(receipt);
        }
    }

    pub(super) fn refused(&mut self, code: u16, now: Time, rules: &Rules) {
        let since = match self.state {
            FanState::Receipt(_) => return,
            FanState::Refused { since, .. } => since,
            _ => now,
        };
        self.state = FanState::Refused { code, since };
        self.failed(now, rules);
    }

    pub(super) fn failed(&mut self, now: Time, rules: &Rules) {
        if self.receipt().is_none() {
            self.failures = self.failures.saturating_add(1);
            self.not_before = Some(now.plus_ms(rules.backoff_ms(self.failures)));
        }
    }

    pub(super) fn alarm(&self, failures_most: u32) -> Option<Alarm> {
        let destination = self.destination.clone();
        match self.state {
            FanState::Receipt(_) => None,
            FanState::Refused { code, since } => Some(Alarm::Refused { destination, code, since }),
            _ if self.failures >= failures_most => Some(Alarm::Unreachable { destination, attempts: self.failures }),
            _ if self.orders > 1 => Some(Alarm::NoReceipt { destination, orders: self.orders }),
            _ => None,
        }
    }
}

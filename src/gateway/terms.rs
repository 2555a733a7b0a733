//! What the policy makes of the gateway: its store, its way out, its privacy desk, and the gate that each call begins
//! with. It reads no message and decides no consent.

use std::collections::BTreeMap;
use std::sync::Arc;

use privacy::consent::{Channel, ConsentGate, PreGrant, PreGrantRefused};
use privacy::egress::Broker;
use privacy::register::Clocks;
use privacy::{SubjectId, Time};
use sip::Private;
use tracing::{info, warn};

use super::{Admission, Gateway, StartError};
use crate::call::Call;
use crate::call::consent::Terms;
use crate::clock;
use crate::config::{Config, Password};
use crate::desk::Desk;
use crate::egress::Egress;
use crate::http::{Doors, Office};
use crate::policy::TenantPolicy;
use crate::random;
use crate::vault::{For, Settings, Vault};

/// The store under the policy's terms, and which statements were used before.
pub(super) async fn open_store(config: &Config, policy: Option<&TenantPolicy>) -> Result<Vault, StartError> {
    let settings = Settings::new(&config.store, &config.keys, policy.map(|policy| &*policy.policy))?;
    let vault = Vault::open(settings, For::Serving).await?;
    if let Some(policy) = policy {
        policy.remember_used(vault.used().await?);
    }
    Ok(vault)
}

/// The way out of a process that is no gateway.
///
/// # Errors
/// Where the policy cannot be read, or a secret is not there.
pub fn way_out(config: &Config, vault: &Vault) -> Result<Egress, StartError> {
    open_egress(config, TenantPolicy::load(config)?.as_ref(), vault)
}

/// The one way out: to the policy's destinations, and without a policy to none.
pub(super) fn open_egress(config: &Config, policy: Option<&TenantPolicy>, vault: &Vault) -> Result<Egress, StartError> {
    let broker = match policy {
        Some(policy) => policy.broker.clone(),
        None => Broker::new(vault.tenant().clone(), None, [])?,
    };
    let mut secrets = BTreeMap::new();
    for (name, variable) in &config.egress.secrets {
        if !broker.destinations().any(|destination| destination.name == *name) {
            return Err(StartError::NoDestination(name.clone()));
        }
        secrets.insert(name.clone(), Password::Env(variable.clone()).read()?);
    }
    Ok(Egress::open(broker, secrets, Arc::new(vault.clone()))?)
}

/// The privacy desk, and who may come to it.
pub(super) fn open_office(
    config: &Config,
    policy: Option<&TenantPolicy>,
    (vault, egress): (&Vault, &Egress),
    api_token: Option<&Private<String>>,
) -> Result<Office, StartError> {
    let clocks = policy.map(|policy| Clocks::read(&policy.policy.claims)).transpose()?.unwrap_or_default();
    let doors = Doors::read(config, api_token)?;
    Ok(Office { desk: Desk::new(vault.clone(), egress.clone(), clocks), doors })
}

impl Gateway {
    /// Whose call it is, by a number or an address; whoever has none is somebody new.
    pub fn subject_of(&self, who: &str) -> SubjectId {
        self.store.subject_of(who)
    }

    /// Somebody of whom nothing is known.
    pub fn nobody(&self) -> SubjectId {
        SubjectId(random::bits().to_be_bytes())
    }

    /// A consent that was given to the tenant before the call.
    ///
    /// # Errors
    /// Says why the statement grants nothing. `None` in it: there is no policy, which it could be a consent to.
    pub fn statement(&self, statement: &str) -> Result<PreGrant, Option<PreGrantRefused>> {
        let policy = self.policy.as_ref().ok_or(None)?;
        let subject_of = |who: &str| Some(self.store.subject_of(who));
        policy.statement(statement, Time(clock::unix_ms()), subject_of).map_err(Some)
    }

    /// A call that tells, asks and keeps what the policy says; one that is only turned away does none of it.
    pub fn begin(
        &self,
        admission: &Admission,
        call: Call,
        (subject, channel): (SubjectId, Channel),
        granted_before: Option<&PreGrant>,
    ) -> Call {
        let told = admission.agent.script.as_ref().and_then(|script| Some((script, script.told(channel)?)));
        let (Some(policy), Some((script, told))) = (&self.policy, told) else { return call };
        if admission.turned_away {
            return call;
        }
        let at = Time(clock::unix_ms());
        let mut gate = ConsentGate::new(admission.id, subject, told);
        if let Some(statement) = granted_before {
            match policy.with_used(|used| gate.pre_grant(at, statement, used)) {
                // The store keeps with the event that the statement was used.
                Ok(scopes) => info!(call = %admission.id, scopes = scopes.len(), "consent was given before the call"),
                Err(refused) => warn!(call = %admission.id, %refused, "a statement grants nothing"),
            }
        }
        call.under(Terms {
            script: Arc::clone(script),
            gate,
            redactor: Arc::clone(&policy.redactor),
            at,
            hearer: policy.hearer.clone(),
        })
    }
}

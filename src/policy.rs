//! The tenant's policy as the gateway has it: read once at the start, with what follows from it for masking, for what may
//! leave, and for consents given beforehand. It keeps nothing of any caller but which statements were used.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use privacy::consent::{NotAKey, PreGrant, PreGrantRefused, StatementKey, Used};
use privacy::egress::{
    BadDestination, Broker, Destination, DestinationKind, Endpoint, Place, Purpose, Sort, check_start,
};
use privacy::policy::{KeyName, Policy};
use privacy::redact::{Redactor, Rules};
use privacy::{Scope, SubjectId, Time};

use crate::call::consent::{Hearer, Script};
use crate::config::{Config, Password, PasswordError, Statement};
use crate::hex::unhex;

#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("cannot read the policy {path}: {source}. `file` of [policy] names it")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path}: {source}")]
    Policy { path: PathBuf, source: privacy::policy::PolicyError },
    #[error("{path}: [redaction]: {detail}")]
    Redaction { path: PathBuf, detail: String },
    #[error("{path}: {source}")]
    Destination { path: PathBuf, source: BadDestination },
    #[error("{path}: {problems}")]
    Start { path: PathBuf, problems: String },
    #[error("{path}: no [texts.{language}] for the agent {agent}: write them, or give the agent another language")]
    Language { path: PathBuf, language: String, agent: String },
    #[error("[[policy.statement]] {name}: {detail}")]
    Key { name: String, detail: String },
    #[error(transparent)]
    Secret(#[from] PasswordError),
    #[error(
        "[llm] url is not this machine, and no policy says who may hear callers: name one as [policy] file, with a \
         [[destination]] of this address"
    )]
    NoPolicy,
}

/// One tenant's. Shared by all calls.
pub struct TenantPolicy {
    path: PathBuf,
    pub policy: Arc<Policy>,
    pub redactor: Arc<Redactor>,
    pub broker: Broker,
    /// The language model, where there is one.
    pub hearer: Option<Hearer>,
    keys: Vec<StatementKey>,
    used: Mutex<Used>,
}

impl TenantPolicy {
    /// `None`: none is configured; then nothing is asked, and nothing that is said is kept.
    ///
    /// # Errors
    /// Says what to change, and where.
    pub fn load(config: &Config) -> Result<Option<Self>, PolicyError> {
        let Some(configured) = &config.policy else {
            let remote = config.llm.as_ref().is_some_and(|llm| llm.remote);
            return if remote { Err(PolicyError::NoPolicy) } else { Ok(None) };
        };
        let path = configured.file.clone();
        let text =
            std::fs::read_to_string(&path).map_err(|source| PolicyError::Unreadable { path: path.clone(), source })?;
        let keys = configured.statements.iter().map(statement_key).collect::<Result<_, _>>()?;
        let llm = config.llm.as_ref().map(|llm| llm.url.as_str());
        let store = Place { what: "[store]".into(), country: config.store.country, abroad: config.store.abroad };
        Self::read(&path, &text, (&[store], llm), keys).map(Some)
    }

    fn read(
        path: &Path,
        text: &str,
        (places, llm): (&[Place], Option<&str>),
        keys: Vec<StatementKey>,
    ) -> Result<Self, PolicyError> {
        let policy = Policy::parse(text).map_err(|source| PolicyError::Policy { path: path.into(), source })?;
        let rules: Result<Rules, _> = toml::Value::Table(policy.redaction.clone()).try_into();
        let rules = rules
            .map_err(|e: toml::de::Error| PolicyError::Redaction { path: path.into(), detail: e.message().into() })?;
        let bad = |source| PolicyError::Destination { path: path.into(), source };
        let destinations: Vec<Destination> =
            policy.destinations.iter().map(Destination::read).collect::<Result<_, _>>().map_err(bad)?;
        let endpoints: Vec<Endpoint> =
            llm.iter().map(|url| Endpoint { what: "[llm] url".into(), url: (*url).to_owned() }).collect();
        let wrong = check_start(policy.residency, places, &destinations, &endpoints);
        if !wrong.is_empty() {
            let problems = wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            return Err(PolicyError::Start { path: path.into(), problems });
        }
        let hears = |d: &&Destination| d.kind == DestinationKind::Llm && llm.is_some_and(|url| d.serves(url));
        let model = destinations.iter().find(hears).cloned();
        let broker = Broker::new(policy.tenant.clone(), policy.residency, destinations).map_err(bad)?;
        let hearer = model.map(|model| Hearer {
            needs: broker.needs(&model, Sort::Content, Purpose::Answer),
            scope: if model.own { Scope::AiProcess } else { Scope::ThirdParty(model.name.clone()) },
            name: model.name,
        });
        Ok(Self {
            path: path.into(),
            policy: Arc::new(policy),
            redactor: Arc::new(Redactor::new(&rules)),
            broker,
            hearer,
            keys,
            used: Mutex::default(),
        })
    }

    /// Statements that were used before the gateway was started.
    pub fn remember_used(&self, used: Used) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = used;
    }

    /// What callers of this agent are told and asked.
    ///
    /// # Errors
    /// Where the policy has no texts in its language.
    pub fn script(&self, agent: &str, language: &str) -> Result<Arc<Script>, PolicyError> {
        let script = Script::read(&self.policy, language).map(Arc::new);
        script.ok_or_else(|| PolicyError::Language {
            path: self.path.clone(),
            language: language.to_owned(),
            agent: agent.to_owned(),
        })
    }

    /// A consent that was given to the tenant before the call.
    ///
    /// # Errors
    /// Says why the statement grants nothing, and never what it states.
    pub fn statement(
        &self,
        statement: &str,
        now: Time,
        subject_of: impl FnOnce(&str) -> Option<SubjectId>,
    ) -> Result<PreGrant, PreGrantRefused> {
        let granted = PreGrant::verify(statement, &self.keys, &self.policy.tenant, now, subject_of)?;
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.holds(&granted.evidence().statement) { Err(PreGrantRefused::Replayed) } else { Ok(granted) }
    }

    /// Does something with the statements that were used.
    pub fn with_used<T>(&self, work: impl FnOnce(&mut Used) -> T) -> T {
        work(&mut self.used.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn statement_key(configured: &Statement) -> Result<StatementKey, PolicyError> {
    let wrong = |detail: &str| PolicyError::Key { name: configured.name.clone(), detail: detail.to_owned() };
    let name = KeyName::new(&configured.name).map_err(|e| wrong(&e.to_string()))?;
    match (&configured.secret_env, &configured.ed25519) {
        (Some(variable), None) => {
            let secret = Password::Env(variable.clone()).read()?;
            StatementKey::hs256(name, secret.expose().as_bytes()).map_err(|e: NotAKey| wrong(&e.to_string()))
        }
        (None, Some(hex)) => {
            let public: Option<[u8; 32]> = unhex(hex).and_then(|bytes| bytes.try_into().ok());
            let public = public.ok_or_else(|| wrong("`ed25519` takes a public key: 64 hexadecimal digits"))?;
            Ok(StatementKey::ed25519(name, public))
        }
        _ => Err(wrong("takes `secret_env` for HS256 or `ed25519` for EdDSA, one of the two")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = include_str!("../configs/policy/default.toml");

    fn read(more: &str, llm: Option<&str>) -> Result<TenantPolicy, String> {
        let text = format!("{POLICY}\n{more}");
        TenantPolicy::read(Path::new("p.toml"), &text, (&[], llm), vec![]).map_err(|e| e.to_string())
    }

    const MODEL: &str = "[[destination]]\nname = \"model\"\nkind = \"llm\"\nurl = \"https://llm.example/v1\"\n";

    #[test]
    fn a_language_model_hears_what_its_destination_allows() {
        assert!(read("", None).unwrap().hearer.is_none());
        let wrong = |more: &str, llm| read(more, llm).map(|_| ()).unwrap_err();
        assert!(wrong("", Some("https://llm.example/v1")).contains("[[destination]]"));
        let model = format!("{MODEL}country = \"US\"\n");
        let policy = read(&model, Some("https://llm.example/v1")).unwrap();
        let hearer = policy.hearer.unwrap();
        assert_eq!(hearer.needs, [Scope::AiProcess, Scope::ThirdParty("model".into())].into());
        assert_eq!(hearer.scope, Scope::ThirdParty("model".into()));
        // Another country than the one where everything has to stay is asked for apart, and declared.
        let text = POLICY.replace("# residency = \"DE\" ", "residency = \"KZ\" ");
        let at_home = |more: &str| {
            let text = format!("{text}\n{MODEL}country = \"US\"\n{more}");
            TenantPolicy::read(Path::new("p.toml"), &text, (&[], Some("https://llm.example/v1")), vec![])
        };
        assert!(at_home("").map(|_| ()).unwrap_err().to_string().contains("abroad = true"));
        let needs = at_home("abroad = true").unwrap().hearer.unwrap().needs;
        assert!(needs.contains(&"xborder:US".parse().unwrap()), "{needs:?}");
    }

    #[test]
    fn what_is_missing_is_said() {
        let policy = read("", None).unwrap();
        assert!(policy.script("desk", "en").is_ok());
        let said = policy.script("desk", "fr").unwrap_err().to_string();
        assert!(said.contains("[texts.fr]") && said.contains("desk"), "{said}");
        let refused = policy.statement("a.b.c", Time(0), |_| None);
        assert_eq!(refused.unwrap_err(), PreGrantRefused::NoStatement);
    }

    const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";

    fn base64url(bytes: &[u8]) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let letter = |chunk: &[u8], at: usize| {
            let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            char::from(LETTERS[(bits >> (18 - 6 * at) & 63) as usize])
        };
        bytes.chunks(3).flat_map(|chunk| (0..=chunk.len()).map(move |at| letter(chunk, at))).collect()
    }

    fn signed(claims: &str) -> String {
        use hmac::{Hmac, KeyInit, Mac};
        let header = base64url(br#"{"alg":"HS256","kid":"crm"}"#);
        let text = format!("{header}.{}", base64url(claims.as_bytes()));
        let mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET).unwrap().chain_update(&text).finalize();
        format!("{text}.{}", base64url(&mac.into_bytes()))
    }

    #[test]
    fn a_statement_of_the_tenant_grants_what_it_says_once() {
        let key = StatementKey::hs256(KeyName::new("crm").unwrap(), SECRET).unwrap();
        let policy = TenantPolicy::read(Path::new("p.toml"), POLICY, (&[], None), vec![key]).unwrap();
        let claims = r#"{"aud":"bright-smile","sub":"+77011234567","scopes":["transcript"],"basis":"written_consent",
            "date":900,"evidence":"form 7","iat":1000,"exp":2000}"#;
        let (statement, now, subject) = (signed(claims), Time(1_500_000), SubjectId([7; 16]));
        let known = |who: &str| (who == "+77011234567").then_some(subject);
        let granted = policy.statement(&statement, now, known).unwrap();
        let gate = || {
            let told = policy.script("desk", "en").unwrap().told(privacy::consent::Channel::Phone).unwrap();
            privacy::consent::ConsentGate::new(privacy::CallId(1), subject, told)
        };
        let mut first = gate();
        let scopes = policy.with_used(|used| first.pre_grant(now, &granted, used)).unwrap();
        assert_eq!(scopes, [Scope::Transcript].into());
        assert!(first.permit(&Scope::Transcript).is_some());
        let again = policy.with_used(|used| gate().pre_grant(now, &granted, used));
        assert_eq!(again, Err(PreGrantRefused::Replayed));
        assert_eq!(policy.statement(&statement, now, known).unwrap_err(), PreGrantRefused::Replayed);
        let other = signed(&claims.replace("form 7", "form 8"));
        let (text, signature) = (other.rsplit_once('.').unwrap().0, statement.rsplit_once('.').unwrap().1);
        let forged = policy.statement(&format!("{text}.{signature}"), now, known);
        assert_eq!(forged.unwrap_err(), PreGrantRefused::Forged);
    }

    #[test]
    fn keys_of_statements() {
        let key = |ed25519: Option<&str>| {
            let ed25519 = ed25519.map(Into::into);
            statement_key(&Statement { name: "crm".into(), secret_env: None, ed25519 }).map(|_| ())
        };
        assert!(key(Some(&"0f".repeat(32))).is_ok());
        for wrong in [None, Some("0f"), Some("é".repeat(32).as_str()), Some("+f".repeat(32).as_str())] {
            assert!(key(wrong).unwrap_err().to_string().starts_with("[[policy.statement]] crm"), "{wrong:?}");
        }
    }
}

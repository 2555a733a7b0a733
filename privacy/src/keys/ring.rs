//! The keys that are open in memory: those of tenants for as long as the process runs, those of subjects and
//! segments until others need the room or the subject is forgotten. It reads no keystore; rows come in and
//! go out as values.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use zeroize::Zeroize;

use super::{Identifier, Key, KeyError, KeyId, Nonce, Place, Signer, What, WrappedKey};
use crate::{CallId, Scope, SubjectId, TenantId, Time};

/// The most keys of tenants, which stay: some thousand tenants, and a rotation in the midst of each.
const LASTING_MAX: usize = 16_384;
/// How many destroyed keys are remembered, oldest forgotten first. It covers a row that was read before its
/// destruction and comes in after it, which is a matter of seconds.
const BARRED_MAX: usize = 16_384;

/// Opens keys on demand. The way to one: ask for it; at [`KeyError::Unknown`] look its row up (of a tenant's
/// key, all generations) and [`Keyring::add`] it, or [`Keyring::make`] it where there is none and store the
/// row; then ask again.
pub struct Keyring {
    kek: (KeyId, Key),
    /// Only open what is still under them.
    retired: Vec<(KeyId, Key)>,
    held: HashMap<KeyId, Held>,
    names: HashMap<Name, KeyId>,
    current: HashMap<TenantId, (u32, KeyId)>,
    /// Keys of subjects and segments, by when they were last used.
    used: BTreeMap<u64, KeyId>,
    uses: u64,
    capacity: usize,
    barred: HashSet<KeyId>,
    barred_order: VecDeque<KeyId>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Name {
    tenant: TenantId,
    what: What,
}

struct Held {
    key: Key,
    name: Name,
    /// Zero for those that stay.
    used: u64,
}

/// The key of one call under one scope. Borrowed, so it is gone before it can be forgotten.
pub struct Segment<'a> {
    pub(crate) key: &'a Key,
    pub(crate) id: KeyId,
    pub(crate) tenant: &'a TenantId,
    pub(crate) subject: SubjectId,
    pub(crate) call: CallId,
    pub(crate) scope: &'a Scope,
}

/// Random bytes for one new key: its name, itself, and the nonce of its envelope.
pub struct Fresh {
    id: KeyId,
    key: Key,
    nonce: Nonce,
}

impl Fresh {
    pub const LEN: usize = 60;

    /// Takes the bytes and wipes the place they came from. `None` where nobody filled it: one value
    /// throughout is not random.
    pub fn take(random: &mut [u8; Self::LEN]) -> Option<Self> {
        if random.iter().all(|b| *b == random[0]) {
            return None;
        }
        let (mut id, mut key, mut nonce) = ([0; 16], [0; 32], [0; 12]);
        id.copy_from_slice(&random[..16]);
        key.copy_from_slice(&random[16..48]);
        nonce.copy_from_slice(&random[48..]);
        random.zeroize();
        Some(Self { id: KeyId(id), key: Key::take(&mut key), nonce: Nonce::new(nonce) })
    }
}

impl Keyring {
    /// `capacity`: how many keys of subjects and segments are held open, two at least.
    pub fn new(kek: Key, capacity: usize) -> Self {
        Self {
            kek: (kek.fingerprint(), kek),
            retired: vec![],
            held: HashMap::new(),
            names: HashMap::new(),
            current: HashMap::new(),
            used: BTreeMap::new(),
            uses: 0,
            capacity: capacity.max(2),
            barred: HashSet::new(),
            barred_order: VecDeque::new(),
        }
    }

    /// A key-encryption key of before, to open and rewrap what is still under it.
    #[must_use]
    pub fn with_retired(mut self, kek: Key) -> Self {
        self.retired.push((kek.fingerprint(), kek));
        self
    }

    /// How many keys are open.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Which keys are open.
    pub fn held_ids(&self) -> impl Iterator<Item = KeyId> {
        self.held.keys().copied()
    }

    /// Opens a row and holds its key; a key of the same name goes.
    ///
    /// # Errors
    /// [`KeyError::NoParent`] where the row above has to be added first; or it does not open.
    pub fn add(&mut self, row: &WrappedKey) -> Result<(), KeyError> {
        if self.barred.contains(&row.id) {
            return Err(KeyError::Destroyed(row.id));
        }
        let key = row.unwrap_by(self.parent(row)?)?;
        self.hold(row.id, Name { tenant: row.tenant.clone(), what: row.what.clone() }, key)
    }

    /// Makes a key that is not in the keystore yet. The row has to be stored before anything that the key
    /// seals; what is sealed under a lost key is lost.
    ///
    /// # Errors
    /// [`KeyError::Unknown`] where the key above is not held, [`KeyError::Exists`] where one of that name is.
    pub fn make(&mut self, tenant: &TenantId, what: What, fresh: Fresh, made: Time) -> Result<WrappedKey, KeyError> {
        let name = Name { tenant: tenant.clone(), what };
        if let Some(id) = self.names.get(&name) {
            return Err(KeyError::Exists(*id));
        }
        if let What::Tenant { generation } = name.what {
            let next = self.current.get(tenant).map_or(1, |(current, _)| current.saturating_add(1));
            if generation != next {
                return Err(KeyError::Generation(next));
            }
        }
        let Fresh { id, key, nonce } = fresh;
        let (parent, by) = self.wraps(tenant, &name.what)?;
        let place = Place { id, tenant, what: &name.what, parent, version: 1, made };
        let row = WrappedKey::wrap(&place, &key, by, nonce)?;
        self.hold(id, name, key)?;
        Ok(row)
    }

    /// The key of one call under one scope.
    ///
    /// # Errors
    /// [`KeyError::Unknown`] with the first key on the way that is not held.
    pub fn segment(
        &mut self,
        tenant: &TenantId,
        subject: SubjectId,
        call: CallId,
        scope: &Scope,
    ) -> Result<Segment<'_>, KeyError> {
        let what = What::Segment { subject, call, scope: scope.clone() };
        let name = Name { tenant: tenant.clone(), what };
        let Some(id) = self.names.get(&name).copied() else {
            self.wraps(tenant, &name.what)?;
            return Err(KeyError::Unknown(name.what));
        };
        self.touch(id);
        match self.held.get(&id) {
            Some(Held { key, name: Name { tenant, what: What::Segment { scope, .. } }, .. }) => {
                Ok(Segment { key, id, tenant, subject, call, scope })
            }
            _ => Err(KeyError::Unknown(name.what)),
        }
    }

    /// The pseudonym of whoever is known by this, under the tenant's index key.
    ///
    /// # Errors
    /// [`KeyError::Unknown`] where the index key is not held.
    pub fn subject_of(&self, tenant: &TenantId, who: &Identifier) -> Result<SubjectId, KeyError> {
        self.find(tenant, What::Index).map(|(_, key)| who.pseudonym(key))
    }

    /// Signs in the tenant's name.
    ///
    /// # Errors
    /// [`KeyError::Unknown`] where the signing key is not held.
    pub fn signer(&self, tenant: &TenantId) -> Result<Signer, KeyError> {
        let (_, key) = self.find(tenant, What::Signing)?;
        Signer::new(key).ok_or(KeyError::Unknown(What::Signing))
    }

    /// Wipes what is held of a subject. `destroyed` are the subject's keys by the keystore: a row of one of
    /// them that was read before and comes late is not opened any more.
    pub fn forget(&mut self, tenant: &TenantId, subject: SubjectId, destroyed: &[KeyId]) {
        let theirs = |name: &Name| name.tenant == *tenant && name.what.subject() == Some(subject);
        let held: Vec<KeyId> = self.held.iter().filter(|(_, held)| theirs(&held.name)).map(|(id, _)| *id).collect();
        held.iter().chain(destroyed).for_each(|id| self.forget_key(*id));
    }

    /// Wipes one key and opens it no more: a segment whose scope was withdrawn, a generation that nothing is
    /// under any more.
    pub fn forget_key(&mut self, id: KeyId) {
        self.drop_held(id);
        if self.barred.insert(id) {
            self.barred_order.push_back(id);
            if self.barred_order.len() > BARRED_MAX
                && let Some(oldest) = self.barred_order.pop_front()
            {
                self.barred.remove(&oldest);
            }
        }
    }

    /// Whether a rotation still has to take this row.
    pub fn is_behind(&self, row: &WrappedKey) -> bool {
        match row.what {
            What::Tenant { .. } => self.kek.0 != row.parent,
            What::Index | What::Signing | What::Subject(_) => {
                self.current.get(&row.tenant).is_some_and(|(_, id)| *id != row.parent)
            }
            What::Segment { .. } => false,
        }
    }

    /// One step of a rotation: the row under the current key-encryption key, or the current generation of its
    /// tenant's key; `None` where it is already. Which rows are left is told by the rows alone, so a rotation
    /// that was cut off goes on with those that are [`Keyring::is_behind`].
    ///
    /// # Errors
    /// Where the row does not open; it is to stay as it is then.
    pub fn rewrap(&self, row: &WrappedKey, nonce: Nonce) -> Result<Option<WrappedKey>, KeyError> {
        if !self.is_behind(row) {
            return Ok(None);
        }
        let key = row.unwrap_by(self.parent(row)?)?;
        let (parent, by) = self.wraps(&row.tenant, &row.what)?;
        let version = row.version.saturating_add(1);
        let place = Place { id: row.id, tenant: &row.tenant, what: &row.what, parent, version, made: row.made };
        WrappedKey::wrap(&place, &key, by, nonce).map(Some)
    }

    /// The key that wraps a row, by the row.
    fn parent(&self, row: &WrappedKey) -> Result<&Key, KeyError> {
        if let What::Tenant { .. } = row.what {
            let kek = [&self.kek].into_iter().chain(&self.retired).find(|(id, _)| *id == row.parent);
            return kek.map(|(_, key)| key).ok_or(KeyError::OtherKek(row.parent));
        }
        let held = self.held.get(&row.parent).ok_or(KeyError::NoParent(row.parent))?;
        let fits = held.name.tenant == row.tenant
            && match (&row.what, &held.name.what) {
                (What::Segment { subject, .. }, What::Subject(parent)) => subject == parent,
                (What::Index | What::Signing | What::Subject(_), What::Tenant { .. }) => true,
                _ => false,
            };
        if fits { Ok(&held.key) } else { Err(KeyError::NotGenuine) }
    }

    /// The key that wraps new keys of this kind.
    fn wraps(&self, tenant: &TenantId, what: &What) -> Result<(KeyId, &Key), KeyError> {
        match what {
            What::Tenant { .. } => Ok((self.kek.0, &self.kek.1)),
            What::Index | What::Signing | What::Subject(_) => {
                let unknown = KeyError::Unknown(What::Tenant { generation: 1 });
                let (_, id) = *self.current.get(tenant).ok_or_else(|| unknown.clone())?;
                self.held.get(&id).map(|held| (id, &held.key)).ok_or(unknown)
            }
            What::Segment { subject, .. } => {
                let subject = What::Subject(*subject);
                // The tenant's first: a subject's key cannot be added without.
                self.wraps(tenant, &subject)?;
                self.find(tenant, subject)
            }
        }
    }

    fn find(&self, tenant: &TenantId, what: What) -> Result<(KeyId, &Key), KeyError> {
        let name = Name { tenant: tenant.clone(), what };
        let held = self.names.get(&name).and_then(|id| Some((*id, self.held.get(id)?)));
        held.map(|(id, held)| (id, &held.key)).ok_or(KeyError::Unknown(name.what))
    }

    fn hold(&mut self, id: KeyId, name: Name, key: Key) -> Result<(), KeyError> {
        let lasting = matches!(name.what, What::Tenant { .. } | What::Index | What::Signing);
        if lasting && self.held.len() - self.used.len() >= LASTING_MAX && !self.held.contains_key(&id) {
            return Err(KeyError::Full(LASTING_MAX));
        }
        self.drop_held(id);
        if let Some(before) = self.names.get(&name).copied() {
            self.drop_held(before);
        }
        if let What::Tenant { generation } = name.what {
            let current = self.current.entry(name.tenant.clone()).or_insert((generation, id));
            if current.0 <= generation {
                *current = (generation, id);
            }
        }
        self.names.insert(name.clone(), id);
        self.held.insert(id, Held { key, name, used: 0 });
        if !lasting {
            self.touch(id);
            self.make_room();
        }
        Ok(())
    }

    fn touch(&mut self, id: KeyId) {
        let Some(held) = self.held.get_mut(&id) else { return };
        self.uses += 1;
        self.used.remove(&held.used);
        held.used = self.uses;
        self.used.insert(self.uses, id);
    }

    fn make_room(&mut self) {
        while self.used.len() > self.capacity
            && let Some((_, id)) = self.used.pop_first()
        {
            self.drop_held(id);
        }
    }

    fn drop_held(&mut self, id: KeyId) {
        let Some(held) = self.held.remove(&id) else { return };
        self.names.remove(&held.name);
        self.used.remove(&held.used);
        if self.current.get(&held.name.tenant).is_some_and(|(_, current)| *current == id) {
            self.current.remove(&held.name.tenant);
            let left = self.held.iter().filter_map(|(id, other)| match other.name.what {
                What::Tenant { generation } if other.name.tenant == held.name.tenant => Some((generation, *id)),
                _ => None,
            });
            if let Some(newest) = left.max() {
                self.current.insert(held.name.tenant, newest);
            }
        }
    }
}

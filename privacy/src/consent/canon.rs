//! One way to write fields as bytes before they are hashed: each with its length in front, so that no two
//! different records are the same bytes. It keeps nothing.

use sha2::{Digest, Sha256};

pub(crate) struct Canon(Vec<u8>);

impl Canon {
    /// `kind` names what is written and its version, so that hashes of different kinds never meet.
    pub(crate) fn new(kind: &str) -> Self {
        Self(Vec::with_capacity(512)).text(kind)
    }

    pub(crate) fn bytes(mut self, field: &[u8]) -> Self {
        let length = u64::try_from(field.len()).unwrap_or(u64::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(field);
        self
    }

    pub(crate) fn text(self, field: &str) -> Self {
        self.bytes(field.as_bytes())
    }

    pub(crate) fn number(self, field: u64) -> Self {
        self.bytes(&field.to_be_bytes())
    }

    /// How many fields follow.
    pub(crate) fn count(self, n: usize) -> Self {
        self.number(u64::try_from(n).unwrap_or(u64::MAX))
    }

    /// A field that may be absent: absent and empty differ.
    pub(crate) fn maybe(self, field: Option<&[u8]>) -> Self {
        match field {
            Some(field) => self.count(1).bytes(field),
            None => self.count(0),
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn sha256(self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }
}

/// The first half of a SHA-256: what names records.
pub(crate) fn half(hash: [u8; 32]) -> [u8; 16] {
    std::array::from_fn(|i| hash[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_do_not_run_together() {
        let written = |fields: &[&str]| fields.iter().fold(Canon::new("test"), |c, f| c.text(f)).into_bytes();
        assert_ne!(written(&["ab", "c"]), written(&["a", "bc"]));
        assert_ne!(written(&["", "a"]), written(&["a", ""]));
        let absent = Canon::new("test").maybe(None).maybe(Some(b"")).into_bytes();
        assert_ne!(absent, Canon::new("test").maybe(Some(b"")).maybe(None).into_bytes());
        assert_ne!(Canon::new("a").sha256(), Canon::new("b").sha256());
    }
}

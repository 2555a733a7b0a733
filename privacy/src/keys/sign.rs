//! Ed25519 signatures of what is shown to others: checkpoints of the audit log and proofs of erasure.
//! It never signs bytes without saying what they are.

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};

use super::text::{Fields, base64, hex_type, unbase64};
use super::{Key, KeyId};

hex_type! {
    /// An Ed25519 signature (RFC 8032).
    Signature, 64, "signature"
}

hex_type! {
    /// What verifies a signature; to be handed to whoever has to believe a proof.
    PublicKey, 32, "public key"
}

/// Signs. The seed is wiped with the [`Key`] it came from; the pair that ring makes of it is not wiped
/// when it goes, so it is made for as long as it is used.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

/// RFC 8410, 4 and 10.1: what stands before the 32 bytes of an Ed25519 key.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

impl Signer {
    /// Every 32 bytes are a seed; `None` does not happen with a [`Key`].
    pub fn new(seed: &Key) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.bytes()).ok()?;
        let public = PublicKey(pair.public_key().as_ref().try_into().ok()?);
        Some(Self { pair, public })
    }

    pub fn public(&self) -> PublicKey {
        self.public
    }

    pub(crate) fn sign(&self, what: &str, message: &[u8]) -> Signature {
        let signed = self.pair.sign(&Fields::new(what).add(message).finish());
        let mut signature = Signature([0; 64]);
        signature.0.iter_mut().zip(signed.as_ref()).for_each(|(to, from)| *to = *from);
        signature
    }
}

impl PublicKey {
    /// The name that what it signs goes by.
    pub fn id(&self) -> KeyId {
        let mut id = KeyId([0; 16]);
        id.0.iter_mut().zip(Sha256::digest(self.0)).for_each(|(to, from)| *to = from);
        id
    }

    /// As `openssl pkey -pubin` reads it.
    pub fn to_pem(&self) -> String {
        format!("{BEGIN}\n{}\n{END}\n", base64(&[&SPKI[..], &self.0].concat()))
    }

    /// `None` where it is no Ed25519 public key.
    pub fn from_pem(pem: &str) -> Option<Self> {
        let text = pem.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
        let text: String = text.split_ascii_whitespace().collect();
        unbase64(&text)?.strip_prefix(&SPKI)?.try_into().ok().map(Self)
    }

    pub(crate) fn verify(&self, what: &str, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(&Fields::new(what).add(message).finish(), &signature.0).is_ok()
    }
}

/// The one of these keys that has this name.
pub(crate) fn find(keys: &[PublicKey], id: KeyId) -> Option<&PublicKey> {
    keys.iter().find(|key| key.id() == id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::text::unhex;

    fn signer(seed: &str) -> Signer {
        Signer::new(&Key::take(&mut unhex(seed).expect("a seed"))).expect("a signer")
    }

    #[test]
    fn the_public_key_is_written_as_in_rfc_8410() {
        let signer = signer("d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842");
        let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        assert_eq!(signer.public().to_pem(), pem);
        assert_eq!(PublicKey::from_pem(pem), Some(signer.public()));
        assert_eq!(PublicKey::parse(&signer.public().to_string()), Some(signer.public()));
        for wrong in ["", BEGIN, &pem.replace("MCow", "MCox"), &pem.replace("ZuE=", "Zu"), &pem.replace("PUBLIC", "X")]
        {
            assert_eq!(PublicKey::from_pem(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_signature_is_good_for_what_was_signed_alone() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let (mine, other) = (signer(seed), signer(&seed.replace('9', "8")));
        let signature = mine.sign("a", b"bc");
        assert!(mine.public().verify("a", b"bc", &signature));
        assert!(!mine.public().verify("ab", b"c", &signature));
        assert!(!mine.public().verify("a", b"bd", &signature));
        assert!(!other.public().verify("a", b"bc", &signature));
        let keys = [other.public(), mine.public()];
        assert_eq!(find(&keys, mine.public().id()), Some(&mine.public()));
        assert_eq!(find(&keys[..1], mine.public().id()), None);
    }
}

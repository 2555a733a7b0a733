//! Certificates for one test: an authority, and one of ours for 127.0.0.1 and localhost. None leaves its folder.
#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

pub struct Pki {
    /// Whose certificates count.
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Certificate and key in one file, as some clients want them.
    pub both: PathBuf,
}

impl Pki {
    pub fn make(dir: &Path) -> Self {
        fs::create_dir_all(dir).expect("a folder");
        let file = |name: &str| dir.join(name);
        let pki = Self { ca: file("ca.pem"), cert: file("cert.pem"), key: file("key.pem"), both: file("both.pem") };
        let mut params = CertificateParams::new(vec![]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed");
        fs::write(&pki.ca, authority.pem()).expect("written");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, "localhost");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &authority).expect("signed").pem();
        fs::write(&pki.cert, &certificate).expect("written");
        fs::write(&pki.key, key.serialize_pem()).expect("written");
        fs::write(&pki.both, certificate + &key.serialize_pem()).expect("written");
        pki
    }
}

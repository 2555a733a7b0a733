//! Certificates of the tests, made once per run: an authority, a server, a client, and a stranger's. None leaves its folder.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use dauys::net::roads::Certificate;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, crypto};

pub struct Pki {
    dir: PathBuf,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

impl Pki {
    pub fn get() -> &'static Self {
        static MADE: OnceLock<Pki> = OnceLock::new();
        MADE.get_or_init(Self::make)
    }

    fn make() -> Self {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("roads-{}", std::process::id()));
        let pki = Self { dir };
        fs::create_dir_all(&pki.dir).unwrap();
        let ca = pki.authority("ca");
        let strange = pki.authority("strange-ca");
        pki.issue("server", &ca, &["sip.example.test", "alt.example.test", "127.0.0.1", "::1"], None);
        let uri = Some("sip:example.test");
        pki.issue("client", &ca, &["trunk.example.test", "*.pbx.example.test"], uri);
        pki.issue("stranger", &strange, &["trunk.example.test", "127.0.0.1"], None);
        pki
    }

    fn authority(&self, name: &str) -> Authority {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(self.path(name, "cert"), authority.pem()).unwrap();
        authority
    }

    fn issue(&self, name: &str, authority: &Authority, names: &[&str], uri: Option<&str>) {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.subject_alt_names.extend(uri.map(|u| SanType::URI(u.try_into().unwrap())));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, authority).unwrap();
        fs::write(self.path(name, "cert"), certificate.pem()).unwrap();
        fs::write(self.path(name, "key"), key.serialize_pem()).unwrap();
    }

    fn path(&self, name: &str, what: &str) -> PathBuf {
        self.dir.join(format!("{name}-{what}.pem"))
    }

    fn certificate(&self, name: &str) -> Certificate {
        Certificate { chain: self.path(name, "cert"), key: self.path(name, "key") }
    }

    pub fn ca(&self) -> PathBuf {
        self.path("ca", "cert")
    }

    pub fn strange_ca(&self) -> PathBuf {
        self.path("strange-ca", "cert")
    }

    pub fn server(&self) -> Certificate {
        self.certificate("server")
    }

    pub fn client(&self) -> Certificate {
        self.certificate("client")
    }

    pub fn stranger(&self) -> Certificate {
        self.certificate("stranger")
    }

    /// A TLS client that is not ours to judge.
    pub async fn connect(&self, to: SocketAddr, version: &'static SupportedProtocolVersion) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.ca()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(to).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect(to.ip().into(), stream).await.unwrap()
    }
}

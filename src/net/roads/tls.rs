//! TLS: certificates from files, whom to trust, and the names a peer has proven. It never skips a verification.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::client::WantsClientCert;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{self, ClientConfig, ConfigBuilder, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tracing::warn;

use super::config::{Certificate, RoadsConfig, RoadsError, TlsListen};

/// Everything that is loaded once.
pub(super) struct Tls {
    /// For SIP over TLS.
    pub acceptor: Option<TlsAcceptor>,
    /// For WSS: browsers have no certificates.
    pub web: Option<TlsAcceptor>,
    pub connector: TlsConnector,
}

impl Tls {
    pub fn load(config: &RoadsConfig) -> Result<Self, RoadsError> {
        let provider = Arc::new(ring::default_provider());
        if config.tls.is_none() && !config.wss.is_empty() {
            return Err(RoadsError::NoTls);
        }
        let (mut acceptor, mut web) = (None, None);
        if let Some(listen) = &config.tls {
            let verifier = client_verifier(listen, &provider)?;
            acceptor = Some(server(&listen.certificate, verifier, &provider)?);
            web = Some(server(&listen.certificate, WebPkiClientVerifier::no_client_auth(), &provider)?);
        }
        Ok(Self { acceptor, web, connector: client(config, provider)? })
    }
}

/// DNS and URI names of a certificate that was verified (RFC 5922 7.1), as they stand in it.
pub(super) fn names(chain: Option<&[CertificateDer<'_>]>) -> Vec<String> {
    let Some(Ok(certificate)) = chain.and_then(|c| c.first()).map(webpki::EndEntityCert::try_from) else {
        return vec![];
    };
    certificate.valid_dns_names().chain(certificate.valid_uri_names()).map(str::to_owned).collect()
}

fn client_verifier(
    listen: &TlsListen,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, RoadsError> {
    let Some(path) = &listen.client_ca else {
        return if listen.client_required {
            Err(RoadsError::NoClientCa)
        } else {
            Ok(WebPkiClientVerifier::no_client_auth())
        };
    };
    let roots = Arc::new(authorities(path)?);
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
    if !listen.client_required {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|e| RoadsError::Unusable { path: path.clone(), detail: e.to_string() })
}

fn server(
    certificate: &Certificate,
    verifier: Arc<dyn ClientCertVerifier>,
    provider: &Arc<CryptoProvider>,
) -> Result<TlsAcceptor, RoadsError> {
    let (chain, key) = read(certificate)?;
    let config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .and_then(|b| b.with_client_cert_verifier(verifier).with_single_cert(chain, key))
        .map_err(|e| unusable(certificate, &e))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn client(config: &RoadsConfig, provider: Arc<CryptoProvider>) -> Result<TlsConnector, RoadsError> {
    let roots = match &config.trusted_ca {
        Some(path) => authorities(path)?,
        None => system_authorities(),
    };
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder: ConfigBuilder<ClientConfig, WantsClientCert> = match versions {
        Ok(builder) => builder.with_root_certificates(roots),
        Err(e) => return Err(RoadsError::Unusable { path: "TLS".into(), detail: e.to_string() }),
    };
    let client = match &config.client_certificate {
        None => builder.with_no_client_auth(),
        Some(certificate) => {
            let (chain, key) = read(certificate)?;
            builder.with_client_auth_cert(chain, key).map_err(|e| unusable(certificate, &e))?
        }
    };
    Ok(TlsConnector::from(Arc::new(client)))
}

/// Those of the system. Without any, the first connection to a TLS server says that its issuer is unknown.
fn system_authorities() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (_, unusable) = roots.add_parsable_certificates(found.certs);
    if roots.is_empty() || unusable > 0 {
        warn!(usable = roots.len(), unusable, "certificate authorities of the system");
    }
    roots
}

fn authorities(path: &Path) -> Result<RootCertStore, RoadsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|e| RoadsError::Unusable { path: path.into(), detail: e.to_string() })?;
    }
    Ok(roots)
}

fn read(certificate: &Certificate) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), RoadsError> {
    let key = PrivateKeyDer::from_pem_file(&certificate.key).map_err(|e| match e {
        pem::Error::NoItemsFound => RoadsError::NoKey { path: certificate.key.clone() },
        e => unreadable(&certificate.key, &e),
    })?;
    Ok((certificates(&certificate.chain)?, key))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, RoadsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match found {
        Ok(found) if found.is_empty() => Err(RoadsError::NoCertificate { path: path.into() }),
        Ok(found) => Ok(found),
        Err(e) => Err(unreadable(path, &e)),
    }
}

fn unreadable(path: &Path, error: &pem::Error) -> RoadsError {
    let detail = match error {
        pem::Error::Io(e) => e.to_string(),
        // The rest would quote the file.
        _ => "it is not PEM".to_owned(),
    };
    RoadsError::Unreadable { path: path.into(), detail }
}

fn unusable(certificate: &Certificate, error: &rustls::Error) -> RoadsError {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            RoadsError::KeyMismatch { chain: certificate.chain.clone(), key: certificate.key.clone() }
        }
        e => RoadsError::Unusable { path: certificate.chain.clone(), detail: e.to_string() },
    }
}

//! Mutual TLS: a certificate to show, its key, and the authority of all certificates of one cluster.

use rustls::{
    ClientConfig, InconsistentKeys, RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{VerifierBuilderError, WebPkiClientVerifier},
};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Where certificate, key and authority lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate to show, and those that lead to the authority, in PEM, in that order.
    pub certificate: PathBuf,
    /// Its private key, in PEM, without a password.
    pub key: PathBuf,
    /// The certificates of authorities, in PEM: of peers, those are let in that one of them has signed.
    pub authority: PathBuf,
}

/// Why they cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("could not read the {what} {}", file.display())]
    Read {
        /// What it holds.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no certificate in a file.
    #[error("{} holds no certificate: expected PEM, -----BEGIN CERTIFICATE-----", .0.display())]
    NoCertificate(PathBuf),
    /// There is no key.
    #[error("{} holds no private key without a password: expected PEM, -----BEGIN PRIVATE KEY-----", .0.display())]
    NoKey(PathBuf),
    /// The key is that of another certificate.
    #[error("{} is not the key of the first certificate in {}", key.display(), certificate.display())]
    KeyOfAnother {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The TLS library does not take certificate and key.
    #[error("{} with {} cannot be used: {source}", certificate.display(), key.display())]
    Refused {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// The authority's certificate is none of an authority.
    #[error("{} cannot be used as an authority", file.display())]
    Authority {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: VerifierBuilderError,
    },
}

impl TlsError {
    /// What to do; this side calls its files so: certificate, key and authority.
    #[must_use]
    pub fn remedy(&self, [certificate, key, authority]: [&str; 3]) -> String {
        match self {
            Self::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "let the user of this process read it, and nobody else if it is the key".to_owned()
            }
            Self::Read { .. } => {
                format!("{certificate}, {key} and {authority} name files in PEM; is the path right?")
            }
            Self::KeyOfAnother { .. } => {
                format!("{certificate} and {key} must be of one request: name the certificate's own key")
            }
            Self::Authority { .. } => {
                format!("{authority} names the certificate of an authority, which has signed the others")
            }
            Self::NoCertificate(_) | Self::NoKey(_) | Self::Refused { .. } => {
                format!("{certificate}, {key} and {authority} name files in PEM: certificate, key, authority")
            }
        }
    }
}

/// One side of connections, ready for use.
pub(crate) struct Tls {
    /// What is shown.
    pub(crate) certificate: CertificateDer<'static>,
    /// For connections that the engine makes.
    pub(crate) engine: ClientTlsConfig,
    /// For those of ours.
    pub(crate) client: Arc<ClientConfig>,
    /// For those that others make.
    pub(crate) server: Arc<ServerConfig>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When they cannot be used: which file, and what is wrong.
    pub(crate) fn load(files: &TlsFiles, handshake: Duration) -> Result<Self, TlsError> {
        let certificate = read("certificate", &files.certificate)?;
        let key = read("key", &files.key)?;
        let authority = read("authority's certificate", &files.authority)?;
        let chain = certificates(&files.certificate, &certificate)?;
        let mut roots = RootCertStore::empty();
        for root in certificates(&files.authority, &authority)? {
            roots.add(root).map_err(|source| TlsError::Refused {
                certificate: files.authority.clone(),
                key: files.key.clone(),
                source,
            })?;
        }
        let shown =
            chain.first().cloned().ok_or_else(|| TlsError::NoCertificate(files.certificate.clone()))?;
        let private = || PrivateKeyDer::from_pem_slice(&key).map_err(|_| TlsError::NoKey(files.key.clone()));
        let roots = Arc::new(roots);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = server(&provider, &roots, files)?
            .with_single_cert(chain.clone(), private()?)
            .map_err(|source| refused(files, source))?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|source| refused(files, source))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, private()?)
            .map_err(|source| refused(files, source))?;
        let engine = ClientTlsConfig::new()
            .identity(Identity::from_pem(certificate, key))
            .ca_certificate(Certificate::from_pem(authority))
            .timeout(handshake);
        let (mut client, mut server) = (client, server);
        client.alpn_protocols = vec![b"h2".to_vec()];
        server.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { certificate: shown, engine, client: Arc::new(client), server: Arc::new(server) })
    }
}

fn server(
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
    files: &TlsFiles,
) -> Result<rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>, TlsError> {
    let shown = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider)).build();
    let shown = shown.map_err(|source| TlsError::Authority { file: files.authority.clone(), source })?;
    let server =
        ServerConfig::builder_with_provider(Arc::clone(provider)).with_safe_default_protocol_versions();
    Ok(server.map_err(|source| refused(files, source))?.with_client_cert_verifier(shown))
}

fn read(what: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(file).map_err(|source| TlsError::Read { what, file: file.to_owned(), source })
}

fn certificates(file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    certificates
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| TlsError::NoCertificate(file.to_owned()))
}

fn refused(files: &TlsFiles, source: rustls::Error) -> TlsError {
    let (certificate, key) = (files.certificate.clone(), files.key.clone());
    match source {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::KeyOfAnother { certificate, key }
        }
        source => TlsError::Refused { certificate, key, source },
    }
}

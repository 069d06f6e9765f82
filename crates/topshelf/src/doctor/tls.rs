//! A TLS handshake that tells what the other side shows, and whether it would be believed.
//!
//! It is carried out also with a peer that is not to be believed, to see its whole chain; nothing secret is sent
//! over such a connection.

mod flaw;

pub(super) use flaw::Flaw;

use super::{
    certificate::Certificate,
    step::{Answer, Tried},
};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// What is trusted, and what this side shows.
#[derive(Default)]
pub(super) struct Trust {
    /// PEM of authorities beside the machine's.
    pub(super) authorities: Vec<u8>,
    /// PEM of the own certificates, and of their key.
    pub(super) own: Option<(Vec<u8>, Vec<u8>)>,
}

/// A connection, and what the other side showed.
pub(super) struct Handshake {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) shown: Shown,
}

/// What the other side showed, and what it is worth.
#[derive(Debug)]
pub(super) struct Shown {
    /// `TLS 1.3`.
    pub(super) protocol: String,
    /// The server's own certificate first.
    pub(super) chain: Vec<Certificate>,
    /// What is wrong with it; none when it is to be believed.
    pub(super) flaw: Option<Flaw>,
}

/// Why there was no handshake.
#[derive(Debug)]
pub(super) enum Unshaken {
    /// The file of authorities, certificates or keys is not what it should be.
    Pem(String),
    /// The other side or the network broke it off.
    Broken(io::Error),
}

/// Shakes hands with `host` over an open connection.
pub(super) async fn shake_hands(socket: TcpStream, host: &str, trust: &Trust) -> Result<Handshake, Unshaken> {
    let provider = Arc::new(ring::default_provider());
    let witness = Arc::new(Witness {
        judge: judge(trust, &provider)?,
        provider: Arc::clone(&provider),
        seen: Mutex::default(),
    });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&witness) as _);
    let config = match &trust.own {
        None => config.with_no_client_auth(),
        Some((certificates, key)) => {
            let certificates = certificates_of(certificates)?;
            let key = PrivateKeyDer::from_pem_slice(key)
                .map_err(|error| Unshaken::Pem(format!("the client's key: {error}")))?;
            config
                .with_client_auth_cert(certificates, key)
                .map_err(|error| Unshaken::Pem(format!("the client's certificate: {error}")))?
        }
    };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| Unshaken::Broken(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let stream =
        TlsConnector::from(Arc::new(config)).connect(name, socket).await.map_err(Unshaken::Broken)?;
    let (_, connection) = stream.get_ref();
    let protocol = connection.protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS");
    let protocol = protocol.replace('_', ".").replace("TLSv", "TLS ");
    let seen = witness.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (chain, flaw) = seen.unwrap_or_default();
    Ok(Handshake { stream, shown: Shown { protocol, chain, flaw } })
}

/// Who judges certificates as the night's clients do: by the authorities of this machine and those given.
fn judge(
    trust: &Trust,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<WebPkiServerVerifier>>, Unshaken> {
    let mut roots = RootCertStore::empty();
    // What cannot be read of the machine's is left out by the night's clients too.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for certificate in certificates_of(&trust.authorities)? {
        roots.add(certificate).map_err(|error| Unshaken::Pem(format!("the root certificates: {error}")))?;
    }
    if roots.is_empty() {
        return Ok(None);
    }
    let judge = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    judge.map(Some).map_err(|error| Unshaken::Pem(format!("the root certificates: {error}")))
}

fn certificates_of(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Unshaken> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = read.map_err(|error| Unshaken::Pem(error.to_string()))?;
    if certificates.is_empty() && !pem.is_empty() {
        return Err(Unshaken::Pem("no certificate is in it".to_owned()));
    }
    Ok(certificates)
}

/// Believes everybody, and remembers whom the judge would not have believed.
#[derive(Debug)]
struct Witness {
    judge: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<(Vec<Certificate>, Option<Flaw>)>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let verified =
            self.judge.as_ref().map(|judge| judge.verify_server_cert(own, others, name, ocsp_response, now));
        let flaw = match verified {
            None => Some(Flaw::NoAuthorities),
            Some(Ok(_)) => None,
            Some(Err(error)) => Some(Flaw::of(&error)),
        };
        let chain = std::iter::once(own).chain(others).filter_map(|der| Certificate::read(der)).collect();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((chain, flaw));
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl Shown {
    /// The protocol, and of each certificate whose it is, who issued it, and until when it is good.
    pub(super) fn in_words(&self) -> String {
        let told = self.chain.iter().map(|Certificate { subject, issuer, not_after }| {
            format!("{subject} (issued by {issuer}, good until {})", not_after.date())
        });
        format!("{}: {}", self.protocol, told.collect::<Vec<_>>().join(" ← "))
    }
}

/// A handshake that the other side broke off.
pub(super) fn broken(error: &io::Error, what: &str) -> Answer {
    let cause = match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "the other side hung up: it is overloaded, or a proxy or firewall on the way lets no TLS through"
        }
        _ => "what answers there speaks no TLS, or none that this program knows",
    };
    let remedy = format!("check that host and port are those of {what}, and that it speaks TLS 1.2 or 1.3");
    Answer::failed(error.to_string(), cause, remedy)
}

/// TLS with an HTTPS server whose certificate must be good.
pub(super) async fn with_https(socket: TcpStream, host: String, is_aws: bool) -> Tried<TlsStream<TcpStream>> {
    let Handshake { stream, shown } = match shake_hands(socket, &host, &Trust::default()).await {
        Ok(handshake) => handshake,
        Err(Unshaken::Broken(error)) => return Err(broken(&error, "S3")),
        Err(Unshaken::Pem(error)) => return Err(bad_machine_roots(&error)),
    };
    let told = shown.in_words();
    let Some(flaw) = &shown.flaw else { return Ok((Answer::ok(told), stream)) };
    let (text, cause) = flaw.in_words(&shown.chain, &host);
    let remedy = match flaw {
        Flaw::NoAuthorities => "install the package ca-certificates, or name a file of authorities in SSL_CERT_FILE".to_owned(),
        Flaw::UnknownIssuer if is_aws => "a proxy that opens TLS answers in AWS's place: let this machine trust its authority (SSL_CERT_FILE), or reach S3 through a gateway endpoint".to_owned(),
        Flaw::UnknownIssuer => "let this machine trust the authority: put its certificate, with those of the others, into a file that SSL_CERT_FILE names".to_owned(),
        Flaw::Expired => "renew the server's certificate, or set the clock right".to_owned(),
        Flaw::NotYetValid => "set the clock right".to_owned(),
        Flaw::OtherName(_) => "name the endpoint as its certificate does (AWS_ENDPOINT_URL)".to_owned(),
        Flaw::Other(_) => "look at it with `openssl s_client -showcerts`".to_owned(),
    };
    Err(Answer::failed(format!("{text}; shown: {told}"), cause, remedy))
}

pub(super) fn bad_machine_roots(error: &str) -> Answer {
    Answer::failed(
        error,
        "this machine's certificates of authorities cannot be read",
        "install the package ca-certificates anew, or name a file of authorities in SSL_CERT_FILE",
    )
}

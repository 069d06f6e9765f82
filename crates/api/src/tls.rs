//! TLS from two files, a certificate with its chain and a key, which may be replaced at any time.
//!
//! The files' bytes are looked at every few seconds, not their dates: certificates come by rename, by copy, or by a
//! symbolic link that is put elsewhere. What does not fit together stays out: the last that did is used on, and one
//! warning tells why. Handshakes under way keep what they began with. Neither file's bytes are ever told.

use crate::{
    refresh::chain,
    serving::Serving,
    telemetry::{CERTIFICATE_EXPIRES_AT, TLS_RELOADS, Telemetry},
};
use arc_swap::ArcSwap;
use jiff::Timestamp;
use metrics::{counter, gauge};
use rustls::{
    InconsistentKeys, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use sha2::{Digest, Sha256};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio_rustls::TlsAcceptor;

/// Where certificate and key lie.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The server's certificate and those that lead to a root, in PEM, in that order.
    pub certificate: PathBuf,
    /// The certificate's private key, in PEM, without a password.
    pub key: PathBuf,
    /// How often both are looked at.
    pub look_every: Duration,
}

impl TlsFiles {
    /// Both files, looked at every five seconds.
    #[must_use]
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificate: certificate.into(), key: key.into(), look_every: Duration::from_secs(5) }
    }
}

/// Why certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("could not read {key} {}", file.display())]
    Read {
        /// The configuration key that names it.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no certificate.
    #[error("serve.tls_certificate {} holds no certificate: expected PEM, -----BEGIN CERTIFICATE-----", .0.display())]
    NoCertificate(PathBuf),
    /// There is no key.
    #[error("serve.tls_key {} holds no private key without a password: expected PEM, -----BEGIN PRIVATE KEY-----", .0.display())]
    NoKey(PathBuf),
    /// The key is that of another certificate.
    #[error(
        "serve.tls_key {} is not the key of the first certificate in {}: the server's own comes first, then those that lead to a root",
        key.display(), certificate.display()
    )]
    KeyOfAnother {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The TLS library does not take them.
    #[error("serve.tls_certificate {} with serve.tls_key {} cannot be used: {source}", certificate.display(), key.display())]
    Refused {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
}

/// The bytes of both files.
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Names the bytes of a pair, or why they cannot be read: what was seen is not looked into again.
type Seen = Result<[u8; 32], String>;

/// The TLS of a listener.
pub(crate) struct Tls {
    files: TlsFiles,
    first_seen: [u8; 32],
    current: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads both files.
    ///
    /// # Errors
    /// When they cannot be used: which file, and what is wrong.
    pub(crate) fn load(files: TlsFiles, telemetry: &Telemetry) -> Result<Self, TlsError> {
        telemetry.with(|| {
            for outcome in ["loaded", "failed"] {
                counter!(TLS_RELOADS, "outcome" => outcome).increment(0);
            }
        });
        let pair = Pair::read(&files)?;
        let current = ArcSwap::from(Arc::new(pair.config(&files)?));
        pair.tell_expiry(telemetry);
        Ok(Self { first_seen: pair.name(), files, current })
    }

    /// What makes a handshake with the certificate of this moment.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Looks at both files again and again, and takes what fits together.
    pub(crate) async fn follow(self: Arc<Self>, serving: Arc<Serving>) {
        let mut seen: Seen = Ok(self.first_seen);
        loop {
            tokio::time::sleep(self.files.look_every).await;
            let (tls, serving) = (self.clone(), serving.clone());
            let look = tokio::task::spawn_blocking(move || tls.look(seen, &serving.telemetry));
            seen = look.await.unwrap_or_else(|broken| Err(broken.to_string()));
        }
    }

    /// Takes what the files hold now, unless it was seen before or does not fit.
    fn look(&self, before: Seen, telemetry: &Telemetry) -> Seen {
        let pair = match Pair::read(&self.files) {
            Ok(pair) => pair,
            Err(error) => {
                let told = chain(&error);
                if before.as_ref() != Err(&told) {
                    self.keep(&told, telemetry);
                }
                return Err(told);
            }
        };
        let seen = pair.name();
        if before != Ok(seen) {
            match pair.config(&self.files) {
                Ok(config) => {
                    self.current.store(Arc::new(config));
                    telemetry.with(|| counter!(TLS_RELOADS, "outcome" => "loaded").increment(1));
                    tracing::info!(file = %self.files.certificate.display(), "a new TLS certificate is in use");
                    pair.tell_expiry(telemetry);
                }
                Err(error) => self.keep(&chain(&error), telemetry),
            }
        }
        Ok(seen)
    }

    fn keep(&self, error: &str, telemetry: &Telemetry) {
        telemetry.with(|| counter!(TLS_RELOADS, "outcome" => "failed").increment(1));
        tracing::warn!(error, "the TLS certificate or key cannot be used; the last ones are used on");
    }
}

impl Pair {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let read = |key, file: &Path| {
            std::fs::read(file).map_err(|source| TlsError::Read { key, file: file.to_owned(), source })
        };
        let certificate = read("serve.tls_certificate", &files.certificate)?;
        Ok(Self { certificate, key: read("serve.tls_key", &files.key)? })
    }

    fn name(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.certificate.len().to_le_bytes());
        hash.update(&self.certificate);
        hash.update(&self.key);
        hash.finalize().into()
    }

    fn certificates(&self) -> Vec<CertificateDer<'static>> {
        let certificates = CertificateDer::pem_slice_iter(&self.certificate).collect::<Result<_, _>>();
        certificates.unwrap_or_default()
    }

    fn config(&self, files: &TlsFiles) -> Result<ServerConfig, TlsError> {
        let certificates = self.certificates();
        if certificates.is_empty() {
            return Err(TlsError::NoCertificate(files.certificate.clone()));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| TlsError::NoKey(files.key.clone()))?;
        let (certificate, key_file) = (files.certificate.clone(), files.key.clone());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key));
        let mut config = config.map_err(|source| match source {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::KeyOfAnother { certificate, key: key_file }
            }
            source => TlsError::Refused { certificate, key: key_file, source },
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    fn tell_expiry(&self, telemetry: &Telemetry) {
        let Some(at) = self.certificates().first().and_then(|certificate| expires_at(certificate)) else {
            return;
        };
        #[expect(clippy::cast_precision_loss, reason = "a gauge is read by people and alarms")]
        telemetry.with(|| gauge!(CERTIFICATE_EXPIRES_AT).set(at.as_second() as f64));
        if at <= Timestamp::now() {
            tracing::warn!(expired_at = %at, "the TLS certificate has expired: clients refuse it");
        }
    }
}

/// Until when a certificate is valid, by its DER (RFC 5280, 4.1); none when it does not tell so.
fn expires_at(certificate: &[u8]) -> Option<Timestamp> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let inside = |der| element(der).filter(|(tag, ..)| *tag == SEQUENCE).map(|(_, value, _)| value);
    let mut fields = inside(inside(certificate)?)?;
    if *fields.first()? == VERSION {
        fields = element(fields)?.2;
    }
    for _serial_algorithm_issuer in 0..3 {
        fields = element(fields)?.2;
    }
    let (_, _, not_after) = element(inside(fields)?)?;
    let (tag, text, _) = element(not_after)?;
    moment(tag, std::str::from_utf8(text).ok()?)
}

/// The first element's tag and value, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = der.split_first_chunk()?;
    let (length, rest) = match usize::from(length) {
        short @ ..=0x7f => (short, rest),
        long @ 0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(long - 0x80)?;
            (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

/// `241120103000Z` (before 2050) or `20501120103000Z`.
fn moment(tag: u8, text: &str) -> Option<Timestamp> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let (century, text) = match tag {
        UTC_TIME => (if text.get(..2)? < "50" { "20" } else { "19" }, text),
        GENERALIZED_TIME => (text.get(..2)?, text.get(2..)?),
        _ => return None,
    };
    let part = |at: usize| text.get(at..at + 2);
    let (year, month, day) = (part(0)?, part(2)?, part(4)?);
    let (hour, minute, second) = (part(6)?, part(8)?, part(10)?);
    format!("{century}{year}-{month}-{day}T{hour}:{minute}:{second}Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_tells_until_when_it_is_valid() {
        let key = rcgen::KeyPair::generate().unwrap();
        for (year, month, day) in [(2024, 2, 29), (2049, 12, 31), (2050, 1, 1), (1999, 6, 1)] {
            let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, month, day);
            let certificate = params.self_signed(&key).unwrap();
            let expires_at = expires_at(certificate.der()).unwrap();
            assert_eq!(expires_at.to_string(), format!("{year}-{month:02}-{day:02}T00:00:00Z"));
            for length in 0..certificate.der().len() {
                let _ = super::expires_at(&certificate.der()[..length]); // tells nothing, or the same
            }
        }
    }
}

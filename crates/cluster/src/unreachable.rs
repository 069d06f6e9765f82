//! Why a peer cannot be talked to, or is not let in, and what to do about it.

use rustls::{AlertDescription, CertificateError, InvalidMessage};
use std::io;

/// Why a peer is not let in.
pub(crate) fn refusal(error: &io::Error) -> String {
    match tls_error(error) {
        Some(rustls::Error::NoCertificatesPresented) => "it shows no certificate".to_owned(),
        Some(rustls::Error::InvalidCertificate(error)) => format!("its certificate {}", lacks(error)),
        Some(rustls::Error::InvalidMessage(_)) => "it does not speak TLS".to_owned(),
        Some(rustls::Error::AlertReceived(alert)) => {
            format!("it refuses our certificate: {}", of_alert(*alert))
        }
        Some(error) => error.to_string(),
        None => error.to_string(),
    }
}

/// What a certificate lacks, behind "its certificate".
pub(crate) fn lacks(error: &CertificateError) -> String {
    match error {
        // The second is that of another authority that is called the same.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "is not of our authority".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired".to_owned(),
        CertificateError::NotValidForName => "is not for this name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let presented: Vec<_> = presented.iter().map(|name| bare(name)).collect();
            format!("is not for {}, but for {}", expected.to_str(), presented.join(", "))
        }
        error => format!("is not valid: {error}"),
    }
}

/// The name in `DnsName("a")` or `IpAddress(127.0.0.1)`.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').map_or(name, |(_, inner)| inner);
    inner.trim_end_matches(')').trim_matches('"')
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|error| error.downcast_ref())
}

/// Why a peer cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// There is no way to it, or nobody there.
    #[error("no connection to it could be made")]
    Connection(#[source] io::Error),
    /// It takes connections and says nothing.
    #[error("it does not answer")]
    Silent,
    /// It wants TLS and was talked to plainly.
    #[error("it speaks TLS, and this side does not")]
    SpeaksTls,
    /// It was talked to by TLS and does not know it.
    #[error("it does not speak TLS, and this side does")]
    SpeaksPlainly,
    /// Its certificate is not taken here.
    #[error("its certificate {}", lacks(.0))]
    ItsCertificate(CertificateError),
    /// Our certificate is not taken there.
    #[error("it does not take our certificate: {}", of_alert(*.0))]
    OurCertificate(AlertDescription),
    /// TLS failed otherwise.
    #[error("TLS failed")]
    Tls(#[source] rustls::Error),
    /// Whoever is there is of another kind.
    #[error("it is of another kind: it does not speak HTTP/2")]
    OfAnotherKind,
    /// It is asked who is there, and says something else.
    #[error("it does not say who is there: {0}")]
    NoAnswer(String),
    /// Whoever is there may be an executor, but is no scheduler.
    #[error("it is no scheduler, though it speaks HTTP/2")]
    NoScheduler,
}

impl Unreachable {
    /// It and its sources in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut chain = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            chain.push_str(&format!(": {error}"));
            source = error.source();
        }
        chain
    }

    /// Whether it is about TLS, or a certificate.
    #[must_use]
    pub fn is_of_tls(&self) -> bool {
        self.remedy_of_tls(["", "", ""]).is_some()
    }

    /// What to do when it is about TLS; this side calls its files so: certificate, key and authority.
    #[must_use]
    pub fn remedy_of_tls(&self, [certificate, key, authority]: [&str; 3]) -> Option<String> {
        const ANEW: &str = "and start it anew";
        Some(match self {
            Self::SpeaksTls => format!(
                "all of a cluster speak TLS, or none does: set {certificate}, {key} and {authority} here"
            ),
            Self::SpeaksPlainly => format!(
                "all of a cluster speak TLS, or none does: give it --tls-cert, --tls-key and --tls-ca, {ANEW}; or take {certificate}, {key} and {authority} away"
            ),
            Self::ItsCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
                format!(
                    "renew the certificate that it shows (its --tls-cert), {ANEW}; or is the clock of this machine wrong?"
                )
            }
            Self::ItsCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
                format!(
                    "one authority signs for all of a cluster: let {authority} name the one that has signed its certificate"
                )
            }
            Self::ItsCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => format!(
                "its certificate (--tls-cert) must be for the host by which it is called here: make another, {ANEW}"
            ),
            Self::ItsCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
                "the clock of this machine is behind, or the certificate was made for later".to_owned()
            }
            Self::ItsCertificate(_) => {
                "look at the certificate that it shows (its --tls-cert): one that says what it is for must be for servers, too (serverAuth)".to_owned()
            }
            Self::OurCertificate(AlertDescription::CertificateExpired) => {
                format!("renew {certificate}; or is the clock of the other machine wrong?")
            }
            Self::OurCertificate(AlertDescription::UnknownCA | AlertDescription::DecryptError) => format!(
                "one authority signs for all of a cluster: let {certificate} be signed by the one that the other side knows (its --tls-ca)"
            ),
            Self::OurCertificate(AlertDescription::CertificateRequired) => {
                format!("set {certificate}, {key} and {authority} here")
            }
            Self::OurCertificate(_) => format!(
                "look at {certificate}: one that says what it is for must be for clients, too (clientAuth)"
            ),
            Self::Tls(_) => {
                format!("look at {certificate}, {key} and {authority}, and at those of the other side")
            }
            Self::Connection(_)
            | Self::Silent
            | Self::OfAnotherKind
            | Self::NoAnswer(_)
            | Self::NoScheduler => {
                return None;
            }
        })
    }

    /// Whether whoever is to be called does not answer, though the way to it may be there.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        match self {
            Self::Silent => true,
            Self::Connection(error) => error.kind() == io::ErrorKind::TimedOut,
            _ => false,
        }
    }

    /// Whether nobody listens there.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Connection(error) if error.kind() == io::ErrorKind::ConnectionRefused)
    }
}

fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => "it was shown none".to_owned(),
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "it is of an authority that it does not know".to_owned()
        }
        AlertDescription::CertificateExpired => "it has expired".to_owned(),
        alert => format!("{alert:?}"),
    }
}

impl From<io::Error> for Unreachable {
    fn from(error: io::Error) -> Self {
        match tls_error(&error) {
            Some(rustls::Error::InvalidCertificate(error)) => Self::ItsCertificate(error.clone()),
            Some(rustls::Error::AlertReceived(alert)) => Self::OurCertificate(*alert),
            Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => Self::SpeaksPlainly,
            Some(error) => Self::Tls(error.clone()),
            None => Self::Connection(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_certificates_are_told_bare() {
        assert_eq!(bare("IpAddress(127.0.0.1)"), "127.0.0.1");
        assert_eq!(bare("DnsName(\"a.b\")"), "a.b");
        assert_eq!(bare("a.b"), "a.b");
    }
}

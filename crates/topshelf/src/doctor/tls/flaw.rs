//! What can be wrong with a certificate, and how that is told.

use crate::doctor::certificate::Certificate;
use jiff::Timestamp;
use rustls::{CertificateError, Error as TlsError, OtherError};
use std::error::Error;

/// Why a certificate is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::doctor) enum Flaw {
    Expired,
    NotYetValid,
    UnknownIssuer,
    /// It is of these names.
    OtherName(Vec<String>),
    /// This machine trusts nobody.
    NoAuthorities,
    Other(String),
}

impl Flaw {
    /// The flaw that an error of rustls tells.
    pub(super) fn of(error: &TlsError) -> Self {
        let TlsError::InvalidCertificate(error) = error else { return Self::Other(error.to_string()) };
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::NotValidForName => Self::OtherName(Vec::new()),
            CertificateError::NotValidForNameContext { presented, .. } => {
                Self::OtherName(presented.iter().map(|name| plain_name(name)).collect())
            }
            // What signs itself as an authority and is shown as the server's own: nobody else vouches for it.
            CertificateError::Other(OtherError(other)) if is_authority_as_server(&**other) => {
                Self::UnknownIssuer
            }
            other => Self::Other(other.to_string()),
        }
    }

    /// What is wrong with a certificate of `host`, and the likely cause; what to do depends on whose it is.
    pub(in crate::doctor) fn in_words(&self, chain: &[Certificate], host: &str) -> (String, String) {
        let own = chain.first();
        match self {
            Self::Expired => {
                let ended = chain.iter().map(|certificate| certificate.not_after).min();
                let ended = ended.map_or_else(String::new, |ended| format!(" on {} UTC", ended));
                (
                    format!("a certificate expired{ended}"),
                    format!(
                        "nobody renewed it in time, or this machine's clock is wrong: it says {}",
                        seconds(Timestamp::now())
                    ),
                )
            }
            Self::NotYetValid => (
                "a certificate is not valid yet".to_owned(),
                format!("this machine's clock is behind: it says {}", seconds(Timestamp::now())),
            ),
            Self::UnknownIssuer => {
                let issuer = chain.last().map_or("nobody", |last| last.issuer.as_str());
                let is_own = own.is_some_and(|own| own.issuer == own.subject);
                let cause = if is_own {
                    "the certificate was issued by itself: this machine trusts no such authority"
                } else {
                    "the authority that issued it is not among those that this machine trusts"
                };
                (format!("the issuer {issuer:?} is unknown"), cause.to_owned())
            }
            Self::OtherName(names) => {
                let names = if names.is_empty() { "another host".to_owned() } else { names.join(", ") };
                (
                    format!("the certificate is of {names}, not of {host}"),
                    "the server is called by another name or an IP address than its certificate has, or another one answers".to_owned(),
                )
            }
            Self::NoAuthorities => (
                "this machine trusts no authority at all".to_owned(),
                "the image has no certificates of authorities".to_owned(),
            ),
            Self::Other(text) => (text.clone(), "the certificate is not one that can be checked".to_owned()),
        }
    }
}

/// `db.example` of `DnsName("db.example")`, as rustls tells names.
fn plain_name(name: &str) -> String {
    let inside = name.split_once('(').map_or(name, |(_, inside)| inside);
    inside.trim_end_matches(')').trim_matches('"').to_owned()
}

fn is_authority_as_server(error: &(dyn Error + 'static)) -> bool {
    error.to_string().contains("CaUsedAsEndEntity")
}

fn seconds(now: Timestamp) -> String {
    now.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

//! What a certificate says of itself: whose it is, who issued it, how long it is good (RFC 5280, section 4.1).
//!
//! Only for telling people. Whether a certificate is to be believed, rustls decides.

use jiff::civil::DateTime;

/// What is told of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) subject: String,
    pub(super) issuer: String,
    /// In UTC.
    pub(super) not_after: DateTime,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xA0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Attributes of a name, by their OIDs in DER, in the order in which they are told: common name, unit, organisation.
const ATTRIBUTES: [&[u8]; 3] = [&[0x55, 4, 3], &[0x55, 4, 11], &[0x55, 4, 10]];

/// An element of DER.
struct Element<'d> {
    tag: u8,
    content: &'d [u8],
}

/// The elements that stand one after the other in some bytes.
struct Elements<'d>(&'d [u8]);

impl<'d> Iterator for Elements<'d> {
    type Item = Element<'d>;

    fn next(&mut self) -> Option<Element<'d>> {
        let (&[tag, length], mut rest) = self.0.split_first_chunk()?;
        let mut size = usize::from(length);
        if length >= 0x80 {
            let bytes = rest.get(..usize::from(length & 0x7F)).filter(|bytes| bytes.len() <= 4)?;
            rest = &rest[bytes.len()..];
            size = bytes.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
        }
        let content = rest.get(..size)?;
        self.0 = &rest[size..];
        Some(Element { tag, content })
    }
}

impl Certificate {
    /// Reads a certificate in DER; none when it cannot be read.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let certificate = Elements(der).next().filter(|element| element.tag == SEQUENCE)?;
        let to_be_signed = Elements(certificate.content).next()?;
        let mut fields = Elements(to_be_signed.content);
        let first = fields.next()?;
        let serial = if first.tag == VERSION { fields.next()? } else { first };
        if serial.tag != INTEGER {
            return None;
        }
        let (_signature, issuer, validity, subject) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let not_after = time(&Elements(validity.content).nth(1)?)?;
        Some(Self { subject: name(subject.content), issuer: name(issuer.content), not_after })
    }
}

/// The first attribute that people know a name by.
fn name(name: &[u8]) -> String {
    let attributes: Vec<_> = Elements(name)
        .flat_map(|set| Elements(set.content))
        .filter_map(|attribute| {
            let mut parts = Elements(attribute.content);
            Some((parts.next()?.content, parts.next()?.content))
        })
        .collect();
    let told = ATTRIBUTES.iter().find_map(|oid| attributes.iter().find(|(of, _)| of == oid));
    told.map_or_else(|| "(no name)".to_owned(), |(_, text)| String::from_utf8_lossy(text).into_owned())
}

fn time(element: &Element<'_>) -> Option<DateTime> {
    let text = std::str::from_utf8(element.content).ok()?;
    let (year_digits, century) = match element.tag {
        UTC_TIME => (2, if text.get(..2)? < "50" { "20" } else { "19" }),
        GENERALIZED_TIME => (4, ""),
        _ => return None,
    };
    let (year, rest) = text.split_at_checked(year_digits)?;
    let number = |range: std::ops::Range<usize>| rest.get(range)?.parse::<i8>().ok();
    let year = format!("{century}{year}").parse().ok()?;
    DateTime::new(year, number(0..2)?, number(2..4)?, number(4..6)?, number(6..8)?, number(8..10)?, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_times_are_found() {
        let mut of = rcgen::CertificateParams::new(["db.example".to_owned()]).unwrap();
        of.distinguished_name.push(rcgen::DnType::CommonName, "db.example");
        of.not_after = rcgen::date_time_ymd(2051, 3, 4);
        let key = rcgen::KeyPair::generate().unwrap();
        let read = Certificate::read(of.self_signed(&key).unwrap().der()).unwrap();
        assert_eq!((read.subject.as_str(), read.issuer.as_str()), ("db.example", "db.example"));
        assert_eq!(read.not_after.to_string(), "2051-03-04T00:00:00");
        of.not_after = rcgen::date_time_ymd(2024, 11, 20);
        let read = Certificate::read(of.self_signed(&key).unwrap().der()).unwrap();
        assert_eq!(read.not_after.to_string(), "2024-11-20T00:00:00");
    }

    #[test]
    fn what_is_cut_off_or_none_is_not_read() {
        let of = rcgen::CertificateParams::new(["db".to_owned()]).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = of.self_signed(&key).unwrap();
        let der: &[u8] = certificate.der();
        for length in 0..der.len() / 2 {
            // The signature at the end is not looked at.
            assert_eq!(Certificate::read(&der[..length]), None, "{length}");
        }
        assert_eq!(Certificate::read(b"0\x84\xFF\xFF\xFF\xFF"), None);
    }
}

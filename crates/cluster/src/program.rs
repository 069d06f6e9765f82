//! Which program wrote a plan: what travels between processes is read by the same version alone.

use crate::trouble::Trouble;
use datafusion::error::{DataFusionError, Result};
use prost::Message;

/// This program and its form of plans: all of a cluster are of the same.
pub const PROGRAM: &str = concat!("topshelf ", env!("CARGO_PKG_VERSION"), " (plans 1)");

/// What plans of ours begin with: no message of the engine's begins so, as no field has the number 15 and this type.
const MARK: &[u8; 9] = b"\x7ftopshelf";

/// A message behind the mark and the program's name.
pub(crate) fn encode(message: &impl Message, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(MARK);
    buffer.push(u8::try_from(PROGRAM.len()).expect("the name is short"));
    buffer.extend_from_slice(PROGRAM.as_bytes());
    message.encode(buffer).expect("a vector has room");
}

/// The message, for whoever is called so; none when it is not of ours.
///
/// # Errors
/// When another program wrote it. Errors of a plan are not tried again.
pub(crate) fn decode<M: Message + Default>(reader: &str, bytes: &[u8]) -> Option<Result<M>> {
    let rest = bytes.strip_prefix(MARK)?;
    Some(decode_marked(reader, rest))
}

fn decode_marked<M: Message + Default>(reader: &str, rest: &[u8]) -> Result<M> {
    let broken = || DataFusionError::Plan("a plan of topshelf is broken".to_owned());
    let (length, rest) = rest.split_first().ok_or_else(broken)?;
    let (program, rest) = rest.split_at_checked(usize::from(*length)).ok_or_else(broken)?;
    if program != PROGRAM.as_bytes() {
        let theirs = String::from_utf8_lossy(program);
        let message = format!("the job is by {theirs}, and {reader} is {PROGRAM}");
        let remedy =
            Some("scheduler, executors and whoever runs the night must be of one version".to_owned());
        tracing::warn!(reason = message, "a plan was refused");
        return Err(DataFusionError::Plan(format!("{:?}", Trouble { message, remedy })));
    }
    M::decode(rest).map_err(|_| broken())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct Sample {
        #[prost(string, tag = "1")]
        text: String,
    }

    #[test]
    fn what_another_version_wrote_is_told() {
        let mut bytes = Vec::new();
        encode(&Sample { text: "a".into() }, &mut bytes);
        assert_eq!(decode::<Sample>("the scheduler", &bytes).unwrap().unwrap().text, "a");
        assert!(decode::<Sample>("the scheduler", b"\x0a\x01a").is_none());
        let at = MARK.len() + 1 + PROGRAM.find('0').unwrap();
        bytes[at] = b'9';
        let error = decode::<Sample>("the scheduler", &bytes).unwrap().unwrap_err();
        let told = Trouble::told_in(&format!("{error:?}")).unwrap().message;
        assert!(told.contains("topshelf 9"), "{told}");
        assert!(told.ends_with(&format!("the scheduler is {PROGRAM}")), "{told}");
        for end in MARK.len()..MARK.len() + 4 {
            assert!(
                decode::<Sample>("the scheduler", &bytes[..end])
                    .unwrap()
                    .unwrap_err()
                    .to_string()
                    .contains("broken")
            );
        }
    }
}

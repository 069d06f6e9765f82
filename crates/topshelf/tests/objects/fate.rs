//! What may become of a request and of its answer.

use crate::{asked::Asked, message::Message};

/// A status and the code that S3 gives with it: `503 SlowDown`.
pub(crate) type Refusal = &'static str;

/// Of a body, so many thousandths.
pub(crate) type Share = u16;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fate {
    Passes,

    // The server never learns of the request.
    /// It is answered so.
    Refused(Refusal),
    /// The connection is reset.
    Lost,
    /// Nothing comes, and nothing ends.
    Held,

    // It is carried out.
    /// The answer is another.
    Denied(Refusal),
    /// The connection is reset before the answer.
    Unheard,
    /// It is carried out once nobody waits for the answer any more.
    Late,

    // The answer's body breaks off.
    /// The connection is reset.
    Reset(Share),
    /// The connection ends as if all had been sent.
    Ends(Share),
    /// Nothing comes any more, and nothing ends.
    Stalls(Share),

    // The answer is not what it seems.
    /// Its length, and what is sent, are less than they should be.
    Shorter,
    /// Its length is less than what is sent.
    Overflows,
    /// Its length, and what is sent, are more than they should be.
    Longer,
    /// One bit of it is another.
    Flipped,
    /// All of the object, where a part was asked for.
    Whole,
    /// Another part of the object.
    OtherRange,
    WithoutEtag,
    OtherEtag,
    /// A page of a listing that says that there are more, and not where, and has but the first half.
    Unended,
    /// A page that has nothing to do with it.
    Elsewhere,
}

impl Fate {
    /// Changes the request that the server gets.
    pub(crate) fn change_request(self, request: &mut Message, asked: &Asked) {
        match (self, &asked.range) {
            (Self::Whole, _) => request.remove("range"),
            (Self::OtherRange, Some(range)) => {
                request.set("Range", &format!("bytes={}-{}", range.start + 1, range.end));
            }
            _ => {}
        }
    }

    /// Changes the answer that the client gets.
    pub(crate) fn change_answer(self, answer: &mut Message) {
        let middle = answer.body.len() / 2;
        match self {
            Self::Shorter => {
                answer.body.truncate(middle);
                answer.tell_length();
            }
            Self::Overflows => answer.set("Content-Length", &middle.to_string()),
            Self::Longer => {
                let more = answer.body[..middle].to_vec();
                answer.body.extend(more);
                answer.tell_length();
            }
            Self::Flipped if middle > 0 => answer.body[middle] ^= 1,
            Self::WithoutEtag => answer.remove("etag"),
            Self::OtherEtag => answer.set("ETag", "\"00000000000000000000000000000000\""),
            Self::Unended => answer.body = unended(&String::from_utf8_lossy(&answer.body)).into(),
            Self::Elsewhere => {
                *answer = Message::answer("200 OK", "text/html", "<html>Log in first</html>".to_owned());
            }
            _ => {}
        }
        if self == Self::Unended {
            answer.tell_length();
        }
    }
}

/// The answer of a server that refuses.
pub(crate) fn refusal(refusal: Refusal, is_look: bool) -> Message {
    let code = refusal.split_once(' ').unwrap().1;
    let body = if is_look { String::new() } else { format!("<Error><Code>{code}</Code></Error>") };
    Message::answer(refusal, "application/xml", body)
}

/// The first half of a listing's page, without a word of how to go on.
fn unended(page: &str) -> String {
    let (head, rest) = page.split_once("<Contents>").unwrap_or((page, ""));
    let entries: Vec<_> = rest.split("<Contents>").collect();
    let kept = entries[..entries.len() / 2].iter().map(|entry| {
        let (entry, _) = entry.split_once("</Contents>").unwrap_or((entry, ""));
        format!("<Contents>{entry}</Contents>")
    });
    let mut head = head.replace("<IsTruncated>false</IsTruncated>", "<IsTruncated>true</IsTruncated>");
    if let (Some(start), Some(end)) =
        (head.find("<NextContinuationToken>"), head.find("</NextContinuationToken>"))
    {
        head.replace_range(start..end + "</NextContinuationToken>".len(), "");
    }
    let head = head.trim_end_matches("</ListBucketResult>").to_owned();
    let is_told = if head.contains("<IsTruncated>") { "" } else { "<IsTruncated>true</IsTruncated>" };
    format!("{head}{}{is_told}</ListBucketResult>", kept.collect::<String>())
}

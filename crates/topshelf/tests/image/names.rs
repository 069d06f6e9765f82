//! A DNS server of a test's own: it knows a few names, all of this machine, and says of others that there are none.

use tokio::net::UdpSocket;

/// Where it listens: what `/etc/resolv.conf` names has the port 53.
pub(crate) const ADDRESS: &str = "127.0.0.1";

const QUESTION: usize = 12;
const TYPE_A: u16 = 1;

/// Starts it; it ends with the runtime.
pub(crate) async fn serve(known: &'static [&'static str]) {
    let socket = UdpSocket::bind((ADDRESS, 53)).await.unwrap();
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, asker)) = socket.recv_from(&mut query).await {
            if let Some(answer) = answer(&query[..length], known) {
                let _ = socket.send_to(&answer, asker).await; // who asked may have gone
            }
        }
    });
}

/// The answer to a query with one question (RFC 1035, section 4), if it is one.
fn answer(query: &[u8], known: &[&str]) -> Option<Vec<u8>> {
    let (mut labels, mut at) = (Vec::new(), QUESTION);
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(std::str::from_utf8(query.get(at..at + length)?).ok()?.to_lowercase());
        at += length;
    }
    let asked = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
    let is_known = known.contains(&labels.join(".").as_str());
    let has_address = is_known && asked == TYPE_A;
    let mut answer = query[..2].to_vec();
    // A response, recursion available; code 3 is "no such name".
    answer.extend([0x81, if is_known { 0x80 } else { 0x83 }, 0, 1, 0, u8::from(has_address), 0, 0, 0, 0]);
    answer.extend(query.get(QUESTION..at + 4)?);
    if has_address {
        // The name asked for, type A, class IN, good for a second, 4 bytes.
        answer.extend([0xC0, 0x0C, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}

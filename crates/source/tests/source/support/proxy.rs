//! A proxy in front of an S3 server that does to its answers what networks and busy stores do.
//!
//! A rule looks at each request and says what happens to the answer. The proxy writes down what was asked,
//! how much was on its way at once, and how many body bytes it passed on.

use std::{
    collections::HashMap,
    io,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// A request for an object's bytes, or for something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Encoded, with the query.
    pub(crate) path: String,
    pub(crate) range: Option<Range<u64>>,
}

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Passes,
    /// It is another one, with this status.
    Refused(&'static str),
    /// The connection is reset behind so many body bytes.
    Reset(u64),
    /// The connection ends there as if all had been sent.
    Ends(u64),
    /// Nothing comes any more from there on, and nothing ends.
    Stalls(u64),
}

type Rule = dyn Fn(&Asked) -> Fate + Send + Sync;

pub(crate) struct Proxy {
    endpoint: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    latency: Duration,
    rule: Box<Rule>,
    asked: Mutex<Vec<Asked>>,
    now: AtomicUsize,
    at_once: AtomicUsize,
    passed: AtomicU64,
    /// Body bytes that somebody used, told by the test.
    used: AtomicU64,
    /// The most that were passed on and not used.
    ahead: AtomicU64,
}

impl Proxy {
    /// A proxy in front of `upstream`, `http://host:port`, until the runtime ends.
    pub(crate) async fn start(
        upstream: &str,
        latency: Duration,
        rule: impl Fn(&Asked) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            upstream: upstream.strip_prefix("http://").unwrap().to_owned(),
            latency,
            rule: Box::new(rule),
            asked: Mutex::default(),
            now: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            passed: AtomicU64::new(0),
            used: AtomicU64::new(0),
            ahead: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let shared = Arc::clone(&accepting);
                // Connections that break are what the proxy is for.
                tokio::spawn(async move { drop(shared.serve(socket).await) });
            }
        });
        Self { endpoint, shared }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Everything that was asked so far, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// The ranges of objects that were asked for, in order.
    pub(crate) fn ranges(&self) -> Vec<Range<u64>> {
        self.asked()
            .into_iter()
            .filter(|asked| asked.method == "GET")
            .filter_map(|asked| asked.range)
            .collect()
    }

    /// How often each method and kind of request came.
    pub(crate) fn tally(&self) -> HashMap<&'static str, usize> {
        let mut tally = HashMap::new();
        for asked in self.asked() {
            let kind = match (asked.method.as_str(), &asked.range) {
                ("GET", Some(_)) => "part",
                ("GET", None) => "listing",
                _ => "look",
            };
            *tally.entry(kind).or_default() += 1;
        }
        tally
    }

    /// The most requests that were on their way at once.
    pub(crate) fn at_once(&self) -> usize {
        self.shared.at_once.load(SeqCst)
    }

    /// Somebody used body bytes.
    pub(crate) fn used(&self, bytes: u64) {
        self.shared.used.fetch_add(bytes, SeqCst);
    }

    /// The most body bytes that were passed on and not used at once.
    pub(crate) fn ahead(&self) -> u64 {
        self.shared.ahead.load(SeqCst)
    }
}

impl Shared {
    async fn serve(&self, client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let mut client = BufReader::new(client);
        let upstream = TcpStream::connect(&self.upstream).await?;
        upstream.set_nodelay(true)?;
        let mut upstream = BufReader::new(upstream);
        while let Some(head) = read_head(&mut client).await? {
            let asked = asked(&head);
            self.asked.lock().unwrap().push(asked.clone());
            let now = self.now.fetch_add(1, SeqCst) + 1;
            self.at_once.fetch_max(now, SeqCst);
            let goes_on = self.answer(&asked, &head, &mut client, &mut upstream).await;
            self.now.fetch_sub(1, SeqCst);
            if !goes_on? {
                break;
            }
        }
        Ok(())
    }

    /// Whether the connection is of use after it.
    async fn answer(
        &self,
        asked: &Asked,
        head: &str,
        client: &mut BufReader<TcpStream>,
        upstream: &mut BufReader<TcpStream>,
    ) -> io::Result<bool> {
        tokio::time::sleep(self.latency).await;
        let fate = (self.rule)(asked);
        if let Fate::Refused(status) = fate {
            let code = status.split_once(' ').unwrap().1;
            let body = format!("<Error><Code>{code}</Code></Error>");
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            client.get_mut().write_all(answer.as_bytes()).await?;
            return Ok(true);
        }
        upstream.get_mut().write_all(head.as_bytes()).await?;
        let answer = read_head(upstream).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        client.get_mut().write_all(answer.as_bytes()).await?;
        let length = if asked.method == "HEAD" { 0 } else { content_length(&answer) };
        let passed = match fate {
            Fate::Reset(bytes) | Fate::Ends(bytes) | Fate::Stalls(bytes) => bytes.min(length),
            _ => length,
        };
        self.pass_on(passed, client, upstream, asked.range.is_some()).await?;
        match fate {
            Fate::Stalls(_) => {
                // Until the client hangs up.
                let _ = client.read(&mut [0]).await?;
                Ok(false)
            }
            Fate::Reset(_) => {
                #[expect(deprecated, reason = "what is unsent is lost, as on a broken network")]
                client.get_mut().set_linger(Some(Duration::ZERO))?;
                Ok(false)
            }
            Fate::Ends(_) => Ok(false),
            _ => Ok(true),
        }
    }

    async fn pass_on(
        &self,
        mut left: u64,
        client: &mut BufReader<TcpStream>,
        upstream: &mut BufReader<TcpStream>,
        is_part: bool,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            let most = buffer.len().min(usize::try_from(left).unwrap());
            let read = upstream.read(&mut buffer[..most]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= read as u64;
            if is_part {
                let passed = self.passed.fetch_add(read as u64, SeqCst) + read as u64;
                self.ahead.fetch_max(passed.saturating_sub(self.used.load(SeqCst)), SeqCst);
            }
            client.get_mut().write_all(&buffer[..read]).await?;
        }
        Ok(())
    }
}

/// Lines up to the empty one, as they came; none when nothing more comes.
async fn read_head(reader: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut values = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    values.next()
}

fn asked(head: &str) -> Asked {
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let range = header(head, "range").map(|text| {
        let (start, last) = text.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        start.parse().unwrap()..last.parse::<u64>().unwrap() + 1
    });
    Asked { method, path, range }
}

/// The answer's length, which this server always tells.
fn content_length(answer: &str) -> u64 {
    header(answer, "content-length").unwrap_or_else(|| panic!("no length: {answer}")).parse().unwrap()
}

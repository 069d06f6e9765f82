//! Stands between a program and its PostgreSQL, and cuts their connections where a test says so.
//!
//! It understands as much of the protocol as it takes to tell where a client's message begins and what it is.

use std::{
    collections::BTreeMap,
    io::{self, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

/// A message from the client to the server.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    /// How many have come before it since the rule was made.
    pub(crate) number: usize,
    /// The letter of its kind; none of those that begin a connection.
    pub(crate) kind: Option<u8>,
    text: &'a [u8],
    /// Whether rows were copied in since the last transaction began.
    has_copied: bool,
}

impl Message<'_> {
    /// Whether it holds rows that are copied in.
    pub(crate) fn is_copied_rows(&self) -> bool {
        self.kind == Some(b'd')
    }

    /// Whether it commits a publication, which copies rows in.
    pub(crate) fn is_commit_of_publication(&self) -> bool {
        self.has_copied && self.is_commit()
    }

    /// Whether these words are in it.
    pub(crate) fn says(&self, words: &str) -> bool {
        self.text.windows(words.len()).any(|text| text == words.as_bytes())
    }

    /// Whether it commits.
    pub(crate) fn is_commit(&self) -> bool {
        self.kind == Some(b'Q') && self.text.starts_with(b"COMMIT")
    }
}

/// What becomes of a message and of the connection that it came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is handed on.
    Passes,
    /// The connection is cut, and the server never hears of it.
    IsLost,
    /// The server gets it, and the connection is cut before the answer.
    IsNotAnswered,
    /// The connection is cut, and the server gets it so much later.
    IsLate(Duration),
}

type Rule = Box<dyn FnMut(&Message<'_>) -> Fate + Send>;

/// A proxy; it goes on until the test ends.
#[derive(Clone)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    /// Whoever hands something on reads it; it is held for writing while all is silent.
    gate: Arc<RwLock<()>>,
}

struct Shared {
    rule: Rule,
    messages: usize,
    has_cut: bool,
    connected: usize,
    connections: BTreeMap<usize, [TcpStream; 2]>,
}

impl Proxy {
    /// A proxy before the server of the URL, through which all passes.
    pub(crate) fn before(url: &str) -> Self {
        let server = address_in(url).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let rule: Rule = Box::new(|_| Fate::Passes);
        let shared = Shared { rule, messages: 0, has_cut: false, connected: 0, connections: BTreeMap::new() };
        let proxy = Self { address, shared: Arc::new(Mutex::new(shared)), gate: Arc::default() };
        let accepting = proxy.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A server that is not there is seen as a connection that breaks.
                if let Ok(server) = TcpStream::connect(&server) {
                    accepting.join(client, server).unwrap();
                }
            }
        });
        proxy
    }

    /// The URL of the same database through the proxy.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replace(address_in(url), &self.address.to_string())
    }

    /// From now on messages fare by this rule.
    pub(crate) fn rule(&self, rule: impl FnMut(&Message<'_>) -> Fate + Send + 'static) {
        let mut shared = self.shared.lock().unwrap();
        shared.rule = Box::new(rule);
        shared.messages = 0;
    }

    /// From now on one message fares so, the first that it is true of, and all others pass.
    pub(crate) fn once(&self, fate: Fate, mut is_it: impl FnMut(&Message<'_>) -> bool + Send + 'static) {
        let mut is_over = false;
        self.rule(move |message| {
            let is_now = !is_over && is_it(message);
            is_over |= is_now;
            if is_now { fate } else { Fate::Passes }
        });
    }

    /// How many messages have come since the rule was made.
    pub(crate) fn messages(&self) -> usize {
        self.shared.lock().unwrap().messages
    }

    /// Whether a rule has cut anything so far.
    pub(crate) fn has_cut(&self) -> bool {
        self.shared.lock().unwrap().has_cut
    }

    /// Cuts every connection that there is.
    pub(crate) fn cut(&self) {
        self.cut_some(|| true);
    }

    /// Cuts the connections that are chosen of those that there are.
    pub(crate) fn cut_some(&self, mut is_chosen: impl FnMut() -> bool) {
        let shared = self.shared.lock().unwrap();
        for [client, server] in shared.connections.values().filter(|_| is_chosen()) {
            // Either may be gone already.
            let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
        }
    }

    /// Hands nothing on for so long, either way, and closes nothing; then all that came meanwhile.
    pub(crate) fn silence(&self, for_so_long: Duration) {
        let _held = self.gate.write().unwrap();
        thread::sleep(for_so_long);
    }

    fn join(&self, client: TcpStream, server: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let mut shared = self.shared.lock().unwrap();
        shared.connected += 1;
        let (number, streams) = (shared.connected, [client.try_clone()?, server.try_clone()?]);
        shared.connections.insert(number, streams);
        drop(shared);
        let is_cut = Arc::new(AtomicBool::new(false));
        let (answers, listener, is_deaf) = (server.try_clone()?, client.try_clone()?, is_cut.clone());
        let gate = self.gate.clone();
        thread::spawn(move || hand_back(answers, listener, &is_deaf, &gate));
        let proxy = self.clone();
        thread::spawn(move || {
            // However it ends, both sides hear of it.
            let _ = proxy.hand_on(&client, &server, &is_cut);
            let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Write));
            proxy.shared.lock().unwrap().connections.remove(&number);
        });
        Ok(())
    }

    fn hand_on(&self, client: &TcpStream, mut server: &TcpStream, is_cut: &AtomicBool) -> io::Result<()> {
        let mut messages = Messages { from: BufReader::new(client), has_begun: false, has_copied: false };
        loop {
            let (kind, bytes) = messages.next()?;
            let _open = self.gate.read().unwrap();
            match self.fate(kind, &bytes, messages.has_copied) {
                Fate::Passes => server.write_all(&bytes)?,
                fate => {
                    is_cut.store(true, SeqCst);
                    client.shutdown(Shutdown::Both)?;
                    if let Fate::IsLate(by) = fate {
                        thread::sleep(by);
                    }
                    if fate != Fate::IsLost {
                        server.write_all(&bytes)?;
                    }
                    return Ok(());
                }
            }
        }
    }

    fn fate(&self, kind: Option<u8>, bytes: &[u8], has_copied: bool) -> Fate {
        let mut shared = self.shared.lock().unwrap();
        let (number, text) = (shared.messages, bytes.get(5..).unwrap_or_default());
        shared.messages += 1;
        let fate = (shared.rule)(&Message { number, kind, text, has_copied });
        shared.has_cut |= fate != Fate::Passes;
        fate
    }
}

/// Hands answers back until the server has no more; those that come after the cut are lost.
fn hand_back(mut server: TcpStream, mut client: TcpStream, is_cut: &AtomicBool, gate: &RwLock<()>) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = server.read(&mut bytes) {
        let _open = gate.read().unwrap();
        if !is_cut.load(SeqCst) && client.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

/// The messages of a client, one after the other.
struct Messages<R> {
    from: R,
    /// Whether the connection is beyond its first messages, which have no letter.
    has_begun: bool,
    has_copied: bool,
}

/// The version of the protocol, where other first messages have what they ask for.
const VERSION_3: [u8; 4] = [0, 3, 0, 0];

impl<R: Read> Messages<R> {
    fn next(&mut self) -> io::Result<(Option<u8>, Vec<u8>)> {
        let mut bytes = vec![0; if self.has_begun { 5 } else { 4 }];
        self.from.read_exact(&mut bytes)?;
        let letters = bytes.len() - 4;
        let length = u32::from_be_bytes(bytes[letters..].try_into().unwrap()) as usize;
        bytes.resize(letters + length, 0);
        self.from.read_exact(&mut bytes[letters + 4..])?;
        if !self.has_begun {
            self.has_begun = bytes[4..8] == VERSION_3;
            return Ok((None, bytes));
        }
        match bytes[0] {
            b'd' => self.has_copied = true,
            b'Q' if bytes[5..].starts_with(b"BEGIN") => self.has_copied = false,
            _ => {}
        }
        Ok((Some(bytes[0]), bytes))
    }
}

/// Host and port of a URL.
fn address_in(url: &str) -> &str {
    let (_, rest) = url.rsplit_once('@').unwrap();
    rest.split('/').next().unwrap()
}

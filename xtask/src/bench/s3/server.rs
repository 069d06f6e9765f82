//! A bucket on loopback: the files of a folder, served as S3 serves objects, as lean as can be.
//!
//! Whoever asks is answered: no signature is looked at. Ranges of objects, their metadata and listings are
//! all it knows. It may wait before each answer, as a network does, and send no more than a rate, as a network
//! does too. Bodies go from the page cache to the socket without a copy here (`sendfile`).

use super::http::{self, Request};
use crate::Failure;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

/// The one bucket.
pub(super) const BUCKET: &str = "logs";
/// Bytes that are sent between two looks at the rate.
const CHUNK_BYTES: u64 = 256 << 10;
/// Keys in an answer to a listing, as on AWS.
const KEYS_PER_PAGE: usize = 1000;

/// How the server answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Conditions {
    /// The wait before each answer.
    pub(super) latency: Duration,
    /// Bytes a second at most, all connections together.
    pub(super) bytes_per_second: Option<f64>,
}

/// A server on a free port, until it is dropped.
pub(super) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What was asked of the server since it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) requests: u64,
    /// The most that were answered at once.
    pub(super) at_once: usize,
}

struct Shared {
    objects: BTreeMap<String, Object>,
    conditions: Conditions,
    /// When the next chunk may be sent.
    free_at: Mutex<Instant>,
    requests: AtomicU64,
    now: AtomicUsize,
    at_once: AtomicUsize,
    is_over: AtomicBool,
}

struct Object {
    file: PathBuf,
    size: u64,
    etag: String,
}

impl Server {
    /// Serves the files of `folder` under their names.
    pub(super) fn start(folder: &Path, conditions: Conditions) -> Result<Self, Failure> {
        let objects = objects(folder)?;
        let listener = TcpListener::bind("127.0.0.1:0");
        let listener = listener.map_err(|error| format!("could not listen on loopback: {error}"))?;
        let address = listener.local_addr().map_err(|error| format!("could not listen: {error}"))?;
        let shared = Arc::new(Shared {
            objects,
            conditions,
            free_at: Mutex::new(Instant::now()),
            requests: AtomicU64::new(0),
            now: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Ok(Self { address, shared })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked since the last call.
    pub(super) fn seen(&self) -> Seen {
        let shared = &self.shared;
        Seen { requests: shared.requests.swap(0, Relaxed), at_once: shared.at_once.swap(0, Relaxed) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Relaxed);
        // Wakes the thread that accepts; when nobody does any more, all is well.
        let _ = TcpStream::connect(self.address);
    }
}

fn objects(folder: &Path) -> Result<BTreeMap<String, Object>, Failure> {
    let unread = |error: io::Error| format!("could not list {}: {error}", folder.display());
    let mut objects = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let size = entry.metadata().map_err(unread)?.len();
        let name = entry.file_name().to_string_lossy().into_owned();
        // The files do not change while they are served.
        let etag = format!("\"{size:x}-{}\"", objects.len());
        objects.insert(name, Object { file: entry.path(), size, etag });
    }
    Ok(objects)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for socket in listener.incoming() {
        if shared.is_over.load(Relaxed) {
            return;
        }
        let Ok(socket) = socket else { continue };
        let shared = Arc::clone(shared);
        // A client that hangs up is no failure of the server.
        thread::spawn(move || drop(serve(&shared, socket)));
    }
}

fn serve(shared: &Shared, socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut reader = BufReader::new(socket.try_clone()?);
    let mut socket = socket;
    while let Some(request) = http::read_request(&mut reader)? {
        shared.requests.fetch_add(1, Relaxed);
        let now = shared.now.fetch_add(1, Relaxed) + 1;
        shared.at_once.fetch_max(now, Relaxed);
        thread::sleep(shared.conditions.latency);
        let answered = shared.answer(&request, &mut socket);
        shared.now.fetch_sub(1, Relaxed);
        answered?;
    }
    Ok(())
}

impl Shared {
    fn answer(&self, request: &Request, socket: &mut TcpStream) -> io::Result<()> {
        let key = request.path.trim_start_matches('/').strip_prefix(BUCKET).unwrap_or_default();
        let key = key.trim_start_matches('/');
        if key.is_empty() {
            let page = self.listing(request);
            return http::write_answer(socket, "200 OK", &[("Content-Type", "application/xml")], &page);
        }
        match self.objects.get(key) {
            None => http::write_answer(socket, "404 Not Found", &[], "<Error><Code>NoSuchKey</Code></Error>"),
            Some(object) if request.header("if-match").is_some_and(|etag| etag != object.etag) => {
                http::write_answer(socket, "412 Precondition Failed", &[], "")
            }
            Some(object) => self.send(request, object, socket),
        }
    }

    fn send(&self, request: &Request, object: &Object, socket: &mut TcpStream) -> io::Result<()> {
        let range = request.range().map(|range| range.start..range.end.min(object.size));
        let (status, range) = match &range {
            Some(range) => ("206 Partial Content", range.clone()),
            None => ("200 OK", 0..object.size),
        };
        let length = range.end.saturating_sub(range.start);
        let content_range = format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), object.size);
        let length_text = length.to_string();
        let headers = [
            ("Content-Length", length_text.as_str()),
            ("ETag", &object.etag),
            ("Last-Modified", "Wed, 20 Nov 2024 00:00:00 GMT"),
            ("Accept-Ranges", "bytes"),
            ("Content-Range", &content_range),
        ];
        let headers = if status.starts_with("206") { &headers[..] } else { &headers[..4] };
        http::write_head(socket, status, headers)?;
        if request.method == "HEAD" {
            Ok(())
        } else {
            self.send_body(&object.file, range.start, length, socket)
        }
    }

    fn send_body(&self, file: &Path, start: u64, mut left: u64, socket: &mut TcpStream) -> io::Result<()> {
        let mut file = File::open(file)?;
        file.seek(SeekFrom::Start(start))?;
        while left > 0 {
            let chunk = left.min(CHUNK_BYTES);
            self.wait_for_rate(chunk);
            if io::copy(&mut (&file).take(chunk), socket)? < chunk {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= chunk;
        }
        socket.flush()
    }

    /// Waits until the chunk's turn on a link of the rate.
    fn wait_for_rate(&self, bytes: u64) {
        let Some(rate) = self.conditions.bytes_per_second else { return };
        #[expect(clippy::cast_precision_loss, reason = "a chunk is small")]
        let takes = Duration::from_secs_f64(bytes as f64 / rate);
        let turn = {
            let mut free_at = self.free_at.lock().expect("nobody panics with the lock");
            let turn = (*free_at).max(Instant::now());
            *free_at = turn + takes;
            turn
        };
        thread::sleep(turn.saturating_duration_since(Instant::now()));
    }

    fn listing(&self, request: &Request) -> String {
        let prefix = request.query("prefix").unwrap_or_default();
        let after = request.query("continuation-token").unwrap_or_default();
        let mut keys = self.objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after);
        let page: Vec<_> = keys.by_ref().take(KEYS_PER_PAGE).collect();
        let is_truncated = keys.next().is_some();
        let contents: String = page
            .iter()
            .map(|(key, object)| {
                format!(
                    "<Contents><Key>{key}</Key><LastModified>2024-11-20T00:00:00.000Z</LastModified>\
                 <ETag>{}</ETag><Size>{}</Size></Contents>",
                    object.etag.replace('"', "&quot;"),
                    object.size
                )
            })
            .collect();
        let next = match page.last() {
            Some((key, _)) if is_truncated => format!("<NextContinuationToken>{key}</NextContinuationToken>"),
            _ => String::new(),
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><Name>{BUCKET}</Name>\
             <KeyCount>{}</KeyCount><IsTruncated>{is_truncated}</IsTruncated>{next}{contents}</ListBucketResult>",
            page.len()
        )
    }
}

//! A proxy in front of an S3 server. A rule looks at each request and says what becomes of it.

use crate::{
    asked::{Asked, Deed},
    fate::{Fate, refusal},
    message::Message,
};
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Longer than a client takes to hang up once it is gone, on a machine that is not broken.
const PATIENCE: Duration = Duration::from_secs(60);

type Rule = dyn Fn(&Asked) -> Fate + Send + Sync;

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    upstream: SocketAddr,
    /// So many names are on a page of a listing.
    page_names: usize,
    rule: Box<Rule>,
    asked: Mutex<Vec<(Asked, Fate)>>,
    tries: Mutex<HashMap<String, u32>>,
    connections: watch::Sender<usize>,
}

impl Proxy {
    /// A proxy in front of `upstream`.
    pub(crate) async fn start(
        upstream: SocketAddr,
        page_names: usize,
        rule: impl Fn(&Asked) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream,
            page_names,
            rule: Box::new(rule),
            asked: Mutex::default(),
            tries: Mutex::default(),
            connections: watch::Sender::new(0),
        });
        let serving = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                serving.connections.send_modify(|connections| *connections += 1);
                let shared = Arc::clone(&serving);
                tokio::spawn(async move {
                    // Connections that break are what the proxy is for.
                    let _ = shared.serve(socket).await;
                    shared.connections.send_modify(|connections| *connections -= 1);
                });
            }
        });
        Self { address, shared, accepting }
    }

    /// Everything that was asked so far, in order, and what became of it.
    pub(crate) fn asked(&self) -> Vec<(Asked, Fate)> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Waits until nobody is connected any more, and what was late is carried out.
    pub(crate) async fn until_settled(&self) {
        let mut connections = self.shared.connections.subscribe();
        let settled = connections.wait_for(|connections| *connections == 0);
        let settled = tokio::time::timeout(PATIENCE, settled).await.map(drop);
        settled.expect("whoever was connected hangs up");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Two connections: the client's, and ours to the server.
struct Line {
    client: BufReader<TcpStream>,
    server: BufReader<TcpStream>,
}

impl Shared {
    async fn serve(&self, client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let server = TcpStream::connect(self.upstream).await?;
        server.set_nodelay(true)?;
        let mut line = Line { client: BufReader::new(client), server: BufReader::new(server) };
        while let Some(request) = Message::read(&mut line.client, true).await? {
            let asked = self.note(&request);
            let fate = (self.rule)(&asked);
            self.asked.lock().unwrap().push((asked.clone(), fate));
            if !self.deal(fate, &asked, request, &mut line).await? {
                break;
            }
        }
        Ok(())
    }

    fn note(&self, request: &Message) -> Asked {
        let mut asked = Asked::of(request);
        let mut tries = self.tries.lock().unwrap();
        let tries = tries.entry(asked.target()).or_default();
        asked.tries = *tries;
        *tries += 1;
        asked
    }

    /// Whether the connection is of use afterwards.
    async fn deal(
        &self,
        fate: Fate,
        asked: &Asked,
        mut request: Message,
        line: &mut Line,
    ) -> io::Result<bool> {
        let is_look = asked.deed == Deed::Look;
        fate.change_request(&mut request, asked);
        if asked.deed == Deed::List {
            let pages = format!("&max-keys={} HTTP", self.page_names);
            request.first = request.first.replace(" HTTP", &pages);
        }
        match fate {
            Fate::Refused(status) => {
                line.send(&refusal(status, is_look)).await?;
                return Ok(true);
            }
            Fate::Lost => return line.reset(),
            Fate::Held => return line.hold().await,
            Fate::Late => {
                line.hold().await?;
                line.forward(&request, is_look).await?;
                return Ok(false);
            }
            _ => {}
        }
        let mut answer = line.forward(&request, is_look).await?;
        if is_look {
            // Its length is that of the object, and no body follows.
            answer.body.clear();
        }
        fate.change_answer(&mut answer);
        let behind = |share: u16| answer.body.len() * usize::from(share) / 1000;
        match fate {
            Fate::Denied(status) => line.send(&refusal(status, is_look)).await.map(|()| true),
            Fate::Unheard => line.reset(),
            Fate::Reset(share) => {
                line.send_part(&answer, behind(share)).await?;
                line.reset()
            }
            Fate::Ends(share) => line.send_part(&answer, behind(share)).await.map(|()| false),
            Fate::Stalls(share) => {
                line.send_part(&answer, behind(share)).await?;
                line.hold().await
            }
            _ => line.send(&answer).await.map(|()| true),
        }
    }
}

impl Line {
    async fn forward(&mut self, request: &Message, is_look: bool) -> io::Result<Message> {
        self.server.get_mut().write_all(&[request.head(), request.body.clone()].concat()).await?;
        Message::read(&mut self.server, !is_look).await?.ok_or(io::ErrorKind::UnexpectedEof.into())
    }

    async fn send(&mut self, answer: &Message) -> io::Result<()> {
        self.send_part(answer, answer.body.len()).await
    }

    async fn send_part(&mut self, answer: &Message, bytes: usize) -> io::Result<()> {
        self.client.get_mut().write_all(&[answer.head(), answer.body[..bytes].to_vec()].concat()).await
    }

    fn reset(&mut self) -> io::Result<bool> {
        #[expect(deprecated, reason = "what is unsent is lost, as on a broken network")]
        self.client.get_mut().set_linger(Some(Duration::ZERO))?;
        Ok(false)
    }

    /// Until the client hangs up.
    async fn hold(&mut self) -> io::Result<bool> {
        // It may do so by a reset.
        let _ = self.client.read(&mut [0]).await;
        Ok(false)
    }
}

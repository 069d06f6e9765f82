//! What stands in for AWS: Secrets Manager with one secret, and what gives a pod the credentials of its role.
//!
//! Secrets Manager answers as its reference says, to requests that have the form which that wants, signed for the region
//! of the secret by a key that the other has given out. It does not compute the signature: the crate's own tests compare
//! signatures with botocore's.

use crate::scene::Scene;
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

pub(crate) const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:topshelf/database-Ab12Cd";

/// A server of both. It ends with the process.
pub(crate) struct Aws {
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
}

struct State {
    answer: Answer,
    asked: usize,
    keys_given: usize,
}

/// What is answered to whoever asks for the secret.
#[derive(Clone)]
pub(crate) enum Answer {
    /// Its string.
    Secret(String),
    /// An error: its name, and its words.
    Error(&'static str, &'static str),
    /// Nothing: the connection is closed.
    Nothing,
}

struct Request {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Aws {
    pub(crate) fn new(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State { answer, asked: 0, keys_given: 0 }));
        let aws = Self { address, state: Arc::clone(&state) };
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                // Who asks may hang up.
                thread::spawn(move || drop(serve(socket, &state)));
            }
        });
        aws
    }

    /// What tells the program of it, with keys.
    pub(crate) fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", format!("http://{}", self.address)),
            ("AWS_ACCESS_KEY_ID", "AKID0".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "hunter2-key".to_owned()),
            ("AWS_SESSION_TOKEN", "hunter2-session".to_owned()),
        ]
    }

    /// Tells the program of it, with keys in the environment.
    pub(crate) fn known_to(&self, scene: &mut Scene) {
        for (name, value) in self.environment() {
            scene.environment(name, &value);
        }
    }

    /// The same, with a pod's role: each time it is asked it gives other keys, which are about to end.
    pub(crate) fn gives_credentials_to(&self, scene: &mut Scene) {
        scene.write("pod-token", "a token of the pod");
        let (token, url) = (scene.path("pod-token"), format!("http://{}/credentials", self.address));
        scene.environment("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url);
        scene.environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().unwrap());
    }

    pub(crate) fn answers(&self, answer: Answer) {
        self.state.lock().unwrap().answer = answer;
    }

    /// How often the secret was asked for.
    pub(crate) fn asked(&self) -> usize {
        self.state.lock().unwrap().asked
    }
}

/// The secret of a database, as RDS writes it.
pub(crate) fn of_rds(password: &str) -> Answer {
    let text = serde_json::json!({ "username": "night", "password": password, "engine": "postgres" });
    Answer::Secret(text.to_string())
}

fn read(socket: &TcpStream) -> io::Result<Request> {
    let mut reader = BufReader::new(socket);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Request { method, path, headers, body: String::from_utf8(body).unwrap() })
}

fn serve(mut socket: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let request = read(&socket)?;
    let mut state = state.lock().unwrap();
    let (status, body) = if request.path == "/credentials" {
        assert_eq!(request.headers["authorization"], "a token of the pod");
        state.keys_given += 1;
        (200, credentials(state.keys_given))
    } else {
        state.asked += 1;
        match (wrong(&request), state.answer.clone()) {
            (Some(what), _) => (400, error("InvalidSignatureException", &what)),
            (None, Answer::Secret(text)) => {
                (200, serde_json::json!({ "ARN": ARN, "SecretString": text }).to_string())
            }
            (None, Answer::Error(name, says)) => (400, error(name, says)),
            (None, Answer::Nothing) => return Ok(()),
        }
    };
    write!(
        socket,
        "HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn error(name: &str, says: &str) -> String {
    serde_json::json!({ "__type": name, "Message": says }).to_string()
}

fn credentials(number: usize) -> String {
    let expiration = Timestamp::now() + SignedDuration::from_secs(30);
    serde_json::json!({
        "AccessKeyId": format!("AKID{number}"),
        "SecretAccessKey": "hunter2-key",
        "Token": "hunter2-session",
        "Expiration": expiration.to_string(),
    })
    .to_string()
}

/// What is wrong with a request for the secret.
fn wrong(request: &Request) -> Option<String> {
    let header = |name: &str| request.headers.get(name).map_or("", String::as_str);
    let day = Timestamp::now().strftime("%Y%m%d").to_string();
    let scope = format!("/{day}/eu-west-1/secretsmanager/aws4_request, ");
    let body = serde_json::from_str::<serde_json::Value>(&request.body).ok();
    let expected = [
        ("the method", request.method == "POST" && request.path == "/"),
        ("the target", header("x-amz-target") == "secretsmanager.GetSecretValue"),
        ("the content's type", header("content-type") == "application/x-amz-json-1.1"),
        ("the body", body == Some(serde_json::json!({ "SecretId": ARN }))),
        ("the algorithm", header("authorization").starts_with("AWS4-HMAC-SHA256 Credential=AKID")),
        ("the scope", header("authorization").contains(&scope)),
        ("the time", header("x-amz-date").starts_with(&day)),
        ("the session", header("x-amz-security-token") == "hunter2-session"),
        (
            "what is signed",
            header("authorization").contains(
                "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature=",
            ),
        ),
    ];
    let wrong = expected.into_iter().find(|(_, is_right)| !is_right);
    wrong.map(|(what, _)| format!("{what} is not as it should be: {:?}", request.headers.keys()))
}

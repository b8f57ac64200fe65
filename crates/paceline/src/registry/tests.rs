//! The client against a small server that answers as it is told, and hears what it is asked.

use super::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const GONE: &str = r#"{"error_code":40403,"message":"Schema 9 not found"}"#;

/// Answers each request by its number (the last answer stays) and keeps the requests' heads.
struct Server {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone)]
enum Say {
    Status(u16, String),
    Location(&'static str),
    Garbage,
    Hang,
    Drop,
}

impl Server {
    fn start(answers: Vec<Say>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (log, count) = (Arc::clone(&heard), Arc::new(AtomicUsize::new(0)));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, count, answers) = (Arc::clone(&log), Arc::clone(&count), answers.clone());
                thread::spawn(move || serve(stream, &log, &count, &answers));
            }
        });
        Self { port, heard }
    }

    fn client(&self) -> Registry {
        let mut client = Registry::open(&settings(self.port)).unwrap();
        client.on_given_up = |_| ();
        client
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<String>>, count: &AtomicUsize, answers: &[Say]) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(given) = line.to_lowercase().strip_prefix("content-length:") {
                length = given.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        log.lock().unwrap().push(head);
        let number = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
        let answer = match &answers[number] {
            Say::Status(status, body) => {
                format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            }
            Say::Location(to) => format!("HTTP/1.1 307 X\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"),
            Say::Garbage => "SSH-2.0-OpenSSH\r\n\r\n".into(),
            // The client closes at its deadline, which ends the read.
            Say::Hang => return drop(reader.read(&mut [0])),
            Say::Drop => return,
        };
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn settings(port: u16) -> RegistrySettings {
    RegistrySettings {
        url: format!("http://127.0.0.1:{port}/api/"),
        username: None,
        password: None,
        token: None,
        ca_file: None,
        register: true,
        // Far off: on a loaded machine a server of the test's own may be slow too.
        timeout_ms: 10_000,
        patience_ms: 150,
    }
}

fn status(status: u16, body: &str) -> Say {
    Say::Status(status, body.to_owned())
}

fn schema() -> Say {
    status(200, r#"{"schema":"\"string\""}"#)
}

fn topics() -> Topics {
    Settings::load_with(&[], &Default::default()).unwrap().0.topics
}

#[test]
fn a_schema_is_asked_for_once() {
    let server = Server::start(vec![schema()]);
    let client = server.client();
    for _ in 0..3 {
        assert_eq!(client.by_id(7), SchemaLookup::Found(Arc::from("\"string\"")));
    }
    let heard = server.heard();
    assert_eq!(heard.len(), 1);
    assert!(heard[0].starts_with("GET /api/schemas/ids/7 HTTP/1.1"), "{}", heard[0]);
}

#[test]
fn an_id_is_unknown_only_when_the_registry_says_so_twice_and_then_it_is_left_alone() {
    let server = Server::start(vec![status(404, GONE)]);
    let mut client = server.client();
    client.patience = Duration::from_secs(20);
    assert_eq!(client.by_id(9), SchemaLookup::Unknown);
    assert_eq!(client.by_id(9), SchemaLookup::Unknown);
    assert_eq!(server.heard().len(), 2);
    // A replica that learned of it in between.
    let server = Server::start(vec![status(404, GONE), schema()]);
    assert!(matches!(server.client().by_id(9), SchemaLookup::Found(_)));
}

#[test]
fn a_registry_in_trouble_never_makes_an_id_unknown() {
    let large = "x".repeat(BODY_BYTES_MAX as usize + 1);
    for trouble in [
        status(500, GONE),
        status(503, ""),
        status(429, ""),
        status(401, ""),
        status(404, "<h1>nothing here</h1>"),
        status(200, "<h1>we are away</h1>"),
        status(200, &large),
        Say::Location("http://127.0.0.1:1/"),
        Say::Garbage,
        Say::Hang,
        Say::Drop,
    ] {
        let hangs = matches!(trouble, Say::Hang);
        let mut settings = settings(Server::start(vec![trouble]).port);
        if hangs {
            settings.timeout_ms = 200;
        }
        let mut client = Registry::open(&settings).unwrap();
        client.on_given_up = |_| ();
        let lookup = client.by_id(9);
        assert!(matches!(lookup, SchemaLookup::Unavailable(_)), "{lookup:?}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut client = Registry::open(&settings(closed)).unwrap();
    client.on_given_up = |_| ();
    assert!(matches!(client.by_id(9), SchemaLookup::Unavailable(_)));
}

#[test]
fn trouble_that_passes_within_patience_is_waited_for() {
    let server = Server::start(vec![status(503, ""), Say::Drop, schema()]);
    let mut client = server.client();
    client.patience = Duration::from_secs(20);
    assert!(matches!(client.by_id(9), SchemaLookup::Found(_)));
    assert!(server.heard().len() >= 3);
}

#[test]
fn lanes_that_want_the_same_schema_ask_once() {
    let server = Server::start(vec![schema()]);
    let client = server.client();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(matches!(client.by_id(7), SchemaLookup::Found(_))));
        }
    });
    assert_eq!(server.heard().len(), 1);
}

#[test]
fn our_schemas_are_looked_up_then_registered_and_known_without_asking() {
    let server = Server::start(vec![status(404, GONE), status(200, r#"{"id":41}"#)]);
    let mut client = server.client();
    client.take_ids(&topics(), &[RecordName::Halt], true).unwrap();
    assert_eq!(client.id_of(RecordName::Halt), Some(41));
    assert_eq!(client.by_id(41), SchemaLookup::Found(Arc::from(RecordName::Halt.schema_json())));
    let heard = server.heard();
    assert_eq!(heard.len(), 2);
    assert!(heard[0].starts_with("POST /api/subjects/ads.feedback-paceline.v1.Halt HTTP"), "{}", heard[0]);
    assert!(heard[1].starts_with("POST /api/subjects/ads.feedback-paceline.v1.Halt/versions HTTP"), "{}", heard[1]);
}

#[test]
fn each_refusal_at_the_start_has_its_exit_code_and_says_what_to_do() {
    for (answer, register, code, words) in [
        (status(503, ""), true, 75, "registry is up"),
        (status(401, ""), true, 78, "registry.password"),
        (status(404, GONE), false, 78, "registry.register"),
        (status(409, r#"{"error_code":409,"message":"breaks"}"#), true, 78, "breaks"),
        (status(404, "<h1>"), true, 78, "ccompat"),
        (Say::Location("https://elsewhere/"), true, 78, "registry.url"),
        (Say::Garbage, true, 75, "registry.url"),
    ] {
        let server = Server::start(vec![answer]);
        let failure = server.client().take_ids(&topics(), &[RecordName::Alert], register).unwrap_err();
        assert_eq!(failure.kind.exit_code(), code, "{failure}");
        assert!(failure.to_string().contains(words), "{failure}");
    }
}

#[test]
fn credentials_go_with_each_request() {
    for (username, token, wanted) in
        [(Some("pace"), None, "authorization: Basic cGFjZTpsaW5l"), (None, Some("t0k"), "authorization: Bearer t0k")]
    {
        let server = Server::start(vec![schema()]);
        let settings = RegistrySettings {
            username: username.map(str::to_owned),
            password: Some("line".into()),
            token: token.map(str::to_owned),
            ..settings(server.port)
        };
        Registry::open(&settings).unwrap().by_id(1);
        assert!(server.heard()[0].contains(wanted), "{}", server.heard()[0]);
    }
}

#[test]
fn two_topics_of_one_record_have_a_subject_each() {
    let subjects = subjects_of(&topics(), &[RecordName::Adjustment, RecordName::Ack]);
    let names: Vec<&str> = subjects.iter().map(|(_, subject)| subject.as_str()).collect();
    assert_eq!(names, ["ads.adjustments-value", "ads.proposals-value", "ads.feedback-paceline.v1.Ack"]);
}

#[test]
fn a_file_of_authorities_that_holds_none_is_refused_by_name() {
    let settings = RegistrySettings { ca_file: Some("Cargo.toml".into()), ..settings(1) };
    let failure = Registry::open(&settings).err().unwrap();
    assert!(failure.to_string().contains("registry.ca_file Cargo.toml"), "{failure}");
}

/// A folder of the test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("paceline-registry-client-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        Self(folder)
    }

    /// A client of the next process, with counts of its own.
    fn client(&self, server: &Server) -> Registry {
        self.client_at(server, server.port)
    }

    /// The same, where `port` answers for the server.
    fn client_at(&self, server: &Server, port: u16) -> Registry {
        self.client_of(server, &settings(port))
    }

    fn client_of(&self, server: &Server, settings: &RegistrySettings) -> Registry {
        let mut client = Registry::open(settings).unwrap();
        client.on_given_up = |_| ();
        client.counts = Counts::new();
        client.disk = Some(Disk::at(&self.0, &format!("http://127.0.0.1:{}/api", server.port), true));
        client
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn counted(client: &Registry, source: &str) -> u64 {
    client.counts.lookups.with_label_values(&[source]).get()
}

fn away_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_start_in_the_registry_s_absence_reads_what_is_known_and_holds_what_is_not() {
    let folder = Folder::new("absence");
    let server = Server::start(vec![status(200, r#"{"id":41}"#), schema()]);
    let mut before = folder.client(&server);
    before.take_ids(&topics(), &[RecordName::Halt], true).unwrap();
    assert!(matches!(before.by_id(7), SchemaLookup::Found(_)));
    assert_eq!((counted(&before, "registry"), counted(&before, "disk")), (1, 0));

    let mut after = folder.client_at(&server, away_port());
    after.take_ids(&topics(), &[RecordName::Halt], true).unwrap();
    assert_eq!(after.id_of(RecordName::Halt), Some(41));
    for _ in 0..2 {
        assert_eq!(after.by_id(7), SchemaLookup::Found(Arc::from("\"string\"")));
    }
    assert_eq!((counted(&after, "disk"), counted(&after, "memory")), (1, 1));
    assert!(after.counts.disk_age_seconds.get() >= 0.0);
    let unknown = after.by_id(8);
    assert!(matches!(unknown, SchemaLookup::Unavailable(_)), "never asked for is not unknown: {unknown:?}");
    assert!(after.counts.requests.with_label_values(&["away"]).get() >= 2);
    // Another release's schema was never registered: the start says so instead of guessing.
    let failure = after.take_ids(&topics(), &[RecordName::Alert], true).unwrap_err();
    assert_eq!(failure.kind.exit_code(), 75, "{failure}");
}

#[test]
fn a_registry_that_answers_is_believed_before_the_disk() {
    let folder = Folder::new("believed");
    let first = Server::start(vec![schema()]);
    assert!(matches!(folder.client(&first).by_id(7), SchemaLookup::Found(_)));
    let second = Server::start(vec![status(200, r#"{"schema":"\"long\""}"#)]);
    let client = folder.client_at(&first, second.port);
    assert_eq!(client.by_id(7), SchemaLookup::Found(Arc::from("\"long\"")), "it was set up anew");
    let third = folder.client_at(&first, away_port());
    assert_eq!(third.by_id(7), SchemaLookup::Found(Arc::from("\"long\"")), "its last word is what is kept");
}

#[test]
fn an_absent_registry_is_asked_once_for_a_backlog_of_known_schemas() {
    let folder = Folder::new("backlog");
    let server = Server::start(vec![schema()]);
    let client = folder.client(&server);
    (1..=20).for_each(|id| assert!(matches!(client.by_id(id), SchemaLookup::Found(_))));
    let hanging = Server::start(vec![Say::Hang]);
    let client = folder.client_of(&server, &RegistrySettings { timeout_ms: 200, ..settings(hanging.port) });
    (1..=20).for_each(|id| assert!(matches!(client.by_id(id), SchemaLookup::Found(_))));
    assert_eq!((hanging.heard().len(), counted(&client, "disk")), (1, 20));
}

#[test]
fn a_schema_that_the_registry_has_forgotten_is_still_read_and_a_refusal_is_never_kept() {
    let folder = Folder::new("forgotten");
    let server = Server::start(vec![schema(), status(404, GONE)]);
    let client = folder.client(&server);
    assert!(matches!(client.by_id(7), SchemaLookup::Found(_)));
    assert_eq!(client.by_id(9), SchemaLookup::Unknown);
    let next = folder.client(&server);
    assert!(matches!(next.by_id(7), SchemaLookup::Found(_)), "the registry says 404 now");
    let later = folder.client_at(&server, away_port());
    assert!(matches!(later.by_id(9), SchemaLookup::Unavailable(_)), "nobody can say now whether 9 is known");
}

#[test]
fn a_flood_of_unknown_ids_pushes_the_oldest_out_and_not_all() {
    let start = Instant::now();
    let mut unknown: HashMap<u32, Instant> =
        (0..100).map(|id| (id, start + Duration::from_millis(u64::from(id)))).collect();
    make_room(&mut unknown, 101);
    assert_eq!(unknown.len(), 100);
    make_room(&mut unknown, 100);
    let mut left: Vec<u32> = unknown.into_keys().collect();
    left.sort_unstable();
    assert_eq!(left, (50..100).collect::<Vec<_>>());
}

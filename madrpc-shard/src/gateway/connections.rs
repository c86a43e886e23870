//! Connections: how many there are, how long they may take, and TLS.
//!
//! A peer that is slow, in its handshake, a header or a body, costs a place and a few KiB, and nobody waits for it. Where all places
//! are taken, a new peer gets that of the one that has been waited for longest; who waits for us is never put out, until he has his
//! answer. Requests are counted for that (`under_way`); what is told to strangers is not, and small.

use super::Stage;
use super::patient::Patient;
use super::requests;
use super::routes::{self, Served};
use super::under_way::Counted;
use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use madrpc_core::numbers::later;
use socket2::SockRef;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::timeout;
use tracing::{debug, warn};

/// Connections at a time.
pub(super) const CONNECTIONS_MAX: usize = 512;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a header may take from the end of the request before: so also how long a connection may be idle, which is to be longer
/// than the time between two scrapes.
const HEADER_TIMEOUT: Duration = Duration::from_secs(90);

/// Bytes of a request's first line and header, and what is read and written at a time.
const BUFFER_MAX_BYTES: usize = 32 * 1024;

/// What the system takes of an answer beside what is on its way: else some MiB, and a function that streams goes on for as long for
/// a client that reads nothing.
const UNSENT_MAX_BYTES: u32 = 128 * 1024;

/// Lines of a request's header.
const HEADERS_MAX: usize = 64;

/// How long accepting rests where the system has no descriptor left.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// The connections that are open, in the order in which they came.
#[derive(Default)]
struct Places {
    open: RefCell<BTreeMap<u64, (Rc<Place>, AbortHandle)>>,
    last: Cell<u64>,
}

/// A connection's place.
#[derive(Default)]
pub(super) struct Place {
    /// Since when its peer is waited for; nothing while the peer waits for us.
    waiting: Cell<Option<Instant>>,
    /// The request under way.
    counted: Cell<Option<Counted>>,
    /// All of the answer was handed over, and some of it may have to be written yet.
    has_said_all: Cell<bool>,
}

impl Place {
    /// The peer has said all, and waits for us until it has the answer.
    ///
    /// Only so many requests are `counted`. One that nobody counts is the peer's turn once it is answered: strangers who take
    /// nothing would keep all places.
    pub(super) fn works(&self, counted: Option<Counted>) {
        self.waiting.set(None);
        self.has_said_all.set(false);
        self.counted.set(counted);
    }

    /// There is an answer.
    pub(super) fn answers(&self) {
        let counted = self.counted.take();
        if counted.is_none() {
            self.waits();
        }
        self.counted.set(counted);
    }

    /// All of the answer was handed over.
    pub(super) fn has_said_all(&self) {
        self.has_said_all.set(true);
    }

    /// All that was handed over is written.
    pub(super) fn has_sent(&self) {
        if self.has_said_all.take() {
            self.counted.set(None);
            self.waits();
        }
    }

    /// It is the peer's turn.
    fn waits(&self) {
        self.waiting.set(Some(Instant::now()));
    }
}

impl Places {
    /// Makes room for another connection; says whether there is.
    fn make_room(&self) -> bool {
        let mut open = self.open.borrow_mut();
        if open.len() < CONNECTIONS_MAX {
            return true;
        }
        let waited = open
            .iter()
            .filter_map(|(number, (place, _))| Some((place.waiting.get()?, *number)));
        let Some((_, longest)) = waited.min() else {
            return false;
        };
        if let Some((_, task)) = open.remove(&longest) {
            task.abort();
        }
        true
    }
}

/// Accepts connections until it is told to leave, and answers what they ask.
pub(super) async fn serve(listener: std::net::TcpListener, served: Served) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return warn!("HTTP is not served: {error}"),
    };
    let places = Rc::new(Places::default());
    let app = routes::router(served.clone());
    let mut stage = served.stage.clone();
    {
        let mut leaves = pin!(stage.wait_for(|stage| *stage == Stage::Leaving));
        loop {
            let accepted = tokio::select! {
                // Its sender has gone, or has said so.
                _ = &mut leaves => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => open(stream, &places, &app, &served),
                Err(error) => {
                    debug!("HTTP: no connection accepted: {error}");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }
    drop(listener);
    let end = later(Instant::now(), super::LEAVING);
    while !places.open.borrow().is_empty() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Gives a connection its place.
fn open(stream: TcpStream, places: &Rc<Places>, app: &Router, served: &Served) {
    if !places.make_room() {
        // All others wait for us. A reset is the shortest way to say so.
        return debug!(
            "HTTP: a connection is refused, as {CONNECTIONS_MAX} have requests under way"
        );
    }
    // It costs packets, and nothing else, where it fails.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_MAX_BYTES);
    let number = places.last.get().wrapping_add(1);
    places.last.set(number);
    let place = Rc::new(Place::default());
    place.waits();
    let counted = served.requests.clone();
    let (app, served) = (app.clone(), served.clone());
    let requests = served.requests.clone();
    let own = Rc::clone(&place);
    let all = Rc::clone(places);
    let task = spawn_local(async move {
        let stream = Patient::new(stream, Rc::clone(&own));
        let tls = served.access.borrow().tls();
        match tls {
            None => run(stream, own, app, served).await,
            Some(acceptor) => {
                match timeout(HANDSHAKE_TIMEOUT, tokio_boring::accept(&acceptor, stream)).await {
                    Ok(Ok(stream)) => run(stream, own, app, served).await,
                    Ok(Err(error)) => debug!("HTTP: a TLS handshake has failed: {error}"),
                    Err(_) => debug!("HTTP: a TLS handshake took too long"),
                }
            }
        }
        let mut open = all.open.borrow_mut();
        open.remove(&number);
        requests.connections(open.len());
    });
    let mut open = places.open.borrow_mut();
    open.insert(number, (place, task.abort_handle()));
    counted.connections(open.len());
}

/// Answers the requests of a connection, one after the other.
async fn run<S>(stream: S, place: Rc<Place>, app: Router, served: Served)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut stage: watch::Receiver<Stage> = served.stage.clone();
    let answer = service_fn(|request| {
        let (place, app, served) = (Rc::clone(&place), app.clone(), served.clone());
        async move {
            let response = requests::answer(request, &place, app, &served).await;
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(BUFFER_MAX_BYTES)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        _ = stage.wait_for(|stage| *stage == Stage::Leaving) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        debug!("HTTP: a connection is over: {error}");
    }
}

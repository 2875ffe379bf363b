//! Serves what is known, and bounds what a client may cost.

use crate::page;
use crate::poll::Poller;
use crate::state::Snapshot;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream::{self, Stream};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use ldirectord::metrics::{Format, Instance, render};
use serde::Serialize;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

/// The version of `/status.json`: another one means other fields, not only more of them.
const VERSION: u32 = 1;

/// Clients that are served at a time; the next ones wait.
const CLIENTS: usize = 256;

/// Of those, how many may be told of changes.
const FOLLOWERS: usize = 64;

/// How long a client may take to say what it wants.
const REQUEST: Duration = Duration::from_secs(10);

/// How long a client that is not told of changes may be connected before it has to come again.
const CONNECTION: Duration = Duration::from_secs(120);

/// How long it may then take to read the answer that is under way.
const LAST_ANSWER: Duration = Duration::from_secs(30);

/// How long a client may be told of changes; its browser comes again.
const FOLLOWING: Duration = Duration::from_secs(3600);

/// Bytes of a request's head.
const HEAD: usize = 16 << 10;

/// Metrics are not older than this, if the daemons answer.
const FRESH: Duration = Duration::from_secs(1);

/// How long a scrape waits for daemons.
const PATIENCE: Duration = Duration::from_secs(4);

/// Between two changes that a client is told of.
const PAUSE: Duration = Duration::from_secs(1);

/// Nothing is loaded from elsewhere, nothing in the page is a script or a style.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(Debug, Clone)]
struct Served {
    poller: Poller,
    followers: Arc<Semaphore>,
}

/// The paths that are served.
pub fn router(poller: Poller) -> Router {
    let served = Served { poller, followers: Arc::new(Semaphore::new(FOLLOWERS)) };
    Router::new()
        .route("/", get(whole_page))
        .route("/page.css", get(|| async { text("text/css; charset=utf-8", page::STYLE) }))
        .route("/icon.svg", get(|| async { text("image/svg+xml", page::ICON) }))
        .route("/page.js", get(|| async { text("text/javascript; charset=utf-8", page::SCRIPT) }))
        .route("/fragment/{*name}", get(fragment))
        .route("/changes", get(changes))
        .route("/metrics", get(metrics))
        .route("/status.json", get(status))
        .route("/healthz", get(health))
        .with_state(served)
        .layer(middleware::map_response(|mut response: Response| async move {
            guard(response.headers_mut());
            response
        }))
}

fn guard(headers: &mut HeaderMap) {
    let all: [(HeaderName, &'static str); 4] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in all {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
}

fn text(kind: &'static str, text: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// Work on a big report does not hold other clients up.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

async fn made(
    kind: &'static str,
    work: impl FnOnce() -> Option<String> + Send + 'static,
) -> Response {
    match apart(work).await {
        Some(Some(page)) => text(kind, page),
        Some(None) => (StatusCode::NOT_FOUND, "no such thing\n").into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

const HTML: &str = "text/html; charset=utf-8";

async fn whole_page(State(served): State<Served>) -> Response {
    // The first look at the daemons may not be over.
    let snapshot = served.poller.fresh(Duration::from_secs(60), PATIENCE).await;
    made(HTML, move || Some(page::page(&snapshot).into_string())).await
}

async fn fragment(State(served): State<Served>, Path(name): Path<String>) -> Response {
    let snapshot = served.poller.snapshot();
    made(HTML, move || page::fragment(&snapshot, &name).map(Into::into)).await
}

async fn metrics(State(served): State<Served>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let (format, kind) = if accept.contains("application/openmetrics-text") {
        (Format::OpenMetrics, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    } else {
        (Format::Prometheus, "text/plain; version=0.0.4; charset=utf-8")
    };
    let snapshot = served.poller.fresh(FRESH, PATIENCE).await;
    made(kind, move || Some(metrics_text(&snapshot, format))).await
}

/// An answer that a daemon gave before it fell silent is no metric any more.
fn metrics_text(snapshot: &Snapshot, format: Format) -> String {
    let instances: Vec<Instance<'_>> = snapshot
        .instances
        .iter()
        .map(|state| {
            let report = state.report.as_deref().filter(|_| state.error.is_none());
            Instance { name: &state.name, report }
        })
        .collect();
    render(&instances, format)
}

#[derive(Serialize)]
struct Status<'a> {
    version: u32,
    at: i64,
    instances: Vec<InstanceStatus<'a>>,
}

#[derive(Serialize)]
struct InstanceStatus<'a> {
    name: &'a str,
    error: Option<&'a str>,
    answered: Option<i64>,
    report: Option<&'a ldirectord::metrics::MetricsReport>,
}

async fn status(State(served): State<Served>) -> Response {
    let snapshot = served.poller.fresh(FRESH, PATIENCE).await;
    made("application/json", move || {
        let instances = snapshot.instances.iter().map(|it| InstanceStatus {
            name: &it.name,
            error: it.error.as_deref(),
            answered: it.answered,
            report: it.report.as_deref(),
        });
        let instances = instances.collect();
        serde_json::to_string(&Status { version: VERSION, at: snapshot.at, instances }).ok()
    })
    .await
}

/// Whether this program works; of the daemons it says nothing.
async fn health(State(served): State<Served>) -> Response {
    match served.poller.snapshot().asked {
        Some(_) => "ok\n".into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "no daemon was asked yet\n").into_response(),
    }
}

/// Tells a browser that there is something new; it asks for what it shows.
async fn changes(State(served): State<Served>) -> Response {
    let Ok(permit) = served.followers.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many are told of changes\n").into_response();
    };
    Sse::new(follow(served.poller, permit)).keep_alive(KeepAlive::default()).into_response()
}

fn follow(
    poller: Poller,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let known = poller.changes();
    stream::unfold((known, permit), |(mut known, permit)| async move {
        known.changed().await.ok()?;
        let at = known.borrow_and_update().at;
        sleep(PAUSE).await;
        let event = Event::default().event("update").data(at.to_string());
        Some((Ok(event), (known, permit)))
    })
}

/// Serves until `end` comes.
pub async fn serve(listener: TcpListener, router: Router, end: impl Future<Output = ()>) {
    let clients = Arc::new(Semaphore::new(CLIENTS));
    let accept = async {
        loop {
            let Ok(permit) = Arc::clone(&clients).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((client, _)) => {
                    tokio::spawn(serve_one(client, router.clone(), permit));
                }
                // Out of descriptors: those that are served end in time.
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    };
    tokio::select! {
        () = accept => {}
        () = end => {}
    }
}

async fn serve_one(client: TcpStream, router: Router, permit: OwnedSemaphorePermit) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(REQUEST).max_buf_size(HEAD).half_close(false);
    let follows = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&follows);
    let router =
        router.layer(middleware::from_fn(move |request: axum::extract::Request, next: Next| {
            if request.uri().path() == "/changes" {
                seen.store(true, Ordering::Relaxed);
            }
            next.run(request)
        }));
    let connection = http.serve_connection(TokioIo::new(client), TowerToHyperService::new(router));
    tokio::pin!(connection);
    // However it ends, the client is gone.
    if timeout(CONNECTION, &mut connection).await.is_err() {
        let follows = follows.load(Ordering::Relaxed);
        let left = if follows { FOLLOWING } else { LAST_ANSWER };
        connection.as_mut().graceful_shutdown();
        let _ = timeout(left, &mut connection).await;
    }
    drop(permit);
}

//! From method and path to the call that answers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, request::Parts};
use http_body_util::Full;
use hyper::body::Incoming;
use payrig_api::{
    Problem, ProblemType,
    calls::{CALLS, Call},
};
use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

use super::{admin, bearer, cashier, notify, orders, plain, reply, tasks};
use crate::{
    merchants::{Merchant, Merchants},
    metrics::{Metrics, Named, RequestLabels, StatusClass},
    service::PayService,
};

/// Every answer.
pub(super) type Answer = Response<Full<Bytes>>;

/// What an endpoint answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Face {
    /// The contract.
    Public,
    /// The read-only books.
    Admin,
}

/// The calls of one runtime.
pub(super) struct App {
    service: PayService,
    face: Face,
    merchants: Arc<Merchants>,
    meters: Vec<Meter>,
    body_deadline: Duration,
}

/// A route's metrics, looked up once.
struct Meter {
    latency: Histogram,
    by_class: [Counter; 3],
}

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Route<'a> {
    Submit,
    Task(&'a str),
    Retry(&'a str),
    Cancel(&'a str),
    Payment(&'a str),
    Cashier,
    Health,
    Ready,
    Metrics,
    OpenApi,
    CreateOrder,
    Order(&'a str),
    ShipOrder(&'a str),
    Notify(&'a str),
    Books,
    Book(&'a str),
    Ledger,
    Unknown,
}

/// The routes beside the contract's, in the order of [`Route::number`].
const OTHERS: [&str; 4] = ["books", "book", "ledger", "unknown"];

impl<'a> Route<'a> {
    fn of(face: Face, path: &'a str) -> Self {
        match face {
            Face::Public => Self::public(path),
            Face::Admin => match path {
                "/admin/books" => Self::Books,
                "/admin/ledger" => Self::Ledger,
                _ => path.strip_prefix("/admin/books/").map_or(Self::Unknown, Self::Book),
            },
        }
    }

    fn public(path: &'a str) -> Self {
        if let Some(rest) = path.strip_prefix("/v1/pay-tasks/") {
            return match rest.split_once('/') {
                None => Self::Task(rest),
                Some((task, "retry")) => Self::Retry(task),
                Some((task, "cancel")) => Self::Cancel(task),
                Some(_) => Self::Unknown,
            };
        }
        if let Some(rest) = path.strip_prefix("/v1/orders/") {
            return match rest.split_once('/') {
                None => Self::Order(rest),
                Some((order_no, "ship")) => Self::ShipOrder(order_no),
                Some(_) => Self::Unknown,
            };
        }
        match path {
            "/v1/orders" => Self::CreateOrder,
            "/v1/pay-tasks" => Self::Submit,
            "/simulated/cashier" => Self::Cashier,
            "/healthz" => Self::Health,
            "/readyz" => Self::Ready,
            "/metrics" => Self::Metrics,
            "/openapi.json" => Self::OpenApi,
            _ => {
                let payment = path.strip_prefix("/v1/payments/").map(Self::Payment);
                let notify = || path.strip_prefix("/v1/notify/").map(Self::Notify);
                payment.or_else(notify).unwrap_or(Self::Unknown)
            }
        }
    }

    /// Its place in [`CALLS`], and after those in [`OTHERS`].
    const fn number(self) -> usize {
        match self {
            Self::Submit => 0,
            Self::Task(_) => 1,
            Self::Retry(_) => 2,
            Self::Cancel(_) => 3,
            Self::Payment(_) => 4,
            Self::Cashier => 5,
            Self::Health => 6,
            Self::Ready => 7,
            Self::Metrics => 8,
            Self::OpenApi => 9,
            Self::CreateOrder => 10,
            Self::Order(_) => 11,
            Self::ShipOrder(_) => 12,
            Self::Notify(_) => 13,
            Self::Books => 14,
            Self::Book(_) => 15,
            Self::Ledger => 16,
            Self::Unknown => 17,
        }
    }

    const fn method(self) -> Option<Method> {
        match self {
            Self::Submit
            | Self::Retry(_)
            | Self::Cancel(_)
            | Self::Cashier
            | Self::CreateOrder
            | Self::ShipOrder(_)
            | Self::Notify(_) => Some(Method::POST),
            Self::Unknown => None,
            _ => Some(Method::GET),
        }
    }
}

impl App {
    /// The calls of one runtime behind one of the two faces; a body has so long to arrive.
    #[must_use]
    pub(super) fn new(
        service: PayService,
        face: Face,
        merchants: Arc<Merchants>,
        body_deadline: Duration,
    ) -> Arc<Self> {
        let metrics = &service.parts().metrics;
        let names = CALLS.iter().map(|call| call.name).chain(OTHERS);
        let meters = names.map(|name| Meter::new(metrics, name)).collect();
        Arc::new(Self { service, face, merchants, meters, body_deadline })
    }

    /// Answers a request.
    pub(super) async fn handle(&self, request: Request<Incoming>) -> Answer {
        let began = Instant::now();
        let (head, body) = request.into_parts();
        let route = Route::of(self.face, head.uri.path());
        let answer = match route.method() {
            // hyper leaves the body out of an answer to HEAD.
            Some(method) if method != head.method && !(method == Method::GET && head.method == Method::HEAD) => {
                reply::method_not_allowed(&method)
            }
            _ => match self.merchant(route, &head.headers) {
                Ok(merchant) => self.answer(route, merchant.id(), &head, body).await,
                Err(refused) => refused,
            },
        };
        self.meters[route.number()].record(began, answer.status());
        answer
    }

    /// Who calls; looked at only where it matters.
    fn merchant(&self, route: Route<'_>, headers: &HeaderMap) -> Result<Merchant, Answer> {
        let needed = self.merchants.have_keys() && CALLS.get(route.number()).is_some_and(Call::is_a_merchants);
        if !needed {
            return Ok(Merchant::Default);
        }
        bearer::merchant(&self.merchants, headers, &self.service.parts().metrics)
    }

    async fn answer(&self, route: Route<'_>, merchant: &str, head: &Parts, body: Incoming) -> Answer {
        let service = &self.service;
        match route {
            Route::Task(task) => tasks::query(service, merchant, task).await,
            Route::Submit => tasks::submit(service, merchant, &head.headers, body, self.body_deadline).await,
            Route::Retry(task) => tasks::retry(service, merchant, task).await,
            Route::Cancel(task) => tasks::cancel(service, merchant, task).await,
            Route::Payment(payment_no) => tasks::payment(service, merchant, payment_no).await,
            Route::Cashier => cashier::pay(service.parts(), body, self.body_deadline).await,
            Route::CreateOrder => {
                orders::create(service.parts(), merchant, &head.headers, body, self.body_deadline).await
            }
            Route::Order(order_no) => orders::read(service.parts(), merchant, order_no).await,
            Route::ShipOrder(order_no) => {
                orders::ship(service.parts(), merchant, order_no, &head.headers, body, self.body_deadline).await
            }
            Route::Health => plain::health(service.parts()),
            Route::Ready => plain::ready(service.parts()).await,
            Route::Metrics => plain::metrics(service.parts()),
            Route::OpenApi => plain::openapi(),
            Route::Notify(style) => notify::take(service.parts(), style, &head.headers, body, self.body_deadline).await,
            Route::Books => admin::collections(service.parts()),
            Route::Book(collection) => admin::book(service.parts(), collection, head.uri.query()).await,
            Route::Ledger => admin::ledger(service.parts(), head.uri.query()).await,
            Route::Unknown => reply::problem(&Problem::new(ProblemType::NotFound)),
        }
    }
}

impl Meter {
    fn new(metrics: &Metrics, name: &'static str) -> Self {
        let class = |status| metrics.requests.get_or_create(&RequestLabels { route: name, status }).clone();
        let classes = [StatusClass::Success, StatusClass::ClientError, StatusClass::ServerError];
        let latency = metrics.request_latency.get_or_create(&Named { name }).clone();
        Self { latency, by_class: classes.map(class) }
    }

    fn record(&self, began: Instant, status: StatusCode) {
        self.latency.observe(began.elapsed().as_secs_f64());
        let class = match status.as_u16() {
            500.. => 2,
            400.. => 1,
            _ => 0,
        };
        self.by_class[class].inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_router_knows_every_call_of_the_contract_and_no_other() {
        for (number, call) in CALLS.iter().enumerate() {
            let path = call.path.replace("{task_id}", "T").replace("{payment_no}", "T-1");
            let path = path.replace("{order_no}", "O").replace("{channel}", "alipay");
            let route = Route::of(Face::Public, &path);
            assert_eq!((route.number(), route.method()), (number, Some(call.verb.method())), "{}", call.name);
            assert_eq!(Route::of(Face::Admin, &path), Route::Unknown);
        }
        // Every route stands in one of the two lists.
        assert_eq!(Route::Books.number(), CALLS.len());
        assert_eq!(Route::Unknown.number(), CALLS.len() + OTHERS.len() - 1);
    }

    #[test]
    fn other_paths_are_unknown() {
        for path in [
            "/",
            "",
            "*",
            "/v1",
            "/v1/pay-tasks/T/refund",
            "/v1/pay-tasks/T/retry/",
            "/v1/orders/O/pay",
            "/v1/orders/O/ship/",
            "/admin/books",
            "/METRICS",
        ] {
            assert_eq!(Route::of(Face::Public, path), Route::Unknown, "{path}");
        }
        assert_eq!(Route::of(Face::Admin, "/admin/books"), Route::Books);
        assert_eq!(Route::of(Face::Admin, "/admin/books/x"), Route::Book("x"));
        assert_eq!(Route::of(Face::Admin, "/admin/ledger"), Route::Ledger);
    }
}

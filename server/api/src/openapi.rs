//! The `OpenAPI` document of the contract, made from its types and its calls.

use std::collections::BTreeSet;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, ComponentsBuilder, Content, ContentBuilder, HeaderBuilder, InfoBuilder, License, ObjectBuilder,
        OpenApi, OpenApiBuilder, PathItem, PathsBuilder, Ref, RefOr, Required, Response, ResponseBuilder,
        ResponsesBuilder, Schema, Type,
        path::{HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::{RequestBody, RequestBodyBuilder},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use crate::{
    ChannelStyle, ChildOrder, Currency, IDEMPOTENCY_KEY_MAX, Item, NewOrder, Order, OrderState, Payment, PaymentState,
    Problem, ProblemType, Ship, ShipMode, Simulate, Submission, Task, TaskInfo, TaskReply, TaskState, Transaction,
    calls::{Body, CALLS, Call, Header, Success, Takes, Verb},
    problem::PROBLEM_JSON,
    reply::Health,
};

const JSON: &str = "application/json";
/// The media type of forms.
const FORM: &str = "application/x-www-form-urlencoded";
/// The media type of metrics.
const OPENMETRICS: &str = "application/openmetrics-text";
/// The name of the way in which a merchant says who it is.
const MERCHANT_KEY: &str = "merchantKey";

/// The document as JSON text.
#[must_use]
pub fn document() -> String {
    // It holds texts and numbers only, which can always be written.
    build().to_json().unwrap_or_default()
}

fn build() -> OpenApi {
    let info = InfoBuilder::new()
        .title("payrig: an asynchronous payment flow")
        .version("1")
        .description(Some(
            "Submit a payment, poll its task every 2 to 3 seconds until it is settled, pay at the cashier, poll until \
             it is paid. Amounts are in the currency's minor unit, instants in microseconds since the Unix epoch by \
             the server's clock, spans in microseconds. Every error is a problem document (RFC 9457).",
        ))
        .license(Some(License::new("MIT OR Apache-2.0")))
        .build();
    let mut paths = PathsBuilder::new();
    for call in CALLS {
        paths = paths.path(call.path, PathItem::new(http_method(&call), operation(&call)));
    }
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components())).build()
}

fn components() -> Components {
    fn with<T: ToSchema>(components: ComponentsBuilder) -> ComponentsBuilder {
        components.schema(T::name(), <T as PartialSchema>::schema())
    }
    let mut components = ComponentsBuilder::new();
    for add in [
        with::<Submission>,
        with::<Item>,
        with::<ChannelStyle>,
        with::<Currency>,
        with::<TaskInfo>,
        with::<Simulate>,
        with::<TaskReply>,
        with::<Task>,
        with::<TaskState>,
        with::<Payment>,
        with::<PaymentState>,
        with::<Transaction>,
        with::<NewOrder>,
        with::<Ship>,
        with::<ShipMode>,
        with::<Order>,
        with::<OrderState>,
        with::<ChildOrder>,
        with::<Health>,
        with::<Problem>,
        with::<ProblemType>,
    ] {
        components = add(components);
    }
    components.security_scheme(MERCHANT_KEY, merchant_key()).build()
}

fn merchant_key() -> SecurityScheme {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
        "The merchant's API key. A server without merchants needs none. Another merchant's tasks, payments and orders \
         are answered as if they did not exist.",
    ));
    SecurityScheme::Http(bearer.build())
}

fn http_method(call: &Call) -> HttpMethod {
    match call.verb {
        Verb::Get => HttpMethod::Get,
        Verb::Post => HttpMethod::Post,
    }
}

fn operation(call: &Call) -> Operation {
    let mut responses = ResponsesBuilder::new();
    for success in call.answers {
        responses = responses.response(success.status.to_string(), well(success));
    }
    let unauthorized = call.is_a_merchants().then_some(ProblemType::Unauthorized);
    let problems: Vec<ProblemType> = call.problems.iter().copied().chain(unauthorized).collect();
    let statuses: BTreeSet<u16> = problems.iter().map(|kind| kind.status()).collect();
    for status in statuses {
        let kinds: Vec<ProblemType> = problems.iter().copied().filter(|kind| kind.status() == status).collect();
        let response = badly(status, &kinds);
        let response = if status == 401 && call.is_a_merchants() {
            with_header(response, Header::WwwAuthenticate)
        } else {
            response
        };
        responses = responses.response(status.to_string(), response.build());
    }
    let mut operation = OperationBuilder::new()
        .operation_id(Some(call.name))
        .summary(Some(call.summary))
        .request_body(body_of_request(call.takes))
        .responses(responses.build());
    for name in call.path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
        operation = operation.parameter(in_path(name));
    }
    if call.takes == Takes::Submission {
        operation = operation.parameter(idempotency_key());
    }
    if call.is_a_merchants() {
        // Nothing is asked of those who call a server without merchants.
        let none = SecurityRequirement::default();
        operation = operation.security(SecurityRequirement::new(MERCHANT_KEY, [""; 0])).security(none);
    }
    operation.build()
}

fn in_path(name: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

fn idempotency_key() -> Parameter {
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(IDEMPOTENCY_KEY_MAX))
        .pattern(Some("^[!-~]+$"));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("Names one intent for 24 hours: a repeat with the same body is the same task"))
        .schema(Some(text))
        .build()
}

fn body_of_request(takes: Takes) -> Option<RequestBody> {
    let free = |kind| ContentBuilder::new().schema(Some(ObjectBuilder::new().schema_type(kind))).build();
    let content = match takes {
        Takes::Nothing => return None,
        Takes::Notification => {
            let body = RequestBodyBuilder::new().content(JSON, free(Type::Object)).content(FORM, free(Type::Object));
            return Some(body.required(Some(Required::True)).build());
        }
        Takes::Submission => reference::<Submission>(),
        Takes::NewOrder => reference::<NewOrder>(),
        Takes::Ship => reference::<Ship>(),
        Takes::PayParams => free(Type::Object),
    };
    Some(RequestBodyBuilder::new().content(JSON, content).required(Some(Required::True)).build())
}

fn reference<T: ToSchema>() -> Content {
    ContentBuilder::new().schema(Some(RefOr::<Schema>::Ref(Ref::from_schema_name(T::name())))).build()
}

fn well(success: &Success) -> Response {
    let free = |kind| ContentBuilder::new().schema(Some(ObjectBuilder::new().schema_type(kind))).build();
    let (media, content) = match success.body {
        // WeChat style; in Alipay style it is one word.
        Body::Taken => {
            let response = ResponseBuilder::new().description(success.meaning);
            return response.content(JSON, free(Type::Object)).content("text/plain", free(Type::String)).build();
        }
        Body::Task => (JSON, reference::<TaskReply>()),
        Body::Payment => (JSON, reference::<Payment>()),
        Body::Transaction => (JSON, reference::<Transaction>()),
        Body::Order => (JSON, reference::<Order>()),
        Body::Health => (JSON, reference::<Health>()),
        Body::OpenApi => (JSON, free(Type::Object)),
        Body::Metrics => (OPENMETRICS, free(Type::String)),
    };
    let response = ResponseBuilder::new().description(success.meaning).content(media, content);
    success.headers.iter().fold(response, |response, header| with_header(response, *header)).build()
}

fn badly(status: u16, kinds: &[ProblemType]) -> ResponseBuilder {
    let titles: Vec<&str> = kinds.iter().map(|kind| kind.title()).collect();
    let response =
        ResponseBuilder::new().description(titles.join("; or: ")).content(PROBLEM_JSON, reference::<Problem>());
    if status == 503 { with_header(response, Header::RetryAfter) } else { response }
}

fn with_header(response: ResponseBuilder, header: Header) -> ResponseBuilder {
    let (name, kind, meaning) = match header {
        Header::Location => ("Location", Type::String, "The path of what was made"),
        Header::RetryAfter => ("Retry-After", Type::Integer, "Seconds after which to ask again"),
        Header::WwwAuthenticate => ("WWW-Authenticate", Type::String, "That a merchant's API key is needed"),
    };
    let schema = ObjectBuilder::new().schema_type(kind);
    response.header(name, HeaderBuilder::new().schema(schema).description(Some(meaning)).build())
}

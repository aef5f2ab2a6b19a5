//! All routes of the API, and the description made from them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::{Json, Router, middleware};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;
use tower_http::decompression::RequestDecompressionLayer;
use tower_http::trace::TraceLayer;
use utoipa::OpenApi as _;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use super::{
    clock, datasets, deliveries, events, guard, health, history, journeys, pauses, profiles, reports, resources,
    shards, steps, testing,
};
use crate::runtime::engine::Engine;
use crate::transport::api_keys::ApiKeys;
use crate::transport::clock::SourceClock;

/// Bounds of the API.
#[derive(Clone, Copy, Debug)]
pub struct ApiOptions {
    /// Longest time of one request.
    pub request_timeout: Duration,
    /// How long a batch waits for room before 429.
    pub patience: Duration,
    /// Requests at once.
    pub requests_max: usize,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self { request_timeout: Duration::from_secs(30), patience: Duration::from_secs(1), requests_max: 1024 }
    }
}

/// What handlers know. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    /// The engine.
    pub engine: Engine,
    /// Who may speak.
    pub keys: Arc<ApiKeys>,
    /// What gives events their engine time.
    pub clock: Arc<SourceClock>,
    /// Whether the server has begun to stop: readiness then says so at once.
    pub draining: Arc<AtomicBool>,
    /// Renders `/metrics`.
    pub metrics: PrometheusHandle,
    /// Bounds.
    pub options: ApiOptions,
    /// One permit a request.
    pub requests: Arc<Semaphore>,
    /// One permit an export.
    pub exports: Arc<Semaphore>,
    /// `/openapi.json`.
    pub description: Arc<utoipa::openapi::OpenApi>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Api {
    /// An API over `engine`.
    pub fn new(
        engine: Engine,
        keys: Arc<ApiKeys>,
        clock: SourceClock,
        metrics: PrometheusHandle,
        options: ApiOptions,
    ) -> Self {
        Self {
            engine,
            keys,
            clock: Arc::new(clock),
            draining: Arc::default(),
            metrics,
            options,
            requests: Arc::new(Semaphore::new(options.requests_max)),
            exports: Arc::new(Semaphore::new(steps::EXPORTS_MAX)),
            description: Arc::new(description()),
        }
    }
}

#[derive(Debug, utoipa::OpenApi)]
#[openapi(
    info(
        title = "Sojourn",
        description = "An open, self-hosted customer-journey engine. Every refusal has the shape `ErrorBody`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    tags(
        (name = "events", description = "Customers' events come in."),
        (name = "resources", description = "Journeys, messages, schemas and surfaces."),
        (name = "journeys", description = "Versions and their status."),
        (name = "reports", description = "What happened."),
        (name = "profiles", description = "One customer."),
        (name = "deliveries", description = "Messages on their way out."),
        (name = "operations", description = "Shards, health, metrics.")
    )
)]
struct Description;

/// Routes that need a key, with their description.
fn guarded() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(events::ingest))
        .routes(routes!(resources::check))
        .routes(routes!(resources::plan))
        .routes(routes!(resources::apply))
        .routes(routes!(resources::draft))
        .routes(routes!(datasets::list))
        .routes(routes!(datasets::load))
        .routes(routes!(journeys::list))
        .routes(routes!(journeys::conflicts))
        .routes(routes!(journeys::stop))
        .routes(routes!(journeys::close))
        .routes(routes!(testing::start))
        .routes(routes!(testing::stop))
        .routes(routes!(testing::publish))
        .routes(routes!(testing::log))
        .routes(routes!(testing::flagged, testing::flag))
        .routes(routes!(pauses::pause))
        .routes(routes!(pauses::resume))
        .routes(routes!(pauses::forecast))
        .routes(routes!(reports::all))
        .routes(routes!(reports::one))
        .routes(routes!(reports::hash))
        .routes(routes!(profiles::show))
        .routes(routes!(profiles::why))
        .routes(routes!(steps::export))
        .routes(routes!(history::show))
        .routes(routes!(history::events))
        .routes(routes!(history::profiles))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::resolve))
        .routes(routes!(shards::show, shards::set))
        .routes(routes!(clock::advance))
        .routes(routes!(health::metrics))
}

/// Routes that probes read without a key: they say nothing about customers.
fn open() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(health::live)).routes(routes!(health::ready)).routes(routes!(openapi))
}

/// The API's description, OpenAPI 3.1.
pub fn description() -> utoipa::openapi::OpenApi {
    let mut description = guarded().merge(open()).into_openapi();
    let components = description.components.get_or_insert_default();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    components.add_security_scheme("key", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("x-api-key"))));
    let either = ["bearer", "key"].map(|scheme| SecurityRequirement::new(scheme, Vec::<String>::new()));
    description.security = Some(either.to_vec());
    description
}

/// The whole API.
pub fn router(api: Api) -> Router {
    let (guarded, _) = guarded().split_for_parts();
    let (open, _) = open().split_for_parts();
    guarded
        .layer(RequestDecompressionLayer::new().no_br().no_deflate().no_zstd().pass_through_unaccepted(true))
        .route_layer(middleware::from_fn_with_state(api.clone(), guard::authenticate))
        .merge(open)
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
        .layer(middleware::from_fn_with_state(api.clone(), guard::bound))
        .layer(middleware::from_fn(guard::measure))
        .layer(TraceLayer::new_for_http())
        .with_state(api)
}

async fn unknown_route(uri: Uri) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "unknown_route", format!("there is nothing at {}", uri.path()))
        .suggest("GET /openapi.json lists all routes")
}

async fn unknown_method(uri: Uri) -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "unknown_method", format!("{} takes another method", uri.path()))
        .suggest("GET /openapi.json lists all routes")
}

/// This description of the API.
#[utoipa::path(get, path = "/openapi.json", tag = "operations", security(()), responses((status = 200, description = "OpenAPI 3.1")))]
async fn openapi(State(api): State<Api>) -> Json<utoipa::openapi::OpenApi> {
    Json((*api.description).clone())
}

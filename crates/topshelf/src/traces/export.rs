//! Spans go to a collector by OTLP over HTTP: queued at once, sent in batches by a thread that nobody waits for.
//!
//! A queue that is full drops spans. At the end of the process a moment is given to what is queued, and no more.

use super::{
    collector::{Collector, said},
    endpoint,
};
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SdkTracer, SdkTracerProvider, SpanData},
};
use std::{env, sync::OnceLock, time::Duration};
use tracing_subscriber::{Layer, Registry, filter::filter_fn};

/// What spans say made them, and what `service.name` is unless the environment says otherwise.
const NAME: &str = "topshelf";

/// What the environment may call a sampler.
const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// The longest that the end of the process waits for a collector.
const ENDS_WITHIN: Duration = Duration::from_secs(3);

static EXPORT: OnceLock<Export> = OnceLock::new();

struct Export {
    provider: SdkTracerProvider,
    collector: Collector,
}

/// Starts to export when the environment names a collector; gives what is to be said of the environment.
pub(crate) fn start() -> Option<String> {
    let endpoint = endpoint()?;
    let exporter = match exporter(&endpoint) {
        Ok(exporter) => exporter,
        Err(error) => return Some(format!("no traces are exported: {error}")),
    };
    let collector = exporter.collector.clone();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource());
    let is_first = EXPORT.set(Export { provider: provider.build(), collector }).is_ok();
    assert!(is_first, "the program starts once");
    unknown_sampler()
}

fn exporter(endpoint: &str) -> Result<Told, String> {
    if let Some(protocol) = said("PROTOCOL").filter(|protocol| protocol != "http/protobuf") {
        return Err(format!(
            "OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}, and only http/protobuf is spoken here"
        ));
    }
    let collector = Collector::new(endpoint)?;
    let built = SpanExporter::builder().with_http().with_http_client(collector.clone()).build();
    // Its address may hold a password.
    let exporter = built.map_err(|error| error.to_string().replace(endpoint, "…"))?;
    Ok(Told { exporter, collector })
}

/// What the spans are of: what the environment says, in the program's name if it says none.
fn resource() -> Resource {
    let resource = Resource::builder().build();
    let is_named = resource
        .get(&"service.name".into())
        .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let has_version = resource.get(&"service.version".into()).is_some();
    let more = [
        (!is_named).then(|| KeyValue::new("service.name", NAME)),
        (!has_version).then(|| KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))),
    ];
    Resource::builder().with_attributes(more.into_iter().flatten()).build()
}

fn unknown_sampler() -> Option<String> {
    let sampler = env::var("OTEL_TRACES_SAMPLER").ok().filter(|sampler| !sampler.is_empty())?;
    (!SAMPLERS.contains(&sampler.as_str())).then(|| {
        let known = SAMPLERS.join(", ");
        format!("OTEL_TRACES_SAMPLER is {sampler}, which is none of {known}; every trace is sampled")
    })
}

/// Takes the pipeline's spans out of what is logged.
pub(crate) fn layer() -> Option<Box<dyn Layer<Registry> + Send + Sync>> {
    let layer = tracing_opentelemetry::layer()
        .with_tracer(tracer()?)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false);
    Some(layer.with_filter(filter_fn(|metadata| metadata.target() == super::TARGET)).boxed())
}

/// What makes spans; none when no collector is told of.
pub(crate) fn tracer() -> Option<SdkTracer> {
    EXPORT.get().map(|export| export.provider.tracer(NAME))
}

/// Sends what is queued, for as long as an end may take.
pub(crate) fn end() {
    if let Some(Export { provider, collector }) = EXPORT.get()
        && provider.shutdown_with_timeout(ENDS_WITHIN).is_err()
    {
        collector.tell(false);
    }
}

/// An exporter whose failures are told once, until it succeeds again.
#[derive(Debug)]
struct Told {
    exporter: SpanExporter,
    collector: Collector,
}

impl opentelemetry_sdk::trace::SpanExporter for Told {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let exported = self.exporter.export(batch).await;
        self.collector.tell(exported.is_ok());
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

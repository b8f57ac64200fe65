//! `paceline run`: the service.

use super::{check, connect};
use crate::cli::Run;
use crate::clock::Clock;
use crate::failure::{Failure, Outcome};
use crate::http::{self, Shared};
use crate::notify::Notifier;
use crate::published::Published;
use crate::registry;
use crate::service;
use crate::service::context::{Context, Stop};
use crate::service::progress::Progress;
use crate::service::topology;
use crate::settings::Settings;
use crate::telemetry::{Metrics, start_logging};
use avro_codec::Codec;
use kafka_io::{Admin, LogReader};
use std::sync::Arc;

/// Name of this build in every record it writes: commands are compared byte for byte only between equal builds.
pub const BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("PACELINE_SOURCE"));

/// Checks the set-up, starts HTTP and the stages, and ends on a signal or a failure.
pub fn run(arguments: &Run) -> Outcome {
    let (settings, _) = Settings::load_checked(&arguments.config.files)?;
    start_logging(&settings.log_level, &settings.log_format)?;
    check::connection_properties(&settings)?;
    let admin = Admin::connect(&connect(&settings, "start"), topology::ANSWER_LIMIT)?;
    let topology = topology::inspect(&settings, &admin)?;
    topology::refuse_growth(
        &settings,
        topology,
        &LogReader::open(&connect(&settings, "start"), topology::ANSWER_LIMIT)?,
    )?;
    for warning in check::topics(&settings, &admin)? {
        tracing::warn!("{warning}");
    }
    check::automatic_campaigns(&settings, &admin)?;
    drop(admin);
    let codec = registry::codec(&settings, registry::SERVICE_WRITES)?;
    let mut context = context(settings, Clock::System, topology, codec, arguments.accept_loss);
    context.notifier =
        Notifier::start(&context.settings, context.clock, context.build.clone(), context.metrics.clone())?;
    let shared = Shared::of(&context)?;
    let addresses = http::serve(http::endpoints(&context.settings, shared.clone())?)?;
    tracing::info!(build = %context.build, slot = context.settings.slot, addresses = ?addresses, "serving");
    stop_on_signal(context.stop.clone())?;
    let ended = service::run(&context, arguments.role);
    // A halt that was accepted is kept, whatever ended the service.
    shared.drain();
    ended
}

/// What the workers share.
pub fn context(
    settings: Settings,
    clock: Clock,
    topology: topology::Topology,
    codec: Codec,
    accept_loss: bool,
) -> Context {
    let (metrics, published) = (Arc::new(Metrics::new()), Arc::new(Published::default()));
    metrics.prepare_topics(&settings.topics);
    Context {
        settings: Arc::new(settings),
        clock,
        codec,
        progress: Progress::of("service", metrics.clone(), published.clone()),
        notifier: Notifier::default(),
        metrics,
        published,
        topology,
        stop: Arc::new(Stop::default()),
        build: Arc::from(BUILD),
        accept_loss,
    }
}

/// The first SIGTERM or Ctrl-C drains; a second one ends at once.
pub fn stop_on_signal(stop: Arc<Stop>) -> Outcome {
    let failed = |error: std::io::Error| Failure::failed(format!("cannot listen for signals: {error}"), "");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let wait = move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut terminate), Ok(mut interrupt)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                return;
            };
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            tracing::info!("asked to stop: draining");
            stop.ask();
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            std::process::exit(1);
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).map_err(failed)?;
    Ok(())
}

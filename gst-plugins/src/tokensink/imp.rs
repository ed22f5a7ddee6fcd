use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Condvar, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gst::glib;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use siskin_core::bitstream::StreamHeader;
use siskin_core::bundle::Bundle;
use siskin_core::tokens::FileFormat;
use siskin_core::{Error, Limits};

use super::session::{self, Session};
use crate::element::{
    counters, debug_category, describe_element, describe_properties, map_buffer, post_error,
};
use crate::inference::InferenceSettings;
use crate::properties::OldName;
use crate::sync::lock;
use crate::time::samples_to_time;
use crate::{caps, errors, properties, tokens};

debug_category!("siskintokensink", "Siskin token sink");

const DEFAULT_MODEL: &str = "speech-24k";
/// Default of `max-buffers`.
// Five seconds at 50 buffers per second: enough for an application that is busy for a moment.
const DEFAULT_BUFFERS: u32 = 256;
/// Names of release 0.2, which 0.3 still takes.
const OLD_NAMES: [OldName; 1] = [("codebooks", "stages")];

#[derive(Debug, Clone)]
struct Settings {
    inference: InferenceSettings,
    layout: String,
    stages: u32,
    location: Option<PathBuf>,
    max_buffers: u32,
    emit_signals: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            inference: InferenceSettings::new(Some(DEFAULT_MODEL)),
            layout: "parallel".into(),
            stages: 0,
            location: None,
            max_buffers: DEFAULT_BUFFERS,
            emit_signals: false,
        }
    }
}

/// What waits for the application.
#[derive(Default)]
struct Queue {
    samples: VecDeque<gst::Sample>,
    eos: bool,
    flushing: bool,
    stopped: bool,
    stats: Stats,
}

counters! {
    /// Counters behind the property `stats`.
    Stats as "siskin-token-sink-stats" {
        tokens: u64,
        dropped_buffers: u64,
        waiting_buffers: u64,
    }
}

#[derive(Default)]
pub struct SiskinTokenSink {
    settings: Mutex<Settings>,
    session: Mutex<Option<Session>>,
    /// The header of coded audio, until its first packet says how many stages there are.
    coded: Mutex<Option<StreamHeader>>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[glib::object_subclass]
impl ObjectSubclass for SiskinTokenSink {
    const NAME: &'static str = "GstSiskinTokenSink";
    type Type = super::SiskinTokenSink;
    type ParentType = gst_base::BaseSink;
}

impl ObjectImpl for SiskinTokenSink {
    fn constructed(&self) {
        self.parent_constructed();
        // Tokens are data for an application, not something to be shown in time.
        self.obj().set_sync(false);
    }

    describe_properties!({
        let blurb = "Name or directory of the model bundle that encodes samples";
        let mut specs = InferenceSettings::audio_specs(Some(DEFAULT_MODEL), blurb);
        specs.extend([
                glib::ParamSpecString::builder("layout")
                    .nick("Layout")
                    .blurb(
                        "Order of the tokens: parallel, delayed, moshi, csm, flat, snac, coarse-first, ...",
                    )
                    .default_value("parallel")
                    .mutable_ready()
                    .build(),
                properties::stages_spec("Residual stages; 0 is the bundle's default, or all that coded audio has").mutable_ready().build(),
                glib::ParamSpecString::builder("location")
                    .nick("Location")
                    .blurb("Token file to write at the end: .safetensors, .npy or .jsonl")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("max-buffers")
                    .nick("Maximum buffers")
                    .blurb("Buffers that wait for the application; at this number the stream waits, or with location the oldest is dropped")
                    .minimum(1)
                    .default_value(DEFAULT_BUFFERS)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoolean::builder("emit-signals")
                    .nick("Emit signals")
                    .blurb("Emit new-tokens for each buffer of tokens")
                    .mutable_playing()
                    .build(),
            ]);
        specs.extend(properties::state_specs());
        properties::add_old_names(&mut specs, &OLD_NAMES);
        specs
    });

    fn signals() -> &'static [glib::subclass::Signal] {
        static SIGNALS: LazyLock<Vec<glib::subclass::Signal>> = LazyLock::new(|| {
            vec![
                glib::subclass::Signal::builder("new-tokens").run_last().build(),
                glib::subclass::Signal::builder("pull-tokens")
                    .param_types([u64::static_type()])
                    .return_type::<Option<gst::Sample>>()
                    .run_last()
                    .action()
                    .class_handler(|args| {
                        let element = args[0].get::<super::SiskinTokenSink>().ok()?;
                        let wait = Duration::from_nanos(args[1].get::<u64>().unwrap_or_default());
                        Some(element.imp().pull_sample(wait).to_value())
                    })
                    .build(),
            ]
        });
        &SIGNALS
    }

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        let name = properties::current_name(&*self.obj(), *CAT, spec, &OLD_NAMES);
        let mut settings = lock(&self.settings);
        // GObject has checked types and ranges.
        match name {
            "layout" => settings.layout = properties::text_from(value).unwrap_or_else(|| "parallel".into()),
            "stages" => settings.stages = value.get().unwrap_or_default(),
            "location" => settings.location = properties::text_from(value).map(PathBuf::from),
            "max-buffers" => settings.max_buffers = value.get().unwrap_or(DEFAULT_BUFFERS),
            "emit-signals" => settings.emit_signals = value.get().unwrap_or_default(),
            _ => {
                settings.inference.set_property(value, name);
            }
        }
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings).clone();
        match properties::name_to_read(spec, &OLD_NAMES) {
            "layout" => settings.layout.to_value(),
            "stages" => settings.stages.to_value(),
            "location" => settings.location.map(|p| p.display().to_string()).to_value(),
            "max-buffers" => settings.max_buffers.to_value(),
            "emit-signals" => settings.emit_signals.to_value(),
            "active-provider" => lock(&self.session).as_ref().map_or("", |s| s.provider).to_value(),
            "stats" => {
                let queue = lock(&self.queue);
                let waiting_buffers = queue.samples.len() as u64;
                Stats { waiting_buffers, ..queue.stats }.to_structure().to_value()
            }
            name => settings.inference.property(name).unwrap_or_else(|| spec.default_value().clone()),
        }
    }
}

impl GstObjectImpl for SiskinTokenSink {}

impl ElementImpl for SiskinTokenSink {
    describe_element!(
        "Siskin token sink",
        "Sink/Audio",
        "Turns speech into the tokens of speech models, for an application or a file",
        {
            let mut all = caps::raw_template();
            all.make_mut().append(gst::Caps::new_empty_simple(caps::AUDIO));
            vec![caps::always("sink", gst::PadDirection::Sink, &all)]
        }
    );
}

impl BaseSinkImpl for SiskinTokenSink {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        // The end of the last run must not be taken for that of this one.
        *lock(&self.queue) = Queue::default();
        let settings = lock(&self.settings).clone();
        if let Some(location) = settings.location.filter(|l| FileFormat::from_path(l).is_none()) {
            let text = format!("location is {}, allowed: .safetensors, .npy or .jsonl", location.display());
            return Err(gst::error_msg!(gst::ResourceError::Settings, ("{text}")));
        }
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.session) = None;
        *lock(&self.coded) = None;
        // Whoever waits in `pull-tokens` must return before the element goes away.
        lock(&self.queue).stopped = true;
        self.changed.notify_all();
        Ok(())
    }

    fn caps(&self, filter: Option<&gst::Caps>) -> Option<gst::Caps> {
        // Samples are taken at the bundle's rate only, which is known before they come.
        let settings = lock(&self.settings).clone();
        let model = settings.inference.model.unwrap_or_else(|| DEFAULT_MODEL.into());
        let mut all = match Bundle::find(&model) {
            Ok(bundle) => caps::raw(&bundle.stream_header()),
            // A missing bundle is reported when caps are set; here it would only read as "not negotiated".
            Err(_) => caps::raw_template(),
        };
        all.make_mut().append(gst::Caps::new_empty_simple(caps::AUDIO));
        Some(
            filter
                .map_or_else(|| all.clone(), |f| f.intersect_with_mode(&all, gst::CapsIntersectMode::First)),
        )
    }

    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        self.start_stream(caps).map_err(|e| {
            self.post_error_message(errors::to_message(&e));
            gst::loggable_error!(CAT, "{e}")
        })
    }

    fn event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Eos(_) => {
                if let Err(e) = self.finish_stream() {
                    self.post_error_message(errors::to_message(&e));
                    // Not handed to the base class, which would post the end of the stream beside the error.
                    return false;
                }
            }
            gst::EventView::FlushStop(_) => {
                if let Some(session) = lock(&self.session).as_mut() {
                    session.reset();
                }
                let mut queue = lock(&self.queue);
                queue.samples.clear();
                // After a flush the stream goes on even if it had ended.
                queue.eos = false;
            }
            _ => (),
        }
        self.parent_event(event)
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        // The streaming thread may wait for room while the pipeline is to stop or seek.
        lock(&self.queue).flushing = true;
        self.changed.notify_all();
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        lock(&self.queue).flushing = false;
        Ok(())
    }

    fn render(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let map = map_buffer(self, buffer)?;
        let mut out = Vec::new();
        match self.take_input(&map, &mut out) {
            Ok(first) => self.queue_tokens(&out, first),
            // A broken packet costs itself.
            Err(e @ (Error::Bitstream { .. } | Error::Token(_))) => {
                gst::element_imp_warning!(
                    self,
                    gst::StreamError::Decode,
                    ("packet at {} left out: {e}", buffer.pts().display())
                );
                Ok(gst::FlowSuccess::Ok)
            }
            Err(e) => Err(post_error(self, &e)),
        }
    }
}

impl SiskinTokenSink {
    /// Prepares for the stream of these caps.
    fn start_stream(&self, caps: &gst::Caps) -> Result<(), Error> {
        let settings = lock(&self.settings).clone();
        let is_raw = caps.structure(0).is_some_and(|s| s.name() == "audio/x-raw");
        if lock(&self.session).as_ref().is_some_and(|s| s.frames > 0) {
            // The next stream's tokens follow; a file holds one stream only.
            if settings.location.is_some() && !is_raw {
                let value = "another stream".to_owned();
                return Err(Error::Parameter { name: "caps", value, allowed: "one stream a file".into() });
            }
            if is_raw {
                return Ok(());
            }
        }
        let stages = (settings.stages > 0).then_some(settings.stages as u8);
        if is_raw {
            let bundle = Bundle::find(settings.inference.model.as_deref().unwrap_or(DEFAULT_MODEL))?;
            let runtime = settings.inference.load_runtime()?;
            let keep = settings.location.is_some();
            let session = Session::of_samples(&bundle, &runtime, &settings.layout, stages, keep)?;
            *lock(&self.session) = Some(session);
            self.obj().notify("active-provider");
        } else {
            // Opened with the first packet: caps do not say how many stages packets have.
            *lock(&self.session) = None;
            *lock(&self.coded) = caps::header(caps)?;
        }
        Ok(())
    }

    /// Takes samples or a packet; returns the number of the first frame whose tokens are new.
    fn take_input(&self, data: &[u8], out: &mut Vec<i64>) -> Result<u64, Error> {
        let mut guard = lock(&self.session);
        if guard.is_none() {
            // Its own header wins over the caps', which may be of the stream before.
            let packet = siskin_core::bitstream::packet::Packet::parse(data, &Limits::default())?;
            let header = packet.header.clone().or_else(|| lock(&self.coded).clone());
            let header = header.ok_or(Error::MissingHeader)?;
            let settings = lock(&self.settings).clone();
            let bundle = Bundle::for_stream(&header, None)?;
            let stages = match settings.stages {
                0 => packet.bind(&header)?.info().stages,
                asked => asked as u8,
            };
            let keep = settings.location.is_some();
            *guard = Some(Session::of_packets(&bundle, header, &settings.layout, stages, keep)?);
        }
        let Some(session) = guard.as_mut() else { return Ok(0) };
        let first = session.frames;
        session.take(data, out)?;
        Ok(first)
    }

    fn finish_stream(&self) -> Result<(), Error> {
        let mut out = Vec::new();
        let location = lock(&self.settings).location.clone();
        let (file, first) = match lock(&self.session).as_mut() {
            Some(session) => {
                let first = session.frames;
                (session.finish(&mut out)?, first)
            }
            None => (None, 0),
        };
        // A flush in between costs the application the last tokens, but not the file.
        self.queue_tokens(&out, first).ok();
        if let (Some(file), Some(location)) = (file, location) {
            session::write(&file, &location)?;
        }
        lock(&self.queue).eos = true;
        self.changed.notify_all();
        Ok(())
    }

    /// Puts tokens into the queue; waits for room if the application is all that they are for.
    fn queue_tokens(&self, out: &[i64], first: u64) -> Result<gst::FlowSuccess, gst::FlowError> {
        if out.is_empty() {
            return Ok(gst::FlowSuccess::Ok);
        }
        let sample = {
            let guard = lock(&self.session);
            let Some(session) = guard.as_ref() else { return Err(gst::FlowError::Flushing) };
            let bytes = tokens::to_bytes(out).map_err(|text| {
                gst::element_imp_error!(self, gst::StreamError::Encode, ("{text}"));
                gst::FlowError::Error
            })?;
            let header = &session.header;
            let time = |frame: u64| {
                // A frame sounds earlier than its number says, by what the decoder drops at the start.
                let samples = (frame * u64::from(header.hop)).saturating_sub(header.pre_skip.into());
                samples_to_time(header.sample_rate, samples)
            };
            let mut buffer = gst::Buffer::from_slice(bytes);
            buffer.make_mut().set_pts(time(first));
            let caps = tokens::caps(session.format(), header);
            gst::Sample::builder().buffer(&buffer).caps(&caps).build()
        };
        let (most, lossy, tell) = {
            let settings = lock(&self.settings);
            (settings.max_buffers as usize, settings.location.is_some(), settings.emit_signals)
        };
        let mut queue = lock(&self.queue);
        // In a loop: a condition variable may wake without a reason.
        while queue.samples.len() >= most && !lossy {
            if queue.flushing || queue.stopped {
                return Err(gst::FlowError::Flushing);
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if queue.samples.len() >= most {
            // With a file nothing may depend on an application that never asks.
            queue.samples.pop_front();
            queue.stats.dropped_buffers += 1;
        }
        queue.stats.tokens += out.len() as u64;
        queue.samples.push_back(sample);
        // Before anyone is told, so that the answer need not wait for the lock.
        drop(queue);
        self.changed.notify_all();
        if tell {
            self.obj().emit_by_name::<()>("new-tokens", &[]);
        }
        Ok(gst::FlowSuccess::Ok)
    }

    /// The oldest tokens that wait, or those that come in time.
    fn pull_sample(&self, wait: Duration) -> Option<gst::Sample> {
        let until = Instant::now().checked_add(wait);
        let mut queue = lock(&self.queue);
        loop {
            if let Some(sample) = queue.samples.pop_front() {
                drop(queue);
                self.changed.notify_all();
                return Some(sample);
            }
            let left =
                // A wait beyond the end of the clock goes on hour by hour.
                until.map_or(Duration::from_secs(3600), |u| u.saturating_duration_since(Instant::now()));
            if queue.eos || queue.stopped || left.is_zero() {
                return None;
            }
            queue = self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

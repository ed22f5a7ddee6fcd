use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};

use gst::glib;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_src::CreateSuccess;
use gst_base::subclass::prelude::*;
use siskin_core::Error;
use siskin_core::bundle::Bundle;
use siskin_core::tokens::{FileFormat, TokenError, TokenFile};

use super::session::{OutPacket, Session};
use crate::element::{debug_category, describe_element, describe_properties, post_error};
use crate::properties::OldName;
use crate::sync::lock;
use crate::time::samples_to_time;
use crate::tokens::{self, BadToken};
use crate::{caps, errors, properties};

debug_category!("siskintokensrc", "Siskin token source");

const DEFAULT_MODEL: &str = "speech-24k";
/// Default of `max-buffers`.
// Fewer than in the sink: what waits here is what a listener who cuts in has to hear or `clear` throws away.
const DEFAULT_BUFFERS: u32 = 64;
/// Names of release 0.2, which 0.3 still takes.
const OLD_NAMES: [OldName; 2] = [("codebooks", "stages"), ("frame-size", "frames-per-packet")];
/// Largest token file that is read, in bytes: it is read at once, so a wrong `location` must not take all memory.
const MAX_FILE_BYTES: u64 = 1 << 30;

#[derive(Debug, Clone)]
struct Settings {
    model: Option<String>,
    layout: String,
    stages: u32,
    location: Option<PathBuf>,
    on_bad: BadToken,
    frames_per_packet: u32,
    max_buffers: u32,
    is_live: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: None,
            layout: "parallel".into(),
            stages: 0,
            location: None,
            on_bad: BadToken::default(),
            frames_per_packet: 0,
            max_buffers: DEFAULT_BUFFERS,
            is_live: false,
        }
    }
}

#[derive(Default)]
struct State {
    session: Option<Session>,
    packets: VecDeque<OutPacket>,
    eos: bool,
    flushing: bool,
    /// The next packet does not follow from the last one.
    discont: bool,
}

#[derive(Default)]
pub struct SiskinTokenSrc {
    settings: Mutex<Settings>,
    /// Never held while data is pushed.
    state: Mutex<State>,
    changed: Condvar,
}

#[glib::object_subclass]
impl ObjectSubclass for SiskinTokenSrc {
    const NAME: &'static str = "GstSiskinTokenSrc";
    type Type = super::SiskinTokenSrc;
    type ParentType = gst_base::PushSrc;
}

/// An action signal that takes a buffer, or nothing, and returns a flow.
fn action_signal(
    name: &str,
    takes_buffer: bool,
    work: fn(&SiskinTokenSrc, &[u8]) -> Result<gst::FlowSuccess, gst::FlowError>,
) -> glib::subclass::Signal {
    let kinds = if takes_buffer { vec![gst::Buffer::static_type()] } else { Vec::new() };
    glib::subclass::Signal::builder(name)
        .param_types(kinds)
        .return_type::<gst::FlowReturn>()
        .run_last()
        .action()
        .class_handler(move |args| {
            let element = args[0].get::<super::SiskinTokenSrc>().ok()?;
            let buffer = args.get(1).and_then(|v| v.get::<gst::Buffer>().ok());
            let map = buffer.as_ref().and_then(|b| b.map_readable().ok());
            let flow = match &map {
                // A null buffer, or one whose memory cannot be read.
                None if takes_buffer => Err(gst::FlowError::Error),
                None => work(element.imp(), &[]),
                Some(map) => work(element.imp(), map),
            };
            Some(gst::FlowReturn::from(flow).to_value())
        })
        .build()
}

impl ObjectImpl for SiskinTokenSrc {
    fn constructed(&self) {
        self.parent_constructed();
        // The base class counts bytes by default, and then sends segments that no decoder takes.
        self.obj().set_format(gst::Format::Time);
    }

    describe_properties!({
        let text = |name: &'static str, nick: &'static str, blurb: &'static str| {
            glib::ParamSpecString::builder(name).nick(nick).blurb(blurb).mutable_ready()
        };
        let mut specs = vec![
            text(
                "model",
                "Model bundle",
                "Name or directory of the model bundle; by default the file's, else speech-24k",
            )
            .build(),
            text("layout", "Layout", "Order of the tokens: parallel, delayed, moshi, csm, flat, snac, ...")
                .default_value("parallel")
                .build(),
            text("location", "Location", "Token file to read: .safetensors, .npy or .jsonl").build(),
            properties::stages_spec("Residual stages of the tokens; 0 is the bundle's default or the file's")
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder_with_default("on-bad-token", BadToken::default())
                .nick("On a bad token")
                .blurb("What to do with tokens that are not valid codes")
                .mutable_ready()
                .build(),
            properties::frames_per_packet_spec(
                "Codec frames per packet; 0 is 1 from an application, 50 from a file",
            ),
            glib::ParamSpecUInt::builder("max-buffers")
                .nick("Maximum buffers")
                .blurb("Packets that wait to be sent; at this number a push of the application waits")
                .minimum(1)
                .default_value(DEFAULT_BUFFERS)
                .mutable_ready()
                .build(),
            glib::ParamSpecBoolean::builder("is-live")
                .nick("Live")
                .blurb("Whether tokens come in real time")
                .mutable_ready()
                .build(),
            properties::stats_spec(),
        ];
        properties::add_old_names(&mut specs, &OLD_NAMES);
        specs
    });

    fn signals() -> &'static [glib::subclass::Signal] {
        static SIGNALS: LazyLock<Vec<glib::subclass::Signal>> = LazyLock::new(|| {
            vec![
                action_signal("push-tokens", true, SiskinTokenSrc::push_tokens),
                action_signal("push-latents", true, SiskinTokenSrc::push_latents),
                action_signal("end-of-stream", false, |src, _| src.end_of_stream()),
                action_signal("clear", false, |src, _| src.clear()),
            ]
        });
        &SIGNALS
    }

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        let name = properties::current_name(&*self.obj(), *CAT, spec, &OLD_NAMES);
        let mut settings = lock(&self.settings);
        let text = || properties::text_from(value);
        // GObject has checked types and ranges.
        match name {
            "model" => settings.model = text(),
            "layout" => settings.layout = text().unwrap_or_else(|| "parallel".into()),
            "location" => settings.location = text().map(PathBuf::from),
            "stages" => settings.stages = value.get().unwrap_or_default(),
            "on-bad-token" => settings.on_bad = value.get().unwrap_or_default(),
            "frames-per-packet" => settings.frames_per_packet = value.get().unwrap_or_default(),
            "max-buffers" => settings.max_buffers = value.get().unwrap_or(DEFAULT_BUFFERS),
            "is-live" => {
                settings.is_live = value.get().unwrap_or_default();
                let live = settings.is_live;
                // The setter notifies, and a handler may read properties.
                drop(settings);
                self.obj().set_live(live);
            }
            _ => (),
        }
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings).clone();
        match properties::name_to_read(spec, &OLD_NAMES) {
            "model" => settings.model.to_value(),
            "layout" => settings.layout.to_value(),
            "location" => settings.location.map(|p| p.display().to_string()).to_value(),
            "stages" => settings.stages.to_value(),
            "on-bad-token" => settings.on_bad.to_value(),
            "frames-per-packet" => settings.frames_per_packet.to_value(),
            "max-buffers" => settings.max_buffers.to_value(),
            "is-live" => settings.is_live.to_value(),
            "stats" => {
                let stats = lock(&self.state).session.as_ref().map(|s| s.stats).unwrap_or_default();
                stats.to_structure().to_value()
            }
            _ => spec.default_value().clone(),
        }
    }
}

impl GstObjectImpl for SiskinTokenSrc {}

impl ElementImpl for SiskinTokenSrc {
    describe_element!(
        "Siskin token source",
        "Source/Audio",
        "Turns tokens or latents of speech models into coded audio",
        vec![caps::always("src", gst::PadDirection::Src, &caps::audio_template())]
    );
}

impl BaseSrcImpl for SiskinTokenSrc {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let session = self.open_session().map_err(|e| errors::to_message(&e))?;
        // Nothing of the last run is left: neither packets nor an end of stream.
        *lock(&self.state) = State { session: Some(session), ..Default::default() };
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.state) = State::default();
        // Pushes that wait for room return: there is no session any more.
        self.changed.notify_all();
        Ok(())
    }

    fn caps(&self, filter: Option<&gst::Caps>) -> Option<gst::Caps> {
        // Before the start only the template is known, which is enough for linking.
        let own = lock(&self.state).session.as_ref().map(|s| caps::audio(&s.header));
        let own = own.unwrap_or_else(caps::audio_template);
        Some(
            filter
                .map_or_else(|| own.clone(), |f| f.intersect_with_mode(&own, gst::CapsIntersectMode::First)),
        )
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        lock(&self.state).flushing = true;
        self.changed.notify_all();
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        lock(&self.state).flushing = false;
        Ok(())
    }
}

impl PushSrcImpl for SiskinTokenSrc {
    fn create(&self, _buffer: Option<&mut gst::BufferRef>) -> Result<CreateSuccess, gst::FlowError> {
        let mut state = lock(&self.state);
        loop {
            // First, so that a flush is not held up by packets that still wait.
            if state.flushing {
                return Err(gst::FlowError::Flushing);
            }
            let State { session, packets, .. } = &mut *state;
            let session = session.as_mut().ok_or(gst::FlowError::Flushing)?;
            if let Some(packet) = packets.pop_front() {
                // Frames left out with `on-bad-token=conceal` leave a hole, which decoders fill.
                let follows = session.sent == packet.position;
                session.sent = packet.position + packet.samples;
                let time = |samples: u64| samples_to_time(session.header.sample_rate, samples);
                let (start, end) = (time(packet.position), time(packet.position + packet.samples));
                let mut buffer = gst::Buffer::from_slice(packet.data);
                let edit = buffer.make_mut();
                edit.set_pts(start);
                // The difference of rounded times, so that packets meet exactly.
                edit.set_duration(end.zip(start).map(|(e, s)| e - s));
                if std::mem::take(&mut state.discont) || !follows {
                    edit.set_flags(gst::BufferFlags::DISCONT);
                }
                drop(state);
                self.changed.notify_all();
                return Ok(CreateSuccess::NewBuffer(buffer));
            }
            match session.read_frames(packets) {
                Ok(true) => continue,
                // From an application an empty queue means to wait, from a file it is the end.
                Ok(false) if session.of_file => return Err(gst::FlowError::Eos),
                Ok(false) => {}
                Err(e) => {
                    drop(state);
                    self.post_error_message(errors::to_message(&e));
                    return Err(gst::FlowError::Error);
                }
            }
            // After the queue: what was pushed before the end is still sent.
            if state.eos {
                return Err(gst::FlowError::Eos);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl SiskinTokenSrc {
    fn open_session(&self) -> Result<Session, Error> {
        let settings = lock(&self.settings).clone();
        let file = settings.location.as_ref().map(read_file).transpose()?;
        let header = file.as_ref().and_then(|f| f.meta.stream_header.clone());
        let bundle = match (&header, settings.model.as_deref()) {
            // Codes mean something only with the codebooks that they were made with, so the file's id decides even
            // over `model`.
            (Some(header), model) => Bundle::for_stream(header, model)?,
            (None, model) => {
                let named = file.as_ref().map(|f| f.meta.model.as_str()).filter(|m| !m.is_empty());
                Bundle::find(model.or(named).unwrap_or(DEFAULT_MODEL))?
            }
        };
        let quantizer = &bundle.manifest().quantizer;
        if let Some(file) = &file {
            // Once for the whole file, so that the streaming thread cannot meet a code without an entry.
            file.check_codes(quantizer.size)?;
        }
        let groups = usize::from(quantizer.groups);
        let of_file = file.as_ref().map(|f| f.codebooks);
        let stages = match (settings.stages, of_file) {
            // A file has the stages that it has; the property cannot add any.
            (_, Some(codebooks)) => {
                let stages = codebooks / groups;
                if stages * groups != codebooks || stages > usize::from(quantizer.stages) {
                    let all = usize::from(quantizer.stages) * groups;
                    let allowed = format!("up to {all} in steps of {groups}");
                    return Err(Error::Parameter {
                        name: "codebooks",
                        value: codebooks.to_string(),
                        allowed,
                    });
                }
                stages as u8
            }
            (0, None) => bundle.manifest().default_stages,
            (asked, None) => asked as u8,
        };
        let frames = match settings.frames_per_packet {
            // As in `siskinaudioenc`: nobody waits for a file, and large packets cost the container less.
            0 if file.is_some() => 50,
            0 => 1,
            frames => frames,
        };
        Session::new(bundle, stages, &settings.layout, settings.on_bad.into(), frames, file)
    }

    fn push_tokens(&self, data: &[u8]) -> Result<gst::FlowSuccess, gst::FlowError> {
        let tokens = tokens::from_bytes(data).map_err(|text| {
            gst::element_imp_warning!(self, gst::StreamError::Format, ("tokens refused: {text}"));
            gst::FlowError::Error
        })?;
        self.feed_session(|session, packets| session.push_tokens(&tokens, packets))
    }

    fn push_latents(&self, data: &[u8]) -> Result<gst::FlowSuccess, gst::FlowError> {
        let (whole, rest) = data.as_chunks::<4>();
        if !rest.is_empty() {
            let text = format!("latents refused: {} bytes, allowed: whole numbers of 4", data.len());
            gst::element_imp_warning!(self, gst::StreamError::Format, ("{text}"));
            return Err(gst::FlowError::Error);
        }
        let latents: Vec<f32> = whole.iter().map(|b| f32::from_ne_bytes(*b)).collect();
        self.feed_session(|session, packets| session.push_latents(&latents, packets).map(|()| Vec::new()))
    }

    fn end_of_stream(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        let taken = self.feed_session(Session::finish_stream);
        // Also where the last tokens were refused: the application has said that nothing more comes.
        lock(&self.state).eos = true;
        self.changed.notify_all();
        taken
    }

    fn clear(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        let mut state = lock(&self.state);
        state.packets.clear();
        // Sound before and after does not belong together, and a decoder's state should not bridge it.
        state.discont = true;
        state.session.as_mut().ok_or(gst::FlowError::Flushing)?.clear();
        drop(state);
        self.changed.notify_all();
        Ok(gst::FlowSuccess::Ok)
    }

    /// Waits for room in the queue, lets the session do the work, and posts warnings of bad tokens.
    fn feed_session(
        &self,
        work: impl FnOnce(&mut Session, &mut VecDeque<OutPacket>) -> Result<Vec<TokenError>, Error>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let mut state = self.wait_for_room()?;
        if state.eos {
            return Err(gst::FlowError::Eos);
        }
        let State { session, packets, .. } = &mut *state;
        let worked = work(session.as_mut().ok_or(gst::FlowError::Flushing)?, packets);
        drop(state);
        self.changed.notify_all();
        match worked {
            Ok(faults) => {
                if let Some(first) = faults.first() {
                    let text = format!("{} faults in the tokens: {first}", faults.len());
                    gst::element_imp_warning!(self, gst::StreamError::Format, ("{text}"));
                }
                Ok(gst::FlowSuccess::Ok)
            }
            // What the application pushed is its own fault: it gets the error, and the pipeline lives on.
            Err(e @ (Error::Token(_) | Error::Parameter { .. })) => {
                gst::element_imp_warning!(self, gst::StreamError::Format, ("refused: {e}"));
                Err(gst::FlowError::Error)
            }
            Err(e) => Err(post_error(self, &e)),
        }
    }

    fn wait_for_room(&self) -> Result<MutexGuard<'_, State>, gst::FlowError> {
        let most = lock(&self.settings).max_buffers as usize;
        let mut state = lock(&self.state);
        loop {
            if state.session.is_none() {
                return Err(gst::FlowError::Flushing);
            }
            // Packets are counted before the work, so one push may go beyond the number: it cannot be taken in part.
            if state.packets.len() < most {
                return Ok(state);
            }
            if state.flushing {
                return Err(gst::FlowError::Flushing);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Reads a token file.
fn read_file(path: &PathBuf) -> Result<TokenFile, Error> {
    let io = |source| Error::Io { path: path.clone(), source };
    let format = FileFormat::from_path(path).ok_or_else(|| Error::Parameter {
        name: "location",
        value: path.display().to_string(),
        allowed: ".safetensors, .npy or .jsonl".into(),
    })?;
    let size = std::fs::metadata(path).map_err(io)?.len();
    if size > MAX_FILE_BYTES {
        let allowed = format!("up to {MAX_FILE_BYTES} bytes");
        return Err(Error::Parameter { name: "token file", value: size.to_string(), allowed });
    }
    TokenFile::from_bytes(format, &std::fs::read(path).map_err(io)?)
}

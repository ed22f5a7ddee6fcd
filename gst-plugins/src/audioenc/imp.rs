use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use gst::glib;
use gst::subclass::prelude::*;
use gst_audio::prelude::*;
use gst_audio::subclass::prelude::*;
use siskin_core::audio::{EncoderNetwork, file_frames_per_packet};
use siskin_core::bitstream::{StreamHeader, redundancy};
use siskin_core::bundle::Bundle;
use siskin_core::media::Rounding;

use super::continuity::{Continuity, Step};
use super::session::{Extras, RateMode, RateSettings, Session};
use crate::element::{debug_category, describe_element, describe_properties, map_buffer, post_error};
use crate::inference::InferenceSettings;
use crate::properties::OldName;
use crate::sync::lock;
use crate::{caps, errors, properties, time};

debug_category!("siskinaudioenc", "Siskin audio encoder");

const DEFAULT_MODEL: &str = "speech-24k";
/// Names of release 0.2, which 0.3 still takes.
const OLD_NAMES: [OldName; 3] = [
    ("codebooks", "stages"),
    ("frame-size", "frames-per-packet"),
    ("redundancy-codebooks", "redundancy-stages"),
];

#[derive(Debug, Clone)]
struct Settings {
    inference: InferenceSettings,
    rate: RateSettings,
    extras: Extras,
    frames_per_packet: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            inference: InferenceSettings::new(Some(DEFAULT_MODEL)),
            rate: RateSettings::default(),
            extras: Extras::default(),
            frames_per_packet: 0,
        }
    }
}

#[derive(Default)]
pub struct SiskinAudioEnc {
    settings: Mutex<Settings>,
    /// Never held while data is pushed, so that properties can be read at any time.
    session: Mutex<Option<Session>>,
    // A flag, so that the streaming thread need not lock the settings for every buffer.
    rate_changed: AtomicBool,
    /// Where the last packet pushed ends.
    end: Mutex<Option<gst::ClockTime>>,
    /// Where the input is; none before its format is known.
    continuity: Mutex<Option<Continuity>>,
    /// Silence or a cut buffer is on its way to the base class.
    mending: AtomicBool,
}

#[glib::object_subclass]
impl ObjectSubclass for SiskinAudioEnc {
    const NAME: &'static str = "GstSiskinAudioEnc";
    type Type = super::SiskinAudioEnc;
    type ParentType = gst_audio::AudioEncoder;
    type Interfaces = (gst::TagSetter,);
}

impl ObjectImpl for SiskinAudioEnc {
    fn constructed(&self) {
        self.parent_constructed();
        let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
        self.obj().sink_pad().add_probe(kinds, |pad, info| {
            match pad.parent().and_downcast::<super::SiskinAudioEnc>() {
                Some(element) => element.imp().mend_input(pad, info),
                None => gst::PadProbeReturn::Ok,
            }
        });
    }

    describe_properties!({
        let mut specs =
            InferenceSettings::audio_specs(Some(DEFAULT_MODEL), "Name or directory of the model bundle");
        specs.extend([
                glib::ParamSpecUInt::builder("bitrate")
                    .nick("Bit rate")
                    .blurb("Bits per second: the upper limit of the codes' rate, or with rate-control=vbr the average rate of packets; 0 is the bundle's default")
                    .maximum(i32::MAX as u32)
                    .mutable_playing()
                    .build(),
                properties::stages_spec("Residual stages per frame; 0 derives them from bitrate")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder::<RateMode>("rate-control")
                    .nick("Rate control")
                    .blurb("Whether every frame has the same stages (constant) or as many as it gains from (vbr)")
                    .mutable_playing()
                    .build(),
                properties::frames_per_packet_spec("Codec frames per packet; 0 is 1 behind a live source, else 50"),
                glib::ParamSpecUInt::builder("redundancy")
                    .nick("Redundant frames")
                    .blurb("Earlier frames that each packet repeats (in-band FEC): as many lost frames in a row can be recovered")
                    .maximum(redundancy::MAX_FRAMES as u32)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("redundancy-stages")
                    .nick("Stages of redundant frames")
                    .blurb("Residual stages of the repeated frames: fewer cost fewer bits and sound coarser")
                    .minimum(1)
                    .maximum(redundancy::MAX_STAGES.into())
                    .default_value(Extras::default().redundancy_stages.into())
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoolean::builder("dtx")
                    .nick("Discontinuous transmission")
                    .blurb("Send SID frames for comfort noise in pauses instead of coded frames")
                    .mutable_ready()
                    .build(),
            ]);
        specs.extend(properties::state_specs());
        properties::add_old_names(&mut specs, &OLD_NAMES);
        specs
    });

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        let name = properties::current_name(&*self.obj(), *CAT, spec, &OLD_NAMES);
        let mut settings = lock(&self.settings);
        // GObject has checked types and ranges.
        match name {
            "bitrate" => settings.rate.bitrate = value.get().unwrap_or_default(),
            "stages" => settings.rate.stages = value.get().unwrap_or_default(),
            "rate-control" => settings.rate.control = value.get().unwrap_or_default(),
            "frames-per-packet" => settings.frames_per_packet = value.get().unwrap_or_default(),
            // The properties' ranges fit a byte.
            "redundancy" => settings.extras.redundancy = value.get::<u32>().unwrap_or_default() as u8,
            "redundancy-stages" => {
                settings.extras.redundancy_stages = value.get::<u32>().unwrap_or_default() as u8;
            }
            "dtx" => settings.extras.dtx = value.get().unwrap_or_default(),
            _ => {
                settings.inference.set_property(value, name);
                return;
            }
        }
        // Applied by the streaming thread between two buffers: an encoder is no place for two threads.
        self.rate_changed.store(true, Ordering::Release);
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings).clone();
        match properties::name_to_read(spec, &OLD_NAMES) {
            "bitrate" => settings.rate.bitrate.to_value(),
            "stages" => settings.rate.stages.to_value(),
            "rate-control" => settings.rate.control.to_value(),
            "frames-per-packet" => settings.frames_per_packet.to_value(),
            "redundancy" => u32::from(settings.extras.redundancy).to_value(),
            "redundancy-stages" => u32::from(settings.extras.redundancy_stages).to_value(),
            "dtx" => settings.extras.dtx.to_value(),
            "active-provider" => lock(&self.session).as_ref().map_or("", Session::provider).to_value(),
            "stats" => {
                lock(&self.session).as_ref().map(|s| s.stats).unwrap_or_default().to_structure().to_value()
            }
            name => settings.inference.property(name).unwrap_or_else(|| spec.default_value().clone()),
        }
    }
}

impl GstObjectImpl for SiskinAudioEnc {}
impl TagSetterImpl for SiskinAudioEnc {}

impl ElementImpl for SiskinAudioEnc {
    describe_element!(
        "Siskin audio encoder",
        "Codec/Encoder/Audio",
        "Encodes speech with a neural residual-VQ codec",
        vec![
            caps::always("sink", gst::PadDirection::Sink, &caps::raw_template()),
            caps::always("src", gst::PadDirection::Src, &caps::audio_template()),
        ]
    );
}

impl AudioEncoderImpl for SiskinAudioEnc {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let model = settings.inference.model.as_deref().unwrap_or(DEFAULT_MODEL);
        let load = || {
            let bundle = Bundle::find(model)?;
            // Fails when the element starts and not with its first samples.
            settings.rate.stages_for(&bundle)?;
            let network = EncoderNetwork::new(&bundle, &settings.inference.load_runtime()?)?;
            Ok(Session::new(bundle, network))
        };
        let session = load().map_err(|e| errors::to_message(&e))?;
        gst::info!(CAT, imp = self, "{:?} runs on {}", session.bundle, session.provider());
        *lock(&self.session) = Some(session);
        self.obj().notify("active-provider");
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.session) = None;
        *lock(&self.continuity) = None;
        self.obj().reset_tags();
        self.obj().notify("active-provider");
        Ok(())
    }

    fn caps(&self, filter: Option<&gst::Caps>) -> gst::Caps {
        // Once the bundle is known only its rate is offered, so that `audioresample` upstream chooses it.
        let narrow = lock(&self.session).as_ref().map(|s| caps::raw(&s.bundle.stream_header()));
        self.obj().proxy_getcaps(narrow.as_ref(), filter)
    }

    fn set_format(&self, info: &gst_audio::AudioInfo) -> Result<(), gst::LoggableError> {
        let settings = lock(&self.settings).clone();
        let frames = match settings.frames_per_packet {
            // Asked here, when the pipeline is linked; `start` is too early to query upstream.
            0 => self.upstream_is_live().then_some(1),
            frames => Some(frames),
        };
        let mut guard = lock(&self.session);
        let session = guard.as_mut().ok_or_else(|| gst::loggable_error!(CAT, "not started"))?;
        let header = session.bundle.stream_header();
        // Of a packet that goes into a file no one waits. A packet costs about 10 bytes in Matroska, so at 50 packets a second the
        // container would cost 4 kb/s, and with 50 frames (1 s of speech-24k) it costs 80 b/s.
        let frames = frames.unwrap_or_else(|| file_frames_per_packet(header.frame_rate()));
        if (info.rate(), info.channels()) != (header.sample_rate, header.channels.into()) {
            // Downstream of a capsfilter this can be reached in spite of the caps query.
            return Err(gst::loggable_error!(CAT, "{info:?} does not fit {header:?}"));
        }
        if let Err(e) = session.start_stream(settings.rate, settings.extras, frames) {
            self.post_error_message(errors::to_message(&e));
            return Err(gst::loggable_error!(CAT, "{e}"));
        }
        let code_rate = session.code_rate();
        let delay = session.latency_samples();
        drop(guard);
        lock(&self.continuity).get_or_insert_with(|| Continuity::new(header.sample_rate));
        let obj = self.obj();
        let latency = time::sample_base(header.sample_rate)
            // Rounded up: a latency that is too short makes live sinks drop buffers.
            .and_then(|base| time::ticks_to_time(base, delay, Rounding::Up));
        obj.set_latency(latency.unwrap_or_default(), latency);
        obj.set_output_format(&caps::audio(&header))
            .map_err(|e| gst::loggable_error!(CAT, "output format: {e}"))?;
        self.announce_tags(&header, code_rate);
        obj.negotiate().map_err(|e| gst::loggable_error!(CAT, "negotiation: {e}"))
    }

    fn handle_frame(&self, buffer: Option<&gst::Buffer>) -> Result<gst::FlowSuccess, gst::FlowError> {
        // No buffer means drain: the encoder ends its stream.
        let map = buffer.map(|buffer| map_buffer(self, buffer)).transpose()?;
        let rate = self.rate_changed.swap(false, Ordering::Acquire).then(|| lock(&self.settings).rate);
        let packets = {
            let mut guard = lock(&self.session);
            let session = guard.as_mut().ok_or(gst::FlowError::Flushing)?;
            let changed = rate
                .map(|r| session.set_rate(r).map(|()| (session.bundle.stream_header(), session.code_rate())));
            let packets = session.encode_samples(map.as_deref());
            // Tags and messages go out without the lock, as all that leaves the element does.
            drop(guard);
            match changed {
                Some(Ok((header, code_rate))) => self.announce_tags(&header, code_rate),
                Some(Err(e)) => {
                    gst::element_imp_warning!(self, gst::LibraryError::Settings, ("{e}; the rate stays"))
                }
                None => (),
            }
            packets
        };
        let packets = packets.map_err(|e| post_error(self, &e))?;
        for packet in packets {
            // A packet holds at most 500 frames of at most 65,535 samples, and a gap is shorter.
            let samples = packet.samples as i32;
            let is_gap = packet.data.is_none();
            // Without a buffer the base class only advances its time by the samples.
            self.obj().finish_frame(packet.data.map(gst::Buffer::from_slice), samples)?;
            if is_gap {
                self.push_gap(packet.samples);
            }
        }
        Ok(gst::FlowSuccess::Ok)
    }

    fn pre_push(&self, buffer: gst::Buffer) -> Result<Option<gst::Buffer>, gst::FlowError> {
        // Here the times are those that the base class has set, so gaps begin where packets end.
        *lock(&self.end) = buffer.pts().zip(buffer.duration()).map(|(pts, duration)| pts + duration);
        Ok(Some(buffer))
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        if event.type_() == gst::EventType::Eos {
            self.announce_empty_stream();
        }
        self.parent_sink_event(event)
    }

    fn flush(&self) {
        // A gap after a flush must not begin where a packet before it ended.
        *lock(&self.end) = None;
        if let Some(session) = lock(&self.session).as_mut() {
            session.reset();
        }
    }
}

impl SiskinAudioEnc {
    /// Tells downstream what the stream would have been, where an input has ended before it said anything: a muxer then writes an
    /// empty track.
    fn announce_empty_stream(&self) {
        let header = lock(&self.session).as_ref().map(|session| session.bundle.stream_header());
        let obj = self.obj();
        let Some(header) = header.filter(|_| !obj.src_pad().has_current_caps()) else { return };
        let announced = obj.set_output_format(&caps::audio(&header)).map(|()| obj.negotiate());
        if !matches!(announced, Ok(Ok(()))) {
            gst::info!(CAT, imp = self, "downstream does not want an empty stream");
        }
    }

    /// Fills gaps of the input and cuts what comes twice.
    fn mend_input(&self, pad: &gst::Pad, info: &mut gst::PadProbeInfo<'_>) -> gst::PadProbeReturn {
        use gst::{EventView, PadProbeData, PadProbeReturn};
        if self.mending.load(Ordering::Acquire) {
            return PadProbeReturn::Ok;
        }
        let place = match &info.data {
            Some(PadProbeData::Buffer(buffer)) => buffer.pts(),
            Some(PadProbeData::Event(event)) => match event.view() {
                EventView::Gap(gap) => {
                    let (start, duration) = gap.get();
                    let end = start.saturating_add(duration.unwrap_or_default());
                    return self.code_gap(pad, end, info);
                }
                EventView::Segment(_) | EventView::FlushStop(_) | EventView::StreamStart(_) => {
                    lock(&self.continuity).iter_mut().for_each(Continuity::reset);
                    return PadProbeReturn::Ok;
                }
                _ => return PadProbeReturn::Ok,
            },
            _ => return PadProbeReturn::Ok,
        };
        let step = lock(&self.continuity).as_ref().map_or(Step::Follow, |input| input.place(place));
        let mended = match step {
            Step::Follow | Step::Cut(_) => Ok(gst::FlowSuccess::Ok),
            Step::Silence(start, samples) => self.code_silence(pad, start, samples),
            Step::Restart(start, samples) => {
                gst::info!(CAT, imp = self, "the input jumps to {}: a new stream begins", place.display());
                self.code_silence(pad, start, samples).and_then(|_| self.end_stream())
            }
        };
        if let Err(e) = mended {
            info.data = None;
            info.flow_res = Err(e);
            return PadProbeReturn::Handled;
        }
        let Some(PadProbeData::Buffer(buffer)) = &mut info.data else { return PadProbeReturn::Ok };
        let bytes = self.sample_bytes();
        let samples = (buffer.size() / bytes) as u64;
        if let Step::Cut(overlap) = step {
            let Some(rest) = samples.checked_sub(overlap).filter(|&rest| rest > 0) else {
                info.data = None;
                info.flow_res = Ok(gst::FlowSuccess::Ok);
                return PadProbeReturn::Handled;
            };
            let Ok(cut) = buffer.copy_region(gst::BUFFER_COPY_ALL, overlap as usize * bytes..) else {
                return PadProbeReturn::Ok;
            };
            *buffer = cut;
            let (edit, rate) = (buffer.make_mut(), self.sample_rate());
            edit.set_pts(place.zip(time::samples_to_time(rate, overlap)).map(|(pts, cut)| pts + cut));
            edit.set_duration(time::samples_to_time(rate, rest));
        }
        let (pts, samples) = (buffer.pts(), (buffer.size() / bytes) as u64);
        let rate = self.sample_rate();
        lock(&self.continuity).get_or_insert_with(|| Continuity::new(rate)).advance(pts, samples);
        PadProbeReturn::Ok
    }

    /// Codes the gap that upstream announces as silence, if it follows something; one at the start is left to the first buffer.
    fn code_gap(
        &self,
        pad: &gst::Pad,
        end: gst::ClockTime,
        info: &mut gst::PadProbeInfo<'_>,
    ) -> gst::PadProbeReturn {
        let step = lock(&self.continuity).as_ref().map_or(Step::Follow, |input| input.place(Some(end)));
        let Step::Silence(start, samples) = step else { return gst::PadProbeReturn::Ok };
        info.data = None;
        info.flow_res = self.code_silence(pad, start, samples);
        gst::PadProbeReturn::Handled
    }

    /// Codes samples of silence, a second at a time.
    fn code_silence(
        &self,
        pad: &gst::Pad,
        start: gst::ClockTime,
        samples: u64,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        gst::debug!(CAT, imp = self, "{samples} samples of silence from {start} on");
        let rate = self.sample_rate();
        self.mending.store(true, Ordering::Release);
        let mut done = 0;
        let mut result = Ok(gst::FlowSuccess::Ok);
        while done < samples && result.is_ok() {
            let count = (samples - done).min(rate.into());
            let mut buffer = gst::Buffer::from_mut_slice(vec![0u8; count as usize * self.sample_bytes()]);
            let edit = buffer.make_mut();
            let pts = time::samples_to_time(rate, done).map(|offset| start + offset);
            edit.set_pts(pts);
            edit.set_duration(time::samples_to_time(rate, count));
            edit.set_flags(gst::BufferFlags::GAP);
            result = pad.chain(buffer);
            lock(&self.continuity).iter_mut().for_each(|input| input.advance(pts, count));
            done += count;
        }
        self.mending.store(false, Ordering::Release);
        result
    }

    /// Pushes what the encoder holds back and lets it begin anew.
    fn end_stream(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.handle_frame(None)?;
        lock(&self.session).iter_mut().for_each(Session::reset);
        lock(&self.continuity).iter_mut().for_each(Continuity::reset);
        Ok(gst::FlowSuccess::Ok)
    }

    /// Samples a second of the input.
    fn sample_rate(&self) -> u32 {
        lock(&self.session).as_ref().map_or(1, |s| s.bundle.manifest().sample_rate)
    }

    /// Bytes of a sample of all channels.
    fn sample_bytes(&self) -> usize {
        let channels = lock(&self.session).as_ref().map_or(1, |s| s.bundle.stream_header().channels);
        usize::from(channels.max(1)) * size_of::<f32>()
    }

    /// Whether packets are waited for.
    fn upstream_is_live(&self) -> bool {
        let mut query = gst::query::Latency::new();
        self.obj().sink_pad().peer_query(&mut query) && query.result().0
    }

    /// Says downstream that nothing comes for a part of a pause.
    fn push_gap(&self, samples: u64) {
        let rate = lock(&self.session).as_ref().map_or(1, |s| s.bundle.manifest().sample_rate);
        let duration = time::samples_to_time(rate, samples);
        let start = {
            let mut end = lock(&self.end);
            let Some((start, duration)) = end.zip(duration) else { return };
            *end = Some(start + duration);
            start
        };
        self.obj().src_pad().push_event(gst::event::Gap::builder(start).duration(duration).build());
    }

    /// Says in tags what the stream is.
    fn announce_tags(&self, header: &StreamHeader, code_rate: u32) {
        let mut tags = gst::TagList::new();
        let edit = tags.make_mut();
        let codec = caps::codec_name(header);
        let encoder = concat!("siskinaudioenc ", env!("CARGO_PKG_VERSION"));
        edit.add::<gst::tags::AudioCodec>(&codec.as_str(), gst::TagMergeMode::Replace);
        edit.add::<gst::tags::Encoder>(&encoder, gst::TagMergeMode::Replace);
        edit.add::<gst::tags::NominalBitrate>(&code_rate, gst::TagMergeMode::Replace);
        // What an application sets on the element.
        if let Some(own) = self.obj().tag_list() {
            edit.insert(&own, self.obj().tag_merge_mode());
        }
        AudioEncoderExt::merge_tags(&*self.obj(), Some(&tags), gst::TagMergeMode::Replace);
    }
}

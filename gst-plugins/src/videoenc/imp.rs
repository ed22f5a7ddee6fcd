use std::cell::RefCell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use gst::glib;
use gst::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::subclass::prelude::*;
use gst_video::{VideoCodecFrame, VideoCodecFrameFlags};
use siskin_core::Error;
use siskin_core::runtime::Runtime;

use super::progress::Messages;
use super::session::{OutGroup, Session, Stats};
use super::settings::Settings;
use crate::element::{debug_category, describe_element, describe_properties, post_error};
use crate::sync::lock;
use crate::video::caps;
use crate::{caps as pads, errors, properties};

debug_category!("siskinvideoenc", "Siskin video encoder");

/// Least time from one requested keyframe to the next, unless the property says otherwise. A receiver that waits asks again every
/// 100 ms; requests that come closer together are from several receivers or repeat one that has been answered.
const MIN_KEYFRAME_INTERVAL: gst::ClockTime = gst::ClockTime::from_mseconds(100);

#[derive(Default)]
pub struct SiskinVideoEnc {
    settings: Mutex<Settings>,
    runtime: Mutex<Option<Runtime>>,
    /// Held while a group is fitted, but not while data is pushed. What properties show is elsewhere.
    session: Mutex<Option<Session>>,
    stats: Mutex<Stats>,
    /// The group at hand is not wanted any more.
    stop: AtomicBool,
    /// Frames are being released that are in a group which is coded.
    folding: AtomicBool,
}

#[glib::object_subclass]
impl ObjectSubclass for SiskinVideoEnc {
    const NAME: &'static str = "GstSiskinVideoEnc";
    type Type = super::SiskinVideoEnc;
    type ParentType = gst_video::VideoEncoder;
    type Interfaces = (gst::Preset, gst::TagSetter);
}

impl PresetImpl for SiskinVideoEnc {}
impl TagSetterImpl for SiskinVideoEnc {}

impl ObjectImpl for SiskinVideoEnc {
    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        // Where each frame is coded by itself, late ones can be left out. Both are properties of the base class.
        obj.set_qos_enabled(true);
        obj.set_min_force_key_unit_interval(Some(MIN_KEYFRAME_INTERVAL));
        // Caps need not say that they are progressive.
        obj.sink_pad().set_pad_flags(gst::PadFlags::ACCEPT_INTERSECT);
    }

    describe_properties!({
        let mut specs = Settings::specs();
        specs.extend(properties::state_specs());
        specs
    });

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        let old_name = lock(&self.settings).set_property(value, spec);
        if let Some((old, current)) = old_name {
            gst::warning!(
                CAT,
                imp = self,
                "{old} is the old name of {current} and will be removed in the next release"
            );
        }
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        match spec.name() {
            "active-provider" => lock(&self.stats).provider.to_value(),
            "stats" => lock(&self.stats).to_structure().to_value(),
            _ => lock(&self.settings).property(spec),
        }
    }
}

impl GstObjectImpl for SiskinVideoEnc {}

impl ElementImpl for SiskinVideoEnc {
    describe_element!(
        "Siskin video encoder",
        "Codec/Encoder/Video",
        "Encodes video in real time, or for files by fitting a network to each GOP",
        vec![
            pads::always("sink", gst::PadDirection::Sink, &caps::raw_in()),
            pads::always("src", gst::PadDirection::Src, &caps::coded_template()),
        ]
    );

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        // The streaming thread may be in the middle of hours of work, and the base class waits for it.
        self.stop.store(transition == gst::StateChange::PausedToReady, Ordering::Release);
        self.parent_change_state(transition)
    }

    fn post_message(&self, message: gst::Message) -> bool {
        // The base class takes a frame without a buffer of its own for a dropped one.
        let is_folded = message.type_() == gst::MessageType::Qos && self.folding.load(Ordering::Acquire);
        is_folded || self.parent_post_message(message)
    }
}

impl VideoEncoderImpl for SiskinVideoEnc {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        if settings.has_old_gop_size() {
            let text =
                "gop-size is the old name of keyframe-interval and will be removed in the next release";
            gst::warning!(CAT, imp = self, "{text}");
        }
        // Options first: a mistake in them should not have to wait for ONNX Runtime to be loaded.
        let load = || settings.fit_config().and_then(|_| settings.inference.load_runtime());
        let runtime = load().map_err(|e| errors::to_message(&e))?;
        *lock(&self.stats) = Stats::default();
        *lock(&self.runtime) = Some(runtime);
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.session) = None;
        *lock(&self.runtime) = None;
        self.obj().reset_tags();
        Ok(())
    }

    fn caps(&self, filter: Option<&gst::Caps>) -> gst::Caps {
        let own = caps::raw_in_order_of(lock(&self.settings).codec_format());
        self.obj().proxy_getcaps(Some(&own), filter)
    }

    fn set_format(
        &self,
        state: &gst_video::VideoCodecState<'static, gst_video::video_codec_state::Readable>,
    ) -> Result<(), gst::LoggableError> {
        // The same frames in another raw format.
        let goes_on = lock(&self.session).as_mut().is_some_and(|session| session.change_format(state.info()));
        if goes_on {
            return Ok(());
        }
        // What came before is of another size or rate.
        self.close(None).map_err(|e| gst::loggable_error!(CAT, "the group before: {e:?}"))?;
        let (settings, runtime) = (lock(&self.settings).clone(), lock(&self.runtime).clone());
        let runtime = runtime.ok_or_else(|| gst::loggable_error!(CAT, "not started"))?;
        let session = Session::new(state.info(), &runtime, &settings).map_err(|e| {
            self.post_error_message(errors::to_message(&e));
            gst::loggable_error!(CAT, "{e}")
        })?;
        let (header, latency) = (*session.header(), session.latency());
        let bundle = session.bundle().map(str::to_owned);
        *lock(&self.session) = Some(session);
        gst::info!(CAT, imp = self, "{header:?}");
        let obj = self.obj();
        obj.set_latency(latency, latency);
        let output = obj
            .set_output_state(caps::coded_with(&header, bundle.as_deref()), Some(state))
            .map_err(|e| gst::loggable_error!(CAT, "output format: {e}"))?;
        self.announce(settings.bitrate);
        obj.negotiate(output).map_err(|e| gst::loggable_error!(CAT, "negotiation: {e}"))
    }

    fn handle_frame(&self, frame: VideoCodecFrame) -> Result<gst::FlowSuccess, gst::FlowError> {
        let settings = lock(&self.settings).clone();
        let is_keyframe = frame.flags().contains(VideoCodecFrameFlags::FORCE_KEYFRAME);
        lock(&self.stats).count_request(is_keyframe);
        if settings.has_lookahead() {
            return self.wait(frame, is_keyframe, &settings);
        }
        if settings.is_realtime() {
            return self.encode_now(frame, is_keyframe, &settings);
        }
        let ends = match lock(&self.session).as_ref() {
            Some(session) => session.ends_before(frame.pts(), is_keyframe, &settings),
            None => return Err(gst::FlowError::NotNegotiated),
        };
        if ends {
            self.close(frame.pts())?;
        }
        let added = {
            let mut guard = lock(&self.session);
            let session = guard.as_mut().ok_or(gst::FlowError::Flushing)?;
            let input = frame.input_buffer().ok_or(gst::FlowError::Error)?;
            let times = (frame.pts(), frame.duration());
            session.push(input, times, frame.system_frame_number(), &settings)
        };
        let is_first =
            lock(&self.session).as_ref().is_some_and(|s| s.begins_with(frame.system_frame_number()));
        let is_complete = added.map_err(|e| {
            gst::element_imp_error!(self, gst::StreamError::Encode, ["a frame cannot be read: {e}"]);
            gst::FlowError::Error
        })?;
        // The first frame waits for the group's packet. The others are let go, and upstream gets its buffers back.
        if is_first {
            drop(frame);
        } else {
            let number = frame.system_frame_number();
            drop(frame);
            self.fold(number)?;
        }
        if is_complete { self.close(None) } else { Ok(gst::FlowSuccess::Ok) }
    }

    fn finish(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.close(None)
    }

    fn flush(&self) -> bool {
        // Set at the flush's start, so that the group that was being fitted is given up; what comes now is wanted.
        self.stop.store(false, Ordering::Release);
        if let Some(session) = lock(&self.session).as_mut() {
            session.reset();
        }
        true
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        if event.type_() == gst::EventType::FlushStart {
            self.stop.store(true, Ordering::Release);
        }
        self.parent_sink_event(event)
    }
}

impl SiskinVideoEnc {
    /// Codes a frame in real time; one for which it is too late is left out.
    fn encode_now(
        &self,
        mut frame: VideoCodecFrame,
        is_keyframe: bool,
        settings: &Settings,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let obj = self.obj();
        let is_late = obj.max_encode_time(&frame) < 0;
        let encoded = {
            let mut guard = lock(&self.session);
            let session = guard.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
            let input = frame.input_buffer().ok_or(gst::FlowError::Error)?;
            let kind = (is_keyframe, is_late);
            let encoded = session.encode_now(input, frame.duration(), kind, settings, &self.stats);
            encoded.map(|packet| packet.map(|packet| (packet, session.latency())))
        };
        let encoded = encoded.map_err(|e| post_error(self, &e))?;
        // The preset cannot change between start and stop, so the session is of the kind that was asked for, and what is
        // not there was left out.
        let Some(((data, is_keyframe), latency)) = encoded else { return obj.finish_frame(frame) };
        frame.set_output_buffer(gst::Buffer::from_slice(data));
        if is_keyframe {
            frame.set_flags(VideoCodecFrameFlags::SYNC_POINT);
        }
        obj.set_latency(latency, latency);
        obj.finish_frame(frame)
    }

    /// Lets a frame wait for others, and codes those that have waited enough.
    fn wait(
        &self,
        frame: VideoCodecFrame,
        is_keyframe: bool,
        settings: &Settings,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        {
            let mut guard = lock(&self.session);
            let session = guard.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
            let input = frame.input_buffer().ok_or(gst::FlowError::Error)?;
            let times = (frame.pts(), frame.duration());
            session.push_waiting(input, times, (frame.system_frame_number(), is_keyframe)).map_err(|e| {
                gst::element_imp_error!(self, gst::StreamError::Encode, ["a frame cannot be read: {e}"]);
                gst::FlowError::Error
            })?;
        }
        // The base class keeps it under its number.
        drop(frame);
        self.push_waiting(false, settings)
    }

    /// Codes and pushes packets of frames that have waited enough; all if `is_last`.
    fn push_waiting(&self, is_last: bool, settings: &Settings) -> Result<gst::FlowSuccess, gst::FlowError> {
        loop {
            let coded = {
                let mut guard = lock(&self.session);
                let Some(session) = guard.as_mut() else { return Ok(gst::FlowSuccess::Ok) };
                let coded = session.encode_waiting(is_last, settings, &self.stats);
                coded.map(|packet| packet.map(|packet| (packet, session.latency())))
            };
            let Some((packet, latency)) = coded.map_err(|e| post_error(self, &e))? else {
                return Ok(gst::FlowSuccess::Ok);
            };
            let (first, others) = packet.numbers.split_first().ok_or(gst::FlowError::Error)?;
            let group = OutGroup {
                data: packet.data,
                is_keyframe: packet.is_keyframe,
                number: *first,
                pts: packet.pts,
                duration: packet.duration,
                remark: None,
            };
            self.push(group, latency)?;
            others.iter().try_for_each(|&number| self.fold(number))?;
        }
    }

    /// Lets a frame go that is in another one's packet.
    fn fold(&self, number: u32) -> Result<(), gst::FlowError> {
        let obj = self.obj();
        // A flush in between has taken it.
        let frame = obj.frame(i32::try_from(number).unwrap_or(i32::MAX)).ok_or(gst::FlowError::Flushing)?;
        self.folding.store(true, Ordering::Release);
        let folded = obj.finish_frame(frame);
        self.folding.store(false, Ordering::Release);
        folded.map(|_| ())
    }

    /// Codes the group at hand and pushes it; `next` is where the frame after it begins.
    fn close(&self, next: Option<gst::ClockTime>) -> Result<gst::FlowSuccess, gst::FlowError> {
        let settings = lock(&self.settings).clone();
        if settings.has_lookahead() {
            return self.push_waiting(true, &settings);
        }
        let encoded = {
            let mut guard = lock(&self.session);
            let Some(session) = guard.as_mut() else { return Ok(gst::FlowSuccess::Ok) };
            let messages = RefCell::new(Messages::new(lock(&self.stats).next_group()));
            let encoded = session.encode(next, &settings, &self.stats, &|| {
                let progress = lock(&self.stats).progress();
                progress.into_iter().for_each(|p| messages.borrow_mut().post(self.obj().upcast_ref(), p));
                self.stop.load(Ordering::Acquire)
            });
            messages.into_inner().end(self.obj().upcast_ref(), encoded.is_ok());
            encoded.map(|group| group.map(|group| (group, session.latency())))
        };
        match encoded {
            Ok(Some((group, latency))) => self.push(group, latency),
            Ok(None) => Ok(gst::FlowSuccess::Ok),
            Err(Error::Stopped) => Err(gst::FlowError::Flushing),
            Err(e) => Err(post_error(self, &e)),
        }
    }

    fn push(&self, group: OutGroup, latency: gst::ClockTime) -> Result<gst::FlowSuccess, gst::FlowError> {
        if let Some(remark) = group.remark {
            gst::element_imp_warning!(self, gst::LibraryError::Settings, ("{remark}"));
        }
        let obj = self.obj();
        let number = i32::try_from(group.number).unwrap_or(i32::MAX);
        // A flush in between has taken the frames that the packet would stand for.
        let Some(mut frame) = obj.frame(number) else { return Err(gst::FlowError::Flushing) };
        frame.set_output_buffer(gst::Buffer::from_slice(group.data));
        // The frame is the group's first and stands for all of them.
        frame.set_pts(group.pts);
        frame.set_duration(group.duration);
        if group.is_keyframe {
            frame.set_flags(VideoCodecFrameFlags::SYNC_POINT);
        }
        obj.set_latency(latency, latency);
        obj.finish_frame(frame)
    }

    /// Says in tags what the stream is.
    fn announce(&self, bitrate: u32) {
        let mut tags = gst::TagList::new();
        let edit = tags.make_mut();
        let encoder = concat!("siskinvideoenc ", env!("CARGO_PKG_VERSION"));
        edit.add::<gst::tags::VideoCodec>(&caps::CODEC_NAME, gst::TagMergeMode::Replace);
        edit.add::<gst::tags::Encoder>(&encoder, gst::TagMergeMode::Replace);
        if bitrate > 0 {
            edit.add::<gst::tags::NominalBitrate>(&bitrate, gst::TagMergeMode::Replace);
        }
        // What an application sets on the element.
        if let Some(own) = self.obj().tag_list() {
            edit.insert(&own, self.obj().tag_merge_mode());
        }
        VideoEncoderExt::merge_tags(&*self.obj(), Some(&tags), gst::TagMergeMode::Replace);
    }
}

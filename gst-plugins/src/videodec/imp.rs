use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use gst::glib;
use gst::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::subclass::prelude::*;
use gst_video::video_codec_state::Readable;
use gst_video::{
    VideoChromaSite, VideoCodecFrame, VideoCodecFrameFlags, VideoCodecState, VideoFormat, VideoInfo,
};
use siskin_core::Error;
use siskin_core::bitstream::VideoHeader;
use siskin_core::media::PixelFormat;

use super::splitter::{Place, Splitter};
use super::stream::{Stats, Stream};
use crate::element::{debug_category, describe_element, describe_properties};
use crate::inference::InferenceSettings;
use crate::sync::lock;
use crate::video::caps;
use crate::video::frames::FrameWriter;
use crate::{caps as pads, errors, properties};

debug_category!("siskinvideodec", "Siskin video decoder");

/// The stream that downstream has been told of, and the way of its frames there.
struct Output {
    header: VideoHeader,
    /// Format of the codec's frames.
    native: PixelFormat,
    info: VideoInfo,
    /// For frames of the format that came last.
    writer: Option<(PixelFormat, FrameWriter)>,
}

impl Output {
    /// The writer for frames of a format.
    fn writer_for(&mut self, format: PixelFormat) -> Result<&mut FrameWriter, glib::BoolError> {
        // Codings with other formats may alternate in one stream; the usual case keeps its tables.
        let kept = self.writer.take().filter(|(own, _)| *own == format);
        let writer =
            kept.map_or_else(|| FrameWriter::new(&self.header, format, &self.info), |(_, w)| Ok(w))?;
        Ok(&mut self.writer.insert((format, writer)).1)
    }
}

pub struct SiskinVideoDec {
    settings: Mutex<InferenceSettings>,
    /// Never held while data is pushed, so that properties can be read at any time.
    stream: Mutex<Option<Stream>>,
    stats: Mutex<Stats>,
    output: Mutex<Option<Output>>,
    splitter: Mutex<Splitter>,
    /// Where the caps say that chroma lies.
    chroma_site: Mutex<Option<VideoChromaSite>>,
    /// Frames of a packet are on their way to the base class.
    splitting: AtomicBool,
    /// A frame has been given to the base class since the last flush.
    has_given: AtomicBool,
}

impl Default for SiskinVideoDec {
    fn default() -> Self {
        Self {
            settings: Mutex::new(InferenceSettings::for_video(None)),
            stream: Mutex::default(),
            stats: Mutex::default(),
            output: Mutex::default(),
            splitter: Mutex::default(),
            chroma_site: Mutex::default(),
            splitting: AtomicBool::default(),
            has_given: AtomicBool::default(),
        }
    }
}

fn to_gst_format(format: PixelFormat) -> VideoFormat {
    match format {
        PixelFormat::I420 => VideoFormat::I420,
        PixelFormat::Rgb => VideoFormat::Rgb,
    }
}

#[glib::object_subclass]
impl ObjectSubclass for SiskinVideoDec {
    const NAME: &'static str = "GstSiskinVideoDec";
    type Type = super::SiskinVideoDec;
    type ParentType = gst_video::VideoDecoder;
}

impl ObjectImpl for SiskinVideoDec {
    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        // One packet per buffer already: nothing is to be gathered or cut by the base class's parser.
        obj.set_packetized(true);
        obj.set_needs_format(true);
        // A probe, because the base class gives one frame per buffer and has no way to make several of one.
        obj.sink_pad().add_probe(gst::PadProbeType::BUFFER, |pad, info| {
            match pad.parent().and_downcast::<super::SiskinVideoDec>() {
                Some(element) => element.imp().split(pad, info),
                None => gst::PadProbeReturn::Ok,
            }
        });
    }

    describe_properties!({
        let mut specs = InferenceSettings::video_specs();
        specs.extend(properties::state_specs());
        specs
    });

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        lock(&self.settings).set_property(value, spec.name());
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        match spec.name() {
            "active-provider" => lock(&self.stream).as_ref().map_or("", Stream::provider).to_value(),
            "stats" => lock(&self.stats).to_structure().to_value(),
            name => lock(&self.settings).property(name).unwrap_or_else(|| spec.default_value().clone()),
        }
    }
}

impl GstObjectImpl for SiskinVideoDec {}

impl ElementImpl for SiskinVideoDec {
    describe_element!(
        "Siskin video decoder",
        "Codec/Decoder/Video",
        "Decodes video of the block codec, of a trained network, or of one fitted to each group of pictures (GOP)",
        {
            let coded = gst::Caps::new_empty_simple(caps::VIDEO);
            vec![
                pads::always("sink", gst::PadDirection::Sink, &coded),
                pads::always("src", gst::PadDirection::Src, &caps::raw_out()),
            ]
        }
    );
}

impl VideoDecoderImpl for SiskinVideoDec {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let runtime = lock(&self.settings).load_runtime().map_err(|e| errors::to_message(&e))?;
        *lock(&self.stream) = Some(Stream::new(&runtime));
        *lock(&self.splitter) = Splitter::default();
        *lock(&self.stats) = Stats::default();
        self.has_given.store(false, Ordering::Release);
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.stream) = None;
        *lock(&self.output) = None;
        Ok(())
    }

    fn set_format(&self, state: &VideoCodecState<'static, Readable>) -> Result<(), gst::LoggableError> {
        let named = state.caps().and_then(|caps| caps.structure(0)?.get::<String>("chroma-site").ok());
        *lock(&self.chroma_site) = named.and_then(|name| name.parse().ok());
        match state.caps().map_or(Ok(None), caps::header) {
            Ok(Some(header)) => {
                // Before the first packet, which may be a GOP without a header of its own.
                lock(&self.splitter).set_header(header);
                self.propose_format(&header).map_err(|e| gst::loggable_error!(CAT, "{header:?}: {e}"))
            }
            Ok(None) => Ok(()),
            Err(e) => {
                self.post_error_message(errors::to_message(&e));
                Err(gst::loggable_error!(CAT, "{e}"))
            }
        }
    }

    fn handle_frame(&self, frame: VideoCodecFrame) -> Result<gst::FlowSuccess, gst::FlowError> {
        let (place, broken) = {
            let input = frame.input_buffer().ok_or(gst::FlowError::Error)?;
            let map = input.map_readable().map_err(|_| gst::FlowError::Error)?;
            let place = Place::of(input);
            (place, self.take(place, &map, &frame)?)
        };
        let obj = self.obj();
        if let Some(text) = broken {
            gst::element_imp_warning!(self, gst::StreamError::Decode, ("{text}"));
        }
        let header = lock(&self.stream).as_ref().and_then(|s| s.header().copied());
        // Before the first header there is nothing to give; the base class drops a frame without output.
        let Some(header) = header else { return self.leave_out(frame) };
        self.follow(&header, self.native_format())?;
        // Before decoding: in a fitted GOP frames are independent, so a seek need not compute those before its
        // target. One is given all the same, and clipped by the base class: a stream that ends before anything was given
        // is an error to it, as after a seek to where only the sound goes on.
        if !self.is_wanted(&frame) && self.has_given.load(Ordering::Acquire) {
            return self.leave_out(frame);
        }
        // Too late by QoS. The packet has been taken, so later frames still decode.
        if obj.max_decode_time(&frame) < 0 {
            lock(&self.stats).late_frames += 1;
            return obj.drop_frame(frame);
        }
        self.give(frame, place.frame)
    }

    fn flush(&self) -> bool {
        if let Some(stream) = lock(&self.stream).as_mut() {
            stream.reset();
        }
        self.has_given.store(false, Ordering::Release);
        true
    }
}

impl SiskinVideoDec {
    /// Hands a packet to the base class frame by frame.
    fn split(&self, pad: &gst::Pad, info: &mut gst::PadProbeInfo<'_>) -> gst::PadProbeReturn {
        // `chain` below runs this probe again for each frame.
        if self.splitting.load(Ordering::Acquire) {
            return gst::PadProbeReturn::Ok;
        }
        let Some(gst::PadProbeData::Buffer(packet)) = info.data.take() else {
            return gst::PadProbeReturn::Ok;
        };
        let frames = lock(&self.splitter).split(&packet);
        // The frames share its memory, and only theirs is still needed.
        drop(packet);
        self.splitting.store(true, Ordering::Release);
        // The probe answers for the pad, so upstream learns of errors and flushes as if it had pushed to the base
        // class.
        info.flow_res = frames.into_iter().try_fold(gst::FlowSuccess::Ok, |_, frame| pad.chain(frame));
        self.splitting.store(false, Ordering::Release);
        gst::PadProbeReturn::Handled
    }

    /// Takes a packet if it is a new one; what is wrong with it comes back in words, once for each run of bad ones.
    fn take(
        &self,
        place: Place,
        data: &[u8],
        frame: &VideoCodecFrame,
    ) -> Result<Option<String>, gst::FlowError> {
        let pts = frame.pts();
        let mut guard = lock(&self.stream);
        let stream = guard.as_mut().ok_or(gst::FlowError::Flushing)?;
        let had_provider = !stream.provider().is_empty();
        match stream.take(place, data) {
            Ok(is_new) => {
                if is_new {
                    let mut stats = lock(&self.stats);
                    (stats.packets, stats.bytes) = (stats.packets + 1, stats.bytes + data.len() as u64);
                }
                drop(guard);
                if is_new && !had_provider {
                    self.obj().notify("active-provider");
                }
                Ok(None)
            }
            // There is no frame yet in whose place it could be missed.
            Err(Error::MissingHeader) => {
                lock(&self.stats).packets_before_header += 1;
                Ok(None)
            }
            // Behind the end of what is played `matroskademux` leaves out keyframes, and goes on with the frames after them. None of
            // them is shown.
            Err(Error::MissingPredecessor { .. }) if !self.is_wanted(frame) => Ok(None),
            Err(e @ (Error::Bitstream { .. } | Error::MissingPredecessor { .. })) => {
                lock(&self.stats).broken_packets += 1;
                // Later packets of the same GOP fail alike; one warning is enough.
                stream.broken += 1;
                gst::info!(CAT, imp = self, "packet at {}: {e}", pts.display());
                let is_first = stream.broken == 1;
                Ok(is_first.then(|| format!("broken packet at {}, the last frame stays: {e}", pts.display())))
            }
            Err(e) => {
                drop(guard);
                self.post_error_message(errors::to_message(&e));
                Err(gst::FlowError::Error)
            }
        }
    }

    /// Sets the frames of a stream without pushing caps, which the first frame does, as in stock decoders. Caps pushed
    /// before there is a frame let `playbin` plug its sinks behind them: frame 1 then passes while converters still
    /// come in, frame 2 negotiates again, and an application that left PAUSED by then got "not negotiated" from
    /// them (in 3 to 10 of 120 restarts; in none since). The base class uses these caps where a gap comes first.
    fn propose_format(&self, header: &VideoHeader) -> Result<(), glib::BoolError> {
        let format = to_gst_format(self.native_format());
        let info = self.output_info(header, format)?;
        let obj = self.obj();
        // No reference state, as in `follow`.
        let state = obj.set_output_state(format, header.width, header.height, None);
        state.map_err(|e| glib::bool_error!("{e}"))?.set_info(info);
        Ok(())
    }

    /// What frames are given as. A header says nothing of where chroma lies, upstream's caps may; else it is where H.264 and MPEG-2 have it,
    /// for GStreamer would guess by the height.
    fn output_info(&self, header: &VideoHeader, format: VideoFormat) -> Result<VideoInfo, glib::BoolError> {
        let info = caps::info_of(header, format)?;
        if format != VideoFormat::I420 {
            return Ok(info);
        }
        let site = lock(&self.chroma_site).unwrap_or(VideoChromaSite::MPEG2);
        VideoInfo::builder(format, info.width(), info.height())
            .fps(info.fps())
            .par(info.par())
            .colorimetry(&info.colorimetry())
            .chroma_site(site)
            .build()
    }

    /// Agrees with downstream on the frames of a stream, if they are not those at hand.
    fn follow(&self, header: &VideoHeader, native: PixelFormat) -> Result<(), gst::FlowError> {
        let obj = self.obj();
        // Downstream may ask for another format at any time, for example when a window changes.
        let is_known = lock(&self.output).as_ref().is_some_and(|o| (o.header, o.native) == (*header, native));
        if is_known && !obj.src_pad().check_reconfigure() {
            return Ok(());
        }
        let format = self.choose_format(native);
        let info = self.output_info(header, format).map_err(|e| {
            gst::element_imp_error!(self, gst::StreamError::Format, ["{header:?}: {e}"]);
            gst::FlowError::NotNegotiated
        })?;
        // No reference state: the input caps of a parser carry no colorimetry, which the header knows better.
        let mut state = obj.set_output_state(format, header.width, header.height, None)?;
        state.set_info(info.clone());
        if let Err(e) = obj.negotiate(state) {
            // Downstream is being linked or torn down: the next frame asks again, and a pad that flushes is no error.
            let pad = obj.src_pad();
            pad.mark_reconfigure();
            let is_flushing = pad.pad_flags().contains(gst::PadFlags::FLUSHING);
            return Err(if is_flushing { gst::FlowError::Flushing } else { e });
        }
        *lock(&self.output) = Some(Output { header: *header, native, info, writer: None });
        let mut tags = gst::TagList::new();
        tags.make_mut().add::<gst::tags::VideoCodec>(&caps::CODEC_NAME, gst::TagMergeMode::Replace);
        VideoDecoderExt::merge_tags(&*obj, Some(&tags), gst::TagMergeMode::Replace);
        Ok(())
    }

    /// The format of the codec's frames, as far as it is known.
    fn native_format(&self) -> PixelFormat {
        lock(&self.stream).as_ref().map_or(PixelFormat::I420, Stream::format)
    }

    /// The codec's own format, which costs no conversion and loses nothing, or else what downstream likes best.
    fn choose_format(&self, native: PixelFormat) -> VideoFormat {
        let native = to_gst_format(native);
        let allowed = self.obj().src_pad().allowed_caps().filter(|c| !c.is_empty() && !c.is_any());
        let Some(mut allowed) = allowed else { return native };
        if allowed.can_intersect(&gst_video::VideoCapsBuilder::new().format(native).build()) {
            return native;
        }
        allowed.fixate();
        let name = allowed.structure(0).and_then(|s| s.get::<String>("format").ok());
        name.map_or(native, |n| VideoFormat::from_string(&n))
    }

    /// Whether a frame is in the part of the stream that is played.
    fn is_wanted(&self, frame: &VideoCodecFrame) -> bool {
        let segment = self.obj().input_segment();
        let (Some(segment), Some(pts)) = (segment.downcast_ref::<gst::ClockTime>(), frame.pts()) else {
            return true;
        };
        let end = frame.duration().and_then(|d| pts.checked_add(d)).unwrap_or(pts);
        // The whole span and not only the start: a long frame may begin before the segment and reach into it.
        segment.clip(pts, end).is_some()
    }

    /// Ends a frame without a picture.
    fn leave_out(&self, mut frame: VideoCodecFrame) -> Result<gst::FlowSuccess, gst::FlowError> {
        // Else the base class logs an error for each, 14 to 44 a seek.
        frame.set_flags(VideoCodecFrameFlags::DECODE_ONLY);
        self.obj().finish_frame(frame)
    }

    /// Decodes a frame and gives it downstream; where it cannot be decoded, the frame before.
    fn give(&self, mut frame: VideoCodecFrame, index: u32) -> Result<gst::FlowSuccess, gst::FlowError> {
        let obj = self.obj();
        let held = {
            let mut guard = lock(&self.stream);
            let stream = guard.as_mut().ok_or(gst::FlowError::Flushing)?;
            match stream.decode(index) {
                Ok(()) => {}
                Err(e @ Error::NotFinite { .. }) => {
                    let text = format!("at {}: {e}; the last frame stays", frame.pts().display());
                    lock(&self.stats).broken_packets += 1;
                    drop(guard);
                    gst::element_imp_warning!(self, gst::StreamError::Decode, ("{text}"));
                    // Once at most: the packet now counts as bad, so the second call shows the last frame.
                    return self.give(frame, index);
                }
                Err(e) => {
                    drop(guard);
                    self.post_error_message(errors::to_message(&e));
                    return Err(gst::FlowError::Error);
                }
            }
            if stream.frame().is_none() {
                drop(guard);
                return self.leave_out(frame);
            }
            !stream.is_good()
        };
        // Without any lock: a pool may wait for downstream to return a buffer.
        obj.allocate_output_frame(&mut frame, None)?;
        {
            let stream = lock(&self.stream);
            let mut output = lock(&self.output);
            let decoded = stream.as_ref().and_then(Stream::frame).ok_or(gst::FlowError::Flushing)?;
            let output = output.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
            let buffer = frame.output_buffer_mut().ok_or(gst::FlowError::Error)?;
            let written = output.writer_for(decoded.format()).and_then(|w| w.write_frame(&decoded, buffer));
            written.map_err(|e| {
                gst::element_imp_error!(self, gst::StreamError::Decode, ["a frame cannot be written: {e}"]);
                gst::FlowError::Error
            })?;
            // Players may show it all the same, and files can tell it apart.
            if held {
                buffer.set_flags(gst::BufferFlags::CORRUPTED);
            }
            let mut stats = lock(&self.stats);
            stats.frames += 1;
            stats.held_frames += u64::from(held);
        }
        self.has_given.store(true, Ordering::Release);
        obj.finish_frame(frame)
    }
}

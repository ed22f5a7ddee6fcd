use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use gst::glib;
use gst::subclass::prelude::*;
use gst_audio::prelude::*;
use gst_audio::subclass::prelude::*;
use siskin_core::bitstream::StreamHeader;
use siskin_core::bitstream::packet::Packet;
use siskin_core::{Error, Limits};

use super::stream::{Stats, Stream};
use crate::element::{debug_category, describe_element, describe_properties, map_buffer, post_error};
use crate::inference::InferenceSettings;
use crate::sync::lock;
use crate::{caps, errors, properties};

debug_category!("siskinaudiodec", "Siskin audio decoder");

/// Packets in a row that name another bundle before that is an error. A damaged header names a bundle that does not exist,
/// so one such packet counts as damage; at 2 a wrong stream fails within 40 ms of packets of one frame.
const FOREIGN_PACKETS: u32 = 2;

pub struct SiskinAudioDec {
    settings: Mutex<InferenceSettings>,
    /// Never held while data is pushed, so that properties can be read at any time.
    stream: Mutex<Option<Stream>>,
    stats: Mutex<Stats>,
    /// Kept from packet to packet, so that samples are not allocated for each.
    pcm: Mutex<Vec<f32>>,
    /// The header of a stream that could not be opened.
    wanted: Mutex<Option<StreamHeader>>,
    /// Concealment is off for a seek without sound, and on again after it.
    is_plc_suspended: AtomicBool,
}

impl Default for SiskinAudioDec {
    fn default() -> Self {
        Self {
            settings: Mutex::new(InferenceSettings::new(None)),
            stream: Mutex::default(),
            stats: Mutex::default(),
            pcm: Mutex::default(),
            wanted: Mutex::default(),
            is_plc_suspended: AtomicBool::new(false),
        }
    }
}

#[glib::object_subclass]
impl ObjectSubclass for SiskinAudioDec {
    const NAME: &'static str = "GstSiskinAudioDec";
    type Type = super::SiskinAudioDec;
    type ParentType = gst_audio::AudioDecoder;
}

impl ObjectImpl for SiskinAudioDec {
    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        // Packets without caps come from a link that was never negotiated; the base class then refuses them with an
        // error of its own.
        obj.set_needs_format(true);
        obj.set_plc(true);
        // The base class conceals at gap events only; this finds gaps between the times of two packets.
        obj.sink_pad().add_probe(gst::PadProbeType::BUFFER, |pad, info| {
            // From the pad and not captured: a strong reference would keep the element alive through its own pad.
            let element = pad.parent().and_downcast::<super::SiskinAudioDec>();
            if let (Some(element), Some(buffer)) = (element, info.buffer()) {
                element.imp().conceal_gap_before(buffer);
            }
            gst::PadProbeReturn::Ok
        });
    }

    describe_properties!({
        let blurb = "Name or directory of the model bundle; by default the one that the stream header names";
        let mut specs = InferenceSettings::audio_specs(None, blurb);
        specs.extend(properties::state_specs());
        specs
    });

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        lock(&self.settings).set_property(value, spec.name());
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        match spec.name() {
            "active-provider" => {
                lock(&self.stream).as_ref().map_or("", |s| s.decoder.provider().name()).to_value()
            }
            "stats" => lock(&self.stats).to_structure().to_value(),
            name => lock(&self.settings).property(name).unwrap_or_else(|| spec.default_value().clone()),
        }
    }
}

impl GstObjectImpl for SiskinAudioDec {}

impl ElementImpl for SiskinAudioDec {
    describe_element!(
        "Siskin audio decoder",
        "Codec/Decoder/Audio",
        "Decodes speech of the neural residual-VQ codec",
        {
            let coded = gst::Caps::new_empty_simple(caps::AUDIO);
            vec![
                caps::always("sink", gst::PadDirection::Sink, &coded),
                caps::always("src", gst::PadDirection::Src, &caps::raw_template()),
            ]
        }
    );
}

impl AudioDecoderImpl for SiskinAudioDec {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        // The base class forgets this at each start.
        self.obj().set_plc_aware(true);
        *lock(&self.stats) = Stats::default();
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        // Frees the network here, since an element may stay in NULL for long.
        *lock(&self.stream) = None;
        *lock(&self.wanted) = None;
        self.obj().notify("active-provider");
        Ok(())
    }

    fn set_format(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        match caps::header(caps) {
            // If the element did not start, or refused the caps, decodebin would look for another decoder and
            // report that there is none. The reason gets through if it comes with the first packet.
            Ok(Some(header)) => {
                if let Err(e) = self.follow_header(&header) {
                    gst::info!(CAT, imp = self, "{e}");
                    *lock(&self.wanted) = Some(header);
                }
                Ok(())
            }
            Ok(None) => {
                gst::info!(CAT, imp = self, "no stream header in {caps:?}: waiting for one in-band");
                Ok(())
            }
            Err(e) => {
                self.post_error_message(errors::to_message(&e));
                // A header that cannot be read will not get better with the packets, so these caps are refused.
                Err(gst::loggable_error!(CAT, "{e}"))
            }
        }
    }

    fn handle_frame(&self, buffer: Option<&gst::Buffer>) -> Result<gst::FlowSuccess, gst::FlowError> {
        // Nothing is kept back, so there is nothing to drain.
        let Some(buffer) = buffer else { return Ok(gst::FlowSuccess::Ok) };
        let map = map_buffer(self, buffer)?;
        // Taken out, so that no lock is held while downstream works.
        let mut pcm = std::mem::take(&mut *lock(&self.pcm));
        pcm.clear();
        // The base class asks for concealment with empty buffers of the gap's duration.
        let handled = if map.is_empty() {
            self.conceal_packet(buffer, &mut pcm).map(|_| None)
        } else {
            self.decode(buffer, &map, &mut pcm)
        };
        let broken = handled.map_err(|e| post_error(self, &e))?;
        drop(map);
        if let Some(error) = broken {
            // Counts towards `max-errors`, which by default sets no limit; sound that takes its place counts back.
            gst_audio::audio_decoder_error!(self.obj(), 1, gst::StreamError::Decode, ("{error}"))?;
        }
        // Without a buffer the base class drops the packet, as it should before the header.
        let out = (!pcm.is_empty()).then(|| self.copy_out(&pcm)).transpose();
        *lock(&self.pcm) = pcm;
        self.obj().finish_frame(out?, 1)
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        if let gst::EventView::Segment(event) = event.view() {
            // Without sound there is nothing to conceal, and with concealment the base class of GStreamer 1.22 would make a gap of
            // each empty packet and an empty packet of each gap until the stack is full.
            let is_silent = event.segment().flags().contains(gst::SegmentFlags::TRICKMODE_NO_AUDIO);
            let obj = self.obj();
            // What an application chose comes back.
            match (is_silent, obj.is_plc()) {
                (true, true) => {
                    self.is_plc_suspended.store(true, Ordering::Release);
                    obj.set_plc(false);
                }
                (false, _) if self.is_plc_suspended.swap(false, Ordering::AcqRel) => obj.set_plc(true),
                _ => (),
            }
        }
        self.parent_sink_event(event)
    }

    fn flush(&self, hard: bool) {
        // A soft flush follows a discontinuity, which a loss leaves behind: that has been concealed, and the state goes on.
        if let Some(stream) = lock(&self.stream).as_mut().filter(|_| hard) {
            // A hard flush is a seek.
            stream.reset();
        }
    }
}

impl SiskinAudioDec {
    /// Follows the stream of `header`: keeps the current decoder or opens another bundle.
    fn follow_header(&self, header: &StreamHeader) -> Result<(), Error> {
        let mut guard = lock(&self.stream);
        // Every in-band copy of the header comes here: the usual case must be cheap and keep the state.
        if guard.as_ref().is_some_and(|s| s.can_decode(header)) {
            return Ok(());
        }
        let settings = lock(&self.settings).clone();
        let stream = Stream::open_bundle(header, &settings)?;
        gst::info!(CAT, imp = self, "{header:?} decoded by {}", stream.decoder.provider());
        let own = stream.header().clone();
        *guard = Some(stream);
        // Whoever is notified reads the property, which takes the same lock.
        drop(guard);
        self.obj().notify("active-provider");
        self.announce_tags(&own);
        let info =
            gst_audio::AudioInfo::builder(gst_audio::AUDIO_FORMAT_F32, own.sample_rate, own.channels.into())
                .build();
        // Negotiation itself follows with the first samples, and its failure is reported there.
        if info.is_ok_and(|info| self.obj().set_output_format(&info).is_ok()) {
            return Ok(());
        }
        Err(Error::Parameter {
            name: "sample rate",
            value: own.sample_rate.to_string(),
            allowed: "what downstream takes".into(),
        })
    }

    /// Samples in a buffer of downstream's making.
    fn copy_out(&self, pcm: &[f32]) -> Result<gst::Buffer, gst::FlowError> {
        // Floats in the machine's own order, as the caps say.
        let bytes: &[u8] = bytemuck::cast_slice(pcm);
        let mut buffer = self.obj().allocate_output_buffer(bytes.len());
        let mut map = buffer.make_mut().map_writable().map_err(|_| gst::FlowError::Error)?;
        map.get_mut(..bytes.len()).ok_or(gst::FlowError::Error)?.copy_from_slice(bytes);
        drop(map);
        Ok(buffer)
    }

    /// Decodes a packet; a broken one is concealed and returned as the inner error.
    fn decode(&self, buffer: &gst::Buffer, data: &[u8], pcm: &mut Vec<f32>) -> Result<Option<Error>, Error> {
        // Tried again with the first packet, whose error then reaches the application.
        let wanted = lock(&self.wanted).take();
        wanted.map_or(Ok(()), |header| self.follow_header(&header))?;
        let result = Packet::parse(data, &Limits::default()).and_then(|packet| {
            packet.header.as_ref().map_or(Ok(()), |header| self.follow_header(header))?;
            let mut guard = lock(&self.stream);
            let stream = guard.as_mut().ok_or(Error::MissingHeader)?;
            // A packet whose header fits ends the suspicion, whether or not the rest of it decodes.
            stream.foreign = 0;
            let decoded = stream.decoder.decode_packet(&packet.bind(stream.header())?, pcm)?;
            stream.broken = 0;
            stream.last_samples = decoded.samples as u64;
            stream.note_end(buffer.pts(), decoded.samples as u64);
            let mut stats = lock(&self.stats);
            stats.packets += 1;
            stats.frames += u64::from(decoded.info.frames);
            stats.samples += decoded.samples as u64;
            stats.bytes += data.len() as u64;
            Ok(())
        });
        // Asked after decoding, since this packet may have brought the header.
        let joined = lock(&self.stream).is_some();
        match result {
            Ok(()) => Ok(None),
            // Before the first header there is nothing to conceal.
            Err(e @ (Error::MissingHeader | Error::Bitstream { .. })) if !joined => {
                gst::info!(CAT, imp = self, "packet at {} dropped: {e}", buffer.pts().display());
                lock(&self.stats).packets_before_header += 1;
                Ok(None)
            }
            // Ends the pipeline: concealing packet after packet would turn a wrong stream into silence without a
            // word.
            Err(e @ Error::WrongBundle { .. }) if self.is_foreign() => Err(e),
            Err(e @ (Error::Bitstream { .. } | Error::WrongBundle { .. })) => {
                self.replace_broken(buffer, &e, pcm).map(|()| Some(e))
            }
            Err(e) => Err(e),
        }
    }

    /// Counts a packet of another bundle; whether to believe it.
    fn is_foreign(&self) -> bool {
        lock(&self.stream).as_mut().is_none_or(|stream| {
            stream.foreign += 1;
            stream.foreign >= FOREIGN_PACKETS
        })
    }

    /// Conceals a broken packet and says so, once for each run of them.
    fn replace_broken(&self, buffer: &gst::Buffer, error: &Error, pcm: &mut Vec<f32>) -> Result<(), Error> {
        lock(&self.stats).broken_packets += 1;
        let samples = if self.obj().is_plc() { self.conceal_packet(buffer, pcm)? } else { 0 };
        let first = lock(&self.stream).as_mut().is_none_or(|stream| {
            stream.broken += 1;
            stream.broken == 1
        });
        let text =
            format!("broken packet at {}, {samples} samples concealed: {error}", buffer.pts().display());
        // One message per run: at 50 packets per second a message for each would flood the bus.
        if first {
            gst::element_imp_warning!(self, gst::StreamError::Decode, ("{text}"));
        } else {
            gst::info!(CAT, imp = self, "{text}");
        }
        Ok(())
    }

    /// Bridges what `buffer` should have held: as long as its duration or, without one, as the last packet.
    fn conceal_packet(&self, buffer: &gst::Buffer, pcm: &mut Vec<f32>) -> Result<u64, Error> {
        let mut guard = lock(&self.stream);
        let Some(stream) = guard.as_mut() else { return Ok(0) };
        let wanted = buffer.duration().map_or(stream.last_samples, |d| stream.samples_in(d));
        // In a pause of DTX missing packets are how it is meant, and no loss in the counters.
        let is_pause = stream.decoder.in_dtx();
        let (samples, recovered) = stream.conceal_samples(wanted, pcm)?;
        stream.note_end(buffer.pts(), samples);
        let mut stats = lock(&self.stats);
        if is_pause {
            stats.pause_samples += samples;
            return Ok(samples);
        }
        stats.concealments += 1;
        stats.concealed_samples += samples - recovered;
        stats.recovered_samples += recovered;
        Ok(samples)
    }

    /// Conceals a gap before `buffer`, through the base class.
    fn conceal_gap_before(&self, buffer: &gst::Buffer) {
        let hole = buffer.pts().and_then(|pts| lock(&self.stream).as_ref().and_then(|s| s.gap_before(pts)));
        let Some((start, duration)) = hole else { return };
        // In reverse playback every packet follows a gap, by its order.
        if self.obj().is_plc() && self.obj().input_segment().rate() > 0.0 {
            gst::debug!(CAT, imp = self, "hole of {duration} at {start}");
            if let (Some(stream), Ok(map)) = (lock(&self.stream).as_mut(), buffer.map_readable()) {
                stream.next.extend_from_slice(&map);
            }
            self.parent_sink_event(gst::event::Gap::builder(start).duration(duration).build());
        }
    }

    /// Pushes the tag of the codec.
    fn announce_tags(&self, header: &StreamHeader) {
        let mut tags = gst::TagList::new();
        let codec = caps::codec_name(header);
        tags.make_mut().add::<gst::tags::AudioCodec>(&codec.as_str(), gst::TagMergeMode::Replace);
        self.obj().merge_tags(Some(&tags), gst::TagMergeMode::Replace);
    }
}

use std::sync::Mutex;

use gst::glib;
use gst::subclass::prelude::*;
use gst_rtp::prelude::*;
use gst_rtp::subclass::prelude::*;
use siskin_core::bitstream::packet::{Coding, Packet, PacketInfo};
use siskin_core::bitstream::rtp::{self, OutgoingPayload, Packetizer, PacketizerOptions};
use siskin_core::bundle::Bundle;
use siskin_core::entropy::Coder;
use siskin_core::{Limits, Result as CoreResult};

use super::packet_time::{FrameRange, PacketTime};
use crate::element::{debug_category, describe_element, describe_properties};
use crate::properties::OldName;
use crate::sync::lock;
use crate::time::samples_to_time;
use crate::{caps, errors, properties};

debug_category!("rtpsiskinaudiopay", "Siskin audio RTP payloader");

/// Names of release 0.2, which 0.3 still takes.
const OLD_NAMES: [OldName; 1] = [("redundancy-codebooks", "redundancy-stages")];
/// Bytes of an RTP header without extensions.
// RFC 3550, section 5.1. What adds extensions or CSRCs later must lower the property `mtu` itself.
const RTP_HEADER: u32 = 12;

#[derive(Debug, Clone, Copy)]
struct Settings {
    frames: u32,
    redundancy: u32,
    redundancy_stages: u32,
}

impl Default for Settings {
    fn default() -> Self {
        // Two stages: the copies are heard only in losses, and cost a fraction of the codes.
        Self { frames: 0, redundancy: 0, redundancy_stages: 2 }
    }
}

#[derive(Default)]
pub struct RtpSiskinAudioPay {
    settings: Mutex<Settings>,
    /// Never held while data is pushed.
    packetizer: Mutex<Option<Packetizer>>,
    /// Where the next packet should begin.
    next: Mutex<Option<gst::ClockTime>>,
    /// What the SDP of the peer asks for.
    peer: Mutex<PacketTime>,
    /// How long frames wait for those of later packets.
    latency: Mutex<gst::ClockTime>,
}

#[glib::object_subclass]
impl ObjectSubclass for RtpSiskinAudioPay {
    const NAME: &'static str = "GstRtpSiskinAudioPay";
    type Type = super::RtpSiskinAudioPay;
    type ParentType = gst_rtp::RTPBasePayload;
}

impl ObjectImpl for RtpSiskinAudioPay {
    fn constructed(&self) {
        self.parent_constructed();
        // After the answer of the pad's own function: the base class leaves that of its source pad to the default, and its `query`
        // is asked on the sink pad only.
        let kinds = gst::PadProbeType::QUERY_UPSTREAM | gst::PadProbeType::PULL;
        self.obj().src_pad().add_probe(kinds, |pad, info| {
            let element = pad.parent().and_downcast::<super::RtpSiskinAudioPay>();
            if let (Some(element), Some(query)) = (element, info.query_mut())
                && let gst::QueryViewMut::Latency(latency) = query.view_mut()
            {
                let (is_live, min, max) = latency.result();
                let own = *lock(&element.imp().latency);
                latency.set(is_live, min + own, max.and_then(|max| max.checked_add(own)));
            }
            gst::PadProbeReturn::Ok
        });
    }

    describe_properties!({
        let number = |name, nick, blurb, most, default| {
            glib::ParamSpecUInt::builder(name)
                .nick(nick)
                .blurb(blurb)
                .maximum(most)
                .default_value(default)
                .mutable_playing()
                .build()
        };
        let mut specs = vec![
            number(
                "frames",
                "Frames per payload",
                "Maximum codec frames per payload; 0 is as many of a packet as fit the MTU",
                rtp::MAX_FRAMES.into(),
                0,
            ),
            number(
                "redundancy",
                "Redundant frames",
                "Earlier frames that each payload repeats (FEC): as many lost frames in a row can be recovered",
                rtp::MAX_REDUNDANT as u32,
                0,
            ),
            number(
                "redundancy-stages",
                "Stages of redundant frames",
                "Residual stages of the repeated frames: fewer cost fewer bits and sound coarser",
                64,
                2,
            ),
        ];
        properties::add_old_names(&mut specs, &OLD_NAMES);
        specs
    });

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        let name = properties::current_name(&*self.obj(), *CAT, spec, &OLD_NAMES);
        let mut settings = lock(&self.settings);
        // GObject has checked types and ranges.
        let number = value.get().unwrap_or_default();
        match name {
            "frames" => settings.frames = number,
            "redundancy" => settings.redundancy = number,
            _ => settings.redundancy_stages = number,
        }
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings);
        match spec.name() {
            "frames" => settings.frames.to_value(),
            "redundancy" => settings.redundancy.to_value(),
            _ => settings.redundancy_stages.to_value(),
        }
    }
}

impl GstObjectImpl for RtpSiskinAudioPay {}

impl ElementImpl for RtpSiskinAudioPay {
    describe_element!(
        "Siskin audio RTP payloader",
        "Codec/Payloader/Network/RTP",
        "Puts Siskin audio into RTP packets",
        vec![
            caps::always("sink", gst::PadDirection::Sink, &caps::audio_template()),
            caps::always("src", gst::PadDirection::Src, &caps::rtp_template()),
        ]
    );
}

impl RTPBasePayloadImpl for RtpSiskinAudioPay {
    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let header = caps::header(caps).map_err(|e| gst::loggable_error!(CAT, "{e}"))?;
        let header = header.ok_or_else(|| gst::loggable_error!(CAT, "no stream header in {caps:?}"))?;
        let obj = self.obj();
        // A dynamic payload type (RFC 3551, section 6), and the sample rate as clock, as for Opus and others:
        // timestamps count samples.
        obj.set_options("audio", true, caps::RTP_ENCODING, header.sample_rate);
        let mut parameters = caps::rtp_parameters(&header);
        PacketTime::from_properties(&*obj).add_attributes(&mut parameters);
        *lock(&self.peer) = PacketTime::from_sdp(&obj.src_pad().peer_query_caps(None));
        obj.set_outcaps(Some(&parameters)).map_err(|e| gst::loggable_error!(CAT, "output caps: {e}"))?;
        // Frames of the stream before go out under its caps.
        self.send_rest().map_err(|e| gst::loggable_error!(CAT, "the stream before: {e:?}"))?;
        *lock(&self.packetizer) = Some(Packetizer::new(header));
        Ok(())
    }

    fn handle_buffer(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        if buffer.flags().contains(gst::BufferFlags::DISCONT) {
            self.send_rest()?;
            // Copies of frames before a jump would be filled in at the wrong place.
            lock(&self.packetizer).iter_mut().for_each(Packetizer::reset);
        }
        let options = self.options();
        let mut payloads = Vec::new();
        let packed = {
            let mut guard = lock(&self.packetizer);
            let packetizer = guard.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
            let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
            let rate = packetizer.header().sample_rate;
            packetize(packetizer, &map, &options, &mut |payload| {
                // Collected first: pushing from inside would hold the lock.
                payloads.push(self.rtp_buffer(buffer.pts(), &payload, rate));
                Ok(())
            })
            .map(|samples| samples_to_time(rate, samples))
        };
        match packed {
            Ok(duration) => {
                *lock(&self.next) = buffer.pts().zip(duration).and_then(|(pts, d)| pts.checked_add(d));
                self.push_all(payloads)
            }
            Err(e) => {
                // One bad packet is a gap in the stream, which receivers conceal.
                let message = errors::to_message(&e);
                gst::warning!(CAT, imp = self, "packet dropped: {message:?}");
                Ok(gst::FlowSuccess::Ok)
            }
        }
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        match event.type_() {
            gst::EventType::Eos => {
                if let Err(e) = self.send_rest() {
                    gst::debug!(CAT, imp = self, "the last payload was not taken: {e:?}");
                }
            }
            gst::EventType::FlushStop => lock(&self.packetizer).iter_mut().for_each(Packetizer::reset),
            _ => (),
        }
        self.parent_sink_event(event)
    }
}

impl RtpSiskinAudioPay {
    /// How payloads are made now. Asked for each packet, so that redundancy can follow the network's losses while playing.
    fn options(&self) -> PacketizerOptions {
        let settings = *lock(&self.settings);
        let frame = {
            let packetizer = lock(&self.packetizer);
            let header = packetizer.as_ref().map(Packetizer::header);
            header.and_then(|header| samples_to_time(header.sample_rate, header.hop.into()))
        };
        let (obj, frame) = (self.obj(), frame.unwrap_or_default());
        let asked = PacketTime::from_properties(&*obj);
        let negotiated = obj.src_pad().current_caps().map(|caps| PacketTime::from_caps(&caps));
        let all = asked.and(negotiated.unwrap_or_default()).and(*lock(&self.peer));
        let FrameRange { min, max } = all.in_frames(frame, settings.frames);
        self.report_latency(frame * u64::from(min.saturating_sub(1)));
        PacketizerOptions {
            frames: max,
            min_frames: min,
            redundancy: settings.redundancy as u8,
            redundancy_stages: settings.redundancy_stages as u8,
            max_bytes: obj.mtu().saturating_sub(RTP_HEADER) as usize,
        }
    }

    /// Says how long frames wait, where that has changed.
    fn report_latency(&self, latency: gst::ClockTime) {
        let before = std::mem::replace(&mut *lock(&self.latency), latency);
        if before != latency {
            let obj = self.obj();
            obj.post_message(gst::message::Latency::builder().src(&*obj).build()).ok();
        }
    }

    /// Sends the frames that wait for those of packets that do not come.
    fn send_rest(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        let (options, next) = (self.options(), *lock(&self.next));
        let mut payloads = Vec::new();
        {
            let mut guard = lock(&self.packetizer);
            let Some(packetizer) = guard.as_mut() else { return Ok(gst::FlowSuccess::Ok) };
            let rate = packetizer.header().sample_rate;
            let sent: CoreResult<()> = packetizer.flush_frames(&options, &mut |payload| {
                payloads.push(self.rtp_buffer(next, &payload, rate));
                Ok(())
            });
            if let Err(e) = sent {
                gst::warning!(CAT, imp = self, "frames dropped: {e}");
            }
        }
        self.push_all(payloads)
    }

    fn push_all(
        &self,
        payloads: Vec<Result<gst::Buffer, glib::BoolError>>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        for payload in payloads {
            let out = payload.map_err(|e| {
                gst::element_imp_error!(self, gst::StreamError::Encode, ["{e}"]);
                gst::FlowError::Error
            })?;
            self.obj().push(out)?;
        }
        Ok(gst::FlowSuccess::Ok)
    }

    /// The buffer of a payload; its offset is that from `pts`.
    fn rtp_buffer(
        &self,
        pts: Option<gst::ClockTime>,
        payload: &OutgoingPayload<'_>,
        rate: u32,
    ) -> Result<gst::Buffer, glib::BoolError> {
        // Each payload has the time of its first frame; the base class makes the RTP timestamp of it.
        let time = |samples| samples_to_time(rate, samples);
        let mut out = self.obj().allocate_output_buffer(payload.data.len() as u32, 0, 0);
        let edit = out.make_mut();
        let offset = time(payload.offset.unsigned_abs());
        edit.set_pts(pts.zip(offset).and_then(|(pts, offset)| match payload.offset {
            0.. => pts.checked_add(offset),
            _ => pts.checked_sub(offset),
        }));
        edit.set_duration(time(payload.samples));
        let mut rtp = gst_rtp::RTPBuffer::from_buffer_writable(edit)?;
        rtp.set_marker(payload.marker);
        rtp.payload_mut()?.copy_from_slice(payload.data);
        drop(rtp);
        Ok(out)
    }
}

/// Cuts a packet into payloads; the bundle's tables are loaded once a range-coded packet comes. Gives the samples of its whole
/// frames: there is no end trim in RTP.
fn packetize(
    packetizer: &mut Packetizer,
    data: &[u8],
    options: &PacketizerOptions,
    emit: &mut impl FnMut(OutgoingPayload<'_>) -> CoreResult<()>,
) -> CoreResult<u64> {
    let packet = Packet::parse(data, &Limits::default())?.bind(packetizer.header())?;
    // Payloads are of fixed width, so that a lost one costs no other; range-coded codes have to be read for that.
    if packet.coding() == Coding::RangeCoded && !packetizer.has_coder() {
        let bundle = Bundle::for_stream(packetizer.header(), None)?;
        let tables = siskin_core::audio::load_entropy_tables(&bundle)?;
        packetizer.set_coder(tables.map(|tables| Box::new(Coder::new(tables)) as _));
    }
    let samples = PacketInfo { end_trim: 0, ..packet.info() }.sample_count(packetizer.header());
    packetizer.push_packet(&packet, options, emit).map(|()| samples)
}

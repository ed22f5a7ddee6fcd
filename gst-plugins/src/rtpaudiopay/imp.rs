use std::sync::Mutex;

use gst::glib;
use gst::subclass::prelude::*;
use gst_rtp::prelude::*;
use gst_rtp::subclass::prelude::*;
use siskin_core::bitstream::packet::{Coding, Packet};
use siskin_core::bitstream::rtp::{self, OutgoingPayload, Packetizer, PacketizerOptions};
use siskin_core::bundle::Bundle;
use siskin_core::entropy::Coder;
use siskin_core::{Limits, Result as CoreResult};

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
}

#[glib::object_subclass]
impl ObjectSubclass for RtpSiskinAudioPay {
    const NAME: &'static str = "GstRtpSiskinAudioPay";
    type Type = super::RtpSiskinAudioPay;
    type ParentType = gst_rtp::RTPBasePayload;
}

impl ObjectImpl for RtpSiskinAudioPay {
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
        obj.set_outcaps(Some(&caps::rtp_parameters(&header)))
            .map_err(|e| gst::loggable_error!(CAT, "output caps: {e}"))?;
        *lock(&self.packetizer) = Some(Packetizer::new(header));
        Ok(())
    }

    fn handle_buffer(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        // Read for each packet, so that redundancy can follow the network's losses while playing.
        let settings = *lock(&self.settings);
        let options = PacketizerOptions {
            frames: self.max_frames(settings.frames),
            redundancy: settings.redundancy as u8,
            redundancy_stages: settings.redundancy_stages as u8,
            max_bytes: self.obj().mtu().saturating_sub(RTP_HEADER) as usize,
        };
        let mut payloads = Vec::new();
        let packed = {
            let mut guard = lock(&self.packetizer);
            let packetizer = guard.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
            if buffer.flags().contains(gst::BufferFlags::DISCONT) {
                // Copies of frames before a jump would be filled in at the wrong place.
                packetizer.reset();
            }
            let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
            let rate = packetizer.header().sample_rate;
            packetize(packetizer, &map, &options, &mut |payload| {
                // Collected first: pushing from inside would hold the lock.
                payloads.push(self.rtp_buffer(&buffer, &payload, rate));
                Ok(())
            })
        };
        if let Err(e) = packed {
            // One bad packet is a gap in the stream, which receivers conceal.
            let message = errors::to_message(&e);
            gst::warning!(CAT, imp = self, "packet dropped: {message:?}");
            return Ok(gst::FlowSuccess::Ok);
        }
        for payload in payloads {
            let out = payload.map_err(|e| {
                gst::element_imp_error!(self, gst::StreamError::Encode, ["{e}"]);
                gst::FlowError::Error
            })?;
            self.obj().push(out)?;
        }
        Ok(gst::FlowSuccess::Ok)
    }
}

impl RtpSiskinAudioPay {
    /// Most frames of a payload: those of the property `frames`, within what `max-ptime` and the peer's `ptime` and `maxptime`
    /// allow, at least one; 0 where nothing limits them.
    fn max_frames(&self, asked: u32) -> u8 {
        let hop = {
            let packetizer = lock(&self.packetizer);
            let header = packetizer.as_ref().map(Packetizer::header);
            header.and_then(|header| samples_to_time(header.sample_rate, header.hop.into()))
        };
        let Some(hop) = hop.filter(|hop| !hop.is_zero()) else { return 0 };
        let obj = self.obj();
        // A negative property is none.
        let own = u64::try_from(obj.property::<i64>("max-ptime")).ok().map(gst::ClockTime::from_nseconds);
        let caps = obj.src_pad().current_caps();
        let peer = |name: &str| {
            let milliseconds = caps.as_ref()?.structure(0)?.get::<u32>(name).ok()?;
            Some(gst::ClockTime::from_mseconds(milliseconds.into()))
        };
        let limit = [own, peer("ptime"), peer("maxptime")].into_iter().flatten().min();
        let limit = limit.map(|limit| (limit.nseconds() / hop.nseconds()).max(1));
        let asked = Some(u64::from(asked)).filter(|&frames| frames > 0);
        let frames = [limit, asked].into_iter().flatten().min();
        frames.map_or(0, |frames| frames.min(rtp::MAX_FRAMES.into()) as u8)
    }

    fn rtp_buffer(
        &self,
        packet: &gst::Buffer,
        payload: &OutgoingPayload<'_>,
        rate: u32,
    ) -> Result<gst::Buffer, glib::BoolError> {
        // Each payload has the time of its first frame; the base class makes the RTP timestamp of it.
        let time = |samples| samples_to_time(rate, samples);
        let mut out = self.obj().allocate_output_buffer(payload.data.len() as u32, 0, 0);
        let edit = out.make_mut();
        edit.set_pts(packet.pts().zip(time(payload.offset)).map(|(pts, offset)| pts + offset));
        edit.set_duration(time(payload.samples));
        let mut rtp = gst_rtp::RTPBuffer::from_buffer_writable(edit)?;
        rtp.set_marker(payload.marker);
        rtp.payload_mut()?.copy_from_slice(payload.data);
        drop(rtp);
        Ok(out)
    }
}

/// Cuts a packet into payloads; the bundle's tables are loaded once a range-coded packet comes.
fn packetize(
    packetizer: &mut Packetizer,
    data: &[u8],
    options: &PacketizerOptions,
    emit: &mut impl FnMut(OutgoingPayload<'_>) -> CoreResult<()>,
) -> CoreResult<()> {
    let packet = Packet::parse(data, &Limits::default())?.bind(packetizer.header())?;
    // Payloads are of fixed width, so that a lost one costs no other; range-coded codes have to be read for that.
    if packet.coding() == Coding::RangeCoded && !packetizer.has_coder() {
        let bundle = Bundle::for_stream(packetizer.header(), None)?;
        let tables = siskin_core::audio::load_entropy_tables(&bundle)?;
        packetizer.set_coder(tables.map(|tables| Box::new(Coder::new(tables)) as _));
    }
    packetizer.push_packet(&packet, options, emit)
}

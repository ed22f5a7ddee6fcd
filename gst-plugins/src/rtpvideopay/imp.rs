use gst::glib;
use gst::subclass::prelude::*;
use gst_rtp::prelude::*;
use gst_rtp::subclass::prelude::*;
use siskin_core::bitstream::rtp_video;

use crate::caps as pads;
use crate::element::{debug_category, describe_element, post_error};
use crate::video::{caps, rtp};

debug_category!("rtpsiskinvideopay", "Siskin video RTP payloader");

/// Bytes of an RTP header without extensions.
const RTP_HEADER: u32 = 12;

#[derive(Default)]
pub struct RtpSiskinVideoPay;

#[glib::object_subclass]
impl ObjectSubclass for RtpSiskinVideoPay {
    const NAME: &'static str = "GstRtpSiskinVideoPay";
    type Type = super::RtpSiskinVideoPay;
    type ParentType = gst_rtp::RTPBasePayload;
}

impl ObjectImpl for RtpSiskinVideoPay {}
impl GstObjectImpl for RtpSiskinVideoPay {}

impl ElementImpl for RtpSiskinVideoPay {
    describe_element!(
        "Siskin video RTP payloader",
        "Codec/Payloader/Network/RTP",
        "Puts Siskin video into RTP packets",
        vec![
            pads::always("sink", gst::PadDirection::Sink, &caps::coded_template()),
            pads::always("src", gst::PadDirection::Src, &rtp::template()),
        ]
    );
}

impl RTPBasePayloadImpl for RtpSiskinVideoPay {
    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let header = caps::header(caps).map_err(|e| gst::loggable_error!(CAT, "{e}"))?;
        let header = header.ok_or_else(|| gst::loggable_error!(CAT, "no stream header in {caps:?}"))?;
        let obj = self.obj();
        obj.set_options("video", true, pads::RTP_ENCODING, rtp_video::CLOCK_RATE);
        obj.set_outcaps(Some(&rtp::parameters(&header, caps::bundle(caps))))
            .map_err(|e| gst::loggable_error!(CAT, "output caps: {e}"))
    }

    fn handle_buffer(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        // The flag is what parsers and encoders set; the packet is not read here.
        let is_keyframe = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let obj = self.obj();
        let payloads = {
            let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
            let packetizer = rtp_video::Packetizer::new(obj.mtu().saturating_sub(RTP_HEADER) as usize);
            packetizer.and_then(|packetizer| packetizer.split_packet(&map, is_keyframe))
        };
        let payloads = payloads.map_err(|e| post_error(self, &e))?;
        // One list per packet: a sink may send it with one system call.
        let mut list = gst::BufferList::new_sized(payloads.len());
        for payload in payloads {
            let out = self.rtp_buffer(&buffer, &payload).map_err(|e| {
                gst::element_imp_error!(self, gst::StreamError::Encode, ["{e}"]);
                gst::FlowError::Error
            })?;
            list.make_mut().add(out);
        }
        obj.push_list(list)
    }
}

impl RtpSiskinVideoPay {
    fn rtp_buffer(
        &self,
        packet: &gst::Buffer,
        payload: &rtp_video::OutgoingPayload,
    ) -> Result<gst::Buffer, glib::BoolError> {
        let length = u32::try_from(payload.data.len()).map_err(|e| glib::bool_error!("{e}"))?;
        let mut out = self.obj().allocate_output_buffer(length, 0, 0);
        let edit = out.make_mut();
        // All payloads of a packet get the same RTP timestamp, by which a receiver puts them together.
        edit.set_pts(packet.pts());
        edit.set_duration(packet.duration());
        let mut rtp = gst_rtp::RTPBuffer::from_buffer_writable(edit)?;
        rtp.set_marker(payload.marker);
        rtp.payload_mut()?.copy_from_slice(&payload.data);
        drop(rtp);
        Ok(out)
    }
}

use std::sync::Mutex;

use gst::glib;
use gst::subclass::prelude::*;
use gst_rtp::prelude::*;
use gst_rtp::subclass::prelude::*;
use siskin_core::bitstream::VideoHeader;
use siskin_core::bitstream::rtp_video::{Depacketizer, ReceivedPacket};
use siskin_core::bundle::installed_videos;

use crate::caps as pads;
use crate::element::{debug_category, describe_element, describe_properties};
use crate::sync::lock;
use crate::video::{caps, rtp, times};

debug_category!("rtpsiskinvideodepay", "Siskin video RTP depayloader");

#[derive(Default)]
struct State {
    depacketizer: Depacketizer,
    bundle: Option<String>,
}

#[derive(Default)]
pub struct RtpSiskinVideoDepay {
    /// Never held while data is pushed.
    state: Mutex<State>,
}

#[glib::object_subclass]
impl ObjectSubclass for RtpSiskinVideoDepay {
    const NAME: &'static str = "GstRtpSiskinVideoDepay";
    type Type = super::RtpSiskinVideoDepay;
    type ParentType = gst_rtp::RTPBaseDepayload;
}

impl ObjectImpl for RtpSiskinVideoDepay {
    describe_properties!(vec![
        glib::ParamSpecBoxed::builder::<gst::Structure>("siskin-stats")
            .nick("Statistics")
            .blurb("Payloads and packets taken, lost and skipped")
            .read_only()
            .build(),
    ]);

    fn property(&self, _id: usize, _spec: &glib::ParamSpec) -> glib::Value {
        let stats = lock(&self.state).depacketizer.stats();
        gst::Structure::builder("siskin-rtp-video-depay-stats")
            .field("payloads", stats.payloads)
            .field("packets", stats.packets)
            .field("broken-payloads", stats.broken)
            .field("broken-packets", stats.broken_packets)
            .field("late-payloads", stats.late)
            .field("skipped-payloads", stats.skipped)
            .field("losses", stats.losses)
            .build()
            .to_value()
    }
}

impl GstObjectImpl for RtpSiskinVideoDepay {}

impl ElementImpl for RtpSiskinVideoDepay {
    describe_element!(
        "Siskin video RTP depayloader",
        "Codec/Depayloader/Network/RTP",
        "Takes Siskin video out of RTP packets",
        vec![
            pads::always("sink", gst::PadDirection::Sink, &rtp::template()),
            pads::always("src", gst::PadDirection::Src, &caps::coded_template()),
        ]
    );

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::ReadyToPaused {
            *lock(&self.state) = State::default();
        }
        self.parent_change_state(transition)
    }
}

impl RTPBaseDepayloadImpl for RtpSiskinVideoDepay {
    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let bundle = caps::bundle(caps);
        // A receiver without the bundle refuses the session instead of showing nothing.
        if let Some(id) = &bundle
            && !installed_videos().iter().any(|(_, manifest)| manifest.id().to_string() == *id)
        {
            gst::element_imp_error!(
                self,
                gst::ResourceError::NotFound,
                ("this stream needs the video bundle of id {id}, which is not here")
            );
            return Err(gst::loggable_error!(CAT, "no bundle {id}"));
        }
        lock(&self.state).bundle = bundle;
        match rtp::header(caps).map_err(|e| gst::loggable_error!(CAT, "bad config: {e}"))? {
            Some(header) => self.start_stream(header),
            None => gst::info!(CAT, imp = self, "no config in {caps:?}: waiting for a key packet"),
        }
        Ok(())
    }

    fn handle_event(&self, event: gst::Event) -> bool {
        if event.type_() == gst::EventType::FlushStop {
            lock(&self.state).depacketizer.reset();
        }
        self.parent_handle_event(event)
    }

    fn process_rtp_packet(
        &self,
        packet: &gst_rtp::RTPBuffer<gst_rtp::rtp_buffer::Readable>,
    ) -> Option<gst::Buffer> {
        let (received, lost) = {
            let depacketizer = &mut lock(&self.state).depacketizer;
            let before = depacketizer.stats().losses;
            let (sequence, timestamp) = (packet.seq(), packet.timestamp());
            let payload = packet.payload().unwrap_or_default();
            let received = depacketizer.push_payload(sequence, timestamp, packet.is_marker(), payload);
            (received, depacketizer.stats().losses > before)
        };
        if lost {
            gst::info!(CAT, imp = self, "loss before payload {}: asking for a key packet", packet.seq());
            let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
            self.obj().sink_pad().push_event(event);
        }
        match received {
            Ok(received) => received.map(|received| self.buffer(received)),
            Err(e) => {
                // Anything may come from the network, so a bad payload is left out and ends nothing.
                gst::warning!(CAT, imp = self, "payload {} dropped: {e}", packet.seq());
                None
            }
        }
    }
}

impl RtpSiskinVideoDepay {
    /// The buffer of a packet.
    fn buffer(&self, packet: ReceivedPacket) -> gst::Buffer {
        let ReceivedPacket { data, info, after_loss } = packet;
        // Key packets carry the header, so a receiver whose caps have no config begins there.
        info.header.into_iter().for_each(|header| self.start_stream(header));
        let header = lock(&self.state).depacketizer.header();
        let mut buffer = gst::Buffer::from_slice(data);
        let edit = buffer.make_mut();
        // The duration alone: the base class puts the time of the RTP packet on the buffer.
        edit.set_duration(header.and_then(|header| times::frame_offset(&header, &info, info.frames)));
        if !info.key {
            edit.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        if after_loss {
            edit.set_flags(gst::BufferFlags::DISCONT);
        }
        buffer
    }

    /// Begins a stream, or goes on with it if it is the current one.
    fn start_stream(&self, header: VideoHeader) {
        let caps = {
            let mut state = lock(&self.state);
            // The same one again comes with every keyframe, and new caps would have the decoder begin anew.
            if !state.depacketizer.set_header(header) {
                return;
            }
            caps::coded_with(&header, state.bundle.as_deref())
        };
        self.obj().src_pad().push_event(gst::event::Caps::new(&caps));
    }
}

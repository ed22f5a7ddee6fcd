use std::sync::Mutex;
use std::time::Instant;

use gst::glib;
use gst::subclass::prelude::*;
use gst_rtp::prelude::*;
use gst_rtp::subclass::prelude::*;
use siskin_core::bitstream::VideoHeader;
use siskin_core::bitstream::rtp_video::{Depacketizer, ReceivedPacket};
use siskin_core::bundle::installed_videos;

use super::requests::Requests;
use crate::caps as pads;
use crate::element::{debug_category, describe_element, describe_properties};
use crate::sync::lock;
use crate::video::{caps, rtp, times};

debug_category!("rtpsiskinvideodepay", "Siskin video RTP depayloader");

#[derive(Debug, Clone, Copy)]
struct Settings {
    request_keyframe: bool,
    wait_for_keyframe: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { request_keyframe: true, wait_for_keyframe: true }
    }
}

#[derive(Default)]
struct State {
    depacketizer: Depacketizer,
    requests: Requests,
    bundle: Option<String>,
    /// The sender, by its synchronization source.
    source: Option<u32>,
}

#[derive(Default)]
pub struct RtpSiskinVideoDepay {
    settings: Mutex<Settings>,
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
        glib::ParamSpecBoolean::builder("request-keyframe")
            .nick("Request keyframe")
            .blurb("Ask upstream for a keyframe as soon as one is needed, and again until it is there")
            .default_value(true)
            .mutable_playing()
            .build(),
        glib::ParamSpecBoolean::builder("wait-for-keyframe")
            .nick("Wait for keyframe")
            .blurb("Drop what refers to lost frames, up to the next keyframe")
            .default_value(true)
            .mutable_playing()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("siskin-stats")
            .nick("Statistics")
            .blurb("Counts of payloads and packets received, lost and skipped")
            .read_only()
            .build(),
    ]);

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        // GObject has checked the type.
        let is_on = value.get().unwrap_or_default();
        match spec.name() {
            "request-keyframe" => lock(&self.settings).request_keyframe = is_on,
            _ => lock(&self.settings).wait_for_keyframe = is_on,
        }
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        match spec.name() {
            "request-keyframe" => return lock(&self.settings).request_keyframe.to_value(),
            "wait-for-keyframe" => return lock(&self.settings).wait_for_keyframe.to_value(),
            _ => (),
        }
        let state = lock(&self.state);
        let stats = state.depacketizer.stats();
        gst::Structure::builder("siskin-rtp-video-depay-stats")
            .field("payloads", stats.payloads)
            .field("packets", stats.packets)
            .field("broken-payloads", stats.broken)
            .field("broken-packets", stats.broken_packets)
            .field("late-payloads", stats.late)
            .field("skipped-payloads", stats.skipped)
            .field("losses", stats.losses)
            .field("keyframe-requests", state.requests.count())
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

    fn packet_lost(&self, event: &gst::EventRef) -> bool {
        // A jitter buffer says so up to its latency before the next payload does.
        if let Some(sequence) = event.structure().and_then(|s| s.get::<u32>("seqnum").ok()) {
            lock(&self.state).depacketizer.mark_lost(sequence as u16);
            self.request_keyframe();
        }
        self.parent_packet_lost(event)
    }

    fn process_rtp_packet(
        &self,
        packet: &gst_rtp::RTPBuffer<gst_rtp::rtp_buffer::Readable>,
    ) -> Option<gst::Buffer> {
        let wait = lock(&self.settings).wait_for_keyframe;
        let received = {
            let State { depacketizer, source, .. } = &mut *lock(&self.state);
            // Numbers of another sender say nothing about this one's: by chance they lie behind them, which looked late.
            if source.replace(packet.ssrc()).is_some_and(|last| last != packet.ssrc()) {
                depacketizer.reset();
            }
            depacketizer.keep_undecodable(!wait);
            let (sequence, timestamp) = (packet.seq(), packet.timestamp());
            let payload = packet.payload().unwrap_or_default();
            depacketizer.push_payload(sequence, timestamp, packet.is_marker(), payload)
        };
        self.request_keyframe();
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
    /// Asks upstream for a keyframe if it is time to.
    fn request_keyframe(&self) {
        if !lock(&self.settings).request_keyframe {
            return;
        }
        let is_due = {
            let State { depacketizer, requests, .. } = &mut *lock(&self.state);
            requests.is_due(depacketizer, Instant::now())
        };
        if is_due {
            gst::info!(CAT, imp = self, "asking for a keyframe");
            let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
            self.obj().sink_pad().push_event(event);
        }
    }

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
        if !info.is_keyframe {
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

use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::subclass::prelude::*;
use gst_rtp::prelude::*;
use gst_rtp::subclass::prelude::*;
use siskin_core::Error;
use siskin_core::bitstream::{StreamHeader, rtp};
use siskin_core::bundle::Bundle;

use super::unpacker::{OutPacket, Stats, Unpacker};
use crate::sync::lock;
use crate::{caps, errors, network};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "rtpsiskinaudiodepay",
        gst::DebugColorFlags::empty(),
        Some("Siskin audio RTP depayloader"),
    )
});

#[derive(Default)]
struct State {
    /// None until caps or a payload have brought the stream's header.
    stream: Option<Unpacker>,
    stats: Stats,
}

#[derive(Default)]
pub struct RtpSiskinAudioDepay {
    /// Never held while data is pushed.
    state: Mutex<State>,
}

#[glib::object_subclass]
impl ObjectSubclass for RtpSiskinAudioDepay {
    const NAME: &'static str = "GstRtpSiskinAudioDepay";
    type Type = super::RtpSiskinAudioDepay;
    type ParentType = gst_rtp::RTPBaseDepayload;
}

impl ObjectImpl for RtpSiskinAudioDepay {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecBoxed::builder::<gst::Structure>("siskin-stats")
                    .nick("Statistics")
                    .blurb("Frames taken, lost and recovered")
                    .read_only()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn property(&self, _id: usize, _spec: &glib::ParamSpec) -> glib::Value {
        lock(&self.state).stats.structure().to_value()
    }
}

impl GstObjectImpl for RtpSiskinAudioDepay {}

impl ElementImpl for RtpSiskinAudioDepay {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            network::metadata(
                "Siskin audio RTP depayloader",
                "Codec/Depayloader/Network/RTP",
                "Takes Siskin audio out of RTP packets",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            vec![
                caps::always("sink", gst::PadDirection::Sink, &caps::rtp_template()),
                caps::always("src", gst::PadDirection::Src, &caps::audio_template()),
            ]
        });
        &TEMPLATES
    }

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

impl RTPBaseDepayloadImpl for RtpSiskinAudioDepay {
    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        match caps::rtp_header(caps).map_err(|e| gst::loggable_error!(CAT, "bad config: {e}"))? {
            Some(header) => {
                // A receiver without the bundle refuses the session instead of playing nothing.
                Bundle::for_stream(&header, None).map_err(|e| {
                    self.post_error_message(errors::message(&e));
                    gst::loggable_error!(CAT, "{e}")
                })?;
                self.begin(header);
            }
            None => {
                gst::info!(CAT, imp = self, "no config in {caps:?}: waiting for the header in the payloads")
            }
        }
        Ok(())
    }

    fn handle_event(&self, event: gst::Event) -> bool {
        if event.type_() == gst::EventType::FlushStop {
            lock(&self.state).stream.iter_mut().for_each(Unpacker::restart);
        }
        self.parent_handle_event(event)
    }

    fn packet_lost(&self, event: &gst::EventRef) -> bool {
        let duration = event.structure().and_then(|s| s.get::<gst::ClockTime>("duration").ok());
        let held = lock(&self.state).stream.as_mut().is_some_and(|stream| {
            let rate = u64::from(stream.header().sample_rate);
            let samples =
                duration.and_then(|d| d.nseconds().mul_div_round(rate, gst::ClockTime::SECOND.nseconds()));
            stream.holds_loss(samples.unwrap_or(u64::MAX))
        });
        // What no copy fills is a hole in the time stamps, which the decoder bridges as well.
        held || self.parent_packet_lost(event)
    }

    fn process_rtp_packet(
        &self,
        packet: &gst_rtp::RTPBuffer<gst_rtp::rtp_buffer::Readable>,
    ) -> Option<gst::Buffer> {
        let payload = match rtp::read(packet.payload().ok()?) {
            Ok(payload) => payload,
            Err(e) => return self.drop_broken(&e),
        };
        // Follows the sender to another bundle, and joins a stream that caps did not announce.
        payload.header.clone().into_iter().for_each(|header| self.begin(header));
        let unpacked = {
            let mut guard = lock(&self.state);
            let State { stream, stats } = &mut *guard;
            let Some(stream) = stream else {
                gst::debug!(CAT, imp = self, "no stream header yet");
                return None;
            };
            let rate = stream.header().sample_rate;
            stream.unpack(&payload, packet.timestamp(), stats).map(|packets| (packets, rate))
        };
        let (mut packets, rate) = match unpacked {
            Ok(unpacked) => unpacked,
            Err(e) => return self.drop_broken(&e),
        };
        let last = packets.pop()?;
        for recovered in packets {
            let buffer = buffer(recovered, packet.buffer().pts(), rate);
            if let Err(e) = self.obj().push(buffer) {
                gst::debug!(CAT, imp = self, "downstream: {e}");
                return None;
            }
        }
        Some(buffer(last, packet.buffer().pts(), rate))
    }
}

impl RtpSiskinAudioDepay {
    /// Begins a stream, or goes on with it if it is the one at hand.
    fn begin(&self, header: StreamHeader) {
        let caps = {
            let mut state = lock(&self.state);
            if state.stream.as_ref().is_some_and(|s| s.header().same_stream(&header)) {
                return;
            }
            let caps = caps::audio(&header);
            state.stream = Some(Unpacker::new(header));
            caps
        };
        self.obj().src_pad().push_event(gst::event::Caps::new(&caps));
    }

    /// A payload that is none is a loss, which the next one shows by its time.
    fn drop_broken(&self, error: &Error) -> Option<gst::Buffer> {
        gst::warning!(CAT, imp = self, "payload dropped: {error}");
        lock(&self.state).stats.broken += 1;
        None
    }
}

fn buffer(packet: OutPacket, pts: Option<gst::ClockTime>, rate: u32) -> gst::Buffer {
    let time = |samples| gst::ClockTime::SECOND.mul_div_round(samples, u64::from(rate)).unwrap_or_default();
    let mut buffer = gst::Buffer::from_slice(packet.data);
    let edit = buffer.make_mut();
    edit.set_pts(pts.map(|pts| pts.saturating_sub(time(packet.before))));
    edit.set_duration(time(packet.samples));
    buffer
}

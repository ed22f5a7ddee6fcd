use std::sync::Mutex;

use gst::glib;
use gst::subclass::prelude::*;
use gst_rtp::prelude::*;
use gst_rtp::subclass::prelude::*;
use siskin_core::Error;
use siskin_core::bitstream::StreamHeader;
use siskin_core::bitstream::rtp::{Depacketizer, PayloadHead, RecoveredPacket};
use siskin_core::bundle::Bundle;

use super::comfort::ComfortNoise;
use crate::element::{debug_category, describe_element, describe_properties};
use crate::sync::lock;
use crate::time::{samples_to_time, time_to_samples};
use crate::{caps, errors, properties};

debug_category!("rtpsiskinaudiodepay", "Siskin audio RTP depayloader");

#[derive(Default)]
pub struct RtpSiskinAudioDepay {
    /// Never held while data is pushed.
    depacketizer: Mutex<Depacketizer>,
    /// The sender, by its synchronization source.
    source: Mutex<Option<u32>>,
    /// Name or directory of the bundle.
    model: Mutex<Option<String>>,
    /// When the losses began that wait for copies; only of use while the depacketizer holds some.
    held_from: Mutex<gst::ClockTime>,
    noise: ComfortNoise,
}

#[glib::object_subclass]
impl ObjectSubclass for RtpSiskinAudioDepay {
    const NAME: &'static str = "GstRtpSiskinAudioDepay";
    type Type = super::RtpSiskinAudioDepay;
    type ParentType = gst_rtp::RTPBaseDepayload;
}

impl ObjectImpl for RtpSiskinAudioDepay {
    describe_properties!(vec![
        // The base class has a property `stats` of its own.
        glib::ParamSpecBoxed::builder::<gst::Structure>("siskin-stats")
            .nick("Statistics")
            .blurb("Frames taken, lost and recovered")
            .read_only()
            .build(),
        glib::ParamSpecString::builder("model")
            .nick("Model")
            .blurb("Name or directory of the model bundle; by default the one that the stream header names")
            .mutable_ready()
            .build(),
    ]);

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        if spec.name() == "model" {
            *lock(&self.model) = properties::text_from(value);
        }
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        if spec.name() == "model" {
            return lock(&self.model).to_value();
        }
        let stats = lock(&self.depacketizer).stats();
        gst::Structure::builder("siskin-rtp-depay-stats")
            .field("payloads", stats.payloads)
            .field("frames", stats.frames)
            .field("lost-frames", stats.lost)
            .field("recovered-frames", stats.recovered)
            .field("late-payloads", stats.late)
            .field("broken-payloads", stats.broken)
            .build()
            .to_value()
    }
}

impl GstObjectImpl for RtpSiskinAudioDepay {}

impl ElementImpl for RtpSiskinAudioDepay {
    describe_element!(
        "Siskin audio RTP depayloader",
        "Codec/Depayloader/Network/RTP",
        "Takes Siskin audio out of RTP packets",
        vec![
            caps::always("sink", gst::PadDirection::Sink, &caps::rtp_template()),
            caps::always("src", gst::PadDirection::Src, &caps::audio_template()),
        ]
    );

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            // Before the parent: packets may come as soon as it has started.
            gst::StateChange::ReadyToPaused => {
                *lock(&self.depacketizer) = Depacketizer::default();
                *lock(&self.source) = None;
            }
            gst::StateChange::PausedToPlaying => self.noise.set_playing(true),
            gst::StateChange::PlayingToPaused => self.noise.set_playing(false),
            gst::StateChange::PausedToReady => self.noise.stop(),
            _ => (),
        }
        let changed = self.parent_change_state(transition);
        if transition == gst::StateChange::PausedToReady {
            self.noise.join();
        }
        changed
    }
}

impl RTPBaseDepayloadImpl for RtpSiskinAudioDepay {
    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        match caps::rtp_header(caps).map_err(|e| gst::loggable_error!(CAT, "bad config: {e}"))? {
            Some(header) => {
                // A receiver without the bundle refuses the session instead of playing nothing.
                let model = lock(&self.model).clone();
                Bundle::for_stream(&header, model.as_deref()).map_err(|e| {
                    self.post_error_message(errors::to_message(&e));
                    gst::loggable_error!(CAT, "{e}")
                })?;
                self.start_stream(header);
            }
            None => {
                gst::info!(CAT, imp = self, "no config in {caps:?}: waiting for the header in the payloads")
            }
        }
        Ok(())
    }

    fn handle_event(&self, event: gst::Event) -> bool {
        match event.view() {
            // Frames before and after a flush are no neighbors, so nothing between them was lost.
            gst::EventView::FlushStop(_) => lock(&self.depacketizer).reset(),
            gst::EventView::FlushStart(_) => self.noise.reset(),
            gst::EventView::Eos(_) => {
                self.noise.reset();
                // No payload follows that could bring the copies.
                let held = lock(&self.depacketizer).take_held();
                self.push_gap(held);
            }
            // What stands upstream may tell of a loss in this way, as `identity` does with `drop-probability`.
            gst::EventView::Gap(gap) => {
                let (start, duration) = gap.get();
                if self.waits_for_copies(Some(start), duration) {
                    return true;
                }
            }
            _ => (),
        }
        self.parent_handle_event(event)
    }

    fn packet_lost(&self, event: &gst::EventRef) -> bool {
        let time = |name| event.structure().and_then(|s| s.get::<gst::ClockTime>(name).ok());
        // What no redundancy fills is a gap in the timestamps, which the decoder conceals as well.
        self.waits_for_copies(time("timestamp"), time("duration")) || self.parent_packet_lost(event)
    }

    fn process_rtp_packet(
        &self,
        packet: &gst_rtp::RTPBuffer<gst_rtp::rtp_buffer::Readable>,
    ) -> Option<gst::Buffer> {
        let payload = match PayloadHead::parse(packet.payload().ok()?) {
            Ok(payload) => payload,
            Err(e) => return self.drop_broken(&e),
        };
        // Times of another sender say nothing about this one's: by chance they lie behind them, which looked late.
        if lock(&self.source).replace(packet.ssrc()).is_some_and(|last| last != packet.ssrc()) {
            lock(&self.depacketizer).reset();
        }
        // Follows the sender to another bundle, and joins a stream that caps did not announce.
        payload.header.clone().into_iter().for_each(|header| self.start_stream(header));
        let unpacked = {
            let mut depacketizer = lock(&self.depacketizer);
            let Some(rate) = depacketizer.header().map(|header| header.sample_rate) else {
                gst::debug!(CAT, imp = self, "no stream header yet");
                return None;
            };
            let hop = depacketizer.header().map_or(0, |header| u64::from(header.hop));
            let packets = depacketizer.push_payload(&payload, packet.timestamp());
            packets.map(|packets| (packets, rate, hop, depacketizer.in_pause()))
        };
        let (mut packets, rate, hop, is_pause) = match unpacked {
            Ok(unpacked) => unpacked,
            Err(e) => return self.drop_broken(&e),
        };
        // The base class pushes what is returned, with the packet's flags; recovered frames go before it.
        let last = packets.pop()?;
        let pts = packet.buffer().pts();
        let end =
            pts.zip(samples_to_time(rate, last.samples)).map(|(pts, length)| pts.saturating_add(length));
        self.noise.follow(&self.obj(), is_pause, end, samples_to_time(rate, hop).unwrap_or_default());
        for recovered in packets {
            let buffer = buffer(recovered, pts, rate);
            if let Err(e) = self.obj().push(buffer) {
                gst::debug!(CAT, imp = self, "downstream: {e}");
                return None;
            }
        }
        Some(buffer(last, pts, rate))
    }
}

impl RtpSiskinAudioDepay {
    /// Begins a stream, or goes on with it if it is the one at hand.
    fn start_stream(&self, header: StreamHeader) {
        let caps = caps::audio(&header);
        if lock(&self.depacketizer).set_header(header) {
            self.obj().src_pad().push_event(gst::event::Caps::new(&caps));
        }
    }

    /// Notes a loss that upstream tells of. While a later payload may bring copies of it downstream is told nothing, or it would
    /// conceal what then comes as well; true if there is nothing left to tell.
    fn waits_for_copies(&self, start: Option<gst::ClockTime>, duration: Option<gst::ClockTime>) -> bool {
        let beyond = {
            let mut depacketizer = lock(&self.depacketizer);
            let rate = depacketizer.header().map(|header| header.sample_rate);
            let Some(rate) = rate else { return false };
            if !depacketizer.awaits_copies() {
                // What upstream tells goes on as it is.
                depacketizer.note_loss(duration.and_then(|d| time_to_samples(rate, d)).unwrap_or(0));
                return false;
            }
            // How long it was the next payload shows by its time.
            let Some((start, duration)) = start.zip(duration) else { return true };
            if depacketizer.held_samples() == 0 {
                *lock(&self.held_from) = start;
            }
            depacketizer.note_loss(time_to_samples(rate, duration).unwrap_or(u64::MAX))
        };
        self.push_gap(beyond);
        true
    }

    /// Tells downstream of the oldest `samples` of the losses that waited.
    fn push_gap(&self, samples: u64) {
        let rate = lock(&self.depacketizer).header().map(|header| header.sample_rate);
        let duration = rate.and_then(|rate| samples_to_time(rate, samples)).filter(|d| !d.is_zero());
        let Some(duration) = duration else { return };
        let start = {
            let mut from = lock(&self.held_from);
            let start = *from;
            *from = start.saturating_add(duration);
            start
        };
        self.obj().src_pad().push_event(gst::event::Gap::builder(start).duration(duration).build());
    }

    /// A payload that is none is a loss, which the next one shows by its time.
    fn drop_broken(&self, error: &Error) -> Option<gst::Buffer> {
        gst::warning!(CAT, imp = self, "payload dropped: {error}");
        lock(&self.depacketizer).count_broken();
        None
    }
}

fn buffer(packet: RecoveredPacket, pts: Option<gst::ClockTime>, rate: u32) -> gst::Buffer {
    let time = |samples| samples_to_time(rate, samples).unwrap_or_default();
    let mut buffer = gst::Buffer::from_slice(packet.data);
    let edit = buffer.make_mut();
    // Recovered frames lie before the packet that carried them.
    edit.set_pts(pts.map(|pts| pts.saturating_sub(time(packet.before))));
    edit.set_duration(time(packet.samples));
    buffer
}

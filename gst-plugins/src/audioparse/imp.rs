use std::sync::Mutex;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use siskin_core::bitstream::StreamHeader;
use siskin_core::bitstream::packet::{Packet, PacketInfo};
use siskin_core::bundle::installed;
use siskin_core::container::AUDIO_CODEC_ID;
use siskin_core::{Error, Limits};

use super::preroll::Preroll;
use super::timeline::Timeline;
use crate::caps;
use crate::element::{debug_category, describe_element, map_buffer};
use crate::parse::{Gate, Parse};
use crate::sync::lock;

debug_category!("siskinaudioparse", "Siskin audio parser");

#[derive(Default)]
struct State {
    /// Another header that one packet carried in the middle of the stream.
    suspect: Option<StreamHeader>,
    timeline: Timeline,
    preroll: Preroll,
    /// Samples of the last whole packet.
    last_samples: u64,
    /// The next packet does not follow from the last one pushed.
    discont: bool,
    /// The last packet described the noise of a pause, which a gap goes on with.
    in_pause: bool,
}

pub struct SiskinAudioParse {
    sink: gst::Pad,
    src: gst::Pad,
    gate: Mutex<Gate<StreamHeader>>,
    /// Never held while data is pushed.
    state: Mutex<State>,
}

#[glib::object_subclass]
impl ObjectSubclass for SiskinAudioParse {
    const NAME: &'static str = "GstSiskinAudioParse";
    type Type = super::SiskinAudioParse;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let template = |name| class.pad_template(name).expect("the class has its own pad templates");
        let sink = Self::sink_pad(&template("sink"));
        let src = gst::Pad::builder_from_template(&template("src"))
            // The stream decides the caps; there is nothing to negotiate.
            .flags(gst::PadFlags::FIXED_CAPS)
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |parse| parse.src_event(pad, event))
            })
            .build();
        Self { sink, src, gate: Mutex::default(), state: Mutex::default() }
    }
}

impl ObjectImpl for SiskinAudioParse {
    fn constructed(&self) {
        self.parent_constructed();
        for pad in [&self.sink, &self.src] {
            self.obj().add_pad(pad).expect("a new element has no pad of that name yet");
        }
    }
}

impl GstObjectImpl for SiskinAudioParse {}

impl ElementImpl for SiskinAudioParse {
    describe_element!(
        "Siskin audio parser",
        "Codec/Parser/Audio",
        "Reads the stream header and exact times of Siskin audio packets",
        {
            // How stock `matroskademux` names tracks whose codec id it does not know.
            let unknown =
                gst::Structure::builder("audio/x-unknown").field("codec-id", AUDIO_CODEC_ID).build();
            let coded = gst::Structure::new_empty(caps::AUDIO);
            let sink = gst::Caps::builder_full().structure(unknown).structure(coded).build();
            vec![
                caps::always("sink", gst::PadDirection::Sink, &sink),
                caps::always("src", gst::PadDirection::Src, &caps::audio_template()),
            ]
        }
    );

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        let changed = self.parent_change_state(transition);
        // After the parent, which has stopped the streaming thread by then.
        if transition == gst::StateChange::PausedToReady {
            self.forget_all();
        }
        changed
    }
}

impl Parse for SiskinAudioParse {
    type Header = StreamHeader;

    const WHAT: &str = "Siskin stream header";

    fn debug_category(&self) -> gst::DebugCategory {
        *CAT
    }

    fn source_pad(&self) -> &gst::Pad {
        &self.src
    }

    fn header_gate(&self) -> &Mutex<Gate<StreamHeader>> {
        &self.gate
    }

    fn header_of(&self, caps: &gst::CapsRef) -> Result<Option<StreamHeader>, Error> {
        caps::header(caps)
    }

    fn caps_of(&self, header: &StreamHeader) -> gst::Caps {
        caps::audio(header)
    }

    fn name_codec(&self, header: &StreamHeader, tags: &mut gst::TagListRef) {
        let codec = caps::codec_name(header);
        tags.add::<gst::tags::AudioCodec>(&codec.as_str(), gst::TagMergeMode::Replace);
    }

    fn start_stream(&self, header: &StreamHeader) {
        gst::info!(CAT, imp = self, "stream header {header:?}");
        // A stream whose bundle is missing is an error of the decoder.
        // The header does not say how long a decoder warms up, so the installed bundle does; without it seeks are
        // just not exact.
        let bundle = installed().into_iter().find(|b| b.id() == header.bundle);
        let warm_up = bundle.map_or(0, |b| b.manifest().warm_up_ns());
        let mut state = lock(&self.state);
        state.preroll.set_length(gst::ClockTime::from_nseconds(warm_up));
        (state.timeline, state.suspect, state.discont) = (Timeline::default(), None, true);
    }

    fn restart_timeline(&self) {
        lock(&self.state).timeline.start_run();
    }

    fn forget_stream(&self) {
        *lock(&self.state) = State::default();
    }

    fn handle_packet(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let read = {
            // The map ends here, since the buffer is edited below.
            let map = map_buffer(self, &buffer)?;
            self.read_packet(&map)
        };
        match read {
            Ok((info, samples)) => self.push_packet(buffer, Some(info), samples),
            Err(e) => self.pass_broken(buffer, &e),
        }
    }

    /// A segment that answers a moved seek is moved back.
    fn map_event(&self, event: gst::Event) -> gst::Event {
        lock(&self.state).preroll.restore_segment(event)
    }
}

impl SiskinAudioParse {
    /// Reads a packet's head, and follows the header that it may carry.
    fn read_packet(&self, data: &[u8]) -> Result<(PacketInfo, u64), Error> {
        let packet = Packet::parse(data, &Limits::default())?;
        let known = lock(&self.gate).header.clone();
        let carried = packet.header.clone();
        let header = carried.as_ref().or(known.as_ref()).ok_or(Error::MissingHeader)?;
        // A packet that is broken further on may have a broken header too: check it as a whole first.
        let packet = packet.bind(header)?;
        let (info, samples) = (packet.info(), packet.sample_count());
        match (carried, known) {
            (Some(carried), Some(known)) if !known.same_stream(&carried) => {
                // A stream that begins may follow another one; in the middle the suspicion comes first.
                self.check_other(&carried, &known, info.starts_stream)?;
                self.set_header(carried);
            }
            (Some(carried), None) => self.set_header(carried),
            // A packet of the known stream in between: the other header was damage.
            _ => lock(&self.state).suspect = None,
        }
        Ok((info, samples))
    }

    /// In the middle of a stream one packet with another header is damage; a second with the same is the truth.
    fn check_other(&self, carried: &StreamHeader, known: &StreamHeader, starts: bool) -> Result<(), Error> {
        let before = lock(&self.state).suspect.replace(carried.clone());
        if starts || before.as_ref() == Some(carried) {
            return Ok(());
        }
        Err(Error::WrongBundle {
            needed_name: carried.bundle_name.clone(),
            needed_id: carried.bundle.to_string(),
            found: format!("{} ({})", known.bundle_name, known.bundle),
        })
    }

    /// Pushes a packet at its exact time.
    fn push_packet(
        &self,
        mut buffer: gst::Buffer,
        info: Option<PacketInfo>,
        samples: u64,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        {
            let Some(header) = lock(&self.gate).header.clone() else { return Ok(gst::FlowSuccess::Ok) };
            let mut state = lock(&self.state);
            let starts = info.is_some_and(|i| i.starts_stream);
            if info.is_some_and(|i| i.overlap > 0) {
                state.timeline.set_stride(samples);
            }
            let place = state.timeline.place_packet(&header, buffer.pts(), starts, samples);
            let edit = buffer.make_mut();
            edit.set_pts(place.pts);
            // Packets are decoded in the order they are shown, and a demuxer's rounded DTS would contradict the exact
            // PTS.
            edit.set_dts(None);
            edit.set_duration(place.duration);
            let in_pause = std::mem::replace(&mut state.in_pause, info.is_some_and(|i| i.stages == 0));
            if std::mem::take(&mut state.discont) || place.jump && !in_pause {
                edit.set_flags(gst::BufferFlags::DISCONT);
            } else {
                edit.unset_flags(gst::BufferFlags::DISCONT);
            }
            if info.is_none() {
                // The decoder would find it broken by itself; the flag tells anything between.
                edit.set_flags(gst::BufferFlags::CORRUPTED);
            } else {
                state.last_samples = samples;
            }
        }
        self.push_tags();
        self.src.push(buffer)
    }

    /// Passes a broken packet on, so that the decoder conceals it for as long as a whole one lasts; before a header
    /// there is nothing to conceal in.
    fn pass_broken(&self, buffer: gst::Buffer, error: &Error) -> Result<gst::FlowSuccess, gst::FlowError> {
        let known = {
            let mut gate = lock(&self.gate);
            gate.dropped += u64::from(gate.header.is_none());
            gate.header.is_some()
        };
        let samples = lock(&self.state).last_samples;
        gst::info!(CAT, imp = self, "packet at {}: {error}", buffer.pts().display());
        // The length of a broken packet is unknown: that of the last whole one is the likeliest.
        if known && samples > 0 { self.push_packet(buffer, None, samples) } else { Ok(gst::FlowSuccess::Ok) }
    }

    /// Passes a seek on so that packets come from as long before its target as the decoder needs to warm up.
    fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        let event = lock(&self.state).preroll.move_seek(event);
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }
}

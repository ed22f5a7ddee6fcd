use std::sync::{LazyLock, Mutex};

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
use crate::sync::lock;
use crate::{caps, network};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("siskinaudioparse", gst::DebugColorFlags::empty(), Some("Siskin audio parser"))
});

/// Events that wait for the caps are bounded: more than this come from no well-behaved element.
const MOST_EVENTS: usize = 64;

#[derive(Default)]
struct State {
    /// The stream's header, from caps or from a packet.
    header: Option<StreamHeader>,
    /// Another header that one packet carried in the middle of the stream.
    suspect: Option<StreamHeader>,
    /// Events to follow the caps.
    waiting: Vec<gst::Event>,
    /// Tags from upstream, to which the codec's name is added.
    tags: Option<gst::TagList>,
    /// Tags are to be pushed before the next packet: after the segment, whenever that came.
    tags_due: bool,
    timeline: Timeline,
    preroll: Preroll,
    /// Packets that came before a header.
    dropped: u64,
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
        let sink = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |parse| parse.chain(buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |parse| parse.sink_event(pad, event))
            })
            .build();
        let src = gst::Pad::builder_from_template(&template("src"))
            .flags(gst::PadFlags::FIXED_CAPS)
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |parse| parse.src_event(pad, event))
            })
            .build();
        Self { sink, src, state: Mutex::default() }
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
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            network::metadata(
                "Siskin audio parser",
                "Codec/Parser/Audio",
                "Reads the stream header and exact times of Siskin audio packets",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let unknown =
                gst::Structure::builder("audio/x-unknown").field("codec-id", AUDIO_CODEC_ID).build();
            let coded = gst::Structure::new_empty(caps::AUDIO);
            let sink = gst::Caps::builder_full().structure(unknown).structure(coded).build();
            vec![
                caps::always("sink", gst::PadDirection::Sink, &sink),
                caps::always("src", gst::PadDirection::Src, &caps::audio_template()),
            ]
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        let changed = self.parent_change_state(transition);
        if transition == gst::StateChange::PausedToReady {
            *lock(&self.state) = State::default();
        }
        changed
    }
}

impl SiskinAudioParse {
    fn chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let read = {
            let map = buffer.map_readable().map_err(|_| {
                gst::element_imp_error!(self, gst::ResourceError::Read, ["a buffer cannot be mapped"]);
                gst::FlowError::Error
            })?;
            self.read(&map)
        };
        match read {
            Ok((info, samples)) => self.push(buffer, Some(info), samples),
            Err(e) => self.pass_broken(buffer, &e),
        }
    }

    /// Reads a packet's head, and follows the header that it may carry.
    fn read(&self, data: &[u8]) -> Result<(PacketInfo, u64), Error> {
        let packet = Packet::parse(data, &Limits::default())?;
        let known = lock(&self.state).header.clone();
        let carried = packet.header.clone();
        let header = carried.as_ref().or(known.as_ref()).ok_or(Error::MissingHeader)?;
        // A packet that is broken further on may have a broken header too: check it as a whole first.
        let info = packet.info(header)?;
        let samples = info.samples(header);
        match (carried, known) {
            (Some(carried), Some(known)) if !known.same_stream(&carried) => {
                self.check_other(&carried, &known, info.starts_stream)?;
                self.set_header(carried);
            }
            (Some(carried), None) => self.set_header(carried),
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

    /// Pushes caps for another header and what waited for them.
    fn set_header(&self, header: StreamHeader) {
        gst::info!(CAT, imp = self, "stream header {header:?}");
        let caps = caps::audio(&header);
        // A stream whose bundle is missing is an error of the decoder.
        let bundle = installed().into_iter().find(|b| b.id() == header.bundle);
        let warm_up = bundle.map_or(0, |b| b.manifest().warm_up_ns());
        let waiting = {
            let mut state = lock(&self.state);
            state.header = Some(header);
            state.preroll.set_length(gst::ClockTime::from_nseconds(warm_up));
            state.timeline = Timeline::default();
            (state.suspect, state.discont, state.tags_due) = (None, true, true);
            std::mem::take(&mut state.waiting)
        };
        self.src.push_event(gst::event::Caps::new(&caps));
        for event in waiting {
            self.src.push_event(event);
        }
    }

    /// Pushes upstream's tags with the codec's name, if they are due.
    fn push_tags(&self) {
        let (tags, header) = {
            let mut state = lock(&self.state);
            if !std::mem::take(&mut state.tags_due) {
                return;
            }
            (state.tags.clone(), state.header.clone())
        };
        let Some(header) = header else { return };
        let mut tags = tags.unwrap_or_default();
        let codec = caps::codec_name(&header);
        let edit = tags.make_mut();
        edit.set_scope(gst::TagScope::Stream);
        edit.add::<gst::tags::AudioCodec>(&codec.as_str(), gst::TagMergeMode::Replace);
        self.src.push_event(gst::event::Tag::new(tags));
    }

    /// Pushes a packet at its exact time.
    fn push(
        &self,
        mut buffer: gst::Buffer,
        info: Option<PacketInfo>,
        samples: u64,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        {
            let mut guard = lock(&self.state);
            let state = &mut *guard;
            let Some(header) = &state.header else { return Ok(gst::FlowSuccess::Ok) };
            let starts = info.is_some_and(|i| i.starts_stream);
            let place = state.timeline.place(header, buffer.pts(), starts, samples);
            let edit = buffer.make_mut();
            edit.set_pts(place.pts);
            edit.set_dts(None);
            edit.set_duration(place.duration);
            let in_pause = std::mem::replace(&mut state.in_pause, info.is_some_and(|i| i.stages == 0));
            if std::mem::take(&mut state.discont) || place.jump && !in_pause {
                edit.set_flags(gst::BufferFlags::DISCONT);
            } else {
                edit.unset_flags(gst::BufferFlags::DISCONT);
            }
            if info.is_none() {
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
        let (known, samples) = {
            let mut state = lock(&self.state);
            state.dropped += u64::from(state.header.is_none());
            (state.header.is_some(), state.last_samples)
        };
        gst::info!(CAT, imp = self, "packet at {}: {error}", buffer.pts().display());
        if known && samples > 0 { self.push(buffer, None, samples) } else { Ok(gst::FlowSuccess::Ok) }
    }

    /// Passes a seek on so that packets come from as long before its target as the decoder needs to warm up.
    fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        let event = lock(&self.state).preroll.advance(event);
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        use gst::EventView;
        let event = lock(&self.state).preroll.restore(event);
        match event.view() {
            EventView::Caps(c) => return self.sink_caps(c.caps()),
            EventView::Eos(_) => self.check_end(),
            EventView::FlushStop(_) => {
                let mut state = lock(&self.state);
                state.timeline.restart();
                state.waiting.retain(|e| !matches!(e.type_(), gst::EventType::Segment | gst::EventType::Gap));
            }
            EventView::Segment(_) => lock(&self.state).timeline.restart(),
            EventView::StreamStart(_) => {
                let mut state = lock(&self.state);
                if state.header.is_some() {
                    *state = State::default();
                }
            }
            EventView::Tag(t) if t.tag().scope() == gst::TagScope::Stream => {
                let mut state = lock(&self.state);
                (state.tags, state.tags_due) = (Some(t.tag_owned()), true);
                return true;
            }
            _ => (),
        }
        let waits = event.is_serialized()
            && !matches!(
                event.type_(),
                gst::EventType::StreamStart | gst::EventType::FlushStop | gst::EventType::Eos
            );
        let mut state = lock(&self.state);
        if waits && state.header.is_none() {
            if state.waiting.len() < MOST_EVENTS {
                state.waiting.push(event);
            }
            return true;
        }
        drop(state);
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    /// Takes caps: with a stream header they are complete, without one the packets complete them.
    fn sink_caps(&self, caps: &gst::CapsRef) -> bool {
        match caps::header(caps) {
            Ok(Some(header)) => {
                if !lock(&self.state).header.as_ref().is_some_and(|known| *known == header) {
                    self.set_header(header);
                }
            }
            Ok(None) => gst::debug!(CAT, imp = self, "{caps:?}: waiting for the header in the packets"),
            Err(e) => gst::warning!(CAT, imp = self, "{caps:?}: {e}; waiting for the header in the packets"),
        }
        true
    }

    /// An end without any header is an error, as nothing downstream would notice.
    fn check_end(&self) {
        let state = lock(&self.state);
        if state.header.is_none() && state.dropped > 0 {
            let dropped = state.dropped;
            drop(state);
            gst::element_imp_error!(
                self,
                gst::StreamError::WrongType,
                ("no Siskin stream header in {dropped} packets")
            );
        }
    }
}

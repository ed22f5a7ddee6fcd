use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use siskin_core::bitstream::VideoHeader;
use siskin_core::container::VIDEO_CODEC_ID;
use siskin_core::video::{GopInfo, inspect};
use siskin_core::{Error, Limits};

use super::timeline::Timeline;
use crate::sync::lock;
use crate::video::caps;
use crate::{caps as pads, network};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("siskinvideoparse", gst::DebugColorFlags::empty(), Some("Siskin video parser"))
});

/// Events that wait for the caps are bounded: more than this come from no well-behaved element.
const MOST_EVENTS: usize = 64;

#[derive(Default)]
struct State {
    /// The stream's header, from caps or from a packet.
    header: Option<VideoHeader>,
    /// Events to follow the caps.
    waiting: Vec<gst::Event>,
    /// Tags from upstream, to which the codec's name is added.
    tags: Option<gst::TagList>,
    /// Tags are to be pushed before the next packet: after the segment, whenever that came.
    tags_due: bool,
    timeline: Timeline,
    /// Packets that came before a header.
    dropped: u64,
    /// The next packet does not follow from the last one pushed.
    discont: bool,
    /// How long the last whole packet lasts.
    last: Option<gst::ClockTime>,
}

pub struct SiskinVideoParse {
    sink: gst::Pad,
    src: gst::Pad,
    /// Never held while data is pushed.
    state: Mutex<State>,
}

#[glib::object_subclass]
impl ObjectSubclass for SiskinVideoParse {
    const NAME: &'static str = "GstSiskinVideoParse";
    type Type = super::SiskinVideoParse;
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
        let src = gst::Pad::builder_from_template(&template("src")).flags(gst::PadFlags::FIXED_CAPS).build();
        Self { sink, src, state: Mutex::default() }
    }
}

impl ObjectImpl for SiskinVideoParse {
    fn constructed(&self) {
        self.parent_constructed();
        for pad in [&self.sink, &self.src] {
            self.obj().add_pad(pad).expect("a new element has no pad of that name yet");
        }
    }
}

impl GstObjectImpl for SiskinVideoParse {}

impl ElementImpl for SiskinVideoParse {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            network::metadata(
                "Siskin video parser",
                "Codec/Parser/Video",
                "Reads the stream header and exact times of Siskin video packets",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let unknown =
                gst::Structure::builder("video/x-unknown").field("codec-id", VIDEO_CODEC_ID).build();
            let coded = gst::Structure::new_empty(caps::VIDEO);
            let sink = gst::Caps::builder_full().structure(unknown).structure(coded).build();
            vec![
                pads::always("sink", gst::PadDirection::Sink, &sink),
                pads::always("src", gst::PadDirection::Src, &caps::coded_template()),
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

impl SiskinVideoParse {
    fn chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let read = {
            let map = buffer.map_readable().map_err(|_| {
                gst::element_imp_error!(self, gst::ResourceError::Read, ["a buffer cannot be mapped"]);
                gst::FlowError::Error
            })?;
            inspect(&map, &Limits::default())
        };
        let known = lock(&self.state).header;
        match read {
            Ok(info) => {
                // The packet's checksum is right, so what its header says is the truth.
                let changed = info.header.filter(|header| known.as_ref() != Some(header));
                changed.into_iter().for_each(|header| self.set_header(header));
                let header = lock(&self.state).header;
                match header {
                    Some(header) => self.push(buffer, &header, Some(&info)),
                    None => Ok(self.drop(&buffer, &Error::MissingHeader)),
                }
            }
            // The decoder then holds the last picture for as long as the packet lasts.
            Err(e) => match known {
                Some(header) => {
                    gst::info!(CAT, imp = self, "packet at {}: {e}", buffer.pts().display());
                    self.push(buffer, &header, None)
                }
                None => Ok(self.drop(&buffer, &e)),
            },
        }
    }

    /// Lets go of a packet before the first header.
    fn drop(&self, buffer: &gst::BufferRef, error: &Error) -> gst::FlowSuccess {
        gst::info!(CAT, imp = self, "packet at {} dropped: {error}", buffer.pts().display());
        lock(&self.state).dropped += 1;
        gst::FlowSuccess::Ok
    }

    /// Pushes caps for another header and what waited for them.
    fn set_header(&self, header: VideoHeader) {
        gst::info!(CAT, imp = self, "stream header {header:?}");
        let waiting = {
            let mut state = lock(&self.state);
            state.header = Some(header);
            state.timeline = Timeline::default();
            (state.discont, state.tags_due) = (true, true);
            std::mem::take(&mut state.waiting)
        };
        self.src.push_event(gst::event::Caps::new(&caps::coded(&header)));
        for event in waiting {
            self.src.push_event(event);
        }
    }

    /// Pushes upstream's tags with the codec's name, if they are due.
    fn push_tags(&self) {
        let tags = {
            let mut state = lock(&self.state);
            if !std::mem::take(&mut state.tags_due) {
                return;
            }
            state.tags.clone()
        };
        let mut tags = tags.unwrap_or_default();
        let edit = tags.make_mut();
        edit.set_scope(gst::TagScope::Stream);
        edit.add::<gst::tags::VideoCodec>(&caps::CODEC_NAME, gst::TagMergeMode::Replace);
        self.src.push_event(gst::event::Tag::new(tags));
    }

    /// Pushes a packet at its exact time; one without `info` cannot be read.
    fn push(
        &self,
        mut buffer: gst::Buffer,
        header: &VideoHeader,
        info: Option<&GopInfo>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        {
            let mut guard = lock(&self.state);
            let state = &mut *guard;
            let (stamp, stated) = (buffer.pts(), buffer.duration());
            let edit = buffer.make_mut();
            edit.set_dts(None);
            let mut discont = std::mem::take(&mut state.discont);
            match info {
                Some(info) => {
                    let place = state.timeline.place(header, info, stamp);
                    edit.set_pts(place.pts);
                    edit.set_duration(place.duration.or(stated));
                    state.last = place.duration;
                    discont |= place.jump;
                    if info.key {
                        edit.unset_flags(gst::BufferFlags::DELTA_UNIT);
                    } else {
                        edit.set_flags(gst::BufferFlags::DELTA_UNIT);
                    }
                }
                None => {
                    edit.set_pts(state.timeline.place_broken(header, stamp));
                    edit.set_duration(stated.or(state.last));
                    edit.set_flags(gst::BufferFlags::CORRUPTED | gst::BufferFlags::DELTA_UNIT);
                }
            }
            if discont {
                edit.set_flags(gst::BufferFlags::DISCONT);
            } else {
                edit.unset_flags(gst::BufferFlags::DISCONT);
            }
        }
        self.push_tags();
        self.src.push(buffer)
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        use gst::EventView;
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
                if lock(&self.state).header != Some(header) {
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
                ("no Siskin video header in {dropped} packets")
            );
        }
    }
}

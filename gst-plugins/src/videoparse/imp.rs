use std::sync::Mutex;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use siskin_core::bitstream::VideoHeader;
use siskin_core::container::VIDEO_CODEC_ID;
use siskin_core::video::{GopInfo, inspect};
use siskin_core::{Error, Limits};

use super::timeline::Timeline;
use crate::caps as pads;
use crate::element::{debug_category, describe_element, map_buffer};
use crate::parse::{Gate, Parse};
use crate::sync::lock;
use crate::video::caps;

debug_category!("siskinvideoparse", "Siskin video parser");

#[derive(Default)]
struct State {
    timeline: Timeline,
    /// The next packet does not follow from the last one pushed.
    discont: bool,
    /// How long the last whole packet lasts.
    last: Option<gst::ClockTime>,
}

pub struct SiskinVideoParse {
    sink: gst::Pad,
    src: gst::Pad,
    gate: Mutex<Gate<VideoHeader>>,
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
        let sink = Self::sink_pad(&template("sink"));
        let src = gst::Pad::builder_from_template(&template("src")).flags(gst::PadFlags::FIXED_CAPS).build();
        Self { sink, src, gate: Mutex::default(), state: Mutex::default() }
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
    describe_element!(
        "Siskin video parser",
        "Codec/Parser/Video",
        "Reads the stream header and exact times of Siskin video packets",
        {
            let unknown =
                gst::Structure::builder("video/x-unknown").field("codec-id", VIDEO_CODEC_ID).build();
            let coded = gst::Structure::new_empty(caps::VIDEO);
            let sink = gst::Caps::builder_full().structure(unknown).structure(coded).build();
            vec![
                pads::always("sink", gst::PadDirection::Sink, &sink),
                pads::always("src", gst::PadDirection::Src, &caps::coded_template()),
            ]
        }
    );

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        let changed = self.parent_change_state(transition);
        if transition == gst::StateChange::PausedToReady {
            self.forget_all();
        }
        changed
    }
}

impl Parse for SiskinVideoParse {
    type Header = VideoHeader;

    const WHAT: &str = "Siskin video header";

    fn debug_category(&self) -> gst::DebugCategory {
        *CAT
    }

    fn source_pad(&self) -> &gst::Pad {
        &self.src
    }

    fn header_gate(&self) -> &Mutex<Gate<VideoHeader>> {
        &self.gate
    }

    fn header_of(&self, caps: &gst::CapsRef) -> Result<Option<VideoHeader>, Error> {
        caps::header(caps)
    }

    fn caps_of(&self, header: &VideoHeader) -> gst::Caps {
        caps::coded(header)
    }

    fn name_codec(&self, _header: &VideoHeader, tags: &mut gst::TagListRef) {
        tags.add::<gst::tags::VideoCodec>(&caps::CODEC_NAME, gst::TagMergeMode::Replace);
    }

    fn start_stream(&self, header: &VideoHeader) {
        gst::info!(CAT, imp = self, "stream header {header:?}");
        let mut state = lock(&self.state);
        (state.timeline, state.discont) = (Timeline::default(), true);
    }

    fn restart_timeline(&self) {
        lock(&self.state).timeline.start_run();
    }

    fn forget_stream(&self) {
        *lock(&self.state) = State::default();
    }

    fn handle_packet(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let read = {
            let map = map_buffer(self, &buffer)?;
            inspect(&map, &Limits::default())
        };
        // Read before pushing: no lock may be held then.
        let known = lock(&self.gate).header;
        match read {
            Ok(info) => {
                // The packet's checksum is right, so what its header says is the truth.
                let changed = info.header.filter(|header| known.as_ref() != Some(header));
                changed.into_iter().for_each(|header| self.set_header(header));
                let header = lock(&self.gate).header;
                match header {
                    Some(header) => self.push_packet(buffer, &header, Some(&info)),
                    None => Ok(self.drop_packet(&buffer, &Error::MissingHeader)),
                }
            }
            // The decoder then holds the last frame for as long as the packet lasts.
            Err(e) => match known {
                Some(header) => {
                    gst::info!(CAT, imp = self, "packet at {}: {e}", buffer.pts().display());
                    self.push_packet(buffer, &header, None)
                }
                None => Ok(self.drop_packet(&buffer, &e)),
            },
        }
    }
}

impl SiskinVideoParse {
    /// Lets go of a packet before the first header.
    fn drop_packet(&self, buffer: &gst::BufferRef, error: &Error) -> gst::FlowSuccess {
        gst::info!(CAT, imp = self, "packet at {} dropped: {error}", buffer.pts().display());
        lock(&self.gate).dropped += 1;
        gst::FlowSuccess::Ok
    }

    /// Pushes a packet at its exact time; one without `info` cannot be read.
    fn push_packet(
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
            // Packets are decoded in the order they are shown.
            edit.set_dts(None);
            let mut discont = std::mem::take(&mut state.discont);
            match info {
                Some(info) => {
                    let place = state.timeline.place_packet(header, info, stamp);
                    edit.set_pts(place.pts);
                    // The packet's own times are exact; the container's is better than nothing.
                    edit.set_duration(place.duration.or(stated));
                    state.last = place.duration;
                    discont |= place.jump;
                    if info.is_keyframe {
                        // The packet says so itself; a demuxer of another container may not have flagged it.
                        edit.unset_flags(gst::BufferFlags::DELTA_UNIT);
                    } else {
                        edit.set_flags(gst::BufferFlags::DELTA_UNIT);
                    }
                }
                None => {
                    edit.set_pts(state.timeline.place_broken(header, stamp));
                    edit.set_duration(stated.or(state.last));
                    // Whatever it was, nobody should start at it.
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
}

//! What the parsers of audio and video have in common: the stream header comes in caps or in the first packet that has one;
//! until then events wait for the caps that follow from it, and upstream's tags get the codec's name.
//!
//! Not on `GstBaseParse`: behind a demuxer it replaces a subclass's exact times by upstream's rounded ones
//! (`gst_base_parse_handle_and_push_frame`), hides a packet's stated duration, for which a broken one is concealed
//! (`gst_base_parse_chain`), and feeds the caps field `streamheader` through as a packet.

use std::sync::Mutex;

use gst::prelude::*;
use gst::subclass::prelude::*;
use siskin_core::Error;

use crate::sync::lock;

/// Most events that wait for the caps. A stream has a handful (segment, tags, toc); the bound keeps an upstream that sends
/// events without end from taking memory without end.
const MAX_EVENTS: usize = 64;

/// What is known of the stream, and what waits until more is.
pub(crate) struct Gate<H> {
    /// The stream's header, from caps or from a packet.
    pub(crate) header: Option<H>,
    /// Packets that came before a header.
    pub(crate) dropped: u64,
    /// Events to follow the caps.
    waiting: Vec<gst::Event>,
    /// Tags from upstream, to which the codec's name is added.
    tags: Option<gst::TagList>,
    /// Tags are to be pushed before the next packet: after the segment, whenever that came.
    tags_due: bool,
}

impl<H> Default for Gate<H> {
    fn default() -> Self {
        Self { header: None, dropped: 0, waiting: Vec::new(), tags: None, tags_due: false }
    }
}

/// A parser of one kind of stream.
pub(crate) trait Parse: ElementImpl
where
    Self::Type: IsA<gst::Element>,
{
    /// The stream's header.
    type Header: Clone + PartialEq;

    /// Name of the header in errors.
    const WHAT: &str;

    fn debug_category(&self) -> gst::DebugCategory;
    fn source_pad(&self) -> &gst::Pad;
    /// Never held while data is pushed.
    fn header_gate(&self) -> &Mutex<Gate<Self::Header>>;
    /// The stream header in caps; none if they carry none.
    fn header_of(&self, caps: &gst::CapsRef) -> Result<Option<Self::Header>, Error>;
    /// The caps of the stream of a header.
    fn caps_of(&self, header: &Self::Header) -> gst::Caps;
    /// Adds the tag of the codec.
    fn name_codec(&self, header: &Self::Header, tags: &mut gst::TagListRef);
    /// Starts a stream with this header.
    fn start_stream(&self, header: &Self::Header);
    /// The event to handle for one from upstream.
    fn map_event(&self, event: gst::Event) -> gst::Event {
        event
    }

    /// Starts a new run of times: the next packet does not follow from the last.
    fn restart_timeline(&self);
    /// Forgets the stream.
    fn forget_stream(&self);
    /// Handles a packet from upstream.
    fn handle_packet(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError>;

    /// The pad of a template at which packets come in.
    fn sink_pad(template: &gst::PadTemplate) -> gst::Pad {
        gst::Pad::builder_from_template(template)
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |parse| parse.handle_packet(buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |parse| parse.sink_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |parse| parse.sink_query(pad, query))
            })
            // Packets pass in the memory they came in. A stream that downstream does not take is refused there, with a reason.
            .flags(gst::PadFlags::PROXY_ALLOCATION | gst::PadFlags::ACCEPT_TEMPLATE)
            .build()
    }

    /// Answers a query from upstream. As `GstBaseParse` does, caps are those that downstream takes: an encoder in front can
    /// then choose a rate or a size that fits.
    fn sink_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        if let gst::QueryViewMut::Caps(asked) = query.view_mut() {
            let own = self.source_pad().pad_template_caps();
            let mut caps =
                input_caps(&pad.pad_template_caps(), &self.source_pad().peer_query_caps(Some(&own)));
            if let Some(filter) = asked.filter_owned() {
                caps = filter.intersect_with_mode(&caps, gst::CapsIntersectMode::First);
            }
            asked.set_result(&caps);
            return true;
        }
        gst::Pad::query_default(pad, Some(&*self.obj()), query)
    }

    /// Pushes caps for another header and what waited for them.
    fn set_header(&self, header: Self::Header) {
        // Before the header is public: a packet of this stream must find its timeline ready.
        self.start_stream(&header);
        let caps = self.caps_of(&header);
        let waiting = {
            let mut gate = lock(self.header_gate());
            // Under one lock with taking the waiting events, so that none is put behind them unseen.
            (gate.header, gate.tags_due) = (Some(header), true);
            std::mem::take(&mut gate.waiting)
        };
        // The order that GStreamer demands: stream-start has passed, then caps, then the segment, which is among
        // those that waited.
        self.source_pad().push_event(gst::event::Caps::new(&caps));
        for event in waiting {
            self.source_pad().push_event(event);
        }
    }

    /// Pushes upstream's tags with the codec's name, if they are due.
    fn push_tags(&self) {
        let (tags, header) = {
            let mut gate = lock(self.header_gate());
            // Taken with the question, or two threads could push the same tags.
            if !std::mem::take(&mut gate.tags_due) {
                return;
            }
            (gate.tags.clone(), gate.header.clone())
        };
        let Some(header) = header else { return };
        let mut tags = tags.unwrap_or_default();
        let edit = tags.make_mut();
        // Tags of the file as a whole pass by unchanged; the codec's name belongs to the stream.
        edit.set_scope(gst::TagScope::Stream);
        self.name_codec(&header, edit);
        self.source_pad().push_event(gst::event::Tag::new(tags));
    }

    /// Handles an event from upstream.
    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        use gst::EventView;
        let event = self.map_event(event);
        match event.view() {
            EventView::Caps(c) => return self.sink_caps(c.caps()),
            // Before it is passed on: an error must reach the bus before the end does.
            EventView::Eos(_) => self.check_end(),
            EventView::FlushStop(_) => {
                self.restart_timeline();
                let waiting = &mut lock(self.header_gate()).waiting;
                // A flush voids segments and gaps; caps, tags and the like are sticky and survive it.
                waiting.retain(|e| !matches!(e.type_(), gst::EventType::Segment | gst::EventType::Gap));
            }
            EventView::Segment(_) => self.restart_timeline(),
            EventView::StreamStart(_) => {
                // The first stream-start comes before any header, and then there is nothing to forget.
                let is_known = lock(self.header_gate()).header.is_some();
                if is_known {
                    self.forget_all();
                }
            }
            EventView::Tag(t) if t.tag().scope() == gst::TagScope::Stream => {
                let mut gate = lock(self.header_gate());
                (gate.tags, gate.tags_due) = (Some(t.tag_owned()), true);
                return true;
            }
            _ => (),
        }
        let waits = event.is_serialized()
            && !matches!(
                event.type_(),
                // Stream-start must come before caps, a flush must not wait, and an end without caps must still end
                // the pipeline.
                gst::EventType::StreamStart | gst::EventType::FlushStop | gst::EventType::Eos
            );
        let mut gate = lock(self.header_gate());
        if waits && gate.header.is_none() {
            // Dropped silently beyond: the first ones are those that a stream needs.
            if gate.waiting.len() < MAX_EVENTS {
                gate.waiting.push(event);
            }
            return true;
        }
        drop(gate);
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    /// Forgets the stream and what waited for it.
    fn forget_all(&self) {
        *lock(self.header_gate()) = Gate::default();
        self.forget_stream();
    }

    /// Takes caps: with a stream header they are complete, without one the packets complete them.
    fn sink_caps(&self, caps: &gst::CapsRef) -> bool {
        match self.header_of(caps) {
            Ok(Some(header)) => {
                let is_known = lock(self.header_gate()).header.as_ref() == Some(&header);
                // Demuxers repeat caps, for example after a seek; the timeline must not start over for that.
                if !is_known {
                    self.set_header(header);
                }
            }
            Ok(None) => {
                gst::debug!(
                    self.debug_category(),
                    imp = self,
                    "{caps:?}: waiting for the header in the packets"
                )
            }
            Err(e) => {
                gst::warning!(
                    self.debug_category(),
                    imp = self,
                    "{caps:?}: {e}; waiting for the header in the packets"
                )
            }
        }
        true
    }

    /// An end without any header is an error, as nothing downstream would notice.
    fn check_end(&self) {
        let dropped = Some(lock(self.header_gate())).filter(|g| g.header.is_none()).map_or(0, |g| g.dropped);
        if dropped > 0 {
            let what = Self::WHAT;
            gst::element_imp_error!(self, gst::StreamError::WrongType, ("no {what} in {dropped} packets"));
        }
    }
}

/// What a parser with this template takes, where downstream takes `wanted`.
fn input_caps(template: &gst::Caps, wanted: &gst::Caps) -> gst::Caps {
    let mut caps = gst::Caps::new_empty();
    let Some(coded) = wanted.structure(0).map(|own| own.name().to_owned()) else { return caps };
    let edit = caps.make_mut();
    // What a demuxer does not know says nothing that could be compared.
    template.iter().filter(|s| s.name() != coded.as_str()).for_each(|s| edit.append_structure(s.to_owned()));
    for structure in wanted.iter() {
        let mut structure = structure.to_owned();
        // What the parser adds.
        structure.remove_fields(["parsed", "streamheader", "codec_data"]);
        edit.append_structure(structure);
    }
    caps.intersect_with_mode(template, gst::CapsIntersectMode::First)
}

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gst::glib;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use siskin_core::container::{Chapter, Mode, Track};

use super::segmenter::{Piece, Segmenter};
use super::streams::{Stream, is_sparse};
use super::{pads, tags, toc};
use crate::element::{debug_category, describe_element, describe_properties, map_buffer, post_error};
use crate::sync::lock;
use crate::time::samples_to_time;

debug_category!("siskinmux", "Siskin Matroska muxer");

/// How often what has been written is made safe against a crash of the program or of the machine. `filesink` keeps 64 KiB back,
/// which is more than a minute of speech, unless a buffer says otherwise.
const SYNC_INTERVAL: Duration = Duration::from_millis(400);

/// A file being written and the pads that its tracks come from.
struct Open {
    file: Segmenter,
    tracks: Vec<gst_base::AggregatorPad>,
    /// Where the last packet of each ends: there begins one without a time.
    ends: Vec<gst::ClockTime>,
}

#[derive(Default)]
pub struct SiskinMux {
    streamable: Mutex<bool>,
    /// The stream of each pad, by name. A pad's own caps are ahead of the packets that wait in it.
    streams: Mutex<BTreeMap<String, Stream>>,
    /// Tags that say something of one track, by the name of its pad.
    track_tags: Mutex<BTreeMap<String, gst::TagList>>,
    /// Those that came before the file's head was written.
    chapters: Mutex<Vec<Chapter>>,
    /// Never held while data is pushed.
    open: Mutex<Option<Open>>,
    /// The file has been ended: nothing can follow.
    ended: AtomicBool,
    /// When downstream was last told to write all to disk.
    synced: Mutex<Option<Instant>>,
}

#[glib::object_subclass]
impl ObjectSubclass for SiskinMux {
    const NAME: &'static str = "GstSiskinMux";
    type Type = super::SiskinMux;
    type ParentType = gst_base::Aggregator;
    type Interfaces = (gst::TagSetter, gst::TocSetter);
}

impl ObjectImpl for SiskinMux {
    describe_properties!(vec![
        glib::ParamSpecBoolean::builder("streamable")
            .nick("Streamable")
            .blurb("Write for a pipe or network: no index, each packet at once, no seeking back")
            .mutable_ready()
            .build(),
    ]);

    fn set_property(&self, _id: usize, value: &glib::Value, _spec: &glib::ParamSpec) {
        // GObject has checked the type, and there is no other property.
        *lock(&self.streamable) = value.get().unwrap_or_default();
    }

    fn property(&self, _id: usize, _spec: &glib::ParamSpec) -> glib::Value {
        lock(&self.streamable).to_value()
    }
}

impl GstObjectImpl for SiskinMux {}
impl TagSetterImpl for SiskinMux {}
impl TocSetterImpl for SiskinMux {}

impl ElementImpl for SiskinMux {
    describe_element!(
        "Siskin muxer",
        "Codec/Muxer",
        "Writes Siskin tracks, and those of other codecs beside them, into a Matroska file or stream",
        pads::templates()
    );

    fn release_pad(&self, pad: &gst::Pad) {
        lock(&self.streams).remove(pad.name().as_str());
        lock(&self.track_tags).remove(pad.name().as_str());
        self.parent_release_pad(pad);
    }
}

impl AggregatorImpl for SiskinMux {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.open) = None;
        // A conversion that is over sooner needs no wait for the disk.
        *lock(&self.synced) = Some(Instant::now());
        self.ended.store(false, Ordering::Release);
        lock(&self.streams).clear();
        lock(&self.track_tags).clear();
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.open) = None;
        lock(&self.chapters).clear();
        self.obj().reset_tags();
        TocSetterExt::reset(&*self.obj());
        Ok(())
    }

    fn create_new_pad(
        &self,
        template: &gst::PadTemplate,
        requested: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<gst_base::AggregatorPad> {
        // A Matroska file lists its tracks once, at its start.
        if lock(&self.open).is_some() {
            gst::warning!(CAT, imp = self, "the file's head is written: no more tracks");
            return None;
        }
        // The base class would call it sink_0 whatever the template says.
        let taken = |name: &str| self.obj().static_pad(name).is_some();
        let pattern = template.name_template();
        let kind = pattern.strip_suffix("%u").unwrap_or("audio_");
        let free = || (0u32..).map(|n| format!("{kind}{n}")).find(|n| !taken(n));
        // A name with % is the template's: whoever asks by it leaves the number to us.
        let asked = requested.filter(|n| !n.contains('%')).map(str::to_owned);
        let name = asked.or_else(free).filter(|n| !taken(n))?;
        Some(gst::PadBuilder::<gst_base::AggregatorPad>::from_template(template).name(name).build())
    }

    fn negotiate(&self) -> bool {
        // Caps are set with the file's head, which they may carry.
        true
    }

    fn sink_event(&self, pad: &gst_base::AggregatorPad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(c) => {
                if let Err(reason) = self.take_caps(pad, c.caps()) {
                    // What came before becomes a whole file.
                    self.write_end().ok();
                    gst::element_imp_error!(self, gst::StreamError::Format, ("{reason}"));
                    return false;
                }
            }
            gst::EventView::Toc(t) => *lock(&self.chapters) = toc::to_chapters(&t.toc_owned().0),
            gst::EventView::Tag(t) if t.tag().scope() == gst::TagScope::Stream => {
                lock(&self.track_tags).insert(pad.name().to_string(), t.tag_owned());
            }
            gst::EventView::Tag(t) => self.obj().merge_tags(&t.tag_owned(), self.obj().tag_merge_mode()),
            _ => (),
        }
        self.parent_sink_event(pad, event)
    }

    fn src_event(&self, event: gst::Event) -> bool {
        // What has been written cannot be played again from elsewhere.
        event.type_() != gst::EventType::Seek && self.parent_src_event(event)
    }

    fn next_time(&self) -> Option<gst::ClockTime> {
        // With a live source the base class waits until then and for `latency` more, and goes on without those that are late.
        let pads = self.obj().sink_pads().into_iter().filter_map(|pad| pad.downcast().ok());
        let time = |pad: gst_base::AggregatorPad| {
            pad.peek_buffer().map(|buffer| decoding_time(&pad, &buffer).unwrap_or_default())
        };
        pads.filter_map(time).min()
    }

    fn aggregate(&self, timeout: bool) -> Result<gst::FlowSuccess, gst::FlowError> {
        if self.ended.load(Ordering::Acquire) {
            return Err(gst::FlowError::Error);
        }
        let (next, ended) = self.find_earliest(timeout)?;
        if lock(&self.open).is_none() {
            self.write_head()?;
        }
        if let Some(pad) = next {
            return self.write_packet(&pad);
        }
        if ended { self.write_end() } else { Err(gst_base::AGGREGATOR_FLOW_NEED_DATA) }
    }
}

impl SiskinMux {
    /// Takes a pad's caps, if a track may have them.
    fn take_caps(&self, pad: &gst_base::AggregatorPad, caps: &gst::CapsRef) -> Result<(), String> {
        let name = pad.name().to_string();
        let stream = Stream::from_caps(caps).map_err(|reason| format!("{name}: {reason}"))?;
        let open = lock(&self.open).is_some();
        let mut streams = lock(&self.streams);
        if open && streams.get(&name).is_some_and(|old| !old.can_become(&stream)) {
            return Err(format!("{name}: a track cannot become another stream in the middle of a file"));
        }
        streams.insert(name, stream);
        Ok(())
    }

    /// The pad whose packet comes first, and whether all are at their end; waits until every pad of audio and video has something,
    /// unless a live source is late.
    fn find_earliest(
        &self,
        timeout: bool,
    ) -> Result<(Option<gst_base::AggregatorPad>, bool), gst::FlowError> {
        let (mut first, mut ended) = (None, true);
        for pad in self.obj().sink_pads() {
            let Ok(pad) = pad.downcast::<gst_base::AggregatorPad>() else { continue };
            match pad.peek_buffer() {
                Some(buffer) => {
                    ended = false;
                    // Without a time stamp it goes first: it has no place to wait for, and would block its pad.
                    let time = decoding_time(&pad, &buffer).unwrap_or_default();
                    if first.as_ref().is_none_or(|(earliest, _)| time < *earliest) {
                        first = Some((time, pad));
                    }
                }
                None if pad.is_eos() => (),
                // What comes late is written late, as waiting for it would hold up all the others.
                None if timeout || is_sparse(&pad.name()) => ended = false,
                None => return Err(gst_base::AGGREGATOR_FLOW_NEED_DATA),
            }
        }
        Ok((first.map(|(_, pad)| pad), ended))
    }

    /// Begins the file with a track for each pad.
    fn write_head(&self) -> Result<(), gst::FlowError> {
        let (mut tracks, mut pads) = (Vec::new(), Vec::new());
        for pad in self.obj().sink_pads() {
            let Ok(pad) = pad.downcast::<gst_base::AggregatorPad>() else { continue };
            match lock(&self.streams).get(pad.name().as_str()) {
                Some(stream) => {
                    tracks.push(self.track(&pad, stream));
                    pads.push(pad);
                }
                // It has ended without a packet, or it is late and may still come.
                None if pad.is_eos() => gst::info!(CAT, imp = self, "{} ended without caps", pad.name()),
                None => return Err(gst_base::AGGREGATOR_FLOW_NEED_DATA),
            }
        }
        if tracks.is_empty() {
            // As of stock muxers, no message: a source that had nothing to say has said why.
            gst::warning!(CAT, imp = self, "no stream came in: the file is empty");
        }
        let mode = self.mode();
        let obj = self.obj();
        let tags = obj.tag_list().map(|t| tags::to_matroska(&t)).unwrap_or_default();
        let own = obj.toc().map(|toc| toc::to_chapters(&toc));
        let chapters = own.unwrap_or_else(|| lock(&self.chapters).clone());
        let is_live = obj.latency().is_some();
        let mut file = self.post_failure(Segmenter::new(tracks, mode, tags, chapters, is_live))?;
        let head = self.post_failure(file.write_head())?;
        // As typefinders call such files.
        let media = if file.has_video() { "video/x-matroska" } else { "audio/x-matroska" };
        let mut caps = gst::Caps::new_empty_simple(media);
        let mut buffer = gst::Buffer::from_slice(head.data);
        buffer.make_mut().set_flags(gst::BufferFlags::HEADER);
        // Network sinks send `streamheader` first to each client that joins.
        if mode == Mode::Live {
            caps.make_mut().set("streamheader", gst::Array::new([&buffer]));
            obj.update_segment(&gst::FormattedSegment::<gst::ClockTime>::new());
        } else {
            obj.update_segment(&gst::FormattedSegment::<gst::format::Bytes>::new());
        }
        obj.set_src_caps(&caps);
        let ends = vec![gst::ClockTime::ZERO; pads.len()];
        *lock(&self.open) = Some(Open { file, tracks: pads, ends });
        buffer.make_mut().set_offset(head.offset);
        obj.finish_buffer(buffer).map(|_| ())
    }

    /// The track of a pad, with what tags say of it.
    fn track(&self, pad: &gst_base::AggregatorPad, stream: &Stream) -> Track {
        let mut track = stream.to_track(pad.peek_buffer().as_deref());
        if let Some(list) = lock(&self.track_tags).get(pad.name().as_str()) {
            (track.language, track.name) = (tags::language(list), tags::title(list));
            track.tags = tags::to_matroska(list);
        }
        track
    }

    /// File or live, by the property and by what downstream can do.
    fn mode(&self) -> Mode {
        if *lock(&self.streamable) {
            return Mode::Live;
        }
        let mut query = gst::query::Seeking::new(gst::Format::Bytes);
        let pad = self.obj().src_pad().clone();
        // `filesink` says yes for regular files and no for pipes.
        if pad.peer_query(&mut query) && query.result().0 {
            return Mode::File;
        }
        gst::element_imp_info!(
            self,
            gst::StreamError::Mux,
            ("downstream cannot seek: writing a streamable file, without index and duration")
        );
        Mode::Live
    }

    fn write_packet(&self, pad: &gst_base::AggregatorPad) -> Result<gst::FlowSuccess, gst::FlowError> {
        // The base class makes an empty buffer of a gap; the times of the next packet say it all.
        let Some(buffer) = pad.pop_buffer().filter(|b| b.size() > 0) else { return Ok(gst::FlowSuccess::Ok) };
        if buffer.flags().contains(gst::BufferFlags::HEADER)
            && lock(&self.streams).get(pad.name().as_str()).is_some_and(Stream::drops_headers)
        {
            return Ok(gst::FlowSuccess::Ok);
        }
        let map = map_buffer(self, &buffer)?;
        let time = running_time(pad, &buffer);
        let duration = buffer.duration().unwrap_or_default();
        self.obj().selected_samples(time, None, buffer.duration(), None);
        let written = {
            let mut guard = lock(&self.open);
            let Some(open) = guard.as_mut() else { return Err(gst::FlowError::Flushing) };
            let Some(track) = open.tracks.iter().position(|p| p == pad) else {
                return Ok(gst::FlowSuccess::Ok);
            };
            let delay = lock(&self.streams).get(pad.name().as_str()).map_or(0, Stream::delay_ns);
            let (cut, padding) = self.clipping_ns(pad, &buffer);
            let begins = time.unwrap_or(open.ends[track]);
            open.ends[track] = begins.saturating_add(buffer.duration().unwrap_or_default());
            let pts = (begins.nseconds() + delay).saturating_sub(cut);
            let is_keyframe = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
            open.file.discard_padding(padding);
            open.file
                .write_packet(track, (pts, duration.nseconds()), is_keyframe, &map)
                .map(|piece| (piece, open.file.mode()))
        };
        match self.post_failure(written)? {
            (Some(piece), mode) => self.push_piece(piece, mode, time),
            (None, _) => Ok(gst::FlowSuccess::Ok),
        }
    }

    /// Sound to drop from the start and from the end of a packet, in nanoseconds.
    fn clipping_ns(&self, pad: &gst_base::AggregatorPad, buffer: &gst::BufferRef) -> (u64, u64) {
        let Some(meta) = buffer.meta::<gst_audio::AudioClippingMeta>() else { return (0, 0) };
        let rate = lock(&self.streams).get(pad.name().as_str()).map_or(0, Stream::sample_rate);
        let time = |value| match value {
            gst::GenericFormattedValue::Default(Some(samples)) => samples_to_time(rate, *samples),
            gst::GenericFormattedValue::Time(time) => time,
            _ => None,
        };
        let nanoseconds = |value| time(value).map_or(0, gst::ClockTime::nseconds);
        (nanoseconds(meta.start()), nanoseconds(meta.end()))
    }

    fn write_end(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        let ended = lock(&self.open).as_mut().map(|open| (open.file.mode(), open.file.finish_file()));
        let Some((mode, ended)) = ended else { return Err(gst::FlowError::Eos) };
        self.ended.store(true, Ordering::Release);
        let (last, patches) = self.post_failure(ended)?;
        if let Some(piece) = last {
            self.push_piece(piece, mode, None)?;
        }
        for patch in patches {
            // A segment in bytes has `filesink` seek to its start; stock muxers go back to their heads in the same
            // way.
            let mut segment = gst::FormattedSegment::<gst::format::Bytes>::new();
            segment.set_start(gst::format::Bytes::from_u64(patch.offset));
            segment.set_time(gst::format::Bytes::from_u64(patch.offset));
            self.obj().update_segment(&segment);
            let mut buffer = gst::Buffer::from_slice(patch.data);
            buffer.make_mut().set_offset(patch.offset);
            self.obj().finish_buffer(buffer)?;
        }
        // This has the base class send EOS downstream.
        Err(gst::FlowError::Eos)
    }

    fn push_piece(
        &self,
        piece: Piece,
        mode: Mode,
        time: Option<gst::ClockTime>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let mut buffer = gst::Buffer::from_slice(piece.data);
        let edit = buffer.make_mut();
        edit.set_offset(piece.offset);
        // Time stamps in a stream alone: beside a segment in bytes they would mean nothing.
        if mode == Mode::Live {
            edit.set_pts(time);
            if !piece.is_keyframe {
                edit.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        } else if self.is_sync_due() {
            edit.set_flags(gst::BufferFlags::SYNC_AFTER);
        }
        self.obj().finish_buffer(buffer)
    }

    /// Whether downstream should write all to disk now. By the clock on the wall: a recording is made safe with each of its
    /// clusters, a conversion of an hour that takes ten seconds 25 times.
    fn is_sync_due(&self) -> bool {
        let (mut synced, now) = (lock(&self.synced), Instant::now());
        let is_due = synced.is_none_or(|last| now.duration_since(last) >= SYNC_INTERVAL);
        if is_due {
            *synced = Some(now);
        }
        is_due
    }

    /// Posts an error of the core as the element's.
    fn post_failure<T>(&self, result: siskin_core::Result<T>) -> Result<T, gst::FlowError> {
        result.map_err(|e| post_error(self, &e))
    }
}

/// When a buffer is to be decoded, counted from the beginning: what tracks are interleaved by.
fn decoding_time(pad: &gst_base::AggregatorPad, buffer: &gst::BufferRef) -> Option<gst::ClockTime> {
    let segment = pad.segment().downcast::<gst::ClockTime>().ok()?;
    segment.to_running_time(buffer.dts()).or_else(|| running_time(pad, buffer))
}

/// When a buffer plays, counted from the beginning.
fn running_time(pad: &gst_base::AggregatorPad, buffer: &gst::BufferRef) -> Option<gst::ClockTime> {
    let segment = pad.segment().downcast::<gst::ClockTime>().ok()?;
    segment.to_running_time(buffer.pts())
}

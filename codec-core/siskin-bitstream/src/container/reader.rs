use std::io::{Read, Seek, SeekFrom};

use super::chapters::{self, Chapter};
use super::cues::Cues;
use super::ebml::{Head, child_elements, read_float, read_head, read_string, read_unsigned, read_whole};
use super::track_info::TrackInfo;
use super::{id, lacing};
use crate::{Error, Limits, Result};

/// Entries of the index of parts that are looked at.
const MAX_PLACES: usize = 16;

/// A packet of a track.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    /// The track's number.
    pub track: u64,
    /// Presentation time in nanoseconds, to the file's precision.
    pub pts_ns: u64,
    /// How long it lasts in nanoseconds, if the block or its track says so.
    pub duration_ns: Option<u64>,
    /// Whether a reader may begin here.
    pub is_keyframe: bool,
    /// The packet shares its block, and so its time stamp, with the packet before, which it follows. Its time is that stamp and the
    /// durations of those before it, where they are known.
    pub follows: bool,
    /// The packet.
    pub data: Vec<u8>,
}

/// Reads a Matroska file or stream from front to back, also one that was cut off.
///
/// Tags and tracks are those before the first block.
pub struct Reader<R: Read> {
    source: Counted<R>,
    limits: Limits,
    tracks: Vec<TrackInfo>,
    tags: Vec<(String, String)>,
    chapters: Vec<Chapter>,
    tick_ns: u64,
    duration_ticks: Option<f64>,
    cluster_ticks: u64,
    /// Packets of the block at hand that have not been handed out, the next one last.
    laced: Vec<Vec<u8>>,
    /// What the packet before them said of itself, without its data.
    laced_head: Block,
    /// The head of the first cluster, read while looking for it.
    pending: Option<Head>,
    /// Offset of the first byte inside the `Segment`, and what the index of its parts says lies where in it.
    segment: u64,
    places: Vec<(u32, u64)>,
    cues: Cues,
    /// Where the first cluster's body begins.
    first_cluster: u64,
    truncated: bool,
}

impl<R: Read> Reader<R> {
    /// Reads everything before the first block, within the default [`Limits`].
    ///
    /// # Errors
    /// As for [`open_with`](Self::open_with).
    pub fn open(source: R) -> Result<Self> {
        Self::open_with(source, Limits::default())
    }

    /// Reads everything before the first block.
    ///
    /// # Errors
    /// [`Error::Container`] if this is not Matroska, ends or breaks before its first cluster, or has a description beyond
    /// the limits.
    pub fn open_with(source: R, limits: Limits) -> Result<Self> {
        Self::read_start(source, limits)?.check_tracks()
    }

    fn read_start(source: R, limits: Limits) -> Result<Self> {
        let mut reader = Self {
            source: Counted { inner: source, position: 0 },
            limits,
            tracks: Vec::new(),
            tags: Vec::new(),
            chapters: Vec::new(),
            // The default of TimestampScale (RFC 9559, section 5.1.2).
            tick_ns: 1_000_000,
            duration_ticks: None,
            cluster_ticks: 0,
            laced: Vec::new(),
            laced_head: Block::default(),
            pending: None,
            segment: 0,
            places: Vec::new(),
            cues: Cues::None,
            first_cluster: 0,
            truncated: false,
        };
        reader.read_doc_type()?;
        while let Some(head) = read_head(&mut reader.source)? {
            match head.id {
                id::SEGMENT => reader.segment = reader.source.position,
                id::CLUSTER => {
                    reader.pending = Some(head);
                    break;
                }
                _ => reader.read_part(head)?,
            }
        }
        // Behind the cluster's head, so that a seek to it reads the timestamp next and needs no head kept.
        reader.first_cluster = reader.source.position;
        Ok(reader)
    }

    /// Reads a part of the segment, unless it was read before.
    fn read_part(&mut self, head: Head) -> Result<()> {
        self.places.retain(|place| place.0 != head.id);
        match head.id {
            id::SEEK_HEAD => self.read_places(head),
            id::INFO => self.read_info(head),
            id::TRACKS => self.read_tracks(head),
            id::TAGS => self.read_tags(head),
            // In front of the clusters, as some programs put it.
            id::CUES if head.size.is_some_and(|size| size <= self.limits.max_description_bytes) => {
                self.cues = Cues::read(&self.read_description(head)?);
                Ok(())
            }
            id::CHAPTERS => {
                self.chapters = chapters::read_chapters(&self.read_description(head)?);
                Ok(())
            }
            _ => self.skip_element(head),
        }
    }

    fn check_tracks(self) -> Result<Self> {
        if self.tracks.is_empty() {
            return Err(Error::container("ends before its tracks are described"));
        }
        Ok(self)
    }

    /// The file's tracks.
    pub fn tracks(&self) -> &[TrackInfo] {
        &self.tracks
    }

    /// The tags, of the whole file and of its parts.
    pub fn tags(&self) -> &[(String, String)] {
        &self.tags
    }

    /// The chapters.
    pub fn chapters(&self) -> &[Chapter] {
        &self.chapters
    }

    /// The duration that the file states; none in live streams and files that were cut off while being written.
    pub fn duration_ns(&self) -> Option<u64> {
        // As exact as the file's float; a saturating cast, so that an absurd duration is a long one and no panic.
        self.duration_ticks.map(|ticks| (ticks * self.tick_ns as f64) as u64)
    }

    /// Whether the file ended in the middle of an element; known only after the last block.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Reads the next block of any track into `block`, whose buffer is reused; false at the end.
    ///
    /// # Errors
    /// [`Error::Container`] if the file is damaged. What ends in the middle of a block is not an error: the reader
    /// stops before it and [`Reader::is_truncated`] says so.
    pub fn next_block(&mut self, block: &mut Block) -> Result<bool> {
        if let Some(data) = self.laced.pop() {
            let Block { track, pts_ns, duration_ns, is_keyframe, .. } = self.laced_head;
            let pts_ns = pts_ns.saturating_add(duration_ns.unwrap_or(0));
            self.laced_head.pts_ns = pts_ns;
            *block = Block { track, pts_ns, duration_ns, is_keyframe, follows: true, data };
            return Ok(true);
        }
        loop {
            let before = self.source.position;
            let Some(head) =
                self.pending.take().map_or_else(|| read_head(&mut self.source), |h| Ok(Some(h)))?
            else {
                // At a head's first byte the file is whole, anywhere else it was cut.
                self.truncated |= self.source.position != before;
                return Ok(false);
            };
            match head.id {
                // Entered, not skipped: their children are read as if they stood at the top, so sizes may be unknown or wrong.
                id::SEGMENT | id::CLUSTER => {}
                // Read as a whole, for the duration comes after the block.
                id::BLOCK_GROUP if head.size.is_some() => {
                    if let Some(found) = self.read_group(head, block)? {
                        return Ok(found);
                    }
                }
                // A group of unknown size is entered, and its block found as a child.
                id::BLOCK_GROUP => {}
                id::TIMESTAMP => match self.read_body(head, 8)? {
                    Some(body) => self.cluster_ticks = read_unsigned(&body),
                    None => return Ok(false),
                },
                id::SIMPLE_BLOCK | id::BLOCK => return self.read_block(head, block),
                _ => self.skip_element(head)?,
            }
            if self.truncated {
                return Ok(false);
            }
        }
    }

    fn read_block(&mut self, head: Head, block: &mut Block) -> Result<bool> {
        let most = self.max_block_bytes();
        let size = head.size.filter(|&s| s <= most).ok_or_else(|| {
            Error::container(format!("damaged: a block of {:?} bytes, allowed: up to {most}", head.size))
        })?;
        // Read into the caller's buffer, which settles after the first blocks; the bound above keeps a false size
        // from allocating much.
        block.data.resize(size as usize, 0);
        block.duration_ns = None;
        if !read_whole(&mut self.source, &mut block.data)? {
            self.truncated = true;
            return Ok(false);
        }
        block.is_keyframe = true;
        self.take_block(head.id, block)?;
        Ok(true)
    }

    /// Most bytes of a block: its head has up to 8 of track number, 2 of time and 1 of flags.
    fn max_block_bytes(&self) -> u64 {
        let has_video = self.tracks.iter().any(|t| t.is_video);
        let Limits { max_packet_bytes, max_video_packet_bytes, .. } = self.limits;
        let most = if has_video { max_video_packet_bytes.max(max_packet_bytes) } else { max_packet_bytes };
        most as u64 + 16
    }

    /// Reads a group of a block and what belongs to it; nothing if there is no block in it.
    fn read_group(&mut self, head: Head, block: &mut Block) -> Result<Option<bool>> {
        let Some(body) = self.read_body(head, self.max_block_bytes() + 64)? else {
            return Ok(Some(false));
        };
        let of = |wanted| child_elements(&body).find(|(id, _)| *id == wanted).map(|(_, b)| b);
        let Some(data) = of(id::BLOCK) else { return Ok(None) };
        block.data.clear();
        block.data.extend_from_slice(data);
        block.duration_ns = of(id::BLOCK_DURATION).map(|b| read_unsigned(b).saturating_mul(self.tick_ns));
        // What refers to another block does not decode alone.
        block.is_keyframe = of(id::REFERENCE_BLOCK).is_none();
        self.take_block(id::BLOCK, block)?;
        Ok(Some(true))
    }

    /// Takes a block's head off its data. Its key flag is that of its group, its duration the group's, if it is in one.
    fn take_block(&mut self, id: u32, block: &mut Block) -> Result<()> {
        let damaged = || Error::container("damaged: a block with a broken head");
        let first = *block.data.first().ok_or_else(damaged)?;
        let number_bytes = first.leading_zeros() as usize + 1;
        let [high, low, flags] = *block.data.get(number_bytes..number_bytes + 3).ok_or_else(damaged)? else {
            return Err(damaged());
        };
        // A first byte of 0 begins no number.
        if number_bytes > 8 {
            return Err(damaged());
        }
        // Cannot be longer than 8 bytes here, for which `read_unsigned` would say 0.
        let marked = read_unsigned(&block.data[..number_bytes]);
        let ticks = i64::from(i16::from_be_bytes([high, low]));
        block.track = marked & !(1 << (7 * number_bytes));
        // Relative and signed (RFC 9559, section 10.1), so a block may lie before its cluster's timestamp, but not
        // before 0.
        block.pts_ns = self.cluster_ticks.saturating_add_signed(ticks).saturating_mul(self.tick_ns);
        // Only a simple block has the flag.
        block.is_keyframe &= id == id::BLOCK || flags & 0x80 != 0;
        block.data.drain(..number_bytes + 3);
        block.follows = false;
        if let Some(lacing) = lacing::Lacing::from_flags(flags) {
            let packets = lacing.split_packets(&block.data).ok_or_else(damaged)?;
            // Taken from the end, so that handing one out moves no other.
            self.laced = packets.iter().rev().map(|p| p.to_vec()).collect();
            block.data = self.laced.pop().unwrap_or_default();
            // A group states the duration of all together.
            block.duration_ns = block.duration_ns.map(|all| all / (self.laced.len() as u64 + 1));
        }
        let track = self.tracks.iter().find(|t| t.number == block.track);
        block.duration_ns = block.duration_ns.or_else(|| track.and_then(|t| t.packet_ns));
        if !self.laced.is_empty() {
            let Block { track, pts_ns, duration_ns, is_keyframe, .. } = *block;
            self.laced_head = Block { track, pts_ns, duration_ns, is_keyframe, ..Block::default() };
        }
        Ok(())
    }

    fn read_doc_type(&mut self) -> Result<()> {
        let not_matroska = || Error::container("not a Matroska file");
        // Any failure of the first bytes reads as another format: that is what users try by mistake.
        let head = match read_head(&mut self.source) {
            // Nothing is known of the format yet.
            Err(e) if e.is_would_block() => return Err(e),
            head => head.map_err(|_| not_matroska())?.ok_or_else(not_matroska)?,
        };
        if head.id != id::EBML {
            return Err(not_matroska());
        }
        // EBML's own header takes some 30 bytes; 4096 keeps other files from being read in as one.
        let body = self.read_body(head, 4096)?.ok_or_else(not_matroska)?;
        let doc_type = child_elements(&body).find(|(id, _)| *id == id::DOC_TYPE).map(|(_, b)| read_string(b));
        match doc_type.as_deref() {
            // WebM is Matroska with fewer codecs; what its tracks are is for the caller to judge.
            Some("matroska" | "webm") => Ok(()),
            other => Err(Error::container(format!("EBML of type {other:?}, not Matroska"))),
        }
    }

    /// Takes over where the index says that parts lie which a program that edits files puts behind the clusters.
    fn read_places(&mut self, head: Head) -> Result<()> {
        let body = self.read_description(head)?;
        for (_, seek) in child_elements(&body).filter(|(id, _)| *id == id::SEEK) {
            let of =
                |wanted| child_elements(seek).find(|(id, _)| *id == wanted).map(|(_, b)| read_unsigned(b));
            let (Some(part), Some(at)) = (of(id::SEEK_ID), of(id::SEEK_POSITION)) else { continue };
            let part = u32::try_from(part).unwrap_or(0);
            if part == id::CUES {
                self.cues = Cues::At(at);
            }
            if [id::INFO, id::TRACKS, id::TAGS, id::CHAPTERS].contains(&part)
                && self.places.len() < MAX_PLACES
            {
                self.places.push((part, at));
            }
        }
        Ok(())
    }

    fn read_info(&mut self, head: Head) -> Result<()> {
        for (id, body) in child_elements(&self.read_description(head)?) {
            match id {
                // Not 0, by which times are divided.
                id::TIMESTAMP_SCALE => self.tick_ns = read_unsigned(body).max(1),
                id::DURATION => {
                    // A writer that never came to its end may have left a 0 here.
                    self.duration_ticks = Some(read_float(body)).filter(|d| d.is_finite() && *d > 0.0)
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read_tracks(&mut self, head: Head) -> Result<()> {
        let body = self.read_description(head)?;
        let entries = child_elements(&body).filter(|(id, _)| *id == id::TRACK_ENTRY);
        self.tracks.extend(entries.map(|(_, entry)| TrackInfo::read(entry)));
        Ok(())
    }

    fn read_tags(&mut self, head: Head) -> Result<()> {
        let body = self.read_description(head)?;
        let simple = child_elements(&body)
            .filter(|(id, _)| *id == id::TAG)
            .flat_map(|(_, tag)| child_elements(tag).filter(|(id, _)| *id == id::SIMPLE_TAG));
        for (_, tag) in simple {
            let find =
                |wanted| child_elements(tag).find(|(id, _)| *id == wanted).map(|(_, b)| read_string(b));
            if let (Some(name), Some(value)) = (find(id::TAG_NAME), find(id::TAG_STRING)) {
                self.tags.push((name, value));
            }
        }
        Ok(())
    }

    fn read_description(&mut self, head: Head) -> Result<Vec<u8>> {
        self.read_body(head, self.limits.max_description_bytes)?
            .ok_or_else(|| Error::container("ends before its tracks are described"))
    }

    /// The element's bytes; none if the source ends before, which is then marked as truncated.
    fn read_body(&mut self, head: Head, most: u64) -> Result<Option<Vec<u8>>> {
        let size = head.size.filter(|&s| s <= most).ok_or_else(|| {
            let size = head.size.map_or("unknown".into(), |s| s.to_string());
            Error::container(format!(
                "damaged: element {:#x} of {size} bytes, allowed: up to {most}",
                head.id
            ))
        })?;
        // Read through `take`: what a size claims is not allocated before it is there.
        let mut body = Vec::new();
        let read = self.source.by_ref().take(size).read_to_end(&mut body);
        let read = read.map_err(|e| Error::container_io("cannot be read", e))?;
        self.truncated |= (read as u64) < size;
        Ok((read as u64 == size).then_some(body))
    }

    fn skip_element(&mut self, head: Head) -> Result<()> {
        let size = head
            .size
            .ok_or_else(|| Error::container(format!("damaged: element {:#x} of unknown size", head.id)))?;
        // Read and thrown away, not sought: the source may be a pipe.
        let skipped = std::io::copy(&mut self.source.by_ref().take(size), &mut std::io::sink());
        self.truncated |= skipped.map_err(|e| Error::container_io("cannot be read", e))? < size;
        Ok(())
    }
}

impl<R: Read + Seek> Reader<R> {
    /// As [`open_with`](Self::open_with), of a source that can be gone about in: what lies behind the packets, where programs that
    /// edit files put what has grown, is read too.
    ///
    /// # Errors
    /// As for [`open_with`](Self::open_with).
    pub fn open_file(source: R, limits: Limits) -> Result<Self> {
        let mut reader = Self::read_start(source, limits)?;
        let (first, pending) = (reader.first_cluster, reader.pending);
        for (part, at) in std::mem::take(&mut reader.places) {
            // What does not lie where it should is as if it were not there.
            let at = reader.segment.saturating_add(at);
            if pending.is_none() || at <= first || reader.go_to(at, 0).is_err() {
                continue;
            }
            match read_head(&mut reader.source) {
                Ok(Some(head)) if head.id == part => reader.read_part(head).or_else(|e| match part {
                    id::TRACKS => Err(e),
                    // Not missing, but still to come.
                    _ if e.is_would_block() => Err(e),
                    _ => Ok(()),
                })?,
                Err(e) if e.is_would_block() => return Err(e),
                _ => {}
            }
        }
        reader.truncated = false;
        reader.go_to(first, 0)?;
        reader.pending = pending;
        reader.check_tracks()
    }

    /// Goes to the last block at or before `pts_ns` (the first block if there is none), which [`Reader::next_block`] then
    /// reads. It looks at the blocks before it from where the file's index says, at all of them where there is no index.
    ///
    /// # Errors
    /// [`Error::Container`] if the file is damaged before that.
    pub fn seek_to(&mut self, pts_ns: u64) -> Result<()> {
        self.seek_where(pts_ns, None, |_| true)
    }

    /// As [`Reader::seek_to`], to the last keyframe of a track.
    ///
    /// # Errors
    /// As there.
    pub fn seek_to_keyframe(&mut self, track: u64, pts_ns: u64) -> Result<()> {
        self.seek_where(pts_ns, Some(track), |block| block.track == track && block.is_keyframe)
    }

    fn seek_where(
        &mut self,
        pts_ns: u64,
        track: Option<u64>,
        is_wanted: impl Fn(&Block) -> bool,
    ) -> Result<()> {
        self.read_cues()?;
        let ticks = pts_ns / self.tick_ns;
        // A track without points of its own may still lie in the clusters of another's.
        let cluster = self.cues.find_cluster(ticks, track).or_else(|| self.cues.find_cluster(ticks, None));
        if let Some(cluster) = cluster {
            match self.find_behind(cluster, pts_ns, &is_wanted) {
                Ok(Some(target)) => return self.go_to(target.0, target.1),
                Err(e) if e.is_would_block() => return Err(e),
                // A damaged index, or damage where it leads: the blocks tell their time.
                Ok(None) | Err(_) => {}
            }
        }
        self.go_to(self.first_cluster, 0)?;
        let first = (self.source.position, self.cluster_ticks);
        let target = self.find_last(pts_ns, &is_wanted)?.unwrap_or(first);
        self.go_to(target.0, target.1)
    }

    /// Reads the index where that has not been done. One that cannot be read is as if it were not there.
    fn read_cues(&mut self) -> Result<()> {
        let Cues::At(at) = self.cues else { return Ok(()) };
        self.cues = match self.read_cues_at(at) {
            Err(e) if e.is_would_block() => return Err(e),
            cues => cues.unwrap_or_default(),
        };
        Ok(())
    }

    fn read_cues_at(&mut self, at: u64) -> Result<Cues> {
        self.go_to(self.segment.saturating_add(at), 0)?;
        match read_head(&mut self.source)?.filter(|head| head.id == id::CUES) {
            Some(head) => Ok(Cues::read(&self.read_description(head)?)),
            None => Ok(Cues::None),
        }
    }

    /// The last wanted block at or before a time, from a cluster on; none if that is no cluster or holds none.
    fn find_behind(
        &mut self,
        cluster: u64,
        pts_ns: u64,
        is_wanted: &impl Fn(&Block) -> bool,
    ) -> Result<Option<(u64, u64)>> {
        self.go_to(self.segment.saturating_add(cluster), 0)?;
        if read_head(&mut self.source)?.is_none_or(|head| head.id != id::CLUSTER) {
            return Ok(None);
        }
        self.find_last(pts_ns, is_wanted)
    }

    /// The last wanted block at or before a time, from here on: its place and the time of its cluster.
    fn find_last(&mut self, pts_ns: u64, is_wanted: &impl Fn(&Block) -> bool) -> Result<Option<(u64, u64)>> {
        let (mut target, mut block) = (None, Block::default());
        // A search before may have run off the end from where a wrong index led.
        self.truncated = false;
        loop {
            let (start, ticks) = (self.source.position, self.cluster_ticks);
            // The first later block ends the search: blocks are nearly in the order of time, and to read on to the
            // end for each seek would cost more than a target that is a little early.
            if !self.next_block(&mut block)? || block.pts_ns > pts_ns {
                break;
            }
            // A laced packet cannot be the target: it has no offset of its own in the file.
            if !block.follows && is_wanted(&block) {
                target = Some((start, ticks));
            }
        }
        // The search may have run into the cut at the end; the next blocks are not at it.
        self.truncated = false;
        Ok(target)
    }

    /// Whether the file has an index that can be read; where the reader stands does not change.
    ///
    /// # Errors
    /// [`Error::Container`] if the source cannot be gone about in.
    pub fn has_index(&mut self) -> Result<bool> {
        let place = self.place();
        self.read_cues()?;
        self.return_to(place)?;
        Ok(matches!(self.cues, Cues::Read(_)))
    }

    /// Where the reader is between two blocks, for [`Reader::return_to`].
    pub fn place(&self) -> Place {
        Place { position: self.source.position, cluster_ticks: self.cluster_ticks, pending: self.pending }
    }

    /// Goes back to a place of this reader that [`Reader::place`] gave before a call of [`Reader::next_block`] which failed because
    /// its source had no data yet ([`Error::is_would_block`]). The call can then be made again.
    ///
    /// # Errors
    /// [`Error::Container`] if the source cannot be gone about in.
    pub fn return_to(&mut self, place: Place) -> Result<()> {
        self.go_to(place.position, place.cluster_ticks)?;
        self.pending = place.pending;
        Ok(())
    }

    fn go_to(&mut self, position: u64, cluster_ticks: u64) -> Result<()> {
        self.source
            .inner
            .seek(SeekFrom::Start(position))
            .map_err(|e| Error::container_io("cannot be read", e))?;
        // All that depends on the place is set anew: what was read ahead belongs to the old one.
        self.source.position = position;
        self.cluster_ticks = cluster_ticks;
        self.pending = None;
        self.laced.clear();
        Ok(())
    }
}

/// A place between two blocks of a [`Reader`].
#[derive(Debug, Clone, Copy)]
pub struct Place {
    position: u64,
    cluster_ticks: u64,
    pending: Option<Head>,
}

/// A source that knows how far it has been read.
pub(super) struct Counted<R> {
    pub(super) inner: R,
    pub(super) position: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.position += count as u64;
        Ok(count)
    }
}

//! Finds what a file says of itself, wherever it stands: programs that edit files move what has grown behind the packets.

use std::io::{Read, Seek, SeekFrom};

use super::ebml::{Head, child_elements, read_head, read_unsigned};
use super::id;
use super::reader::Counted;
use crate::{Error, Limits, Result};

/// Entries of the index of parts that are looked at.
const MAX_PLACES: usize = 16;

/// The bodies of the parts of a file without which its packets mean nothing; none of a part that was not found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FileHead {
    pub(super) info: Option<Vec<u8>>,
    pub(super) tracks: Option<Vec<u8>>,
}

impl FileHead {
    fn is_complete(&self) -> bool {
        self.info.is_some() && self.tracks.is_some()
    }

    fn slot_of(&mut self, part: u32) -> Option<&mut Option<Vec<u8>>> {
        let slot = match part {
            id::INFO => &mut self.info,
            id::TRACKS => &mut self.tracks,
            _ => return None,
        };
        // The first of its kind counts, as for readers.
        slot.is_none().then_some(slot)
    }
}

/// Reads `Info` and `Tracks` of a file, behind whose `EBML` head the source stands and stands again afterwards. Damage ends the
/// search: what was found before it counts.
///
/// # Errors
/// [`Error::Container`] if the source cannot go back.
pub(super) fn find_file_head<R: Read + Seek>(source: &mut Counted<R>, limits: &Limits) -> Result<FileHead> {
    let start = source.position;
    let mut search = Search { source, limits, segment: 0, places: Vec::new(), found: FileHead::default() };
    // An error here is damage, which the caller meets by itself and reports.
    search.walk().ok();
    let found = search.found;
    go_to(source, start)?;
    Ok(found)
}

struct Search<'a, R> {
    source: &'a mut Counted<R>,
    limits: &'a Limits,
    /// Offset of the first byte inside the `Segment`.
    segment: u64,
    places: Vec<(u32, u64)>,
    found: FileHead,
}

impl<R: Read + Seek> Search<'_, R> {
    fn walk(&mut self) -> Result<()> {
        let mut in_clusters = false;
        while !self.found.is_complete() {
            let Some(head) = read_head(self.source)? else { return Ok(()) };
            match head.id {
                id::SEGMENT => self.segment = self.source.position,
                id::CLUSTER => {
                    // The index leads there at once, where the clusters may be many gigabytes.
                    if !std::mem::replace(&mut in_clusters, true) {
                        self.follow_places()?;
                    }
                    // Of unknown size: its children are stepped over one by one.
                    if head.size.is_some() {
                        self.skip(head)?;
                    }
                }
                id::SEEK_HEAD => self.read_places(head)?,
                _ => self.take_part(head)?,
            }
        }
        Ok(())
    }

    /// Takes over a part that is wanted, and steps over all others.
    fn take_part(&mut self, head: Head) -> Result<()> {
        if self.found.slot_of(head.id).is_none() {
            return self.skip(head);
        }
        let body = self.read_body(head)?;
        if let Some(slot) = self.found.slot_of(head.id) {
            *slot = Some(body);
        }
        Ok(())
    }

    fn read_places(&mut self, head: Head) -> Result<()> {
        let body = self.read_body(head)?;
        for (_, seek) in child_elements(&body).filter(|(id, _)| *id == id::SEEK) {
            let of =
                |wanted| child_elements(seek).find(|(id, _)| *id == wanted).map(|(_, b)| read_unsigned(b));
            if let (Some(part), Some(at)) = (of(id::SEEK_ID), of(id::SEEK_POSITION))
                && self.places.len() < MAX_PLACES
            {
                self.places.push((u32::try_from(part).unwrap_or(0), at));
            }
        }
        Ok(())
    }

    /// Reads the parts that are still missing where the index says they lie.
    fn follow_places(&mut self) -> Result<()> {
        let here = self.source.position;
        for (part, at) in std::mem::take(&mut self.places) {
            if self.found.slot_of(part).is_none() {
                continue;
            }
            go_to(self.source, self.segment.saturating_add(at))?;
            // What does not lie where it should is as if it were not there.
            if let Ok(Some(head)) = read_head(self.source)
                && head.id == part
            {
                self.take_part(head).ok();
            }
        }
        go_to(self.source, here)
    }

    fn read_body(&mut self, head: Head) -> Result<Vec<u8>> {
        let size = head.size.filter(|&s| s <= self.limits.max_container_element_bytes);
        let size = size.ok_or_else(|| Error::container("damaged: an element without a size that can be"))?;
        let mut body = Vec::new();
        // Through `take`, so that a claimed size is not allocated before its bytes are there.
        let read = self.source.by_ref().take(size).read_to_end(&mut body);
        let read = read.map_err(|e| Error::container_io("cannot be read", e))?;
        if read as u64 == size { Ok(body) } else { Err(Error::container("ends within a description")) }
    }

    /// Steps over an element. Behind the end of the source there is no next one.
    fn skip(&mut self, head: Head) -> Result<()> {
        let size = head.size.and_then(|s| i64::try_from(s).ok());
        let size = size.ok_or_else(|| Error::container("damaged: an element without a size that can be"))?;
        let step = |e| Error::container_io("cannot be read", e);
        // Relative, so that a buffer in front of the file stays filled for the small steps from block to block.
        self.source.inner.seek_relative(size).map_err(step)?;
        self.source.position = self.source.position.saturating_add_signed(size);
        Ok(())
    }
}

fn go_to<R: Seek>(source: &mut Counted<R>, position: u64) -> Result<()> {
    source.inner.seek(SeekFrom::Start(position)).map_err(|e| Error::container_io("cannot be read", e))?;
    source.position = position;
    Ok(())
}

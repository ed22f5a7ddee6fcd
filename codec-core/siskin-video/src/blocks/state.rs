//! The codec state that encoder and decoder share: contexts, what is known of blocks, reference frames.

use std::sync::Arc;

use siskin_media::Size;

use super::contexts::Contexts;
use super::grid::{CELL, Grid, TREE};
use super::motion::MAX_REFERENCES;
use super::picture::Picture;
use super::pyramid::{KINDS, MAX_FRAMES, Step};
use super::tools;

/// Bytes per pixel of a decoder, about: 21 frames of 4:2:0, the last packet's with those that the next one is made from.
pub(super) const DECODER_MEMORY_PER_PIXEL: u64 = 40;

/// Bytes per pixel of an encoder, about: seven frames of 4:2:0, and three planes of half samples each; where a screen repeats itself,
/// and its trees; with lookahead the frames of a packet, as they came and twice as decoded, since both ways to code them are tried while
/// the packet before is still shown. Half of those have half samples.
pub(super) fn encoder_memory_per_pixel(lookahead: u32) -> u64 {
    38 + if lookahead > 1 { 9 * u64::from(lookahead) } else { 0 }
}

/// Reference frames: the last one, those that were kept, and those of the packet at hand.
#[derive(Debug, Default)]
pub(super) struct References {
    last: Option<Arc<Picture>>,
    /// The latest first.
    kept: Vec<Arc<Picture>>,
    /// Frames of the packet that are shown before its last one: those that others are predicted from, and those that none is.
    inner: Vec<Arc<Picture>>,
    leaves: Vec<Arc<Picture>>,
    /// Memory of frames that are no references any more.
    spare: Vec<Picture>,
}

impl References {
    /// Those that a frame shown at `time` may refer to: of frames shown earlier alone the latest first; else the nearest on either
    /// side, and the nearest of the others.
    fn list(&self, time: u32) -> Vec<Arc<Picture>> {
        let Some(last) = &self.last else { return Vec::new() };
        let others = self.kept.iter().filter(|p| !Arc::ptr_eq(p, last)).chain(&self.inner);
        let mut all: Vec<_> = std::iter::once(last).chain(others).cloned().collect();
        // Earlier ones first among those as far away.
        all.sort_by_key(|p| (p.time.abs_diff(time), p.time));
        let nearest = |is_later: bool| all.iter().position(|p| (p.time > time) == is_later);
        if let (Some(before), Some(after)) = (nearest(false), nearest(true)) {
            let rest = (0..all.len()).find(|&i| i != before && i != after);
            return [Some(before), Some(after), rest].into_iter().flatten().map(|i| all[i].clone()).collect();
        }
        all.truncate(MAX_REFERENCES);
        all
    }

    /// The last frame.
    pub(super) fn last(&self) -> Option<&Arc<Picture>> {
        self.last.as_ref()
    }

    /// The frames of the last packet in the order of showing.
    pub(super) fn shown(&self) -> Vec<&Arc<Picture>> {
        let mut all: Vec<_> = self.inner.iter().chain(&self.leaves).chain(&self.last).collect();
        all.sort_by_key(|p| p.time);
        all
    }

    /// Adds the last frame of a packet.
    fn push(&mut self, picture: Picture, is_kept: bool) {
        let picture = Arc::new(picture);
        if is_kept {
            self.kept.insert(0, picture.clone());
        }
        let mut gone = self.last.replace(picture).and_then(Arc::into_inner);
        // One more than a frame refers to, since the last frame may be among them.
        if self.kept.len() > MAX_REFERENCES {
            gone = self.kept.pop().and_then(Arc::into_inner).or(gone);
        }
        self.spare.extend(gone);
    }

    /// Begins a packet.
    fn start_packet(&mut self) {
        self.spare.extend(self.inner.drain(..).chain(self.leaves.drain(..)).filter_map(Arc::into_inner));
        // A stream that has no packets of many frames any more needs no memory for them.
        self.spare.truncate(MAX_FRAMES);
    }

    /// Forgets all frames but the last one, before a keyframe.
    fn clear(&mut self) {
        self.kept.clear();
    }

    /// Takes back a frame that became no reference.
    pub(super) fn give_back(&mut self, picture: Picture) {
        self.spare.push(picture);
    }

    /// A frame to decode into. One that none is predicted from has no half samples, which are two thirds of what a frame takes.
    fn take_spare(&mut self, size: Size, is_reference: bool) -> Picture {
        let fitting = self.spare.iter().rposition(|p| p.halves.is_some() == is_reference);
        let spare = fitting.map(|i| self.spare.swap_remove(i)).or_else(|| self.spare.pop());
        let mut picture = spare.unwrap_or_else(|| Picture::new(size));
        if !is_reference {
            picture.halves = None;
        }
        picture
    }

    /// Lends the memory of frames that are no references any more, or takes back what another packet was coded in.
    pub(super) fn swap_spare(&mut self, other: &mut Self) {
        self.start_packet();
        std::mem::swap(&mut self.spare, &mut other.spare);
    }
}

/// The state of a stream.
#[derive(Debug)]
pub(super) struct State {
    pub(super) size: Size,
    /// The contexts of each kind of frames; those that were not coded since the last keyframe come with the first frame.
    contexts: [Option<Box<Contexts>>; KINDS],
    /// What is known of the blocks, from above to below: of the whole frame, or of each row of trees.
    pub(super) grids: Vec<Grid>,
    pub(super) references: References,
    /// Number of the next packet's first frame since the last keyframe.
    time: u32,
    /// Frames coded since the last keyframe, it included.
    coded: u32,
    /// [`tools`] of the stream.
    pub(super) tools: u8,
    /// Frames are searched for motion, so half samples are interpolated.
    is_encoder: bool,
}

/// A frame that is to be coded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    pub(super) is_keyframe: bool,
    pub(super) step: Step,
    pub(super) quality: u8,
}

impl State {
    /// A decoder has one grid, an encoder one for each row of trees.
    pub(super) fn new(size: Size, is_encoder: bool) -> Self {
        let (width, height) = (size.width().next_multiple_of(CELL), size.height().next_multiple_of(CELL));
        let rows = if is_encoder { TREE } else { height };
        let grid = |top: usize| Grid::new(width, top, rows.min(height - top));
        Self {
            size,
            contexts: Default::default(),
            grids: (0..height).step_by(rows).map(grid).collect(),
            references: References::default(),
            time: 0,
            coded: 0,
            tools: 0,
            is_encoder,
        }
    }

    /// The same state before a packet, for a try.
    pub(super) fn fork(&self) -> Self {
        let References { last, kept, .. } = &self.references;
        // Before a packet, which uses no other frames of the one before.
        let references = References { last: last.clone(), kept: kept.clone(), ..References::default() };
        let (contexts, grids) = (self.contexts.clone(), self.grids.clone());
        Self { references, contexts, grids, ..*self }
    }

    /// Stands where a copy of it stands, and keeps the memory of the frames since then.
    pub(super) fn return_to(&mut self, earlier: &Self) {
        self.references.start_packet();
        let spare = std::mem::take(&mut self.references.spare);
        *self = earlier.fork();
        self.references.spare = spare;
    }

    /// Begins a packet.
    pub(super) fn start_packet(&mut self, is_keyframe: bool) {
        self.references.start_packet();
        if is_keyframe {
            self.references.clear();
            (self.time, self.coded) = (0, 0);
        }
    }

    /// Begins a frame; gives its reference frames and the frame to decode into.
    pub(super) fn start_frame(&mut self, start: Start) -> (Vec<Arc<Picture>>, Picture) {
        let Start { is_keyframe, step, quality } = start;
        self.start_contexts(step.kind(), quality);
        let time = self.time + step.index as u32;
        let references = if is_keyframe { Vec::new() } else { self.references.list(time) };
        let distance = |r: &Arc<Picture>| (i64::from(time) - i64::from(r.time)).clamp(-64, 64) as i8;
        let distances = std::array::from_fn(|i| references.get(i).map_or(1, distance));
        // Between two frames the later one tells more: it was coded from the earlier one.
        let is_between = distances[1] < 0 && references.len() > 1;
        let former = references.get(usize::from(is_between)).map_or(&[][..], |p| &p.traces);
        for grid in &mut self.grids {
            grid.start_frame(former, references.len(), distances);
            grid.has_copies = self.tools & tools::COPY != 0;
            // Between two frames it saves nothing.
            grid.has_overlap = self.tools & tools::OVERLAP != 0 && !is_between;
        }
        let mut picture = self.references.take_spare(self.size, step.is_reference);
        picture.time = time;
        (references, picture)
    }

    /// Sets contexts as they are at the start of a frame.
    pub(super) fn start_contexts(&mut self, kind: usize, quality: u8) {
        // What keyframes teach says little of the frames behind them.
        match (self.tools & tools::LEARNED, self.coded) {
            (0, 0) => self.contexts = [Some(Box::new(Contexts::new())), None, None],
            (tools::LEARNED, coded @ (0 | 1)) => {
                self.contexts = [Some(Box::new(Contexts::learned(coded == 0, quality))), None, None];
            }
            _ => {}
        }
        // The first frame of a kind goes on from the kind before.
        for kind in 1..=kind {
            if self.contexts[kind].is_none() {
                self.contexts[kind] = self.contexts[kind - 1].clone();
            }
        }
    }

    /// The contexts of a kind of frames, and the grids.
    pub(super) fn parts(&mut self, kind: usize) -> (&mut Contexts, &mut [Grid]) {
        let contexts = self.contexts[kind].get_or_insert_with(|| Box::new(Contexts::new()));
        (contexts, &mut self.grids)
    }

    /// Ends a frame: filters it and makes it a reference frame.
    pub(super) fn finish_frame(&mut self, mut picture: Picture, start: Start, is_kept: bool) {
        super::deblock::deblock(&mut picture, &self.grids, start.quality);
        // What none is predicted from is only shown.
        if start.step.is_reference {
            picture.extend();
            if self.is_encoder {
                picture.interpolate_halves();
            }
            picture.traces.clear();
            let is_last_only = self.tools & tools::PYRAMID == 0;
            picture.traces.extend(self.grids.iter().flat_map(|grid| grid.traces(is_last_only)));
        }
        self.coded += 1;
        match start.step {
            Step { level: 0, .. } => self.references.push(picture, is_kept),
            Step { is_reference: true, .. } => self.references.inner.push(Arc::new(picture)),
            _ => self.references.leaves.push(Arc::new(picture)),
        }
    }

    /// Ends a packet of so many frames.
    pub(super) fn finish_packet(&mut self, frames: usize) {
        self.time += frames as u32;
    }
}

//! The codec state that encoder and decoder share: contexts, what is known of blocks, reference frames.

use std::sync::Arc;

use siskin_media::Size;

use super::contexts::Contexts;
use super::grid::{CELL, Grid, TREE};
use super::motion::MAX_REFERENCES;
use super::picture::Picture;
use super::tools;

/// Bytes per pixel of a stream, about: seven frames of 4:2:0 in an encoder, and three planes of half samples each.
pub(super) const MEMORY_PER_PIXEL: u64 = 24;

/// Reference frames: the last one, and those that were kept.
#[derive(Debug, Default)]
pub(super) struct References {
    last: Option<Arc<Picture>>,
    /// The latest first.
    kept: Vec<Arc<Picture>>,
    /// Memory of a frame that is no reference any more.
    spare: Option<Picture>,
}

impl References {
    /// Those that the next frame may refer to, the last frame first.
    pub(super) fn list(&self) -> Vec<Arc<Picture>> {
        let Some(last) = &self.last else { return Vec::new() };
        let others = self.kept.iter().filter(|p| !Arc::ptr_eq(p, last));
        std::iter::once(last).chain(others).take(MAX_REFERENCES).cloned().collect()
    }

    /// The last frame.
    pub(super) fn last(&self) -> Option<&Arc<Picture>> {
        self.last.as_ref()
    }

    /// Adds the frame decoded last.
    pub(super) fn push(&mut self, picture: Picture, is_kept: bool) {
        let picture = Arc::new(picture);
        if is_kept {
            self.kept.insert(0, picture.clone());
        }
        let mut gone = self.last.replace(picture).and_then(Arc::into_inner);
        // One more than a frame refers to, since the last frame may be among them.
        if self.kept.len() > MAX_REFERENCES {
            gone = self.kept.pop().and_then(Arc::into_inner).or(gone);
        }
        self.spare = gone.or(self.spare.take());
    }

    /// Forgets all frames but the last one, before a keyframe.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }

    /// Takes back a frame that became no reference.
    pub(super) fn give_back(&mut self, picture: Picture) {
        self.spare = Some(picture);
    }

    /// A frame to decode into.
    pub(super) fn take_spare(&mut self, size: Size) -> Picture {
        self.spare.take().unwrap_or_else(|| Picture::new(size))
    }
}

/// The state of a stream.
#[derive(Debug)]
pub(super) struct State {
    pub(super) size: Size,
    pub(super) contexts: Contexts,
    /// What is known of the blocks, from above to below: of the whole frame, or of each row of trees.
    pub(super) grids: Vec<Grid>,
    pub(super) references: References,
    /// Number of the next frame since the last keyframe.
    pub(super) time: u32,
    /// [`tools`] of the stream.
    pub(super) tools: u8,
}

impl State {
    /// With one grid, or one for each row of trees.
    pub(super) fn new(size: Size, is_in_rows: bool) -> Self {
        let (width, height) = (size.width().next_multiple_of(CELL), size.height().next_multiple_of(CELL));
        let rows = if is_in_rows { TREE } else { height };
        let grid = |top: usize| Grid::new(width, top, rows.min(height - top));
        Self {
            size,
            contexts: Contexts::new(),
            grids: (0..height).step_by(rows).map(grid).collect(),
            references: References::default(),
            time: 0,
            tools: 0,
        }
    }

    /// Begins a frame; gives its reference frames and the frame to decode into.
    pub(super) fn start_frame(&mut self, is_keyframe: bool, quality: u8) -> (Vec<Arc<Picture>>, Picture) {
        if is_keyframe {
            self.references.clear();
            self.time = 0;
        }
        self.start_contexts(quality);
        let references = if is_keyframe { Vec::new() } else { self.references.list() };
        let distances =
            std::array::from_fn(|i| references.get(i).map_or(1, |r| (self.time - r.time).clamp(1, 64) as u8));
        for grid in &mut self.grids {
            grid.start_frame(is_keyframe, references.len(), distances);
        }
        let mut picture = self.references.take_spare(self.size);
        picture.time = self.time;
        (references, picture)
    }

    /// Sets contexts as they are at the start of a frame.
    pub(super) fn start_contexts(&mut self, quality: u8) {
        // What keyframes teach says little of the frames behind them.
        match (self.tools & tools::LEARNED, self.time) {
            (0, 0) => self.contexts = Contexts::new(),
            (tools::LEARNED, time @ (0 | 1)) => self.contexts = Contexts::learned(time == 0, quality),
            _ => {}
        }
    }

    /// Ends a frame: filters it and makes it a reference frame.
    pub(super) fn finish_frame(&mut self, mut picture: Picture, quality: u8, is_kept: bool) {
        super::deblock::deblock(&mut picture, &self.grids, quality);
        picture.extend();
        if picture.halves.is_some() {
            picture.interpolate_halves();
        }
        self.time += 1;
        self.references.push(picture, is_kept);
    }
}

//! Deciding on the blocks of a frame, row of trees by row of trees on several threads: each row follows two trees behind the one
//! above, from which it gets what lies along its upper side. What comes out does not depend on the number of threads.

use std::sync::{Arc, Mutex, OnceLock};

use crossbeam::channel::{Receiver, Sender, unbounded};
use siskin_entropy::binary::{BitCoder, BitCounter};
use siskin_media::Size;

use super::contexts::Contexts;
use super::copy::{Halves, Tiles};
use super::decide::{Decider, Hints, Scratch};
use super::effort::Effort;
use super::grid::{CELL, Cell, Grid, TREE};
use super::motion::Motion;
use super::picture::{Canvas, Picture, Plane, Rows};
use super::repeats::Repeats;
use super::survey::Survey;
use super::syntax::{Block, MAX_LOG, MIN_LOG, code_prediction, code_residual, code_split};
use crate::Result;

/// The motion of what does not move.
const STILL: Motion = Motion::single(0, [0; 2]);

/// What all rows of a frame are decided from.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a> {
    pub(super) source: &'a Picture,
    /// What of the source is shown.
    pub(super) size: Size,
    pub(super) references: &'a [Arc<Picture>],
    /// What was seen of the first and of the second reference frame.
    pub(super) surveys: &'a [Survey; 2],
    pub(super) quality: u8,
    /// Cost of a bit in squared luma steps.
    pub(super) lambda: f32,
    pub(super) effort: &'static Effort,
    /// Where blocks may be copied from, if they may.
    pub(super) copies: Option<Copies<'a>>,
}

/// What copies are found with.
#[derive(Clone, Copy)]
pub(super) struct Copies<'a> {
    /// Found when they are first asked for: where nothing new comes up they are not.
    repeats: &'a [OnceLock<Repeats>; 3],
    pub(super) tiles: &'a Tiles,
}

impl<'a> Copies<'a> {
    pub(super) fn new(repeats: &'a [OnceLock<Repeats>; 3], tiles: &'a Tiles) -> Self {
        Self { repeats, tiles }
    }

    /// Where a source repeats itself, in squares of 8x8 or halves of them.
    pub(super) fn repeats(&self, source: &Plane, shown: Size, halves: Halves) -> &'a Repeats {
        self.repeats[halves as usize].get_or_init(|| Repeats::new(source, shown, halves))
    }
}

/// What was decided on for a row of trees.
pub(super) struct Row {
    /// Blocks and levels of the whole row.
    scratch: Scratch,
    /// How many of the blocks each tree and those before it have.
    ends: Vec<usize>,
    /// The decisions as they would be adapted, for their costs.
    contexts: Contexts,
}

/// What lies along the lower side of a tree.
struct Edge {
    cells: [Option<Cell>; TREE / CELL],
    luma: [u8; TREE],
    chroma: [[u8; TREE / 2]; 2],
    /// Where the row below begins to adapt: behind the second tree.
    contexts: Option<Box<Contexts>>,
}

/// Decides on all rows.
pub(super) fn decide(
    shared: Shared<'_>,
    picture: &mut Picture,
    (contexts, grids): (&Contexts, &mut [Grid]),
    rows: &mut [Row],
) {
    let cuts: Vec<usize> = grids[1..].iter().map(|g| g.top).collect();
    let width = grids[0].width();
    let mut from_above = None;
    let mut jobs = Vec::new();
    for ((row, grid), mut canvas) in rows.iter_mut().zip(grids).zip(picture.cut(&cuts)) {
        let (below, receiver) = unbounded();
        if from_above.is_some() {
            canvas.planes.iter_mut().for_each(|plane| plane.above = vec![0; width]);
        }
        row.contexts.clone_from(contexts);
        jobs.push(Job { shared, row, grid, canvas, above: from_above.replace(receiver), below });
    }
    let count = jobs.len();
    let jobs = Mutex::new(jobs.into_iter());
    // In order, so that a thread only waits for a row that another thread has begun, and never for one that nobody works on.
    let next = || jobs.lock().ok()?.next();
    rayon::scope(|scope| {
        for _ in 0..rayon::current_num_threads().min(count) {
            scope.spawn(|_| {
                while let Some(job) = next() {
                    job.run();
                }
            });
        }
    });
}

/// A row on its way.
struct Job<'a> {
    shared: Shared<'a>,
    row: &'a mut Row,
    grid: &'a mut Grid,
    canvas: Canvas<'a>,
    above: Option<Receiver<Edge>>,
    below: Sender<Edge>,
}

impl Job<'_> {
    fn run(mut self) {
        self.row.scratch.blocks.clear();
        self.row.scratch.levels.clear();
        self.row.ends.clear();
        let trees = self.grid.width().div_ceil(TREE);
        let mut known = 0;
        for tree in 0..trees {
            // Prediction looks up to a tree farther to the right in the row above.
            while self.above.is_some() && known < (tree + 2).min(trees) {
                let Some(Ok(edge)) = self.above.as_ref().map(Receiver::recv) else {
                    // The thread above has panicked, and so will all.
                    return;
                };
                self.take_edge(known, edge);
                known += 1;
            }
            let (x, y) = (tree * TREE, self.grid.top);
            let marks = (self.row.scratch.blocks.len(), self.row.scratch.levels.len());
            self.row.scratch.costs.update(&self.row.contexts);
            let mut decider = Decider {
                shared: self.shared,
                canvas: &mut self.canvas,
                grid: self.grid,
                contexts: &mut self.row.contexts,
                scratch: &mut self.row.scratch,
            };
            if self.shared.effort.is_quick && !self.shared.references.is_empty() {
                decider.decide_quickly((x, y, MAX_LOG), Hints::default());
            } else {
                decider.decide((x, y, MAX_LOG), Hints::default(), f32::INFINITY);
            }
            self.row.ends.push(self.row.scratch.blocks.len());
            let Scratch { blocks, levels, .. } = &mut self.row.scratch;
            let (blocks, mut levels) = (&mut blocks[marks.0..], &mut levels[marks.1..]);
            // A counter accepts everything.
            let _ = code_tree(
                &mut BitCounter::default(),
                &mut self.row.contexts,
                self.grid,
                (x, y),
                blocks,
                &mut levels,
            );
            if let Some(copies) = self.shared.copies {
                let (columns, rows) = (self.grid.width() - x, self.grid.bottom() - y);
                copies.tiles.publish(&self.canvas, (x, y), (columns.min(TREE), rows.min(TREE)));
            }
            // Nobody listens below the last row.
            let _ = self.below.send(self.edge(tree, tree == 1.min(trees - 1)));
        }
    }

    fn take_edge(&mut self, tree: usize, edge: Edge) {
        let x = tree * TREE;
        for (to, from) in self.grid.above[x / CELL..].iter_mut().zip(edge.cells.into_iter().flatten()) {
            *to = from;
        }
        let [luma, chroma @ ..] = &mut self.canvas.planes;
        let copy = |to: &mut [u8], from: &[u8]| to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        copy(&mut luma.above[x..], &edge.luma);
        for (plane, from) in chroma.iter_mut().zip(&edge.chroma) {
            copy(&mut plane.above[x / 2..], from);
        }
        if let Some(contexts) = edge.contexts {
            self.row.contexts = *contexts;
        }
    }

    fn edge(&self, tree: usize, with_contexts: bool) -> Edge {
        let (x, bottom) = (tree * TREE, self.grid.bottom());
        let row = &self.grid.cells[(self.grid.rows - 1) * self.grid.columns..];
        fn copy<const N: usize>(plane: &Rows<'_>, x: usize, y: usize) -> [u8; N] {
            let from = plane.at(x, y);
            std::array::from_fn(|i| from.get(i).copied().unwrap_or(0))
        }
        let [luma, u, v] = &self.canvas.planes;
        Edge {
            cells: std::array::from_fn(|i| row.get(x / CELL + i).copied()),
            luma: copy(luma, x, bottom - 1),
            chroma: [u, v].map(|plane| copy(plane, x / 2, bottom / 2 - 1)),
            contexts: with_contexts.then(|| Box::new(self.row.contexts.clone())),
        }
    }
}

impl Row {
    pub(super) fn new() -> Self {
        Self { scratch: Scratch::new(), ends: Vec::new(), contexts: Contexts::new() }
    }

    /// Whether nothing moves and nothing changes.
    pub(super) fn is_still(&self) -> bool {
        self.scratch.blocks.iter().all(|b| b.is_skipped && b.motion == STILL)
    }

    /// Codes the row whose cells are those of `grid`.
    pub(super) fn code<C: BitCoder>(
        &mut self,
        coder: &mut C,
        contexts: &mut Contexts,
        grid: &Grid,
    ) -> Result<()> {
        let Scratch { blocks, levels, .. } = &mut self.scratch;
        let (mut levels, mut begin) = (&mut levels[..], 0);
        for (tree, &end) in self.ends.iter().enumerate() {
            let place = (tree * TREE, grid.top);
            code_tree(coder, contexts, grid, place, &mut blocks[begin..end], &mut levels)?;
            begin = end;
        }
        Ok(())
    }
}

/// Codes the blocks of a tree, whose levels `levels` begins with and loses.
fn code_tree<C: BitCoder>(
    coder: &mut C,
    contexts: &mut Contexts,
    grid: &Grid,
    (x, y): (usize, usize),
    blocks: &mut [Block],
    levels: &mut &mut [i16],
) -> Result<()> {
    let mut open = vec![(x, y, MAX_LOG)];
    for block in blocks {
        // Squares on the way to this block, the last one pushed first.
        while let Some((x, y, log)) = open.pop() {
            let side = 1usize << log;
            let (width, bottom) = (grid.width(), grid.bottom());
            if x >= width || y >= bottom {
                continue;
            }
            let is_split = block.log < log;
            if log > MIN_LOG && x + side <= width && y + side <= bottom {
                code_split(coder, contexts, grid, (x, y, log), is_split)?;
            }
            if !is_split {
                break;
            }
            let half = side / 2;
            for (dx, dy) in [(half, half), (0, half), (half, 0), (0, 0)] {
                open.push((x + dx, y + dy, log - 1));
            }
        }
        let count = if block.coded != 0 { block.level_count() } else { 0 };
        let (own, rest) = std::mem::take(levels).split_at_mut(count);
        *levels = rest;
        code_prediction(coder, contexts, grid, block)?;
        code_residual(coder, contexts, block, own)?;
    }
    Ok(())
}

//! What is known of the blocks of a frame, per 8x8 samples of luma.

use super::motion::{MAX_REFERENCES, Motion, Trace};

/// Side of a cell.
pub(super) const CELL: usize = 8;
/// Side of a tree of blocks.
pub(super) const TREE: usize = 32;

/// Of the block that covers a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) motion: Motion,
    pub(super) is_skipped: bool,
    /// Logarithm of the block's side.
    pub(super) log: u8,
    /// Direction of intra prediction.
    pub(super) mode: u8,
    /// The block repeats what its motion's vectors say, in whole samples.
    pub(super) is_copied: bool,
    /// Whether the luma transform block here has levels.
    pub(super) is_coded: bool,
    /// Whether a block or transform block begins at the left and at the upper side of the cell.
    pub(super) edges: [bool; 2],
}

impl Cell {
    const EMPTY: Self = Self {
        motion: Motion::single(0, [0; 2]),
        is_skipped: true,
        log: 5,
        mode: 1,
        is_copied: false,
        is_coded: false,
        edges: [false; 2],
    };
}

/// The cells of a frame, or of a row of trees of it, how things moved before, and how far the reference frames are away.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    pub(super) columns: usize,
    pub(super) rows: usize,
    /// Luma rows of the frame above the first row of cells.
    pub(super) top: usize,
    /// The cells just above `top`: of a row of trees that is not the first of its frame.
    pub(super) above: Vec<Cell>,
    pub(super) cells: Vec<Cell>,
    former: Vec<Trace>,
    /// Reference frames of this frame; none in keyframes.
    pub(super) references: usize,
    /// Blocks may repeat what is above or on the left.
    pub(super) has_copies: bool,
    /// Blocks are also predicted by the motion of those above and on the left.
    pub(super) has_overlap: bool,
    /// Frames from each reference frame to this frame, below 0 if it is shown later.
    pub(super) distances: [i8; MAX_REFERENCES],
}

/// The place of 4x4 units in the order of coding, within a tree, by row and column.
static MORTON: [[u8; 8]; 8] = {
    let mut out = [[0; 8]; 8];
    let mut i = 0;
    while i < 64 {
        let (mut x, mut y, mut bit) = (0, 0, 0);
        while bit < 3 {
            x |= (i >> (2 * bit) & 1) << bit;
            y |= (i >> (2 * bit + 1) & 1) << bit;
            bit += 1;
        }
        out[y][x] = i as u8;
        i += 1;
    }
    out
};

impl Grid {
    /// Of `width` luma columns and `height` rows from row `top` on.
    pub(super) fn new(width: usize, top: usize, height: usize) -> Self {
        let (columns, rows) = (width / CELL, height / CELL);
        Self {
            columns,
            rows,
            top,
            above: if top > 0 { vec![Cell::EMPTY; columns] } else { Vec::new() },
            cells: vec![Cell::EMPTY; columns * rows],
            former: vec![Trace::default(); columns * rows],
            references: 0,
            has_copies: false,
            has_overlap: false,
            distances: [1; MAX_REFERENCES],
        }
    }

    /// Begins a frame. `former` are the traces of a whole frame that was coded before, none if there is none.
    pub(super) fn start_frame(
        &mut self,
        former: &[Trace],
        references: usize,
        distances: [i8; MAX_REFERENCES],
    ) {
        self.former.fill(Trace::default());
        let own = former.get(self.top / CELL * self.columns..).unwrap_or_default();
        self.former.iter_mut().zip(own).for_each(|(to, from)| *to = *from);
        (self.references, self.distances) = (references, distances);
    }

    /// How what lies in each cell moved. With `is_last_only` only what came from the last frame.
    pub(super) fn traces(&self, is_last_only: bool) -> impl Iterator<Item = Trace> {
        self.cells.iter().map(move |cell| match cell.motion.references[0] {
            // A keyframe has no reference frames, and what its cells say is not motion.
            r if usize::from(r) >= self.references || (is_last_only && r > 0) => Trace::default(),
            r => Trace { vector: cell.motion.vectors[0], over: self.distances[usize::from(r)] },
        })
    }

    /// Whether the second reference frame is shown later than this frame.
    pub(super) fn is_between(&self) -> bool {
        self.references > 1 && self.distances[1] < 0
    }

    pub(super) fn distance(&self, reference: u8) -> i32 {
        self.distances.get(usize::from(reference)).map_or(1, |&d| i32::from(d))
    }

    /// Luma columns.
    pub(super) fn width(&self) -> usize {
        self.columns * CELL
    }

    /// Luma columns, and the luma row behind the last one.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.width(), self.bottom())
    }

    /// The luma row behind the last one.
    pub(super) fn bottom(&self) -> usize {
        self.top + self.rows * CELL
    }

    #[inline]
    pub(super) fn cell(&self, x: usize, y: usize) -> &Cell {
        match y.checked_sub(self.top) {
            Some(y) => &self.cells[y / CELL * self.columns + x / CELL],
            None => &self.above[x / CELL],
        }
    }

    /// Whether the samples at (x, y) come before those of a block at `own` in the order of coding.
    #[inline]
    pub(super) fn is_before(&self, own: (usize, usize), x: isize, y: isize) -> bool {
        if x < 0 || y < 0 || x as usize >= self.width() || y as usize >= self.bottom() {
            return false;
        }
        let (x, y) = (x as usize, y as usize);
        let tree = |x: usize, y: usize| (y / TREE, x / TREE);
        let inner = |x: usize, y: usize| MORTON[y % TREE / 4][x % TREE / 4];
        (tree(x, y), inner(x, y)) < (tree(own.0, own.1), inner(own.0, own.1))
    }

    /// The cell at (x, y), if it comes before a block at `own`.
    #[inline]
    pub(super) fn before(&self, own: (usize, usize), x: isize, y: isize) -> Option<&Cell> {
        self.is_before(own, x, y).then(|| self.cell(x as usize, y as usize))
    }

    /// How the middle of a block moved in the former frame.
    pub(super) fn former(&self, (x, y, side): (usize, usize, usize)) -> Trace {
        let column = ((x + side / 2) / CELL).min(self.columns - 1);
        let row = ((y - self.top + side / 2) / CELL).min(self.rows - 1);
        self.former[row * self.columns + column]
    }

    /// Sets the cells of a block, as far as the frame reaches.
    pub(super) fn fill(&mut self, (x, y, side): (usize, usize, usize), cell: Cell) {
        let y = y - self.top;
        for row in y / CELL..((y + side) / CELL).min(self.rows) {
            for column in x / CELL..((x + side) / CELL).min(self.columns) {
                let edges = [column * CELL == x, row * CELL == y];
                self.cells[row * self.columns + column] = Cell { edges, ..cell };
            }
        }
    }

    /// Counts neighbors, left and above, of a block for which something holds.
    pub(super) fn count_beside(&self, (x, y): (usize, usize), holds: impl Fn(&Cell) -> bool) -> usize {
        let places = [(x as isize - 1, y as isize), (x as isize, y as isize - 1)];
        places.iter().filter(|p| self.before((x, y), p.0, p.1).is_some_and(&holds)).count()
    }
}

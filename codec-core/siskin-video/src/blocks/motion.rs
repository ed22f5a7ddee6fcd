//! Motion of blocks, and what the motion of one block says about the next.

use super::grid::Grid;

/// Columns and rows in quarters of a luma sample.
pub(super) type Vector = [i16; 2];

/// No reference frame.
pub(super) const NONE: u8 = u8::MAX;
/// Reference frames at most.
pub(super) const MAX_REFERENCES: usize = 3;
/// Candidates for merging.
pub(super) const MERGE_CANDIDATES: usize = 5;
/// Largest component of a vector.
pub(super) const MAX_COMPONENT: i32 = 1 << 14;

/// From where a block is predicted: one place, or the mean of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Motion {
    /// Reference frames; the second is [`NONE`] unless there are two, the first is too in intra blocks.
    pub(super) references: [u8; 2],
    pub(super) vectors: [Vector; 2],
}

impl Motion {
    /// That of intra blocks.
    pub(super) const INTRA: Self = Self { references: [NONE; 2], vectors: [[0; 2]; 2] };

    /// One place.
    pub(super) const fn single(reference: u8, vector: Vector) -> Self {
        Self { references: [reference, NONE], vectors: [vector, [0; 2]] }
    }

    pub(super) fn is_intra(&self) -> bool {
        self.references[0] == NONE
    }

    pub(super) fn is_pair(&self) -> bool {
        self.references[1] != NONE
    }

    /// The vector into a reference frame, if there is one.
    pub(super) fn vector_of(&self, reference: u8) -> Option<Vector> {
        (0..2).find(|&i| self.references[i] == reference).map(|i| self.vectors[i])
    }
}

/// Scales a vector over `from` frames to `to` frames.
pub(super) fn scale(vector: Vector, from: i32, to: i32) -> Vector {
    let clamped = |v: i32| v.clamp(-MAX_COMPONENT, MAX_COMPONENT) as i16;
    // Division truncates; no distance is 0.
    vector.map(|v| clamped(i32::from(v) * to / from))
}

/// How what is shown at a place moved, as a frame told that was coded before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Trace {
    pub(super) vector: Vector,
    /// Frames over which it moved so, below 0 if it came from a later frame; 0 if nothing is known.
    pub(super) over: i8,
}

impl Trace {
    /// The vector into a frame that is `distance` frames before.
    pub(super) fn over(&self, distance: i32) -> Option<Vector> {
        (self.over != 0).then(|| scale(self.vector, self.over.into(), distance))
    }
}

/// The blocks of 8x8 whose motion predicts that of a block: left, above, above right, above left. Only those coded before.
fn neighbors(grid: &Grid, (x, y, side): (usize, usize, usize)) -> [Option<Motion>; 4] {
    let right = x + side;
    [
        grid.before((x, y), x as isize - 1, (y + side - 1) as isize),
        grid.before((x, y), (right - 1) as isize, y as isize - 1),
        grid.before((x, y), right as isize, y as isize - 1),
        grid.before((x, y), x as isize - 1, y as isize - 1),
    ]
    .map(|cell| cell.map(|c| c.motion).filter(|m| !m.is_intra()))
}

/// What predicts the vector of a block into a reference frame: the median of three neighbors.
pub(super) fn predict_vector(grid: &Grid, place: (usize, usize, usize), reference: u8) -> Vector {
    let [left, above, right, corner] = neighbors(grid, place);
    let vector = |motion: Option<Motion>| {
        motion.map(|m| {
            m.vector_of(reference).unwrap_or_else(|| {
                let (from, to) = (grid.distance(m.references[0]), grid.distance(reference));
                scale(m.vectors[0], from, to)
            })
        })
    };
    let all = [vector(left), vector(above), vector(right.or(corner))];
    match (all.iter().flatten().count(), all) {
        (0, _) => grid.former(place).over(grid.distance(reference)).unwrap_or_default(),
        (1, _) => all.into_iter().flatten().next().unwrap_or_default(),
        _ => {
            let [a, b, c] = all.map(Option::unwrap_or_default);
            let median = |a: i16, b: i16, c: i16| a.max(b).min(a.min(b).max(c));
            [median(a[0], b[0], c[0]), median(a[1], b[1], c[1])]
        }
    }
}

/// Motions that a block can take over: those of its neighbors, that of the former frame at its place, and none. No two are the
/// same, but for the last ones.
pub(super) fn merge_candidates(grid: &Grid, place: (usize, usize, usize)) -> [Motion; MERGE_CANDIDATES] {
    let mut out = [Motion::single(0, [0; 2]); MERGE_CANDIDATES];
    let mut count = 0;
    let mut add = |motion: Motion| {
        if count < MERGE_CANDIDATES && !out[..count].contains(&motion) {
            out[count] = motion;
            count += 1;
        }
    };
    let [left, above, right, corner] = neighbors(grid, place);
    [left, above].into_iter().flatten().for_each(&mut add);
    let former = grid.former(place);
    let vectors = [0, 1].map(|r| former.over(grid.distance(r)));
    match vectors {
        [Some(a), Some(b)] if grid.is_between() => add(Motion { references: [0, 1], vectors: [a, b] }),
        [Some(a), _] => add(Motion::single(0, a)),
        _ => {}
    }
    [right, corner].into_iter().flatten().for_each(&mut add);
    if grid.is_between() {
        add(Motion { references: [0, 1], vectors: [[0; 2]; 2] });
    }
    add(Motion::single(0, [0; 2]));
    (1..grid.references).for_each(|r| add(Motion::single(r as u8, [0; 2])));
    out
}

//! The orders in which models write the codes of a frame.

use siskin_error::{Error, Result};

/// Frames that a layout which cannot stream may hold back: 5.8 hours at 50 Hz, 32 MiB of codes with 16 codebooks.
pub const MAX_HELD_FRAMES: u64 = 1 << 20;

/// What a column of a frame matrix holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Codes of this codebook.
    Code(usize),
    /// Text tokens, or others that are no codes of this stream.
    Text,
    /// Ignored, such as another speaker's codes.
    Ignored,
}

/// A column of a frame matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// What it holds.
    pub role: Role,
    /// Steps by which it lags.
    pub delay: u32,
}

/// The place of each code of a frame in a stream of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layout {
    /// One row of tokens per step, one column per codebook, possibly delayed, and other columns: `parallel`
    /// (no delays), `delayed` (MusicGen, Copet et al. 2023, arXiv 2306.05284, section 2.2; Moshi, Défossez et al.
    /// 2024, arXiv 2410.00037), and the frame matrix of Sesame's CSM, in which a frame of zeros is the end.
    Matrix {
        /// The columns of a row.
        columns: Vec<Column>,
        /// Whether a frame whose codes are all 0 ends the stream.
        zero_ends: bool,
    },
    /// One token after the other, a frame's codes in sequence; slot `i` holds codebook `order[i]`, and its ids begin at
    /// `offsets[i]`.
    Flat {
        /// Which codebook each slot of a frame holds.
        order: Vec<usize>,
        /// The id of code 0 in each slot.
        offsets: Vec<i64>,
    },
    /// The codes of the first group of codebooks for the whole clip, then of the next group: VALL-E (one codebook per
    /// group; Wang et al. 2023, arXiv 2301.02111), AudioLM (coarse and fine; Borsos et al. 2023, arXiv 2209.03143).
    /// Frames are complete with the last group only, so it does not stream.
    CoarseFirst {
        /// Codebooks of each group.
        groups: Vec<usize>,
    },
}

/// Slots of a SNAC group of 85 ms, `[c0, c1, c2, c2, c1, c2, c2]`, as places in `[c0 | c1 c1 | c2 c2 c2 c2]`
/// (Siuzdak et al. 2024, arXiv 2410.14411, as Orpheus flattens it).
pub(crate) const SNAC_ORDER: [usize; 7] = [0, 1, 3, 4, 2, 5, 6];
/// Limit of a column's delay: models delay by codebook, of which there are at most 1024, and the unpacker holds a frame per
/// step.
// Four times as many as the codebooks of a format.
const MAX_DELAY: u32 = 4096;

impl Layout {
    /// A frame's codes in one row.
    pub fn parallel(codebooks: usize) -> Self {
        Self::delayed(&vec![0; codebooks])
    }

    /// Codebook `k` delayed by `delays[k]` steps.
    pub fn delayed(delays: &[u32]) -> Self {
        let column = |(k, &delay)| Column { role: Role::Code(k), delay };
        Self::Matrix { columns: delays.iter().enumerate().map(column).collect(), zero_ends: false }
    }

    /// A frame's codes in sequence, codebook `k`'s ids from `base + k * size`.
    pub fn flat(base: i64, codebooks: usize, size: u32) -> Self {
        // A base beyond what `check_codebooks` allows stays beyond it, in place of an overflow.
        let offsets = (0..codebooks as i64).map(|k| base.saturating_add(k * i64::from(size))).collect();
        Self::Flat { order: (0..codebooks).collect(), offsets }
    }

    /// The seven slots of a SNAC group: its frame has the code of level 0, the two of level 1, the four of level 2,
    /// and slot `i`'s ids begin at `base + i * size`.
    pub fn snac(base: i64, size: u32) -> Self {
        // By slot and not by codebook: Orpheus gives each of the seven slots ids of its own.
        let offsets = (0..7).map(|k| base.saturating_add(k * i64::from(size))).collect();
        Self::Flat { order: SNAC_ORDER.to_vec(), offsets }
    }

    /// Checks that the layout has every one of `codebooks` codebooks exactly once.
    pub(crate) fn check_codebooks(&self, codebooks: usize) -> Result<()> {
        let bad = |found: String| Err(Error::parameter("layout", found, format!("{codebooks} codebooks")));
        match self {
            Self::Matrix { columns, .. } => {
                let mut seen = vec![false; codebooks];
                for column in columns {
                    if column.delay > MAX_DELAY {
                        return Err(Error::parameter("delay", column.delay, format!("0 to {MAX_DELAY}")));
                    }
                    if let Role::Code(k) = column.role {
                        match seen.get_mut(k) {
                            Some(seen) if !*seen => *seen = true,
                            _ => return bad(format!("a column of codebook {k}")),
                        }
                    }
                }
                // More columns than any model has; a bound, since a row is held in memory.
                if columns.len() > 4096 || seen.contains(&false) {
                    let found = seen.iter().filter(|s| **s).count();
                    return bad(format!("{found} code columns of {}", columns.len()));
                }
            }
            Self::Flat { order, offsets } => {
                let mut sorted = order.clone();
                sorted.sort_unstable();
                if !sorted.into_iter().eq(0..codebooks) || offsets.len() != codebooks {
                    return bad(format!("{} slots", order.len()));
                }
                // Well inside i64, so that adding a code cannot overflow.
                if offsets.iter().any(|o| o.unsigned_abs() > 1 << 48) {
                    return Err(Error::parameter("offset", "beyond 2^48", "up to 2^48"));
                }
            }
            Self::CoarseFirst { groups } => {
                if groups.iter().sum::<usize>() != codebooks || groups.contains(&0) {
                    return bad(format!("groups {groups:?}"));
                }
            }
        }
        Ok(())
    }

    /// One above the highest id of a code.
    pub(crate) fn end_id(&self, size: u32) -> i64 {
        match self {
            // Offsets may be in any order, and slots may overlap.
            Self::Flat { offsets, .. } => offsets.iter().max().copied().unwrap_or_default() + i64::from(size),
            _ => size.into(),
        }
    }

    /// The lowest id of a code.
    pub(crate) fn lowest_id(&self) -> i64 {
        match self {
            Self::Flat { offsets, .. } => offsets.iter().min().copied().unwrap_or_default(),
            _ => 0,
        }
    }

    /// Tokens per row of a matrix or per frame of a flat stream; 1 for a layout without rows.
    pub fn tokens_per_row(&self) -> usize {
        match self {
            Self::Matrix { columns, .. } => columns.len(),
            Self::Flat { order, .. } => order.len(),
            Self::CoarseFirst { .. } => 1,
        }
    }

    /// The longest delay of a column in steps: a frame is complete that many rows after its first code.
    pub fn max_delay(&self) -> u32 {
        match self {
            Self::Matrix { columns, .. } => {
                let code = columns.iter().filter(|c| matches!(c.role, Role::Code(_)));
                code.map(|c| c.delay).max().unwrap_or_default()
            }
            _ => 0,
        }
    }
}

//! The orders in which models write the codes of a frame.

use std::fmt::Write;

use crate::{Error, Result};

/// What a column of a frame matrix holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Codes of this codebook.
    Code(usize),
    /// Text tokens, or others that are no codes of this stream.
    Text,
    /// Something that is not looked at, such as another speaker's codes.
    Ignored,
}

/// A column of a frame matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// What it holds.
    pub role: Role,
    /// By how many steps it comes late.
    pub delay: u32,
}

/// Where each of a frame's codes is found in a stream of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layout {
    /// One row of tokens a step, a column each codebook, perhaps late, and other columns beside them: `parallel`
    /// (no delays), `delayed` (MusicGen, Copet et al. 2023, arXiv 2306.05284, section 2.2; Moshi, Défossez et al.
    /// 2024, arXiv 2410.00037), and the frame matrix of Sesame's CSM, in which a frame of zeros is the end.
    Matrix {
        /// The columns of a row.
        columns: Vec<Column>,
        /// Whether a frame whose codes are all 0 ends the stream.
        zero_ends: bool,
    },
    /// One token after the other, a frame's codes in a row; slot `i` holds codebook `order[i]`, and its ids begin at
    /// `offsets[i]`.
    Flat {
        /// Which codebook each slot of a frame holds.
        order: Vec<usize>,
        /// The id of code 0 in each slot.
        offsets: Vec<i64>,
    },
    /// The codes of the first group of codebooks for the whole clip, then of the next group: VALL-E (a codebook a
    /// group; Wang et al. 2023, arXiv 2301.02111), AudioLM (coarse and fine; Borsos et al. 2023, arXiv 2209.03143).
    /// Frames become whole with the last group only, so it does not stream.
    CoarseFirst {
        /// Codebooks of each group.
        groups: Vec<usize>,
    },
}

/// Slots of a SNAC group of 85 ms, `[c0, c1, c2, c2, c1, c2, c2]`, as places in `[c0 | c1 c1 | c2 c2 c2 c2]`
/// (Siuzdak et al. 2024, arXiv 2410.14411, as Orpheus flattens it).
const SNAC_ORDER: [usize; 7] = [0, 1, 3, 4, 2, 5, 6];
/// Most steps that a column may come late.
const MOST_DELAY: u32 = 4096;

impl Layout {
    /// All of a frame's codes in one row.
    pub fn parallel(codebooks: usize) -> Self {
        Self::delayed(&vec![0; codebooks])
    }

    /// Codebook `k` late by `delays[k]` steps.
    pub fn delayed(delays: &[u32]) -> Self {
        let column = |(k, &delay)| Column { role: Role::Code(k), delay };
        Self::Matrix { columns: delays.iter().enumerate().map(column).collect(), zero_ends: false }
    }

    /// A frame's codes in a row, codebook `k`'s ids from `base + k * size`.
    pub fn flat(base: i64, codebooks: usize, size: u32) -> Self {
        let offsets = (0..codebooks as i64).map(|k| base + k * i64::from(size)).collect();
        Self::Flat { order: (0..codebooks).collect(), offsets }
    }

    /// The seven slots of a SNAC group: its frame has the code of level 0, the two of level 1, the four of level 2,
    /// and slot `i`'s ids begin at `base + i * size`.
    pub fn snac(base: i64, size: u32) -> Self {
        let offsets = (0..7).map(|k| base + k * i64::from(size)).collect();
        Self::Flat { order: SNAC_ORDER.to_vec(), offsets }
    }

    /// Reads a layout's name for frames of `codebooks` codes below `size`:
    ///
    /// - `parallel`;
    /// - `delayed` (codebook k late by k steps) or `delayed:0,1,1,...`;
    /// - `columns:t,c,c@1*7,x,x@1*7`: a row's columns, `t` text, `c` the next codebook, `x` ignored, each with `@DELAY`
    ///   and `*COUNT` if not 0 and 1;
    /// - `moshi`: text, the own codebooks with all but the first late by 1, then as many of the other speaker;
    /// - `csm`: the codebooks, then text; a frame of zeros is the end;
    /// - `flat` or `flat:BASE`: in a row, codebook k's ids from BASE + k * size; `flat-plain`: without offsets;
    /// - `snac` or `snac:BASE`: seven slots, ids as in `flat`;
    /// - `coarse-first` (a codebook a group) or `coarse-first:1,7`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for any other name or one that does not fit `codebooks`.
    pub fn parse(name: &str, codebooks: usize, size: u32) -> Result<Self> {
        let (kind, rest) = name.split_once(':').map_or((name, None), |(k, r)| (k, Some(r)));
        let bad = || {
            Error::parameter(
                "layout",
                name,
                "parallel, delayed, columns, moshi, csm, flat, snac, coarse-first",
            )
        };
        let base = || rest.map_or(Ok(0), |r| r.parse::<i64>().map_err(|_| bad()));
        let counts = |text: &str| -> Result<Vec<u32>> {
            text.split(',').map(|n| n.trim().parse().map_err(|_| bad())).collect()
        };
        let layout = match (kind, rest) {
            ("parallel", None) => Self::parallel(codebooks),
            ("delayed", None) => Self::delayed(&(0..codebooks as u32).collect::<Vec<_>>()),
            ("delayed", Some(list)) => Self::delayed(&counts(list)?),
            ("columns", Some(list)) => parse_columns(list).ok_or_else(bad)?,
            ("moshi", None) => {
                let late = |first| format!("{first},{first}@1*{}", codebooks.saturating_sub(1));
                let list =
                    if codebooks == 1 { "t,c,x".into() } else { format!("t,{},{}", late('c'), late('x')) };
                parse_columns(&list).ok_or_else(bad)?
            }
            ("csm", None) => {
                let Self::Matrix { mut columns, .. } = Self::parallel(codebooks) else { return Err(bad()) };
                columns.push(Column { role: Role::Text, delay: 0 });
                Self::Matrix { columns, zero_ends: true }
            }
            ("flat", _) => Self::flat(base()?, codebooks, size),
            ("flat-plain", None) => {
                Self::Flat { order: (0..codebooks).collect(), offsets: vec![0; codebooks] }
            }
            ("snac", _) => Self::snac(base()?, size),
            ("coarse-first", None) => Self::CoarseFirst { groups: vec![1; codebooks] },
            ("coarse-first", Some(list)) => {
                Self::CoarseFirst { groups: counts(list)?.into_iter().map(|n| n as usize).collect() }
            }
            _ => return Err(bad()),
        };
        layout.check(codebooks)?;
        Ok(layout)
    }

    /// Checks that the layout is one of frames of `codebooks` codes.
    pub(super) fn check(&self, codebooks: usize) -> Result<()> {
        let bad = |found: String| Err(Error::parameter("layout", found, format!("{codebooks} codebooks")));
        match self {
            Self::Matrix { columns, .. } => {
                let mut seen = vec![false; codebooks];
                for column in columns {
                    if column.delay > MOST_DELAY {
                        return Err(Error::parameter("delay", column.delay, format!("0 to {MOST_DELAY}")));
                    }
                    if let Role::Code(k) = column.role {
                        match seen.get_mut(k) {
                            Some(seen) if !*seen => *seen = true,
                            _ => return bad(format!("a column of codebook {k}")),
                        }
                    }
                }
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
    pub(super) fn top(&self, _codebooks: usize, size: u32) -> i64 {
        match self {
            Self::Flat { offsets, .. } => offsets.iter().max().copied().unwrap_or_default() + i64::from(size),
            _ => size.into(),
        }
    }

    /// The lowest id of a code.
    pub(super) fn bottom(&self) -> i64 {
        match self {
            Self::Flat { offsets, .. } => offsets.iter().min().copied().unwrap_or_default(),
            _ => 0,
        }
    }

    /// Tokens in a row of a matrix, or in a frame of a flat stream; 1 where tokens come in no rows.
    pub fn row(&self) -> usize {
        match self {
            Self::Matrix { columns, .. } => columns.len(),
            Self::Flat { order, .. } => order.len(),
            Self::CoarseFirst { .. } => 1,
        }
    }

    /// Steps by which the last column comes late: a frame is whole so many rows after its first code.
    pub fn delay(&self) -> u32 {
        match self {
            Self::Matrix { columns, .. } => {
                let code = columns.iter().filter(|c| matches!(c.role, Role::Code(_)));
                code.map(|c| c.delay).max().unwrap_or_default()
            }
            _ => 0,
        }
    }
}

fn parse_columns(list: &str) -> Option<Layout> {
    let (mut columns, mut next) = (Vec::new(), 0);
    for item in list.split(',') {
        let (item, count) = item.split_once('*').map_or((item, 1), |(i, n)| (i, n.parse().unwrap_or(0)));
        let (kind, delay) = item.split_once('@').map_or((item, Some(0)), |(i, d)| (i, d.parse().ok()));
        if !(1..=1024).contains(&count) {
            return None;
        }
        for _ in 0..count {
            let role = match kind {
                "c" => {
                    next += 1;
                    Role::Code(next - 1)
                }
                "t" => Role::Text,
                "x" => Role::Ignored,
                _ => return None,
            };
            columns.push(Column { role, delay: delay? });
        }
    }
    Some(Layout::Matrix { columns, zero_ends: false })
}

impl std::fmt::Display for Layout {
    /// A name that [`Layout::parse`] reads; for offsets and orders that have none, a description.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let join = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(",");
        match self {
            Self::Matrix { columns, zero_ends: false } => {
                let plain = columns.iter().enumerate().all(|(k, c)| c.role == Role::Code(k));
                if plain && columns.iter().all(|c| c.delay == 0) {
                    return f.write_str("parallel");
                }
                if plain {
                    let delays = join(&mut columns.iter().map(|c| c.delay.to_string()));
                    return write!(f, "delayed:{delays}");
                }
                let item = |c: &Column| {
                    let mut text = match c.role {
                        Role::Code(_) => "c".to_owned(),
                        Role::Text => "t".to_owned(),
                        Role::Ignored => "x".to_owned(),
                    };
                    if c.delay > 0 {
                        write!(text, "@{}", c.delay).ok();
                    }
                    text
                };
                write!(f, "columns:{}", join(&mut columns.iter().map(item)))
            }
            Self::Matrix { zero_ends: true, .. } => f.write_str("csm"),
            Self::Flat { order, offsets } => {
                let base = offsets.first().copied().unwrap_or_default();
                let plain = offsets.len() > 1 && offsets.iter().all(|&o| o == 0);
                match (order.as_slice() == SNAC_ORDER, plain) {
                    (true, _) => write!(f, "snac:{base}"),
                    (false, true) => f.write_str("flat-plain"),
                    (false, false) => write!(f, "flat:{base}"),
                }
            }
            Self::CoarseFirst { groups } => {
                write!(f, "coarse-first:{}", join(&mut groups.iter().map(usize::to_string)))
            }
        }
    }
}

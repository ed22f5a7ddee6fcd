//! Names of layouts: `delayed:0,1,1`, `columns:t,c,c@1*7` and so on.

use std::fmt::Write;

use siskin_error::{Error, Result};

use crate::tokens::layout::{Column, Layout, Role, SNAC_ORDER};

impl Layout {
    /// Parses a layout's name for frames of `codebooks` codes below `size`:
    ///
    /// - `parallel`;
    /// - `delayed` (codebook k delayed by k steps) or `delayed:0,1,1,...`;
    /// - `columns:t,c,c@1*7,x,x@1*7`: a row's columns, `t` text, `c` the next codebook, `x` ignored, each with `@DELAY`
    ///   and `*COUNT` if not 0 and 1;
    /// - `moshi`: text, the own codebooks with all but the first delayed by 1, then as many of the other speaker;
    /// - `csm`: the codebooks, then text; a frame of zeros is the end;
    /// - `flat` or `flat:BASE`: in sequence, codebook k's ids from BASE + k * size; `flat-plain`: without offsets;
    /// - `snac` or `snac:BASE`: seven slots, ids as in `flat`;
    /// - `coarse-first` (one codebook per group) or `coarse-first:1,7`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for any other name or one that does not fit `codebooks`.
    ///
    /// ```
    /// use siskin_audio::tokens::Layout;
    ///
    /// let moshi = Layout::parse("moshi", 8, 2048)?;
    /// assert_eq!((moshi.tokens_per_row(), moshi.max_delay()), (17, 1));
    /// assert_eq!(moshi.to_string(), "columns:t,c,c@1,c@1,c@1,c@1,c@1,c@1,c@1,x,x@1,x@1,x@1,x@1,x@1,x@1,x@1");
    /// assert!(Layout::parse("delayed:0,1", 8, 2048).is_err(), "two delays for eight codebooks");
    /// # Ok::<(), siskin_audio::Error>(())
    /// ```
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
                // The semantic codebook has no delay, the acoustic ones one step.
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
        layout.check_codebooks(codebooks)?;
        Ok(layout)
    }
}

fn parse_columns(list: &str) -> Option<Layout> {
    let (mut columns, mut next) = (Vec::new(), 0);
    for item in list.split(',') {
        let (item, count) = item.split_once('*').map_or((item, 1), |(i, n)| (i, n.parse().unwrap_or(0)));
        let (kind, delay) = item.split_once('@').map_or((item, Some(0)), |(i, d)| (i, d.parse().ok()));
        // Bounds the expansion of `c*1000000000`.
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
    /// A name that [`Layout::parse`] parses; offsets and orders without a name are described by their first offset.
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
            // The only layout in which a frame of zeros ends the stream.
            Self::Matrix { zero_ends: true, .. } => f.write_str("csm"),
            Self::Flat { order, offsets } => {
                let base = offsets.first().copied().unwrap_or_default();
                // A single slot at offset 0 is `flat:0`.
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

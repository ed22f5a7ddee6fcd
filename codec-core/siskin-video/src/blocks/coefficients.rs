//! How the quantized coefficients of a transform block are coded: the last nonzero one, then backwards, with contexts from
//! what is known of the neighbors at higher frequencies, as in ITU-T H.266 (9.3.4.2).

use siskin_entropy::binary::BitCoder;

use super::contexts::{self, Contexts, LAST_CLASSES};
use crate::{Error, Result};
use siskin_error::OffsetUnit;

/// Largest magnitude of a level.
pub(super) const MAX_LEVEL: i32 = 32_767;

/// Columns and rows of the positions in a square, diagonal by diagonal, each from lower left to upper right.
const fn diagonal<const COUNT: usize>(side: u8) -> [(u8, u8); COUNT] {
    let (mut out, mut i, mut d) = ([(0, 0); COUNT], 0, 0);
    while d < 2 * side - 1 {
        let mut x = if d < side { 0 } else { d - side + 1 };
        while x <= d && x < side {
            out[i] = (x, d - x);
            (i, x) = (i + 1, x + 1);
        }
        d += 1;
    }
    out
}

static SCAN_1: [(u8, u8); 1] = diagonal(1);
static SCAN_2: [(u8, u8); 4] = diagonal(2);
static SCAN_4: [(u8, u8); 16] = diagonal(4);
static SCAN_8: [(u8, u8); 64] = diagonal(8);

/// Groups of 4x4 coefficients of a block of `1 << log` in the order of coding, lowest frequencies first.
pub(super) fn group_scan(log: u32) -> &'static [(u8, u8)] {
    match log {
        2 => &SCAN_1,
        3 => &SCAN_2,
        4 => &SCAN_4,
        _ => &SCAN_8,
    }
}

/// The same of the coefficients of a group.
pub(super) fn scan() -> &'static [(u8, u8); 16] {
    &SCAN_4
}

/// Class of a last coordinate, and what of it raw bits say: `(class, bits, rest)`.
pub(super) fn last_class(value: usize) -> (usize, u32, u32) {
    if value < 4 {
        return (value, 0, 0);
    }
    let bits = value.ilog2() - 1;
    let class = 2 * value.ilog2() as usize + (value >> bits & 1);
    (class, bits, (value & ((1 << bits) - 1)) as u32)
}

/// What the levels at higher frequencies that are known so far say of each coefficient: the sum of their magnitudes, and in the bits from
/// [`ONE`] on how many there are. Two columns and rows come before the first, so of a block of `N` each row has `STRIDE = N + 2`, and all
/// have `AREA`, its square.
// Few levels are not zero, so those tell the five places that ask for them, and each place has one number to look up.
pub(super) struct Magnitudes<const STRIDE: usize, const AREA: usize>([u16; AREA]);

/// Sums of five magnitudes of up to 255 are below.
const ONE: u16 = 1 << 11;

/// What the neighbors of a coefficient at higher frequencies say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Template {
    sum: u32,
    count: u32,
}

impl<const STRIDE: usize, const AREA: usize> Magnitudes<STRIDE, AREA> {
    pub(super) fn new() -> Self {
        Self([0; AREA])
    }

    /// Says that a level is not zero. It was until now.
    #[inline]
    pub(super) fn set(&mut self, x: usize, y: usize, level: u32) {
        let change = level.min(255) as u16 | ONE;
        self.change(x, y, |v| v + change);
    }

    /// Says that a level is zero after all.
    #[inline]
    pub(super) fn take_back(&mut self, x: usize, y: usize, level: u32) {
        let change = level.min(255) as u16 | ONE;
        self.change(x, y, |v| v - change);
    }

    /// Changes what the places that look at (x, y) find.
    #[inline]
    fn change(&mut self, x: usize, y: usize, by: impl Fn(u16) -> u16) {
        let from = y * STRIDE + x;
        // Two rows above, one row above, and on the left.
        let window = &mut self.0[from..][..2 * STRIDE + 2];
        for at in [2, STRIDE + 1, STRIDE + 2, 2 * STRIDE, 2 * STRIDE + 1] {
            window[at] = by(window[at]);
        }
    }

    #[inline]
    pub(super) fn template(&self, x: usize, y: usize) -> Template {
        let found = self.0[(y + 2) * STRIDE + x + 2];
        Template { sum: u32::from(found % ONE), count: u32::from(found / ONE) }
    }
}

/// Contexts of a block: `chroma` 0 or 1, side `1 << log`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) chroma: usize,
    pub(super) log: u32,
}

impl Place {
    #[inline]
    pub(super) fn nonzero(self, template: Template, diagonal: usize) -> usize {
        let far = match diagonal {
            0..2 => 2,
            2..5 => 1,
            _ => 0,
        };
        let size = (self.log as usize - 2).min(2);
        contexts::NONZERO
            + ((self.chroma * 3 + size) * 3 + far) * 4
            + template.sum.div_ceil(2).min(3) as usize
    }

    /// Context of "above one"; that of "above two" is as far behind [`contexts::ABOVE_TWO`].
    #[inline]
    pub(super) fn above_one(self, template: Template, diagonal: usize) -> usize {
        let far = match diagonal {
            0 => 3,
            1..3 => 2,
            3..10 => 1,
            _ => 0,
        };
        contexts::ABOVE_ONE + (self.chroma * 4 + far) * 5 + (template.sum - template.count).min(4) as usize
    }

    pub(super) fn last(self, is_row: bool, class: usize) -> usize {
        let block = (self.chroma * 2 + usize::from(is_row)) * 4 + self.log as usize - 2;
        contexts::LAST + block * LAST_CLASSES + class
    }

    pub(super) fn group(self, beside: bool) -> usize {
        contexts::GROUP + self.chroma * 2 + usize::from(beside)
    }

    /// The highest class of a last coordinate.
    pub(super) fn last_classes(self) -> usize {
        2 * self.log as usize - 1
    }
}

/// Raw bits of the remainder, by the neighbors.
pub(super) fn rice(template: Template) -> u32 {
    match template.sum {
        0..8 => 0,
        8..18 => 1,
        18..36 => 2,
        36..80 => 3,
        _ => 4,
    }
}

/// Bits that a remainder takes.
pub(super) fn remainder_bits(rest: u32, rice: u32) -> u32 {
    let prefix = rest >> rice;
    if prefix < 4 { prefix + 1 + rice } else { 2 * ((prefix - 3).ilog2()) + 5 + rice }
}

/// A magnitude beyond those that have contexts: quotients below 4 in unary, others by an exponential code.
fn code_remainder<C: BitCoder>(coder: &mut C, rest: u32, rice: u32) -> Result<u32> {
    let quotient = rest >> rice;
    let wanted = if quotient < 4 { quotient } else { 4 + (quotient - 3).ilog2() };
    // Unary: ones, then a zero.
    let mut found = 0;
    while coder.code_raw_bits(1, u32::from(found < wanted))? == 1 {
        found += 1;
        if found > 20 {
            let reason = "a remainder that no encoder writes";
            return Err(Error::bitstream_at(OffsetUnit::Decision, "coefficients", "level", 0, reason));
        }
    }
    let quotient = if found < 4 {
        found
    } else {
        let bits = found - 4;
        // From 4 on the quotient less 3 has `bits + 1` bits, whose highest is one.
        (1 << bits | coder.code_raw_bits(bits, quotient.wrapping_sub(3) & ((1 << bits) - 1))?) + 3
    };
    Ok(quotient << rice | coder.code_raw_bits(rice, rest & ((1 << rice) - 1))?)
}

/// Columns and rows up to the last that holds a level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl Extent {
    pub(super) fn include(&mut self, x: usize, y: usize) {
        (self.columns, self.rows) = (self.columns.max(x + 1), self.rows.max(y + 1));
    }
}

/// Codes or reads the levels of a block that has any, row by row; what is read goes into zeros.
///
/// # Errors
/// [`Error::Bitstream`] for what no encoder writes.
pub(super) fn code_levels<C: BitCoder>(
    coder: &mut C,
    contexts: &mut Contexts,
    place: Place,
    levels: &mut [i16],
) -> Result<Extent> {
    // Less memory to clear where blocks are small: most are.
    match place.log {
        2 => code_levels_of::<C, 6, 36>(coder, contexts, place, levels),
        3 => code_levels_of::<C, 10, 100>(coder, contexts, place, levels),
        4 => code_levels_of::<C, 18, 324>(coder, contexts, place, levels),
        _ => code_levels_of::<C, 34, 1156>(coder, contexts, place, levels),
    }
}

fn code_levels_of<C: BitCoder, const STRIDE: usize, const AREA: usize>(
    coder: &mut C,
    contexts: &mut Contexts,
    place: Place,
    levels: &mut [i16],
) -> Result<Extent> {
    let (side, groups) = (1usize << place.log, group_scan(place.log));
    let mut extent = Extent::default();
    let (last_group, last) = code_last(coder, contexts, place, levels)?;
    let mut magnitudes = Magnitudes::<STRIDE, AREA>::new();
    let mut coded = [[false; 9]; 9];
    for (index, &(gx, gy)) in groups[..=last_group].iter().enumerate().rev() {
        let (gx, gy) = (usize::from(gx), usize::from(gy));
        let is_last = index == last_group;
        let mut is_coded = true;
        if !is_last && index > 0 {
            let wanted = scan()
                .iter()
                .any(|&(x, y)| levels[(4 * gy + usize::from(y)) * side + 4 * gx + usize::from(x)] != 0);
            let beside = coded[gy][gx + 1] || coded[gy + 1][gx];
            is_coded = coder.code_bit(contexts.at(place.group(beside)), wanted)?;
        }
        coded[gy][gx] = is_coded;
        if !is_coded {
            continue;
        }
        // A group that is said to be coded has a nonzero level, so its last chance needs no decision.
        let mut is_implied = !is_last && index > 0;
        let first = if is_last { last } else { 15 };
        for position in (0..=first).rev() {
            let (x, y) = scan()[position];
            let (x, y) = (4 * gx + usize::from(x), 4 * gy + usize::from(y));
            let own = &mut levels[y * side + x];
            let template = magnitudes.template(x, y);
            let is_nonzero = if (is_last && position == last) || (is_implied && position == 0) {
                true
            } else {
                coder.code_bit(contexts.at(place.nonzero(template, x + y)), *own != 0)?
            };
            if !is_nonzero {
                continue;
            }
            is_implied = false;
            let wanted = u32::from(own.unsigned_abs());
            let context = place.above_one(template, x + y);
            let mut size = 1;
            if coder.code_bit(contexts.at(context), wanted > 1)? {
                size = 2;
                let context = context - contexts::ABOVE_ONE + contexts::ABOVE_TWO;
                if coder.code_bit(contexts.at(context), wanted > 2)? {
                    size = 3 + code_remainder(coder, wanted.saturating_sub(3), rice(template))?;
                }
            }
            if size > MAX_LEVEL as u32 {
                let reason = format!("{size}, allowed: up to {MAX_LEVEL}");
                return Err(Error::bitstream_at(OffsetUnit::Decision, "coefficients", "level", 0, reason));
            }
            let is_negative = coder.code_raw_bits(1, u32::from(*own < 0))? == 1;
            *own = if is_negative { -(size as i32) as i16 } else { size as i16 };
            magnitudes.set(x, y, size);
            extent.include(x, y);
        }
    }
    Ok(extent)
}

/// Codes where the last nonzero level is: its group and its position there.
fn code_last<C: BitCoder>(
    coder: &mut C,
    contexts: &mut Contexts,
    place: Place,
    levels: &[i16],
) -> Result<(usize, usize)> {
    let (side, groups) = (1usize << place.log, group_scan(place.log));
    let at = |group: usize, position: usize| {
        let ((gx, gy), (x, y)) = (groups[group], scan()[position]);
        (usize::from(4 * gx + x), usize::from(4 * gy + y))
    };
    let is_empty = |&(gx, gy): &(u8, u8)| {
        let rows = (0..4).map(|row| (4 * usize::from(gy) + row) * side + 4 * usize::from(gx));
        rows.into_iter().all(|from| levels[from..].first_chunk() == Some(&[0i16; 4]))
    };
    // The coder of a decoder does not look at what it is given.
    let group = if C::IS_READER { None } else { groups.iter().rposition(|group| !is_empty(group)) };
    let places = group.into_iter().flat_map(|g| (0..16).rev().map(move |p| at(g, p)));
    let wanted = places.into_iter().find(|&(x, y)| levels[y * side + x] != 0).unwrap_or((0, 0));
    let mut found = [0; 2];
    for (is_row, (found, wanted)) in found.iter_mut().zip([wanted.0, wanted.1]).enumerate() {
        let (goal, _, rest) = last_class(wanted);
        let mut class = 0;
        while class < place.last_classes()
            && coder.code_bit(contexts.at(place.last(is_row == 1, class)), class < goal)?
        {
            class += 1;
        }
        *found = if class < 4 {
            class
        } else {
            let bits = class as u32 / 2 - 1;
            (2 | class & 1) << bits | coder.code_raw_bits(bits, rest)? as usize
        };
    }
    let [x, y] = found;
    let group = (x as u8 / 4, y as u8 / 4);
    let inner = (x as u8 % 4, y as u8 % 4);
    // Both are below the side, since classes end there.
    let find = |all: &[(u8, u8)], one: (u8, u8)| all.iter().position(|&p| p == one).unwrap_or(0);
    Ok((find(groups, group), find(scan(), inner)))
}

#[cfg(test)]
mod tests {
    use siskin_entropy::range::{RangeDecoder, RangeEncoder};

    use super::*;

    #[test]
    fn levels_of_all_sizes_come_back() {
        let mut seed = 1u32;
        let mut random = |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % below
        };
        let mut blocks = Vec::new();
        for i in 0..400 {
            let log = 2 + i % 4;
            let rare = 1 + random(60);
            let mut levels: Vec<i16> = (0..1usize << (2 * log))
                .map(|_| if random(rare) == 0 { random(6) as i16 - 2 } else { 0 })
                .collect();
            let place = random(levels.len() as u32) as usize;
            levels[place] = [1, -1, 300, -32_767, 32_767, 9, 40][random(7) as usize];
            blocks.push((Place { chroma: (i % 2) as usize, log }, levels));
        }
        let (mut coder, mut contexts) = (RangeEncoder::default(), Contexts::new());
        for (place, levels) in &mut blocks {
            code_levels(&mut coder, &mut contexts, *place, levels).expect("levels");
        }
        let mut bytes = Vec::new();
        coder.finish_into(&mut bytes);
        let (mut coder, mut contexts) = (RangeDecoder::new(&bytes), Contexts::new());
        for (place, levels) in &blocks {
            let mut found = vec![0; levels.len()];
            code_levels(&mut coder, &mut contexts, *place, &mut found).expect("levels");
            assert_eq!(found, *levels);
        }
        assert!(coder.may_be_at_end());
    }

    #[test]
    fn last_coordinates_have_classes() {
        for value in 0..32 {
            let (class, bits, rest) = last_class(value);
            let back = if class < 4 { class } else { (2 | class & 1) << bits | rest as usize };
            assert_eq!(back, value);
            assert!(class < LAST_CLASSES);
        }
    }
}

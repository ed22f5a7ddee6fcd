//! Rate-distortion optimized quantization: levels that minimize `D + lambda R` with the contexts as they are.

use super::coefficients::{Extent, MAX_LEVEL, Magnitudes, Place, group_scan, remainder_bits, rice, scan};
use super::contexts;
use super::costs::Costs;
use super::vector::vectorized;

/// A magnitude below this part of a step is zero: no choice of contexts makes it worth a level.
const MIN_MAGNITUDE: f32 = 0.55;

/// A level that is not zero, by its place, with its cost, what of that is the flag that says so, and the cost of what follows up to the
/// next such level: zeros and flags of groups. All are costs less those of a zero that costs nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    x: u8,
    y: u8,
    cost: f32,
    flag: f32,
    behind: f32,
}

/// What quantizing a block cost.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Quantized {
    /// Whether any level is nonzero.
    pub(super) is_coded: bool,
    /// Bits of the levels.
    pub(super) bits: f32,
    /// Where they are.
    pub(super) extent: Extent,
}

/// Bits of the magnitude of a nonzero level, its sign among them.
#[inline]
fn magnitude_bits(costs: &Costs, context: usize, rice: u32, size: u32) -> f32 {
    let above_two = context - contexts::ABOVE_ONE + contexts::ABOVE_TWO;
    1.0 + match size {
        1 => costs.of(context, false),
        2 => costs.of(context, true) + costs.of(above_two, false),
        _ => costs.of(context, true) + costs.of(above_two, true) + remainder_bits(size - 3, rice) as f32,
    }
}

/// What there is of coefficients above `limit` in the first `KEPT` columns and rows: at least the sum of their squares, over 16, and the
/// groups of 4x4 that have any, a bit for each, eight in a row.
#[inline(always)]
fn find_large<const N: usize, const KEPT: usize>(coefficients: &[i16], limit: u16) -> (u64, u64) {
    let (mut sum, mut groups) = (0u64, 0u64);
    let (rows, _) = coefficients.as_chunks::<N>();
    for (gy, rows) in rows[..KEPT].as_chunks::<4>().0.iter().enumerate() {
        let (mut parts, mut largest) = ([0u32; KEPT], [0u16; KEPT]);
        for row in rows {
            for c in 0..KEPT {
                let size = row[c].unsigned_abs();
                largest[c] = largest[c].max(size);
                let quarter = if size > limit { size.saturating_add(3) >> 2 } else { 0 };
                parts[c] += u32::from(quarter) * u32::from(quarter);
            }
        }
        sum += parts.iter().map(|&v| u64::from(v)).sum::<u64>();
        for (gx, largest) in largest.as_chunks::<4>().0.iter().enumerate() {
            let largest = largest[0].max(largest[1]).max(largest[2]).max(largest[3]);
            groups |= u64::from(largest > limit) << (8 * gy + gx);
        }
    }
    (sum, groups)
}

/// Quantizes a block of coefficients to `levels`, both row by row. `step` is in 64ths of a level, `lambda` the cost of a bit
/// in squared steps.
pub(super) fn quantize(
    costs: &Costs,
    place: Place,
    coefficients: &[i16],
    steps: (i32, f32),
    levels: &mut [i16],
    entries: &mut Vec<Entry>,
) -> Quantized {
    match place.log {
        2 => quantize_of::<4, 4, 6, 36>(costs, place, coefficients, steps, levels, entries),
        3 => quantize_of::<8, 8, 10, 100>(costs, place, coefficients, steps, levels, entries),
        4 => quantize_of::<16, 16, 18, 324>(costs, place, coefficients, steps, levels, entries),
        // Of 32 an encoder has the lower half of frequencies alone.
        _ => quantize_of::<32, 16, 18, 324>(costs, place, coefficients, steps, levels, entries),
    }
}

fn quantize_of<const N: usize, const KEPT: usize, const STRIDE: usize, const AREA: usize>(
    costs: &Costs,
    place: Place,
    coefficients: &[i16],
    (step, lambda): (i32, f32),
    levels: &mut [i16],
    entries: &mut Vec<Entry>,
) -> Quantized {
    let groups = group_scan(place.log);
    // As `dequantize` has it: a level is this many units of a coefficient.
    let inverse = (1 << (place.log - 1)) as f32 / step as f32;
    let limit = ((MIN_MAGNITUDE / inverse) as i32).clamp(0, i16::MAX.into()) as u16;
    levels.fill(0);
    // Most blocks have so little that not even all of it pays for a place and a sign.
    let (energy, large) = vectorized(
        #[inline(always)]
        || find_large::<N, KEPT>(coefficients, limit),
    );
    if (16 * energy) as f32 * inverse * inverse <= lambda * (1.0 + costs.least_last(place)) {
        return Quantized::default();
    }
    let is_large = |&(gx, gy): &(u8, u8)| large >> (8 * gy + gx) & 1 != 0;
    let Some(last_group) = groups.iter().rposition(is_large) else { return Quantized::default() };
    let mut magnitudes = Magnitudes::<STRIDE, AREA>::new();
    let mut coded = [[false; 9]; 9];
    entries.clear();
    for (group, corner) in groups.iter().enumerate().take(last_group + 1).rev() {
        let (gx, gy) = (usize::from(corner.0), usize::from(corner.1));
        let beside = coded[gy][gx + 1] || coded[gy + 1][gx];
        // Groups before the last one that has levels cost nothing; until there is one, no flag is counted.
        let has_flag = group > 0 && !entries.is_empty();
        let [no, yes] = [false, true].map(|v| lambda * costs.of(place.group(beside), v));
        if group > 0 && !is_large(corner) {
            if let Some(entry) = entries.last_mut() {
                entry.behind += no;
            }
            continue;
        }
        let begin = entries.len();
        let before = entries.last().map_or(0.0, |entry| entry.behind);
        let mut sum = 0.0;
        for &(x, y) in scan().iter().rev() {
            let (x, y) = (4 * gx + usize::from(x), 4 * gy + usize::from(y));
            let value = f32::from(coefficients[y * N + x].unsigned_abs()) * inverse;
            if value <= MIN_MAGNITUDE && entries.is_empty() {
                continue;
            }
            let template = magnitudes.template(x, y);
            let nonzero = place.nonzero(template, x + y);
            let mut zero = lambda * costs.of(nonzero, false);
            if value > MIN_MAGNITUDE {
                let (context, k) = (place.above_one(template, x + y), rice(template));
                let most = ((value + 0.5) as i32).clamp(1, MAX_LEVEL) as u32;
                let flag = costs.of(nonzero, true);
                let (mut least, mut size) = (zero, 0);
                for one in most.saturating_sub(1).max(1)..=most {
                    let bits = flag + magnitude_bits(costs, context, k, one);
                    let error = value - one as f32;
                    // The error of a zero is the base line.
                    let cost = error * error - value * value + lambda * bits;
                    if cost < least {
                        (least, size) = (cost, one);
                    }
                }
                if size > 0 {
                    let flag = lambda * flag;
                    entries.push(Entry { x: x as u8, y: y as u8, cost: least, flag, behind: 0.0 });
                    sum += least;
                    magnitudes.set(x, y, size);
                    let size = size as i16;
                    levels[y * N + x] = if coefficients[y * N + x] < 0 { -size } else { size };
                    zero = 0.0;
                }
            }
            // Zeros before the last level cost their flag.
            if let Some(entry) = entries.last_mut() {
                entry.behind += zero;
                sum += zero;
            }
        }
        let mut is_coded = entries.len() > begin;
        if has_flag {
            if is_coded && sum + yes < no {
                if let Some(entry) = entries.last_mut() {
                    entry.behind += yes;
                }
            } else {
                for entry in entries.drain(begin..) {
                    let (x, y) = (usize::from(entry.x), usize::from(entry.y));
                    let level = std::mem::take(&mut levels[y * N + x]);
                    magnitudes.take_back(x, y, level.unsigned_abs().into());
                }
                if let Some(entry) = entries.last_mut() {
                    entry.behind = before + no;
                }
                is_coded = false;
            }
        }
        coded[gy][gx] = is_coded;
    }
    // From the lowest frequency up: what a level and all below cost if it is the last one, without its flag. All at higher frequencies
    // are then zeros, which cost nothing.
    let (mut best, mut last, mut below) = (0.0, None, 0.0);
    for (index, entry) in entries.iter().enumerate().rev() {
        below += entry.behind;
        let place_bits = costs.last(place, entry.x.into(), entry.y.into());
        let all = below + entry.cost - entry.flag + lambda * place_bits;
        if all < best {
            (best, last) = (all, Some(index));
        }
        below += entry.cost;
    }
    let Some(last) = last else {
        entries.iter().for_each(|e| levels[usize::from(e.y) * N + usize::from(e.x)] = 0);
        return Quantized::default();
    };
    let (mut gain, mut extent) = (0.0, Extent::default());
    for (index, entry) in entries.iter().enumerate() {
        let (x, y) = (usize::from(entry.x), usize::from(entry.y));
        let level = &mut levels[y * N + x];
        if index < last {
            *level = 0;
            continue;
        }
        let value = f32::from(coefficients[y * N + x].unsigned_abs()) * inverse;
        let error = value - f32::from(level.unsigned_abs());
        gain += value * value - error * error;
        extent.include(x, y);
    }
    Quantized { is_coded: true, bits: (best + gain) / lambda, extent }
}

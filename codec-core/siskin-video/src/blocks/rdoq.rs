//! Rate-distortion optimized quantization: levels that minimize `D + lambda R` with the contexts as they are.

use super::coefficients::{MAX_LEVEL, Magnitudes, Place, group_scan, remainder_bits, rice, scan};
use super::contexts;
use super::costs::Costs;
use super::vector::vectorized;

/// A magnitude below this part of a step is zero: no choice of contexts makes it worth a level.
const MIN_MAGNITUDE: f32 = 0.55;

/// A level or the flag of a group: group, position (255 for the flag), cost, and what of it is the nonzero flag.
pub(super) type Entry = (u8, u8, f32, f32);

/// What quantizing a block cost.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Quantized {
    /// Whether any level is nonzero.
    pub(super) is_coded: bool,
    /// Bits of the levels.
    pub(super) bits: f32,
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

/// At least the sum of squares of the coefficients above `limit`, over 16.
#[inline(always)]
fn large_energy(coefficients: &[i16], side: usize, limit: u16) -> u64 {
    let mut sum = 0;
    // Of 32 an encoder has the lower half of frequencies alone, so 32 bits hold a row.
    for row in coefficients.chunks_exact(side) {
        let mut part = 0u32;
        for &v in row {
            let size = u32::from(v.unsigned_abs().saturating_add(3) >> 2);
            part += if v.unsigned_abs() > limit { size * size } else { 0 };
        }
        sum += u64::from(part);
    }
    sum
}

/// Quantizes a block of coefficients to `levels`, both row by row. `step` is in 64ths of a level, `lambda` the cost of a bit
/// in squared steps.
pub(super) fn quantize(
    costs: &Costs,
    place: Place,
    coefficients: &[i16],
    (step, lambda): (i32, f32),
    levels: &mut [i16],
    entries: &mut Vec<Entry>,
) -> Quantized {
    let (side, groups) = (1usize << place.log, group_scan(place.log));
    // As `dequantize` has it: a level is this many units of a coefficient.
    let inverse = (1 << (place.log - 1)) as f32 / step as f32;
    let limit = (MIN_MAGNITUDE / inverse) as i32;
    levels.fill(0);
    // Most blocks have so little that not even all of it pays for a place and a sign.
    let energy = vectorized(
        #[inline(always)]
        || large_energy(coefficients, side, limit.clamp(0, i16::MAX.into()) as u16),
    );
    if (16 * energy) as f32 * inverse * inverse <= lambda * (1.0 + costs.least_last(place)) {
        return Quantized::default();
    }
    let at = |group: usize, position: usize| {
        let ((gx, gy), (x, y)) = (groups[group], scan()[position]);
        (usize::from(4 * gx + x), usize::from(4 * gy + y))
    };
    let is_large = |group: usize| {
        let (gx, gy) = (usize::from(groups[group].0), usize::from(groups[group].1));
        (0..4).any(|r| {
            coefficients[(4 * gy + r) * side + 4 * gx..][..4]
                .iter()
                .any(|v| i32::from(v.unsigned_abs()) > limit)
        })
    };
    let Some(last_group) = (0..groups.len()).rev().find(|&g| is_large(g)) else {
        return Quantized::default();
    };
    let mut magnitudes = Magnitudes::new();
    let mut coded = [[false; 9]; 9];
    // The best last level so far, as the saving over coding nothing at all; and the sum that saving starts from for a
    // last level at lower frequencies. All are costs less those of zeros.
    let (mut best, mut best_at) = (0.0f32, None::<usize>);
    // Cost of everything from the current place on to the highest frequency does not count for a last level here, so
    // costs are summed from the lowest: each entry is (group, position, cost with its flag, cost of its flag).
    entries.clear();
    for group in (0..=last_group).rev() {
        let (gx, gy) = (usize::from(groups[group].0), usize::from(groups[group].1));
        let beside = coded[gy][gx + 1] || coded[gy + 1][gx];
        let flag = place.group(beside);
        // Groups before the last one that has levels cost nothing; until there is one, no flag is counted.
        let has_flag = group > 0 && !entries.is_empty();
        let begin = entries.len();
        let mut sum = 0.0;
        if group > 0 && !is_large(group) {
            if has_flag {
                entries.push((group as u8, u8::MAX, lambda * costs.of(flag, false), 0.0));
            }
            continue;
        }
        let mut any = false;
        for position in (0..16).rev() {
            let (x, y) = at(group, position);
            let value = f32::from(coefficients[y * side + x].unsigned_abs()) * inverse;
            let template = magnitudes.template(x, y);
            let nonzero = place.nonzero(template, x + y);
            let zero_bits = costs.of(nonzero, false);
            if value <= MIN_MAGNITUDE {
                // Zeros before the last level cost their flag.
                if !entries.is_empty() {
                    entries.push((group as u8, position as u8, lambda * zero_bits, 0.0));
                    sum += lambda * zero_bits;
                }
                continue;
            }
            let (context, k) = (place.above_one(template, x + y), rice(template));
            let most = ((value + 0.5) as i32).clamp(1, MAX_LEVEL) as u32;
            let flag_bits = costs.of(nonzero, true);
            let mut choice = (lambda * zero_bits, 0u32, 0.0f32);
            for size in most.saturating_sub(1).max(1)..=most {
                let bits = flag_bits + magnitude_bits(costs, context, k, size);
                let error = value - size as f32;
                // The error of a zero is the base line.
                let cost = error * error - value * value + lambda * bits;
                if cost < choice.0 {
                    choice = (cost, size, lambda * flag_bits);
                }
            }
            let (cost, size, flag_cost) = choice;
            if size == 0 && entries.is_empty() {
                continue;
            }
            entries.push((group as u8, position as u8, cost, flag_cost));
            sum += cost;
            if size > 0 {
                any = true;
                magnitudes.set(x, y, size);
                let size = size as i16;
                levels[y * side + x] = if coefficients[y * side + x] < 0 { -size } else { size };
            }
        }
        if has_flag {
            let (with, without) = (sum + lambda * costs.of(flag, true), lambda * costs.of(flag, false));
            if !any || without <= with {
                for position in 0..16 {
                    let (x, y) = at(group, position);
                    magnitudes.set(x, y, 0);
                    levels[y * side + x] = 0;
                }
                entries.truncate(begin);
                entries.push((group as u8, u8::MAX, without, 0.0));
                any = false;
            } else {
                entries.push((group as u8, u8::MAX, with - sum, 0.0));
            }
        }
        coded[gy][gx] = any;
    }
    // From the lowest frequency up: what all levels below cost, and the last one without its flag.
    let mut below = 0.0;
    for (index, &(group, position, cost, flag)) in entries.iter().enumerate().rev() {
        if position < 16 {
            let (x, y) = at(group.into(), position.into());
            if levels[y * side + x] != 0 {
                let all = below + cost - flag + lambda * costs.last(place, x, y);
                if all < best {
                    (best, best_at) = (all, Some(index));
                }
            }
        }
        below += cost;
    }
    let mut gain = 0.0;
    for (index, &(group, position, ..)) in entries.iter().enumerate() {
        if position == u8::MAX {
            continue;
        }
        let (x, y) = at(group.into(), position.into());
        let level = &mut levels[y * side + x];
        if best_at.is_none_or(|best| index < best) {
            *level = 0;
        } else if *level != 0 {
            let value = f32::from(coefficients[y * side + x].unsigned_abs()) * inverse;
            let error = value - f32::from(level.unsigned_abs());
            gain += value * value - error * error;
        }
    }
    match best_at {
        Some(_) => Quantized { is_coded: true, bits: (best + gain) / lambda },
        None => Quantized::default(),
    }
}

//! Rate-distortion optimized quantization: levels that minimize `D + lambda R` with the contexts as they are.

use siskin_entropy::binary::bit_cost;

use super::coefficients::{MAX_LEVEL, Magnitudes, Place, group_scan, last_class, remainder_bits, rice, scan};
use super::contexts::{self, Contexts};

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
fn magnitude_bits(contexts: &Contexts, context: usize, rice: u32, size: u32) -> f32 {
    let above_two = context - contexts::ABOVE_ONE + contexts::ABOVE_TWO;
    let (one, two) = (contexts.0[context], contexts.0[above_two]);
    1.0 + match size {
        1 => bit_cost(one, false),
        2 => bit_cost(one, true) + bit_cost(two, false),
        _ => bit_cost(one, true) + bit_cost(two, true) + remainder_bits(size - 3, rice) as f32,
    }
}

/// Quantizes a block of coefficients to `levels`, both row by row. `step` is in 64ths of a level, `lambda` the cost of a bit
/// in squared steps.
pub(super) fn quantize(
    contexts: &Contexts,
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
    let (cost_x, cost_y) = (last_costs(contexts, place, 0), last_costs(contexts, place, 1));
    let mut magnitudes = Magnitudes::new();
    let mut coded = [[false; 9]; 9];
    // The best last level so far, as the saving over coding nothing at all; and the sum that saving starts from for a
    // last level at lower frequencies. All are costs less those of zeros.
    let (mut best, mut best_at) = (0.0f32, None);
    // Cost of everything from the current place on to the highest frequency does not count for a last level here, so
    // costs are summed from the lowest: each entry is (group, position, cost with its flag, cost of its flag).
    entries.clear();
    for group in (0..=last_group).rev() {
        let (gx, gy) = (usize::from(groups[group].0), usize::from(groups[group].1));
        let beside = coded[gy][gx + 1] || coded[gy + 1][gx];
        let flag = contexts.0[place.group(beside)];
        // Groups before the last one that has levels cost nothing; until there is one, no flag is counted.
        let has_flag = group > 0 && !entries.is_empty();
        let begin = entries.len();
        let mut sum = 0.0;
        if group > 0 && !is_large(group) {
            if has_flag {
                entries.push((group as u8, u8::MAX, lambda * bit_cost(flag, false), 0.0));
            }
            continue;
        }
        let mut any = false;
        for position in (0..16).rev() {
            let (x, y) = at(group, position);
            let value = f32::from(coefficients[y * side + x].unsigned_abs()) * inverse;
            let template = magnitudes.template(x, y);
            let nonzero = contexts.0[place.nonzero(template, x + y)];
            let zero_bits = bit_cost(nonzero, false);
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
            let flag_bits = bit_cost(nonzero, true);
            let mut choice = (lambda * zero_bits, 0u32, 0.0f32);
            for size in most.saturating_sub(1).max(1)..=most {
                let bits = flag_bits + magnitude_bits(contexts, context, k, size);
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
            let (with, without) = (sum + lambda * bit_cost(flag, true), lambda * bit_cost(flag, false));
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
    for &(group, position, cost, flag) in entries.iter().rev() {
        if position < 16 {
            let (x, y) = at(group.into(), position.into());
            if levels[y * side + x] != 0 {
                let all = below + cost - flag + lambda * (last_cost(&cost_x, x) + last_cost(&cost_y, y));
                if all < best {
                    (best, best_at) = (all, Some((usize::from(group), usize::from(position))));
                }
            }
        }
        below += cost;
    }
    let Some((group, position)) = best_at else {
        levels.fill(0);
        return Quantized::default();
    };
    let (mut gain, mut is_beyond) = (0.0, true);
    for g in (0..groups.len()).rev() {
        for p in (0..16).rev() {
            let (x, y) = at(g, p);
            is_beyond &= (g, p) != (group, position);
            let level = &mut levels[y * side + x];
            if is_beyond {
                *level = 0;
            } else if *level != 0 {
                let value = f32::from(coefficients[y * side + x].unsigned_abs()) * inverse;
                let error = value - f32::from(level.unsigned_abs());
                gain += value * value - error * error;
            }
        }
    }
    Quantized { is_coded: true, bits: (best + gain) / lambda }
}

/// Bits of a last coordinate.
fn last_cost(classes: &[f32; contexts::LAST_CLASSES + 1], value: usize) -> f32 {
    let (class, bits, _) = last_class(value);
    classes[class] + bits as f32
}

/// Bits of each class of last coordinates.
fn last_costs(contexts: &Contexts, place: Place, axis: usize) -> [f32; contexts::LAST_CLASSES + 1] {
    let mut classes = [0.0; contexts::LAST_CLASSES + 1];
    let (mut sum, most) = (0.0, place.last_classes());
    for (class, cost) in classes.iter_mut().enumerate().take(most + 1) {
        let stop = if class < most { bit_cost(contexts.0[place.last(axis == 1, class)], false) } else { 0.0 };
        *cost = sum + stop;
        if class < most {
            sum += bit_cost(contexts.0[place.last(axis == 1, class)], true);
        }
    }
    classes
}

//! Coding of latents: block by block, group by group, each symbol in a context of its neighbors and of the frame before.
//! The same function codes and reads.

use crate::{Error, Result};
use siskin_entropy::binary::{AdaptiveBit, BitCoder, code_unary_golomb};

use super::contexts::Contexts;
use super::{CHANNELS, GROUP, GROUPS};

/// Channels that keyframes code as differences to a prediction from neighbors: the means of Y, U and V.
// Keyframes alone: in predicted frames motion compensation has removed the means already.
pub(super) const MEANS: [usize; 3] = [0, 64, 65];
/// Magnitudes are clamped to this in contexts: the classes tell no larger ones apart.
// Part of the format: from left, above or the previous frame, 15 gives the highest class by itself.
const MAX_REMEMBERED: u16 = 15;
/// Largest magnitude of a latent that an encoder writes.
pub(super) const MAX_LATENT: i16 = 4095;
/// Longest prefix of an Exp-Golomb code.
const MAX_PREFIX: u32 = 14;

/// What the contexts of a frame are chosen by: magnitudes of latents, and which groups have any, of this frame and the one
/// before.
#[derive(Debug, Clone)]
pub(super) struct Neighbors {
    columns: usize,
    magnitudes: Vec<u8>,
    old_magnitudes: Vec<u8>,
    groups: Vec<u16>,
    old_groups: Vec<u16>,
}

impl Neighbors {
    /// For frames of `columns` by `rows` blocks.
    pub(super) fn new(columns: usize, rows: usize) -> Self {
        let blocks = columns * rows;
        Self {
            columns,
            magnitudes: vec![0; blocks * CHANNELS],
            old_magnitudes: vec![0; blocks * CHANNELS],
            groups: vec![0; blocks],
            old_groups: vec![0; blocks],
        }
    }

    /// Begins a frame; a keyframe has none before it, nor has the next.
    pub(super) fn start_frame(&mut self, is_keyframe: bool) {
        std::mem::swap(&mut self.magnitudes, &mut self.old_magnitudes);
        std::mem::swap(&mut self.groups, &mut self.old_groups);
        // Coding sets only what is nonzero.
        self.magnitudes.fill(0);
        self.groups.fill(0);
        if is_keyframe {
            self.forget_previous();
        }
    }

    fn forget_previous(&mut self) {
        self.old_magnitudes.fill(0);
        self.old_groups.fill(0);
    }

    /// Calls `visit` for every block (column, row) that has latents or a neighbor with some.
    pub(super) fn for_each_active(&self, mut visit: impl FnMut(usize, usize)) {
        let columns = self.columns;
        let rows = self.groups.len() / columns;
        for y in 0..rows {
            for x in 0..columns {
                let near = |y: usize| {
                    let row = &self.groups[y * columns..(y + 1) * columns];
                    // The convolutions carry a block's latents into its neighbors, which therefore may change too.
                    row[x.saturating_sub(1)..(x + 2).min(columns)].iter().any(|&g| g != 0)
                };
                if (y.saturating_sub(1)..(y + 2).min(rows)).any(near) {
                    visit(x, y);
                }
            }
        }
    }

    /// Columns of blocks.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Which groups of the block to the left, of the one above and of the same block before have latents.
    pub(super) fn group_masks(&self, block: usize) -> (u16, u16, u16) {
        (self.mask_near(block, 1, 0), self.mask_near(block, 0, 1), self.old_groups[block])
    }

    fn mask_near(&self, block: usize, dx: usize, dy: usize) -> u16 {
        if dx > block % self.columns || dy > block / self.columns {
            return 0;
        }
        self.groups[block - dy * self.columns - dx]
    }

    /// The class of the magnitudes around a latent.
    pub(super) fn magnitude_class(&self, block: usize, channel: usize) -> usize {
        let (column, row, width) = (block % self.columns, block / self.columns, self.columns);
        // Left, above and the previous frame count double, as the nearer ones: part of the format
        // (docs/video-bitstream.md, Latents).
        let size = |block: usize| usize::from(self.magnitudes[block * CHANNELS + channel]);
        let mut sum = 2 * usize::from(self.old_magnitudes[block * CHANNELS + channel]);
        if column > 0 {
            sum += 2 * size(block - 1);
        }
        if row > 0 {
            sum += 2 * size(block - width);
            sum += if column > 0 { size(block - width - 1) } else { 0 };
            sum += if column + 1 < width { size(block - width + 1) } else { 0 };
        }
        // Boundaries double, so that six classes reach from a single 1 to neighbors at the clamp.
        match sum {
            0 => 0,
            1..=2 => 1,
            3..=4 => 2,
            5..=8 => 3,
            9..=16 => 4,
            _ => 5,
        }
    }
}

/// Codes or reads all latents of a frame: `latents` holds 96 a block, and holds them again after reading.
///
/// # Errors
/// [`Error::Bitstream`] for what no encoder writes.
pub(super) fn code_latents<C: BitCoder>(
    coder: &mut C,
    contexts: &mut Contexts,
    neighbors: &mut Neighbors,
    is_keyframe: bool,
    latents: &mut [i16],
) -> Result<()> {
    neighbors.start_frame(is_keyframe);
    for block in 0..neighbors.groups.len() {
        let means = if is_keyframe { predict_means(latents, block, neighbors.columns) } else { [0; 3] };
        let own = &mut latents[block * CHANNELS..(block + 1) * CHANNELS];
        if is_keyframe {
            // While reading, this changes what is left of the frame before, which coding then replaces; in damaged
            // streams that may be any number.
            MEANS.iter().zip(means).for_each(|(&c, mean)| own[c] = own[c].saturating_sub(mean));
        }
        code_block(coder, contexts, neighbors, is_keyframe, block, own)?;
        if is_keyframe {
            // Damaged data can decode to sums that no encoder makes; they must not overflow.
            MEANS.iter().zip(means).for_each(|(&c, mean)| own[c] = own[c].saturating_add(mean));
        }
    }
    if is_keyframe {
        // The magnitudes of a keyframe say nothing about a predicted one.
        neighbors.magnitudes.fill(0);
        neighbors.groups.fill(0);
    }
    Ok(())
}

/// The predicted means: the median of left, above and their plane, as in LOCO-I.
pub(super) fn predict_means(latents: &[i16], block: usize, columns: usize) -> [i16; 3] {
    let at = |back: usize, is_there: bool, c: usize| {
        if is_there { i32::from(latents[(block - back) * CHANNELS + c]) } else { 0 }
    };
    let (has_left, has_above) = (!block.is_multiple_of(columns), block >= columns);
    MEANS.map(|c| {
        let (a, b) = (at(1, has_left, c), at(columns, has_above, c));
        let corner = at(columns + 1, has_left && has_above, c);
        // The clamp is the median of the three.
        (a + b - corner).clamp(a.min(b), a.max(b)) as i16
    })
}

/// Codes or reads the latents of a block.
///
/// # Errors
/// As for [`code_latents`].
pub(super) fn code_block<C: BitCoder>(
    coder: &mut C,
    contexts: &mut Contexts,
    neighbors: &mut Neighbors,
    is_keyframe: bool,
    block: usize,
    own: &mut [i16],
) -> Result<()> {
    let (left, above, old) = neighbors.group_masks(block);
    let near = usize::from(left != 0) + usize::from(above != 0);
    let any = own.iter().any(|&v| v != 0);
    if !coder.code_bit(contexts.block_flag(is_keyframe, near, old != 0), any)? {
        // A reader's buffer still holds the frame before.
        own.fill(0);
        return Ok(());
    }
    let mut mask = 0u16;
    for (group, values) in own.chunks_exact_mut(GROUP).enumerate() {
        let flag = |mask: u16| mask >> group & 1;
        let near = usize::from(flag(left) + flag(above));
        // The first group has no previous one and counts as if that were empty.
        let last = group > 0 && mask >> (group - 1) & 1 == 1;
        let some = values.iter().any(|&v| v != 0);
        if !coder.code_bit(contexts.group_flag(is_keyframe, group, near, flag(old) == 1, last), some)? {
            values.fill(0);
            continue;
        }
        mask |= 1 << group;
        let mut some = false;
        for (i, value) in values.iter_mut().enumerate() {
            let channel = group * GROUP + i;
            let class = neighbors.magnitude_class(block, channel);
            // Where all others are zero the last is not: nothing is coded.
            let is_sure = i + 1 == GROUP && !some;
            if !is_sure
                && !coder.code_bit(contexts.significance(is_keyframe, channel, class, some), *value != 0)?
            {
                *value = 0;
                continue;
            }
            some = true;
            // Signs of transform coefficients are as good as random, so a context would learn nothing.
            let negative = coder.code_raw_bits(1, u32::from(*value < 0))? == 1;
            let size = 1 + code_magnitude(
                coder,
                contexts,
                (is_keyframe, group, class),
                value.unsigned_abs().saturating_sub(1),
            )?;
            *value = if negative { -(size as i16) } else { size as i16 };
            neighbors.magnitudes[block * CHANNELS + channel] = size.min(MAX_REMEMBERED) as u8;
        }
    }
    debug_assert!(mask != 0 || own.iter().all(|&v| v == 0));
    // A block that says it has latents and then codes no group is legal to read: it counts as empty.
    neighbors.groups[block] = mask;
    Ok(())
}

/// A magnitude less one: in unary where it is small, then in an Exp-Golomb code of order 2.
fn code_magnitude<C: BitCoder>(
    coder: &mut C,
    contexts: &mut Contexts,
    (is_keyframe, group, class): (bool, usize, usize),
    value: u16,
) -> Result<u16> {
    // Contexts are shared by the latents of a group: larger magnitudes are too rare to learn from one latent alone.
    let models = contexts.magnitude(is_keyframe, group, class);
    let size = code_size(coder, models, value.into())?;
    // A mean and its prediction may both be at the limit, with opposite signs.
    let most = 2 * MAX_LATENT as u32 - 1;
    u16::try_from(size)
        .ok()
        .filter(|&s| u32::from(s) < most)
        .ok_or_else(|| Error::bitstream("coded latents", "size", 0, format!("{size}, allowed: below {most}")))
}

/// A number: in unary with one context per bit as far as there are contexts, then in an Exp-Golomb code of order 2.
pub(super) fn code_size<C: BitCoder>(coder: &mut C, models: &mut [AdaptiveBit], value: u32) -> Result<u32> {
    code_unary_golomb(coder, models, value, 2, MAX_PREFIX)
}

const _: () = assert!(GROUPS * GROUP == CHANNELS);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::contexts;
    use super::*;
    use siskin_entropy::binary::{BitDecoder, BitEncoder};

    fn round_trip(frames: &[(bool, Vec<i16>)], (columns, rows): (usize, usize)) -> usize {
        let start = vec![1 << 14; contexts::COUNT];
        let (mut contexts, mut neighbors) = (Contexts::new(&start), Neighbors::new(columns, rows));
        let (mut again, mut neighbors_again) = (contexts.clone(), neighbors.clone());
        let mut total = 0;
        for (is_keyframe, frame) in frames {
            let (mut encoder, mut bytes, mut values) = (BitEncoder::default(), Vec::new(), frame.clone());
            code_latents(&mut encoder, &mut contexts, &mut neighbors, *is_keyframe, &mut values)
                .expect("latents");
            assert_eq!(values, *frame, "coding leaves the latents as they are");
            encoder.finish_into(&mut bytes);
            total += bytes.len();
            // What was there before must not matter to reading.
            let mut out = vec![if *is_keyframe { 0 } else { 77 }; frame.len()];
            let mut decoder = BitDecoder::new(&bytes).expect("words");
            code_latents(&mut decoder, &mut again, &mut neighbors_again, *is_keyframe, &mut out)
                .expect("what was coded");
            assert_eq!(out, *frame);
        }
        total
    }

    proptest! {
        #[test]
        fn any_latents_come_back(
            is_keyframe in any::<bool>(),
            frames in proptest::collection::vec(
                proptest::collection::vec(prop_oneof![8 => Just(0i16), 3 => -2..=2i16, 1 => -MAX_LATENT..=MAX_LATENT], 6 * CHANNELS),
                1..4,
            ),
        ) {
            let frames: Vec<_> = frames.into_iter().enumerate().map(|(i, f)| (i == 0 && is_keyframe, f)).collect();
            round_trip(&frames, (3, 2));
        }
    }

    #[test]
    fn a_frame_of_nothing_costs_next_to_nothing() {
        let nothing = vec![(false, vec![0; 40 * 20 * CHANNELS]); 10];
        let bytes = round_trip(&nothing, (40, 20));
        assert!(bytes < 200, "{bytes} bytes for ten empty frames");
    }
}

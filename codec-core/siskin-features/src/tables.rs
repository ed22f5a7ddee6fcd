//! The tables of a bundle: how finely each level rounds, and the probabilities with which the decisions of a packet begin.

use safetensors::{Dtype, SafeTensors};

use siskin_entropy::binary::AdaptiveBit;

/// Classes of the magnitudes around a latent (`docs/features.md`, Latents).
pub(crate) const CLASSES: usize = 6;
/// Classes of the latents that the block has so far.
pub(crate) const COUNTS: usize = 4;
/// Contexts of a magnitude in unary.
pub(crate) const MAGNITUDES: usize = 8;
/// Contexts of whether a block has latents.
const BLOCK_FLAGS: usize = 8;
/// Contexts of a sign: by the signs to the left and above.
pub(crate) const SIGNS: usize = 3;

/// Gains and initial probabilities of all levels.
#[derive(Debug, Clone)]
pub(crate) struct FeatureTables {
    channels: usize,
    /// `[level][channel]`: steps per unit of a latent.
    gains: Vec<f32>,
    /// `[level][context]`.
    contexts: Vec<AdaptiveBit>,
}

impl FeatureTables {
    /// Reads the tensors `gains` F32 `[levels, channels]` and `contexts` U16 `[levels, contexts]` of a safetensors file.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn parse(file: &[u8], levels: u8, channels: u16) -> Result<Self, String> {
        let tensors = SafeTensors::deserialize(file).map_err(|e| e.to_string())?;
        let (levels, channels) = (usize::from(levels), usize::from(channels));
        let tensor = |name: &str, dtype, shape: [usize; 2]| {
            let view = tensors.tensor(name).map_err(|e| e.to_string())?;
            if view.dtype() != dtype || view.shape() != shape {
                let found = (view.dtype(), view.shape());
                return Err(format!("{name} is {found:?}, the manifest says {dtype:?} {shape:?}"));
            }
            Ok(view.data().to_vec())
        };
        let gains = tensor("gains", Dtype::F32, [levels, channels])?;
        let gains: Vec<f32> = gains.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        // A gain of 0 would be divided by, and one without bounds turns any latent into the largest.
        if let Some(gain) = gains.iter().find(|g| !(1e-6..=1e6).contains(*g)) {
            return Err(format!("gain {gain}, allowed: 1e-6 to 1e6"));
        }
        let contexts = tensor("contexts", Dtype::U16, [levels, Contexts::count(channels)])?;
        let bit = |&b: &[u8; 2]| AdaptiveBit::new(u16::from_le_bytes(b));
        let contexts = contexts.as_chunks().0.iter().map(bit).collect();
        Ok(Self { channels, gains, contexts })
    }

    /// Steps per unit of each channel's latents.
    pub(crate) fn gains(&self, level: u8) -> &[f32] {
        &self.gains[usize::from(level) * self.channels..][..self.channels]
    }

    /// Sets contexts to how a packet of this level begins: each packet anew, so that none depends on another.
    pub(crate) fn start_packet(&self, level: u8, contexts: &mut Contexts) {
        let count = Contexts::count(self.channels);
        contexts.channels = self.channels;
        contexts.bits.clear();
        contexts.bits.extend_from_slice(&self.contexts[usize::from(level) * count..][..count]);
    }
}

/// The adaptive contexts of a packet in one row.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contexts {
    channels: usize,
    bits: Vec<AdaptiveBit>,
}

impl Contexts {
    // The order is part of the format, since a bundle stores one probability per context.
    const SIGNIFICANCE: usize = BLOCK_FLAGS;

    /// How many there are.
    pub(crate) const fn count(channels: usize) -> usize {
        BLOCK_FLAGS + channels * (CLASSES * COUNTS + SIGNS + CLASSES * MAGNITUDES)
    }

    /// Whether a block has latents: by which of its left, upper and upper right neighbors have.
    pub(crate) fn block_flag(&mut self, near: usize) -> &mut AdaptiveBit {
        &mut self.bits[near]
    }

    /// Whether a latent is not zero.
    pub(crate) fn significance(&mut self, channel: usize, class: usize, count: usize) -> &mut AdaptiveBit {
        &mut self.bits[Self::SIGNIFICANCE + (channel * CLASSES + class) * COUNTS + count]
    }

    /// Whether a latent is negative.
    pub(crate) fn sign(&mut self, channel: usize, near: usize) -> &mut AdaptiveBit {
        let start = Self::SIGNIFICANCE + self.channels * CLASSES * COUNTS;
        &mut self.bits[start + channel * SIGNS + near]
    }

    /// Whether a magnitude is more than one, two, and so on.
    pub(crate) fn magnitude(&mut self, channel: usize, class: usize) -> &mut [AdaptiveBit] {
        let start = Self::SIGNIFICANCE + self.channels * (CLASSES * COUNTS + SIGNS);
        &mut self.bits[start + (channel * CLASSES + class) * MAGNITUDES..][..MAGNITUDES]
    }
}

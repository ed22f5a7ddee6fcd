//! The decoder family of Boosting-NeRV: what a decoder network is made of, and its parameters.
//!
//! After Zhang et al., "Boosting Neural Representations for Videos with a Conditional Decoder" (CVPR 2024): a stem makes
//! features of a small grid from the frame's content embedding (HNeRV-Boost), from its time alone (NeRV-Boost), or from its
//! time and the grid's places by attention (E-NeRV-Boost), and blocks of convolution, pixel shuffle and sine enlarge them;
//! after each, a residual block of two convolutions is modulated by the time.

pub use crate::encoding::{FREQUENCIES, encode_grid, encode_position, encode_time};
pub use crate::layout::{Layout, Tensor};

/// Modulations in a residual block: scale and shift, before each of its two convolutions.
pub const MODULATIONS: usize = 4;

/// Where the features of a frame come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// From a coded embedding of the frame's content, of so many channels (HNeRV-Boost).
    Content(u8),
    /// From the frame's time only (NeRV-Boost).
    Index,
    /// From the frame's time and, apart from it, the places of the smallest grid, which attend to each other as tokens of so
    /// many channels (E-NeRV-Boost, after Li et al., ECCV 2022).
    Disentangled(u8),
}

impl Kind {
    /// What the learning rate of the first phase is multiplied by: attention wants half of it, as in the paper.
    pub fn learning_rate_factor(self) -> f64 {
        if matches!(self, Self::Disentangled(_)) { 0.5 } else { 1.0 }
    }
}

/// How the time acts on the features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Modulation {
    /// Temporal-aware affine transform: scale and shift are two-layer networks of the time's code (Boosting-NeRV).
    Affine,
    /// Coordinate-aware modulation: normalised features, scale and shift interpolated in grids of so many points over the
    /// group of pictures (Lee et al., ICLR 2024).
    Grid(u8),
}

/// One step of the decoder: convolution, pixel shuffle, sine, modulated residual block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Block {
    /// Enlargement of rows and columns.
    pub stride: u8,
    /// Size of the convolution's kernel, odd.
    pub kernel: u8,
    /// Channels that come out.
    pub channels: u16,
}

/// A decoder network in full: two parties that agree on it agree on every parameter's place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Architecture {
    /// Where the features come from.
    pub kind: Kind,
    /// How the time acts.
    pub modulation: Modulation,
    /// Width of the time's code.
    pub time_width: u8,
    /// Rows and columns of the smallest grid.
    pub base: (u16, u16),
    /// Channels that the first block takes: those of the embedding, or of the stem that makes them from the time.
    pub stem: u16,
    /// The blocks, from small to large; the first of a network with embeddings does not enlarge.
    pub blocks: Vec<Block>,
    /// Size of the last convolution's kernel, odd.
    pub head_kernel: u8,
}

impl Architecture {
    /// Rows and columns that come out, before cropping.
    pub fn output_size(&self) -> (usize, usize) {
        let scale: usize = self.blocks.iter().map(|b| usize::from(b.stride)).product();
        (usize::from(self.base.0) * scale, usize::from(self.base.1) * scale)
    }

    /// Numbers in the embedding of one frame; 0 without embeddings.
    pub fn embedding(&self) -> usize {
        match self.kind {
            Kind::Content(channels) => usize::from(channels) * self.base_area(),
            Kind::Index | Kind::Disentangled(_) => 0,
        }
    }

    /// Channels between the two convolutions of the first block, which others have not.
    pub fn squeezed_channels(&self, block: usize) -> Option<usize> {
        (matches!(self.kind, Kind::Disentangled(_)) && block == 0).then(|| usize::from(self.stem / 4).max(1))
    }

    /// Places of the smallest feature map.
    pub fn base_area(&self) -> usize {
        usize::from(self.base.0) * usize::from(self.base.1)
    }

    /// Whether anything depends on the time's code.
    pub fn uses_time(&self) -> bool {
        self.modulation == Modulation::Affine
    }
}

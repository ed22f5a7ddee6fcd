//! The decoder family of Boosting-NeRV: what a decoder network is made of, and its parameters.
//!
//! After Zhang et al., "Boosting Neural Representations for Videos with a Conditional Decoder" (CVPR 2024): a stem makes
//! features of a small grid from the frame's content embedding (HNeRV-Boost), from its time alone (NeRV-Boost), or from its
//! time and the grid's places by attention (E-NeRV-Boost), and blocks of convolution, pixel shuffle and sine enlarge them; after each, a residual block of two convolutions is
//! modulated by the time.

use super::stem;

/// Frequencies of the time's encoding.
pub const FREQUENCIES: usize = 80;
/// Ratio of one frequency to the one before.
const FREQUENCY_RATIO: f64 = 1.25;
/// Modulations in a residual block: scale and shift, before each of its two convolutions.
pub const MODULATIONS: usize = 4;
/// Fewest channels of a block: the papers' number, and what is tried where the budget does not pay for it.
const MIN_CHANNELS: [usize; 4] = [12, 8, 6, 4];
/// Fewest channels of the stem.
const FEWEST_STEM: usize = 4;

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
    pub fn rate(self) -> f64 {
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

/// A parameter tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// The shape.
    pub shape: Vec<usize>,
    /// Inputs of one output, which sets the range of its first values.
    pub fan_in: usize,
}

impl Tensor {
    /// Values of the tensor.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// The parameters of a decoder in the order in which they are coded, in groups that share a quantizer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// All tensors, in the order of the parameters.
    pub tensors: Vec<Tensor>,
    /// Parameters in each group; the groups follow one another.
    pub groups: Vec<usize>,
    /// What the last group will be made of.
    biases: Vec<Tensor>,
}

impl Layout {
    /// Parameters of all tensors.
    pub fn count(&self) -> usize {
        self.groups.iter().sum()
    }

    /// A group of these weights, each with the inputs of one output.
    pub fn group(&mut self, tensors: &[(&[usize], usize)]) {
        let mut count = 0;
        for &(shape, fan_in) in tensors {
            let tensor = Tensor { shape: shape.to_vec(), fan_in };
            count += tensor.count();
            self.tensors.push(tensor);
        }
        self.groups.push(count);
    }

    /// A bias, which stands behind all weights.
    pub fn bias(&mut self, shape: &[usize], fan_in: usize) {
        self.biases.push(Tensor { shape: shape.to_vec(), fan_in });
    }

    /// A group of one matrix and its bias.
    pub fn dense(&mut self, from: usize, to: usize) {
        self.group(&[(&[to, from], from)]);
        self.bias(&[to, 1], from);
    }

    /// The biases as the last group.
    fn finish(mut self) -> Self {
        self.groups.push(self.biases.iter().map(Tensor::count).sum());
        self.tensors.append(&mut self.biases);
        self
    }

    /// How many of the tensors are weights.
    pub fn weights(&self) -> usize {
        let last = self.groups.last().copied().unwrap_or_default();
        let (mut count, mut tensors) = (0, self.tensors.len());
        while count < last {
            tensors -= 1;
            count += self.tensors[tensors].count();
        }
        tensors
    }
}

impl Architecture {
    /// Rows and columns that come out, before cropping.
    pub fn output(&self) -> (usize, usize) {
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
    pub fn squeezed(&self, block: usize) -> Option<usize> {
        (matches!(self.kind, Kind::Disentangled(_)) && block == 0).then(|| usize::from(self.stem / 4).max(1))
    }

    /// Parameters of the network, without embeddings.
    pub fn parameters(&self) -> usize {
        self.layout().count()
    }

    /// Multiplications and additions of one decoded frame.
    pub fn operations(&self) -> u64 {
        let (mut area, mut from, mut sum) = (self.base_area() as u64, u64::from(self.stem), 0u64);
        let square = |k: u8| u64::from(k) * u64::from(k);
        sum += stem::operations(self);
        for (index, block) in self.blocks.iter().enumerate() {
            let (to, stride) = (u64::from(block.channels), u64::from(block.stride));
            let first = self.squeezed(index).map_or(to, |c| c as u64);
            sum += area * from * first * square(block.stride) * square(block.kernel);
            area *= stride * stride;
            if first != to {
                sum += area * first * to * 9;
            }
            sum += 2 * area * to * to * 9;
            from = to;
        }
        sum + area * from * 3 * square(self.head_kernel)
    }

    /// Bytes of the largest set of features, times those that live at once.
    pub fn memory(&self) -> u64 {
        let mut area = self.base_area() as u64;
        let mut most = area.saturating_mul(self.stem.into()).max(stem::values(self));
        for block in &self.blocks {
            area = area.saturating_mul(u64::from(block.stride) * u64::from(block.stride));
            most = most.max(area.saturating_mul(u64::from(block.channels)));
        }
        most.saturating_mul(4 * 4)
    }

    /// Places of the smallest feature map.
    pub fn base_area(&self) -> usize {
        usize::from(self.base.0) * usize::from(self.base.1)
    }

    /// Whether anything depends on the time's code.
    pub fn uses_time(&self) -> bool {
        self.modulation == Modulation::Affine
    }

    /// The parameters in order. Weights first, group by group; all biases are the last group.
    pub fn layout(&self) -> Layout {
        let mut layout = Layout::default();
        let time = usize::from(self.time_width);
        stem::layout(self, &mut layout);
        if self.uses_time() {
            layout.group(&[(&[2 * time, 2 * FREQUENCIES], 2 * FREQUENCIES), (&[time, 2 * time], 2 * time)]);
            layout.bias(&[2 * time, 1], 2 * FREQUENCIES);
            layout.bias(&[time, 1], 2 * time);
        }
        let conv = |layout: &mut Layout, from: usize, to: usize, k: usize| {
            layout.group(&[(&[to, from, k, k], from * k * k)]);
            layout.bias(&[to], from * k * k);
        };
        let mut from = usize::from(self.stem);
        for (index, block) in self.blocks.iter().enumerate() {
            let (to, k, s) =
                (usize::from(block.channels), usize::from(block.kernel), usize::from(block.stride));
            match self.squeezed(index) {
                Some(between) => {
                    conv(&mut layout, from, between * s * s, k);
                    conv(&mut layout, between, to, 3);
                }
                None => conv(&mut layout, from, to * s * s, k),
            }
            for _ in 0..2 {
                conv(&mut layout, to, to, 3);
            }
            match self.modulation {
                Modulation::Affine => {
                    layout.group(&[(&[MODULATIONS * time, time], time), (&[MODULATIONS, to, time], time)]);
                    layout.bias(&[MODULATIONS * time, 1], time);
                    layout.bias(&[MODULATIONS, to, 1], time);
                }
                // They begin at the identity, so no range is needed.
                Modulation::Grid(points) => layout.group(&[(&[usize::from(points), MODULATIONS * to], 0)]),
            }
            from = to;
        }
        conv(&mut layout, from, 3, usize::from(self.head_kernel));
        layout.finish()
    }

    /// The decoder of this kind for frames of `width` by `height` whose parameters, with the embeddings of `frames` frames,
    /// come nearest to `budget`. Channels and kernels follow the papers' rules.
    pub fn fit(
        kind: Kind,
        modulation: Modulation,
        (width, height): (usize, usize),
        frames: usize,
        budget: usize,
    ) -> Self {
        let strides = strides(width, height);
        let scale: usize = strides.iter().map(|&s| usize::from(s)).product();
        let base = (height.div_ceil(scale) as u16, width.div_ceil(scale) as u16);
        // A quarter of the budget at most for the embeddings, as in the papers' sizes.
        let kind = match kind {
            Kind::Content(most) => {
                let area = usize::from(base.0) * usize::from(base.1);
                Kind::Content((budget / 4 / (area * frames).max(1)).clamp(1, usize::from(most)) as u8)
            }
            Kind::Index => kind,
            Kind::Disentangled(most) => Kind::Disentangled(stem::token_width(most, base, budget)),
        };
        let time_width = match budget {
            0..100_000 => 8,
            100_000..300_000 => 16,
            _ => 32,
        };
        let make_with = |stem: usize, least: usize| {
            let blocks = blocks(kind, stem, &strides, least);
            let (stem, head_kernel) = match kind {
                Kind::Content(channels) => (channels.into(), 3),
                Kind::Index | Kind::Disentangled(_) => (stem as u16, 1),
            };
            Self { kind, modulation, time_width, base, stem, blocks, head_kernel }
        };
        let size = |a: &Self| a.parameters() + a.embedding() * frames;
        let pays = |least: &usize| size(&make_with(FEWEST_STEM, *least)) <= budget;
        let least = MIN_CHANNELS.into_iter().find(pays).unwrap_or(MIN_CHANNELS[MIN_CHANNELS.len() - 1]);
        let make = |stem: usize| make_with(stem, least);
        let (mut low, mut high) = (FEWEST_STEM, 1024usize);
        while high - low > 1 {
            let middle = (low + high) / 2;
            if size(&make(middle)) > budget { high = middle } else { low = middle }
        }
        let (a, b) = (make(low), make(high));
        if size(&b).abs_diff(budget) < size(&a).abs_diff(budget) { b } else { a }
    }
}

/// The blocks of a decoder: channels shrink by 1.2 a stage (HNeRV-Boost) or halve from the second on (NeRV-Boost, and
/// E-NeRV-Boost, whose first has three times those of the stem); from the third stage on a second block follows that does not enlarge.
fn blocks(kind: Kind, stem: usize, strides: &[u8], least: usize) -> Vec<Block> {
    let mut channels = stem;
    let mut blocks = Vec::new();
    let is_content = matches!(kind, Kind::Content(_));
    if is_content {
        blocks.push(Block { stride: 1, kernel: 1, channels: stem as u16 });
    }
    for (stage, &stride) in strides.iter().enumerate() {
        channels = match (kind, stage) {
            (Kind::Content(_), _) => (channels as f64 / 1.2).round() as usize,
            (Kind::Index, 0) => channels,
            (Kind::Disentangled(_), 0) => 3 * channels,
            (Kind::Index | Kind::Disentangled(_), _) => channels / 2,
        }
        .max(least);
        let kernel = if stage == 0 && is_content { 1 } else { 3 };
        blocks.push(Block { stride, kernel, channels: channels as u16 });
        if stage >= 2 {
            blocks.push(Block { stride: 1, kernel: 3, channels: channels as u16 });
        }
    }
    blocks
}

/// Enlargements that lead from a grid of about nine rows to the frame with little to crop.
fn strides(width: usize, height: usize) -> Vec<u8> {
    const CHOICES: [&[u8]; 14] = [
        &[2, 2],
        &[2, 2, 2],
        &[3, 2, 2],
        &[4, 2, 2],
        &[5, 2, 2],
        &[3, 2, 2, 2],
        &[5, 3, 2],
        &[4, 2, 2, 2],
        &[5, 2, 2, 2],
        &[5, 3, 2, 2],
        &[4, 2, 2, 2, 2],
        &[5, 2, 2, 2, 2],
        &[5, 3, 2, 2, 2],
        &[5, 4, 2, 2, 2],
    ];
    let cost = |strides: &[u8]| {
        let scale: usize = strides.iter().map(|&s| usize::from(s)).product();
        let (columns, rows) = (width.div_ceil(scale), height.div_ceil(scale));
        let area = (columns * rows * scale * scale) as f64 / (width * height) as f64;
        (rows.min(columns) as f64 / 9.0).ln().abs() + 8.0 * (area - 1.0)
    };
    let best = CHOICES.iter().min_by(|a, b| cost(a).total_cmp(&cost(b)));
    best.map_or_else(|| vec![2, 2], |s| s.to_vec())
}

/// The encoding of frame `index` of `frames`, whose time is in (0, 1].
pub fn encode_time(index: usize, frames: usize, into: &mut [f32]) {
    encode((index + 1) as f64 / frames as f64, into);
}

/// Sines, then cosines, of a time or place at each frequency.
pub fn encode(at: f64, into: &mut [f32]) {
    let (sines, cosines) = into.split_at_mut(FREQUENCIES);
    let mut frequency = std::f64::consts::PI;
    for (s, c) in sines.iter_mut().zip(cosines) {
        let angle = at * frequency;
        (*s, *c) = (angle.sin() as f32, angle.cos() as f32);
        frequency *= FREQUENCY_RATIO;
    }
}

/// The weights of each grid point for frame `index` of `frames`: linear interpolation.
pub fn encode_grid(index: usize, frames: usize, into: &mut [f32]) {
    into.fill(0.0);
    let last = into.len() - 1;
    let at = index as f32 / frames.saturating_sub(1).max(1) as f32 * last as f32;
    let low = (at as usize).min(last);
    into[low] = 1.0 - (at - low as f32);
    if low < last {
        into[low + 1] = at - low as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_sizes_come_out() {
        // HNeRV-Boost of 1.5 million at 720p has channels 86, 72, 60, 50, 42, 35 and 1.204 million parameters.
        let blocks = blocks(Kind::Content(16), 86, &[5, 2, 2, 2, 2], 12);
        let channels: Vec<u16> = blocks.iter().filter(|b| b.stride > 1).map(|b| b.channels).collect();
        assert_eq!(channels, [72, 60, 50, 42, 35]);
        let kind = Kind::Content(16);
        let arch = Architecture {
            kind,
            modulation: Modulation::Affine,
            time_width: 32,
            base: (9, 16),
            stem: 16,
            blocks,
            head_kernel: 3,
        };
        assert_eq!(arch.output(), (720, 1280));
        assert!(arch.parameters().abs_diff(1_203_818) < 10_000, "{}", arch.parameters());
        assert_eq!(arch.embedding(), 2304);
    }

    #[test]
    fn the_papers_sizes_of_disentangled_networks_come_out() {
        // E-NeRV-Boost at 720p: 0.753, 1.538 and 3.070 million parameters.
        for (stem, channels, parameters) in [
            (21, [63, 31, 15, 12, 12], 752_996),
            (44, [132, 66, 33, 16, 12], 1_538_000),
            (70, [210, 105, 52, 26, 13], 3_070_000),
        ] {
            let kind = Kind::Disentangled(128);
            let blocks = blocks(kind, stem, &[5, 2, 2, 2, 2], 12);
            let found: Vec<u16> = blocks.iter().filter(|b| b.stride > 1).map(|b| b.channels).collect();
            assert_eq!(found, channels);
            let arch = Architecture {
                kind,
                modulation: Modulation::Affine,
                time_width: 32,
                base: (9, 16),
                stem: stem as u16,
                blocks,
                head_kernel: 1,
            };
            let layout = arch.layout();
            assert!(arch.parameters().abs_diff(parameters) < 1000, "{}", arch.parameters());
            assert_eq!(layout.count(), layout.tensors.iter().map(Tensor::count).sum::<usize>());
        }
    }

    #[test]
    fn any_size_gets_a_decoder_that_covers_it() {
        for (width, height) in
            [(16, 16), (17, 23), (64, 48), (176, 144), (320, 180), (480, 270), (1920, 1080)]
        {
            for kind in [Kind::Content(16), Kind::Index, Kind::Disentangled(128)] {
                let arch = Architecture::fit(kind, Modulation::Affine, (width, height), 30, 100_000);
                let (rows, columns) = arch.output();
                assert!(rows >= height && columns >= width, "{width}x{height}: {arch:?}");
                assert!(rows * columns <= width * height * 2, "{width}x{height}: {arch:?}");
            }
        }
    }

    #[test]
    fn the_budget_is_met() {
        let frames = 132;
        let arch = Architecture::fit(Kind::Content(16), Modulation::Affine, (1280, 720), frames, 1_500_000);
        let all = arch.parameters() + frames * arch.embedding();
        assert!(all.abs_diff(1_500_000) < 40_000, "{all}: {arch:?}");
    }

    #[test]
    fn grids_interpolate() {
        let mut weights = [0.0; 5];
        encode_grid(3, 7, &mut weights);
        assert_eq!(weights, [0.0, 0.0, 1.0, 0.0, 0.0]);
        encode_grid(6, 7, &mut weights);
        assert_eq!(weights, [0.0, 0.0, 0.0, 0.0, 1.0]);
        encode_grid(0, 1, &mut weights);
        assert_eq!(weights, [1.0, 0.0, 0.0, 0.0, 0.0]);
    }
}

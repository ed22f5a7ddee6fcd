//! How large a network is, and which one a budget of parameters buys.

use siskin_media::Size;

use crate::arch::{Architecture, Block, FREQUENCIES, Kind, MODULATIONS, Modulation};
use crate::layout::Layout;
use crate::stem;

/// Fewest channels of a block: the papers' number, and what is tried where the budget does not pay for it.
const MIN_CHANNELS: [usize; 4] = [12, 8, 6, 4];
/// Fewest channels of the stem: with fewer, blocks of half as many would have one.
const MIN_STEM: usize = 4;

impl Architecture {
    /// Parameters of the network, without embeddings.
    pub fn parameters(&self) -> usize {
        self.layout().count()
    }

    /// Multiplications and additions of one decoded frame.
    pub fn operations(&self) -> u64 {
        let (mut area, mut from, mut sum) = (self.base_area() as u64, u64::from(self.stem), 0u64);
        let square = |k: u8| u64::from(k) * u64::from(k);
        sum += stem::count_operations(self);
        for (index, block) in self.blocks.iter().enumerate() {
            let (to, stride) = (u64::from(block.channels), u64::from(block.stride));
            let first = self.squeezed_channels(index).map_or(to, |c| c as u64);
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
    pub fn memory_bytes(&self) -> u64 {
        let mut area = self.base_area() as u64;
        let mut most = area.saturating_mul(self.stem.into()).max(stem::count_values(self));
        for block in &self.blocks {
            area = area.saturating_mul(u64::from(block.stride) * u64::from(block.stride));
            most = most.max(area.saturating_mul(u64::from(block.channels)));
        }
        // Four sets of 32-bit floats: what a layer reads and writes, what a residual block keeps for its sum, and one
        // to spare for the runtime.
        most.saturating_mul(4 * 4)
    }

    /// The parameters in order. Weights first, group by group; all biases are the last group.
    pub fn layout(&self) -> Layout {
        let mut layout = Layout::default();
        let time = usize::from(self.time_width);
        stem::add_layout(self, &mut layout);
        if self.uses_time() {
            layout
                .add_group(&[(&[2 * time, 2 * FREQUENCIES], 2 * FREQUENCIES), (&[time, 2 * time], 2 * time)]);
            layout.add_bias(&[2 * time, 1], 2 * FREQUENCIES);
            layout.add_bias(&[time, 1], 2 * time);
        }
        let conv = |layout: &mut Layout, from: usize, to: usize, k: usize| {
            layout.add_group(&[(&[to, from, k, k], from * k * k)]);
            layout.add_bias(&[to], from * k * k);
        };
        let mut from = usize::from(self.stem);
        for (index, block) in self.blocks.iter().enumerate() {
            let (to, k, s) =
                (usize::from(block.channels), usize::from(block.kernel), usize::from(block.stride));
            match self.squeezed_channels(index) {
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
                    layout
                        .add_group(&[(&[MODULATIONS * time, time], time), (&[MODULATIONS, to, time], time)]);
                    layout.add_bias(&[MODULATIONS * time, 1], time);
                    layout.add_bias(&[MODULATIONS, to, 1], time);
                }
                // They begin at the identity, so no range is needed.
                Modulation::Grid(points) => {
                    layout.add_group(&[(&[usize::from(points), MODULATIONS * to], 0)])
                }
            }
            from = to;
        }
        conv(&mut layout, from, 3, usize::from(self.head_kernel));
        layout.finish_biases()
    }

    /// The decoder of this kind for frames of `size` whose parameters, with the embeddings of `frames` frames,
    /// come nearest to `budget`. Channels and kernels follow the papers' rules.
    pub fn for_budget(kind: Kind, modulation: Modulation, size: Size, frames: usize, budget: usize) -> Self {
        let (width, height) = (size.width(), size.height());
        let strides = choose_strides(width, height);
        let scale: usize = strides.iter().map(|&s| usize::from(s)).product();
        let base = (height.div_ceil(scale) as u16, width.div_ceil(scale) as u16);
        // A quarter of the budget at most for the embeddings, as in the papers' sizes.
        let kind = match kind {
            Kind::Content(most) => {
                let area = usize::from(base.0) * usize::from(base.1);
                Kind::Content((budget / 4 / (area * frames).max(1)).clamp(1, usize::from(most)) as u8)
            }
            Kind::Index => kind,
            Kind::Disentangled(most) => Kind::Disentangled(stem::choose_token_width(most, base, budget)),
        };
        let time_width = match budget {
            // The paper's 32 would take a large part of a small network: the modulation of each block has 4 x width^2
            // weights for the hidden layer alone.
            0..100_000 => 8,
            100_000..300_000 => 16,
            _ => 32,
        };
        let make_with = |stem: usize, least: usize| {
            let blocks = build_blocks(kind, stem, &strides, least);
            let (stem, head_kernel) = match kind {
                Kind::Content(channels) => (channels.into(), 3),
                Kind::Index | Kind::Disentangled(_) => (stem as u16, 1),
            };
            Self { kind, modulation, time_width, base, stem, blocks, head_kernel }
        };
        let size = |a: &Self| a.parameters() + a.embedding() * frames;
        let pays = |least: &usize| size(&make_with(MIN_STEM, *least)) <= budget;
        // The widest minimum that even the smallest stem can pay for.
        let least = MIN_CHANNELS.into_iter().find(pays).unwrap_or(MIN_CHANNELS[MIN_CHANNELS.len() - 1]);
        let make = |stem: usize| make_with(stem, least);
        // The size grows with the stem's channels, so bisection finds where it passes the budget.
        let (mut low, mut high) = (MIN_STEM, 1024usize);
        while high - low > 1 {
            let middle = (low + high) / 2;
            if size(&make(middle)) > budget { high = middle } else { low = middle }
        }
        let (a, b) = (make(low), make(high));
        // Nearest and not below: what counts in the end is the size after entropy coding, which the step sizes
        // settle.
        if size(&b).abs_diff(budget) < size(&a).abs_diff(budget) { b } else { a }
    }
}

/// The blocks of a decoder: channels shrink by 1.2 a stage (HNeRV-Boost) or halve from the second on (NeRV-Boost, and
/// E-NeRV-Boost, whose first has three times those of the stem); from the third stage on a second block
/// follows that does not enlarge.
fn build_blocks(kind: Kind, stem: usize, strides: &[u8], least: usize) -> Vec<Block> {
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
fn choose_strides(width: usize, height: usize) -> Vec<u8> {
    // From the papers' configurations: one large stride first, where the grid is small and channels are many, then
    // halves.
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
        // A grid twice too large costs as much as 9 % of cropped area, which is computed in vain for every frame.
        (rows.min(columns) as f64 / 9.0).ln().abs() + 8.0 * (area - 1.0)
    };
    let best = CHOICES.iter().min_by(|a, b| cost(a).total_cmp(&cost(b)));
    best.map_or_else(|| vec![2, 2], |s| s.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Tensor;

    #[test]
    fn the_papers_sizes_come_out() {
        // HNeRV-Boost of 1.5 million at 720p has channels 86, 72, 60, 50, 42, 35 and 1.204 million parameters.
        let blocks = build_blocks(Kind::Content(16), 86, &[5, 2, 2, 2, 2], 12);
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
        assert_eq!(arch.output_size(), (720, 1280));
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
            let blocks = build_blocks(kind, stem, &[5, 2, 2, 2, 2], 12);
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
                let arch = Architecture::for_budget(
                    kind,
                    Modulation::Affine,
                    Size::new(width as u32, height as u32).expect("a size"),
                    30,
                    100_000,
                );
                let (rows, columns) = arch.output_size();
                assert!(rows >= height && columns >= width, "{width}x{height}: {arch:?}");
                assert!(rows * columns <= width * height * 2, "{width}x{height}: {arch:?}");
            }
        }
    }

    #[test]
    fn the_budget_is_met() {
        let frames = 132;
        let arch = Architecture::for_budget(
            Kind::Content(16),
            Modulation::Affine,
            Size::new(1280, 720).expect("a size"),
            frames,
            1_500_000,
        );
        let all = arch.parameters() + frames * arch.embedding();
        assert!(all.abs_diff(1_500_000) < 40_000, "{all}: {arch:?}");
    }
}

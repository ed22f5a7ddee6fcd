//! Where the features of the smallest grid come from, in networks without embeddings.
//!
//! NeRV-Boost makes them from the time by two dense layers. E-NeRV-Boost takes place and time apart: the grid's places are
//! tokens, encoded like times; a transformer block without normalisation lets them attend to each other with one head, the
//! product with the time's embedding tells them when they are, a second block with eight heads follows, and a dense layer
//! makes the channels.

use siskin_graph::Var;

use crate::arch::{Architecture, Kind, Modulation};
use crate::encoding::{FREQUENCIES, encode_position};
use crate::layout::Layout;
use crate::network::Network;

/// Values of an encoded time.
const TIME: usize = 2 * FREQUENCIES;
/// Values of an encoded place: row and column.
const PLACE: usize = 2 * TIME;
/// Hidden width of the stem that makes features from time alone.
const HIDDEN: usize = 256;
/// Heads of the two transformer blocks.
// As in the paper, whose parameter counts the tests of `sizing` reproduce.
const HEADS: [usize; 2] = [1, 8];
/// Widths of tokens that are tried, from the paper's down.
const WIDTHS: [u8; 5] = [128, 64, 32, 16, 8];

/// Width of a head, and the hidden width of the two dense layers behind it: half a token's, as in the paper.
fn head_width(width: usize) -> usize {
    (width / 2).max(1)
}

/// Adds the stem's parameters.
pub(crate) fn add_layout(arch: &Architecture, layout: &mut Layout) {
    let channels = usize::from(arch.stem);
    match arch.kind {
        Kind::Content(_) => {}
        Kind::Index => {
            layout.add_dense(TIME, HIDDEN);
            layout.add_dense(HIDDEN, channels * arch.base_area());
        }
        Kind::Disentangled(width) => {
            let width = usize::from(width);
            layout.add_dense(TIME, 2 * width);
            layout.add_dense(2 * width, width);
            layout.add_dense(PLACE, width);
            for heads in HEADS {
                let inner = heads * head_width(width);
                layout.add_group(&[(&[3 * inner, width], width)]);
                layout.add_dense(inner, width);
                layout.add_dense(width, head_width(width));
                layout.add_dense(head_width(width), width);
            }
            layout.add_dense(width, channels);
        }
    }
}

/// Multiply-accumulates of the stem for one frame; what depends on places alone is computed once.
pub(crate) fn count_operations(arch: &Architecture) -> u64 {
    let area = arch.base_area() as u64;
    match arch.kind {
        Kind::Content(_) => 0,
        Kind::Index => HIDDEN as u64 * (TIME as u64 + area * u64::from(arch.stem)),
        Kind::Disentangled(width) => {
            let (width, half) = (u64::from(width), head_width(width.into()) as u64);
            // The block with one head sees places only, so it is a constant; the one with eight runs for each frame.
            let inner = HEADS[1] as u64 * half;
            let token =
                4 * inner * width + 2 * inner * area + 2 * half * width + width * u64::from(arch.stem);
            2 * width * (TIME as u64 + width) + area * token
        }
    }
}

/// The most values that the stem holds at once.
pub(crate) fn count_values(arch: &Architecture) -> u64 {
    let area = arch.base_area() as u64;
    match arch.kind {
        Kind::Content(_) | Kind::Index => 0,
        Kind::Disentangled(width) => {
            let heads = HEADS[1] as u64;
            let inner = heads * head_width(width.into()) as u64;
            // Attention is square in the places: this, and not the parameters, bounds the grid.
            area.saturating_mul(area.saturating_mul(heads).saturating_add(3 * inner + PLACE as u64))
        }
    }
}

/// The width of tokens for a budget of parameters: the most with which the stem takes no more than five eighths of it, as the
/// paper's smallest network has it.
pub(crate) fn choose_token_width(most: u8, base: (u16, u16), budget: usize) -> u8 {
    let takes = |width: u8| {
        let mut own = Layout::default();
        let arch = Architecture {
            kind: Kind::Disentangled(width),
            modulation: Modulation::Grid(1),
            time_width: 1,
            base,
            stem: 1,
            blocks: Vec::new(),
            head_kernel: 1,
        };
        add_layout(&arch, &mut own);
        own.count()
    };
    // Blocks get at least three eighths: tokens without blocks to enlarge them make no frame.
    let fits = |width: &u8| *width <= most && takes(*width) * 8 <= budget * 5;
    WIDTHS.into_iter().find(fits).unwrap_or(WIDTHS[WIDTHS.len() - 1].min(most))
}

impl Network<'_> {
    /// Features of the smallest grid, `[1, channels, rows, columns]`.
    pub(crate) fn build_stem(&mut self) -> Var {
        let arch = self.arch;
        let shape = [1, arch.stem.into(), arch.base.0.into(), arch.base.1.into()];
        let flat = match (arch.kind, self.input.embedding, self.input.time) {
            (Kind::Content(_), Some(embedding), _) => embedding,
            (Kind::Index, _, Some(time)) => {
                let hidden = self.dense_sine(time);
                self.dense_sine(hidden)
            }
            (Kind::Disentangled(width), _, Some(time)) => self.build_disentangled(width.into(), time),
            _ => unreachable!("the condition is made for the architecture"),
        };
        self.g.reshape(flat, &shape)
    }

    /// `[channels, places]`.
    fn build_disentangled(&mut self, width: usize, time: Var) -> Var {
        let hidden = self.dense_sine(time);
        let time = self.dense_sine(hidden);
        let places = self.encode_places();
        let tokens = self.dense_sine(places);
        let tokens = self.transformer_block(tokens, width, HEADS[0]);
        let tokens = self.g.mul(tokens, time);
        let tokens = self.transformer_block(tokens, width, HEADS[1]);
        self.dense_sine(tokens)
    }

    /// Row and column of each place of the smallest grid, as shares of its sides, encoded: `[320, places]`.
    fn encode_places(&mut self) -> Var {
        let (rows, columns) = (usize::from(self.arch.base.0), usize::from(self.arch.base.1));
        let count = rows * columns;
        let mut all = vec![0.0; PLACE * count];
        let mut one = [0.0; PLACE];
        for place in 0..count {
            let (row, column) = one.split_at_mut(TIME);
            encode_position((place / columns) as f64 / rows as f64, row);
            encode_position((place % columns) as f64 / columns as f64, column);
            one.iter().enumerate().for_each(|(i, &v)| all[i * count + place] = v);
        }
        self.g.constant(&[PLACE, count], &all)
    }

    /// A transformer block: attention, then two dense layers, each added to what it takes; tokens are columns.
    fn transformer_block(&mut self, x: Var, width: usize, heads: usize) -> Var {
        let attended = self.multi_head_attention(x, head_width(width), heads);
        let x = self.g.add(x, attended);
        let hidden = self.dense_layer(x);
        let hidden = self.g.gelu(hidden);
        let out = self.dense_layer(hidden);
        self.g.add(x, out)
    }

    fn multi_head_attention(&mut self, x: Var, width: usize, heads: usize) -> Var {
        let w = self.next_weight();
        let g = &mut *self.g;
        let count = g.shape(x)[1];
        let all = g.matmul(w, x);
        let all = g.reshape(all, &[3, heads, width, count]);
        let mut part = |i: usize| {
            let one = g.slice(all, &[i, 0, 0, 0], &[1, heads, width, count]);
            g.reshape(one, &[heads, width, count])
        };
        let (query, key, value) = (part(0), part(1), part(2));
        // Scaling the query and not the product touches fewer values, with the same result up to rounding.
        let query = g.scale(query, (width as f32).powf(-0.5));
        // Tokens are columns here, so that dense layers need no transposition; only attention has to turn them.
        let query = g.swap_last(query);
        let shares = g.matmul(query, key);
        let shares = g.softmax(shares);
        let shares = g.swap_last(shares);
        let out = g.matmul(value, shares);
        let out = g.reshape(out, &[heads * width, count]);
        self.dense_layer(out)
    }
}
